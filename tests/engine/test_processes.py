"""Two processes (gloo, CPU) train to the weights of one, for networks without batch statistics; they stop and fail together.

A process takes seconds to start: all that two train to its end is trained by the same two, and what one trains by the test's own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from delineate.cli.root import app
from delineate.engine.distributed import agree_on, gather_objects, raise_together
from delineate.engine.recipe import resolve
from delineate.engine.run import make_fabric
from delineate.methods import registry as methods
from delineate.strategies import registry as strategies
from package_of_page import installed

METHODS = '''
import copy
import torch
from torch import nn
from delineate.methods.contract import  MethodInfo, MethodOptions, Stage, Update
from delineate.methods.dense import DenseMethod
from delineate.nn.losses import bce, dice


class Plain(DenseMethod):
    info = MethodInfo(name="plain", title="Plain", paper="none", year=2026, min_size=8)
    Options = MethodOptions

    def __init__(self, options, *, classes, in_channels):
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, classes, 3, padding=1)
        )

    def forward(self, image):
        return self.body(image)

    def objective(self, batch, ctx):
        logits = self(batch["image"])
        return {"bce": bce(logits, batch["mask"]), "dice": dice(logits, batch["mask"])}

    def deploy(self):
        return copy.deepcopy(self).eval()


class Judged(Plain):
    """Two stages; in the second a critic with an optimizer of its own learns to tell predictions from masks."""

    info = MethodInfo(name="judged", title="Judged", paper="none", year=2026, min_size=8)

    def __init__(self, options, *, classes, in_channels):
        super().__init__(options, classes=classes, in_channels=in_channels)
        self.critic = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 1, 3, stride=2))

    def stages(self):
        net = Update("net", ("body",), "deceive")
        return Stage("warm", 0.4, (Update("net", ("body",)),)), Stage("both", 0.6, (net, Update("critic", ("critic",), "judge")))

    def judgment(self, masks, real):
        wanted = torch.full_like(found := self.critic(masks), real)
        return nn.functional.binary_cross_entropy_with_logits(found, wanted)

    def deceive(self, batch, ctx):
        logits = self(batch["image"])
        return {"bce": bce(logits, batch["mask"]), "deceive": 0.1 * self.judgment(logits.sigmoid(), 1.0)}

    def judge(self, batch, ctx):
        with torch.no_grad():
            made = self(batch["image"]).sigmoid()
        real = (batch["mask"] == 1).float()[:, None]
        return {"made": self.judgment(made, 0.0), "real": self.judgment(real, 1.0)}


class Poisoned(Plain):
    """From the sixth step on, the loss of one image is not finite: only the process that has it in its share sees that."""

    info = MethodInfo(name="poisoned", title="Poisoned", paper="none", year=2026, min_size=8)

    def objective(self, batch, ctx):
        bad = ctx.step >= 5 and "case03" in batch["sample_id"] and self.training
        return {name: term * float("nan") if bad else term for name, term in super().objective(batch, ctx).items()}
'''
NAMES = ("plain", "judged", "poisoned")
RECIPE = (
    "tiny: {input: {size: 32}, augment: {flip_horizontal: 0.5}, engine: {batch_size: 4, steps: 10, optimizer: adamw}}\n"
)


@dataclass(frozen=True)
class Case:
    """A training in which nothing is drawn at random: what a process draws depends on its rank."""

    method: str = "plain"
    strategy: str = "supervised"
    settings: tuple[str, ...] = ()
    partly: bool = False
    """Whether some images have no mask."""


CASES = {
    "plain": Case(),
    "two optimizers": Case("judged"),
    "a strategy with a critic": Case(strategy="shape-critic", settings=("strategy.weight=0.5",)),
    # Its batches have one image with a mask: the other process has none.
    "a strategy with an average": Case(
        strategy="mean-teacher",
        settings=("strategy.weight=5", "strategy.ramp=0", "strategy.view=none", "data.labeled_share=0.25"),
        partly=True,
    ),
    # A part that thaws in step 4, and one that never does: processes exchange the gradients that there are, and no others.
    "frozen parts": Case(settings=("engine.freeze={body.0: 4, body.1: stage}",)),
}
ENDLESS = ("--steps", "100000", "--set", "engine.validate_every=100000")
SEVERAL = """
import json, sys
from delineate.cli.root import app

for words in json.loads(sys.argv[1]):
    app(words, standalone_mode=False)
"""
"""A program that runs several commands in one process."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that, on the path, is an installed package with these methods, and the one of the how-to's strategy."""
    site = tmp_path_factory.mktemp("site")
    (site / "few_methods").mkdir()
    (site / "few_methods" / "__init__.py").write_text(METHODS)
    (site / "few_methods" / "recipe.yaml").write_text(RECIPE)
    info = site / "few_methods-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: few-methods\nVersion: 1\n")
    points = "".join(f"{name} = few_methods:{name.title()}\n" for name in NAMES)
    (info / "entry_points.txt").write_text(f"[delineate.methods]\n{points}")
    with installed("own-strategy.md", site):
        methods.forget_other_packages()
        strategies.forget_other_packages()
        yield site
    sys.modules.pop("few_methods", None)
    methods.forget_other_packages()
    strategies.forget_other_packages()


Words = Callable[..., list[str]]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def words(discs: Path, partly: Path, tmp_path_factory: pytest.TempPathFactory) -> Words:
    """The words of a `train` command."""
    cache = tmp_path_factory.mktemp("cache")

    def make(case: Case, out: Path, *more: str, devices: int = 2) -> list[str]:
        data = partly if case.partly else discs
        found = ["train", str(data), "--method", case.method, "--preset", "tiny", "--strategy", case.strategy]
        found += ["--out", str(out), "--device", "cpu", "--cache-dir", str(cache)]
        settings = (f"engine.devices={devices}", *case.settings)
        return [*found, *(word for setting in settings for word in ("--set", setting)), *more]

    return make


@pytest.fixture(scope="module")
def start(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start Python with these words, the packages of `site` installed."""
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    known = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    known["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))

    def begin(given: Sequence[str], **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, *given]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=known | environment, stdout=pipe, stderr=pipe, text=True)

    return begin


@dataclass(frozen=True)
class Trained:
    """What two processes have trained."""

    runs: dict[str, Path]
    told: list[str]
    """What each process has written to stdout."""
    said: list[str]
    """And to stderr."""


@pytest.fixture(scope="module")
def by_two(words: Words, start: Start, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """All cases, one after another, by two processes."""
    folder = tmp_path_factory.mktemp("by-two")
    runs = {name: folder / name.replace(" ", "-") for name in CASES}
    (folder / "several.py").write_text(SEVERAL)
    given = [str(folder / "several.py"), json.dumps([words(case, runs[name]) for name, case in CASES.items()])]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "NODE_RANK": "0"}
    both = [start(given, **place, WORLD_SIZE="2", LOCAL_RANK=str(rank)) for rank in range(2)]
    try:
        ends = [process.communicate(timeout=300) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], ends
    return Trained(runs, [told for told, _ in ends], [said for _, said in ends])


def children_of(process: subprocess.Popen[str]) -> list[int]:
    """Processes that a process has started (Linux)."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def summary(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(name: str, by_two: Trained, words: Words, tmp_path: Path) -> None:
    """`judged`, and the strategy of the how-to: each step has two optimizers, whose parameters take turns in being trained."""
    case, run = CASES[name], by_two.runs[name]
    assert (run / "report.html").exists()
    assert summary(run)["status"] == "finished"
    assert summary(run)["strategy"] == case.strategy
    app(words(case, tmp_path / "run", devices=1), standalone_mode=False)
    one, two = (load_file(folder / "model.safetensors") for folder in (tmp_path / "run", run))
    assert one.keys() == two.keys()
    for key, weights in one.items():
        torch.testing.assert_close(weights, two[key], rtol=1e-5, atol=2e-6)


@pytest.mark.slow
def test_one_process_tells_the_result(by_two: Trained) -> None:
    assert [told.count("report:") for told in by_two.told] == [len(CASES), 0]


@pytest.mark.slow
def test_what_is_frozen_to_the_end_stays_as_it_was(by_two: Trained) -> None:
    assert "frozen: body.0, for the first 4 of 10 steps" in by_two.said[0]
    weights = load_file(by_two.runs["frozen parts"] / "model.safetensors")
    assert torch.equal(weights["body.1.weight"], torch.ones(8))
    assert not torch.equal(
        weights["body.0.weight"], load_file(by_two.runs["plain"] / "model.safetensors")["body.0.weight"]
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the second process in /proc")
def test_all_processes_stop_where_one_is_asked_to(words: Words, start: Start, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(["-m", "delineate", *words(Case(), out, *ENDLESS)])
    until(lambda: (out / "steps" / "latest.json").exists() and children_of(process), process)
    time.sleep(0.5)
    os.kill(children_of(process)[0], signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert said.count("stopped by SIGTERM after step") == 1, said
    noted = summary(out)
    assert noted["status"] == "interrupted"
    step = int(said.partition("after step ")[2].split()[0])
    assert json.loads((out / "steps" / "latest.json").read_text())["state"] == f"0-{step:08d}"
    assert "Traceback" not in said


@pytest.mark.slow
def test_all_processes_fail_where_one_does(words: Words, start: Start, tmp_path: Path) -> None:
    process = start(["-m", "delineate", *words(Case("poisoned"), tmp_path / "run", *ENDLESS)])
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2, said
    assert said.count("not finite") == 1, "one line, of whichever process"
    assert "case03" in said
    assert "Traceback" not in said
    assert summary(tmp_path / "run")["status"] == "diverged"


def until(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_one_process_agrees_with_itself() -> None:
    fabric = make_fabric(resolve("unet", "tiny", {"engine": {"device": "cpu"}}))
    assert agree_on(fabric, None) is None
    assert agree_on(fabric, "word") == "word"
    assert gather_objects(fabric, {"term": 1.0}) == [{"term": 1.0}]
    with pytest.raises(ValueError, match="as it was"), raise_together(fabric):
        raise ValueError("as it was")
