"""Two processes (gloo, CPU) train to the weights of one, for networks without batch statistics; they stop and fail together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from delineate.engine.distributed import agree_on, gather_objects, raise_together
from delineate.engine.recipe import resolve
from delineate.engine.run import make_fabric
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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder that, on the path, is an installed package with these methods, and the one of the how-to's strategy."""
    site = tmp_path / "site"
    (site / "few_methods").mkdir(parents=True)
    (site / "few_methods" / "__init__.py").write_text(METHODS)
    (site / "few_methods" / "recipe.yaml").write_text(RECIPE)
    info = site / "few_methods-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: few-methods\nVersion: 1\n")
    points = "".join(f"{name} = few_methods:{name.title()}\n" for name in NAMES)
    (info / "entry_points.txt").write_text(f"[delineate.methods]\n{points}")
    with installed("own-strategy.md", site):
        yield site


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(site: Path, discs: Path, tmp_path: Path) -> Start:
    """Start `delineate train` in one process or two."""

    def begin(method: str, out: Path, *words: str, devices: int = 2, data: Path = discs) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "delineate", "train", str(data), "--method", method, "--preset", "tiny"]
        command += ["--out", str(out), "--device", "cpu", "--set", f"engine.devices={devices}", *words]
        command += ["--cache-dir", str(tmp_path / "cache")]
        path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


def children_of(process: subprocess.Popen[str]) -> list[int]:
    """Processes that a process has started (Linux)."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def summary(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text()))


STRATEGIES = {
    "supervised": [],
    "shape-critic": ["strategy.weight=0.5"],
    "mean-teacher": ["strategy.weight=5", "strategy.ramp=0", "strategy.view=none", "data.labeled_share=0.25"],
}
"""Settings under which nothing is drawn at random: what a process draws depends on its rank."""


@pytest.mark.slow
def test_two_processes_freeze_together(start: Start, tmp_path: Path) -> None:
    """A part that thaws in step 4, and one that never does: processes exchange the gradients that there are, and no others."""
    weights = []
    for devices in (1, 2):
        out = tmp_path / f"run{devices}"
        process = start("plain", out, "--set", "engine.freeze={body.0: 4, body.1: stage}", devices=devices)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert "frozen: body.0, for the first 4 of 10 steps" in said
        weights.append(load_file(out / "model.safetensors"))
    one, two = weights
    assert all(torch.allclose(one[name], two[name], rtol=1e-5, atol=2e-6) for name in one)
    assert torch.equal(two["body.1.weight"], torch.ones(8)), "frozen to the end"


@pytest.mark.slow
@pytest.mark.parametrize(("method", "strategy"), [("judged", "supervised"), *(("plain", name) for name in STRATEGIES)])
def test_two_processes_equal_one(
    method: str, strategy: str, start: Start, discs: Path, partly: Path, tmp_path: Path
) -> None:
    """`judged`, and the strategy of the how-to: each step has two optimizers, whose parameters take turns in being trained. The
    mean teacher's batches have one image with a mask: the other process has none."""
    data = partly if strategy == "mean-teacher" else discs
    words = [word for setting in STRATEGIES[strategy] for word in ("--set", setting)]
    weights = []
    for devices in (1, 2):
        out = tmp_path / f"run{devices}"
        process = start(method, out, "--strategy", strategy, *words, devices=devices, data=data)
        told, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert told.count("report:") == 1, "one process tells the result"
        weights.append(load_file(out / "model.safetensors"))
        assert (out / "report.html").exists()
        assert summary(out)["status"] == "finished"
        assert summary(out)["strategy"] == strategy
    assert weights[0].keys() == weights[1].keys()
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], rtol=1e-5, atol=2e-6)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the second process in /proc")
def test_all_processes_stop_where_one_is_asked_to(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start("plain", out, "--steps", "100000", "--set", "engine.validate_every=100000")
    until(lambda: (out / "steps" / "latest.json").exists() and children_of(process), process)
    time.sleep(0.5)
    os.kill(children_of(process)[0], signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.count("stopped by SIGTERM after step") == 1, said
    noted = summary(out)
    assert noted["status"] == "interrupted"
    step = int(said.partition("after step ")[2].split()[0])
    assert json.loads((out / "steps" / "latest.json").read_text())["state"] == f"0-{step:08d}"
    assert "Traceback" not in said


@pytest.mark.slow
def test_all_processes_fail_where_one_does(start: Start, tmp_path: Path) -> None:
    process = start("poisoned", tmp_path / "run", "--steps", "100000", "--set", "engine.validate_every=100000")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert said.count("not finite") == 1, "one line, of whichever process"
    assert "case03" in said
    assert "Traceback" not in said
    assert summary(tmp_path / "run")["status"] == "diverged"


def until(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 120) -> None:
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
