"""Files that are cut, flipped, of other types or not files at all give one line, never a traceback."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from delineate.artefact import format as artefacts
from delineate.artefact.foreign import read_state
from delineate.common.errors import DelineateError
from delineate.common.yaml_text import parse_yaml
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case, ClassTable, LabelRule, Manifest
from delineate.data.layouts.source import DataSource
from delineate.engine.checkpoint import Checkpoint, Checkpoints, Progress
from delineate.engine.planning import planned_sections
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.run_folder import RunFolder
from delineate.evaluation.inputs.prediction_list import PredictedFile, PredictionList
from delineate.evaluation.metrics.metric_selection import select_metrics
from delineate.evaluation.metrics.registry import DEFAULT
from delineate.evaluation.results.case_scores import Row
from delineate.evaluation.results.scores_file import Origin, ScoresFile, write_scores
from delineate.evaluation.results.summary import summarize
from delineate.fewshot.episode_file import EpisodeFile
from delineate.methods import registry
from delineate.report.parts.run_record import read_run
from delineate.studies.jobs import RESULT, Job
from delineate.studies.setup import BenchmarkSetup, Entrant

ROUNDS = 60
VALUES: list[Any] = [None, True, -1, 0, 10**30, 1.5, float("nan"), "", "x", "../x", [], [1], ["x"], {}, {"x": 1}, [[]]]


@dataclass(frozen=True)
class Kind:
    """A file that we read: how to write a sound one into a folder (returns it), and how it is read."""

    write: Callable[[Path], Path]
    read: Callable[[Path], object]


def _manifest(folder: Path) -> Path:
    case = Case(
        id="a", images=("i/a.png",), masks=("m/a.png",), raters=(("r/a.png",),), split="train", hashes={"i/a.png": "0"}
    )
    manifest = Manifest(
        root=str(folder), layout="x", split_origin="files", labels=LabelRule(values={0: 0, 2: 1}), cases=(case,)
    )
    manifest.save(folder / "manifest.json")
    return folder / "manifest.json"


def _predictions(folder: Path) -> Path:
    files = (PredictedFile(mask="a.png", image="x/a.png"),)
    listed = PredictionList(
        method="unet", model=None, model_sha256=None, class_names=("background", "foreground"), files=files
    )
    listed.save(folder)
    return folder / "predictions.json"


def _episodes(folder: Path) -> Path:
    chunk = {"slices": [0], "support": [0]}
    episode = {"label": 1, "support": [{"volume": "v", "slice": 0}], "query": "q", "chunks": [chunk], "draw": 0}
    content = {
        "format": 1, "data": "d", "protocol": "any2d", "shots": 1, "seed": 0, "draws": 1, "split": "test", "support_split": "train",
        "stack": "auto", "axis": None, "class_names": ["background", "a"], "labels": [1], "words": "w", "files": {"a.png": "0"},
        "episodes": [episode],
    }  # fmt: skip
    (folder / "e.json").write_text(json.dumps(content))
    return folder / "e.json"


def _scores(folder: Path) -> Path:
    entries = select_metrics(DEFAULT).entries
    scores = {entry.name: 0.5 for entry in entries}
    row = Row(
        case="a",
        label=1,
        name="foreground",
        outcome="found",
        scores=scores,
        tp=1,
        fp=0,
        fn=0,
        tn=3,
        diagonal=2.8,
        group="a",
    )
    write_scores(folder, [row], summarize((row,), entries), Origin())
    return folder / "scores.json"


def _use_scores(path: Path) -> object:
    stored = ScoresFile.read(path.parent)
    return stored.origin, stored.classes, stored.metrics, stored.cases(), stored.groups()


def _scores_csv(folder: Path) -> Path:
    return _scores(folder).with_name("scores.csv")


def _recipe(folder: Path) -> Path:
    resolve("unet", "tiny", {}).save(folder / "recipe.yaml")
    return folder / "recipe.yaml"


def _summary(folder: Path) -> Path:
    RunFolder(folder).update_summary(status="finished", minutes=1.0)
    (folder / "recipe.yaml").write_text("name: unet")
    return folder / "run.json"


def _metrics(folder: Path) -> Path:
    folder_ = RunFolder(folder)
    for step in range(3):
        folder_.log({"stage": "train", "step": step, "loss": {"total": 1.0}})
    return folder_.metrics


def _benchmark(folder: Path) -> Path:
    one = Entrant(label="unet", method="unet", preset="tiny", options={})
    none = dict.fromkeys(("asked_folds", "group_by", "epochs", "minutes", "size"))
    plan = BenchmarkSetup(data="d", folds=2, seeds=1, metrics=("dice",), entrants=(one,), **none)
    plan.save(folder)
    return folder / "setup.json"


def _job(folder: Path) -> Path:
    path = Job(folder, Entrant(label="unet", method="unet", preset="tiny", options={}), 0, 0).run / RESULT
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"minutes": 1.0, "peak_mib": 3.0}))
    return path


def _use_job(path: Path) -> object:
    job = Job(path.parents[3], Entrant(label="unet", method="unet", preset="tiny", options={}), 0, 0)
    return job.state


def _data_plan(folder: Path) -> Path:
    (folder / "plan.json").write_text(json.dumps({"method": "unet", "recipe": {"engine": {"lr": 0.1}}}))
    return folder / "plan.json"


def _model(folder: Path) -> Path:
    method = registry.build("unet", options={"encoder": {"name": "resnet10t"}, "decoder_channels": [8, 8, 8, 8, 8]})
    artefacts.save(folder / "model.safetensors", artefacts.Artefact(method, InputSpec(size=(32, 32)), ClassTable()))
    return folder / "model.safetensors"


def _checkpoint(folder: Path) -> Path:
    torch.save({"state_dict": {"a": torch.arange(50.0), "b": torch.zeros(3, 4)}, "epoch": 3}, folder / "c.pth")
    return folder / "c.pth"


def _weights(folder: Path) -> Path:
    save_file({"a": torch.arange(50.0)}, folder / "w.safetensors")
    return folder / "w.safetensors"


def _read_weights(path: Path) -> object:
    from delineate.nn.encoders.weights import read_weights

    return read_weights(path)


def _state(folder: Path) -> Path:
    state = Checkpoint(Progress(), {"a": torch.zeros(3)}, {"optimizer.0.step": torch.zeros(1)}, {"best": 0.5})
    Checkpoints(folder / "steps").save(state)
    return next((folder / "steps").rglob("state.json"))


def _state_pointer(folder: Path) -> Path:
    _state(folder)
    return folder / "steps" / "latest.json"


def _table(folder: Path) -> Path:
    (folder / "t.csv").write_text("image,mask,group,split\na.png,b.png,p,train\nc.png,d.png,q,test\n")
    return folder / "t.csv"


JSON_KINDS = {
    "manifest": Kind(_manifest, Manifest.load),
    "predictions": Kind(_predictions, lambda path: PredictionList.find(path.parent)),
    "episodes": Kind(_episodes, EpisodeFile.load),
    "scores": Kind(_scores, _use_scores),
    "summary": Kind(_summary, lambda path: RunFolder(path.parent).read_summary()),
    "summary in a page": Kind(_summary, lambda path: read_run(path.parent)),
    "benchmark": Kind(_benchmark, lambda path: BenchmarkSetup.load(path.parent)),
    "job": Kind(_job, _use_job),
    "plan": Kind(_data_plan, lambda path: planned_sections(RunFolder(path.parent))),
    "state": Kind(_state, lambda path: Checkpoints(path.parents[1]).load()),
    "state's pointer": Kind(_state_pointer, lambda path: Checkpoints(path.parent).load()),
}
OTHER_KINDS = {
    "scores.csv": Kind(_scores_csv, _use_scores),
    "recipe": Kind(_recipe, Recipe.load),
    "metrics": Kind(_metrics, lambda path: RunFolder(path.parent).rewind_log(["train"], 0, 1)),
    "table": Kind(_table, lambda path: DataSource(path).manifest()),
    "model": Kind(_model, artefacts.load),
    "checkpoint": Kind(_checkpoint, read_state),
    "weights": Kind(_weights, _read_weights),
}
KINDS = JSON_KINDS | OTHER_KINDS


def attempt(kind: Kind, path: Path, what: object) -> None:
    """Read; whatever is not for the user's eyes is a fault of ours."""
    try:
        kind.read(path)
    except DelineateError:
        return
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("name", KINDS)
def test_what_is_sound_is_read(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.write(tmp_path)
    if name != "table":  # its files are not there
        kind.read(path)


@pytest.mark.parametrize("name", KINDS)
def test_bytes(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.write(tmp_path)
    sound = path.read_bytes()
    chance = random.Random(name)
    variants = [
        b"",
        b"\x00",
        b"\xff\xfe\x00",
        b"[" * 5000,
        b"{" * 3000,
        b"null",
        b"[]",
        b"3",
        b'"x"',
        b"\x80\x04N.",
        sound * 2,
        b"a: [1",
    ]
    for _ in range(12 if name in ("model", "recipe") else ROUNDS):
        at = chance.randrange(len(sound))
        cut = bytearray(sound)
        cut[at] ^= 1 << chance.randrange(8)
        variants += [sound[:at], bytes(cut), sound[:at] + bytes(5) + sound[at:]]
    for variant in variants:
        path.write_bytes(variant)
        attempt(kind, path, (name, variant[:60]))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("what", ["folder", "link into nothing", "unreadable"])
def test_not_a_file(name: str, what: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    path = kind.write(tmp_path)
    if what == "unreadable":
        path.chmod(0)
    else:
        path.unlink()
        path.mkdir() if what == "folder" else path.symlink_to(tmp_path / "nothing")
    attempt(kind, path, (name, what))


@pytest.mark.parametrize("name", JSON_KINDS)
def test_types(name: str, tmp_path: Path) -> None:
    kind = JSON_KINDS[name]
    path = kind.write(tmp_path)
    sound = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(sound))
    for place in random.Random(name).sample(places, min(len(places), 40)):
        for value in VALUES:
            content = json.loads(json.dumps(sound))
            _set(content, place, value)
            path.write_text(json.dumps(content))
            attempt(kind, path, (name, place, value))
        content = json.loads(json.dumps(sound))
        _set(content, place, None, remove=True)
        path.write_text(json.dumps(content))
        attempt(kind, path, (name, place, "removed"))


def test_types_of_a_recipe(tmp_path: Path) -> None:
    path = _recipe(tmp_path)
    sound = yaml.safe_load(path.read_text(encoding="utf-8"))
    chance = random.Random(0)
    for place in _places(sound):
        for value in chance.sample([*VALUES, 2001], 1):
            content = json.loads(json.dumps(sound))
            _set(content, place, value)
            path.write_text(yaml.safe_dump(content))
            attempt(OTHER_KINDS["recipe"], path, (place, value))
    for text in (
        "a: 2001-99-99",
        "a: &x [*x]",
        "a: !!python/object:os.system x",
        "\x00",
        "? [1]\n: 2",
        "1: 2",
        "name: unet\n1: 2",
    ):
        path.write_text(text)
        attempt(OTHER_KINDS["recipe"], path, text)


def _places(content: Any, place: tuple[Any, ...] = ()) -> Any:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from _places(value, (*place, key))


def _set(content: Any, place: tuple[Any, ...], value: Any, *, remove: bool = False) -> None:
    for key in place[:-1]:
        content = content[key]
    if remove:
        del content[place[-1]]
    else:
        content[place[-1]] = value


def test_yaml_that_grows_or_holds_itself() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
    merged = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9))]
    for text in ("\n".join(lines), "\n".join(merged), "a: &x [*x]", "a: &x {b: *x}", "[" * 200 + "]" * 200):
        with pytest.raises(ValueError, match=r"too often|holds itself|too deeply"):
            parse_yaml(text)
    assert parse_yaml("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


def test_yaml_may_repeat_parts_often() -> None:
    text = "base: &base {a: 1}\n" + "\n".join(f"k{n}: {{<<: *base, n: {n}}}" for n in range(200))
    assert parse_yaml(text)["k199"] == {"a": 1, "n": 199}
    for name in registry.names():
        assert registry.presets(name)


def test_seeds_are_fixed() -> None:
    assert random.Random("a").random() == random.Random("a").random()
    assert np.isnan(VALUES[6])


@pytest.mark.parametrize("name", registry.names())
def test_our_own_recipes_repeat_no_more_than_is_read(name: str) -> None:
    assert {"paper", "tiny"} <= registry.presets(name).keys()
