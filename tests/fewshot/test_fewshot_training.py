"""Few-shot runs from data to artefact: what they leave, exact resume, exclusion, refusals, and the verb as it is typed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import delineate
from delineate import cli
from delineate.artefact import format as artefact_format
from delineate.common.errors import DataError, Interrupted, RecipeError
from delineate.common.user_folders import SUBFOLDER
from delineate.data.cache.store import Store
from delineate.data.cases.volumes import Volumes
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.loading.cached_slices import CachedSlices, decode
from delineate.data.loading.samples import open_samples
from delineate.engine.recipe import resolve
from delineate.engine.reporting import Silent
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.evaluated_models import open_evaluated_model
from delineate.fewshot.validation import FixedEpisodes, freeze

Train = Callable[..., Any]
REGIONS = ["episodes.region_size=1000", "episodes.least=600", "data.workers=2"]


class Killed(BaseException):
    """Stands for a kill: nothing of the program gets a say."""


class Recorder(Silent):
    """Keeps the notes; is killed at a step."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.notes: list[str] = []
        self._steps, self._kill_at = 0, kill_at

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, loss: float, images: int) -> None:
        self._steps += 1
        if self._steps == self._kill_at:
            raise Killed


@pytest.fixture
def run(few: str, slice_folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train the few method for 8 steps; `name` is the run's folder, everything else goes to `fewshot_train`."""

    def go(name: str = "run", *, data: Path | None = None, settings: list[str] | None = None, **changes: Any) -> Any:
        values: dict[str, Any] = {"method": few, "preset": "tiny", "device": "cpu", "reporter": Recorder()} | changes
        cache = tmp_path_factory.getbasetemp() / "cache"
        return delineate.fewshot_train(
            data or slice_folder, out=tmp_path / name, settings=[*REGIONS, *(settings or [])], cache_dir=cache, **values
        )

    return go


def same(one: Path, other: Path) -> bool:
    ours, theirs = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def log(run: Path) -> list[dict[str, Any]]:
    """The log without its clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "second" not in key} for line in lines]


def test_a_run_leaves_all_that_is_promised(
    run: Train, slice_folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    result = run(seed=5)
    assert not (tmp_path_factory.getbasetemp() / "cache" / SUBFOLDER / SUBFOLDER).exists(), "one limit for all entries"
    folder = result.folder
    summary = json.loads((folder / "run.json").read_text())
    assert summary["status"] == "finished"
    assert summary["episodes"] == "superpixel, 1 shot, all 42 training slices (setting 1)"
    artefact = artefact_format.load(result.model)
    assert artefact.classes.names == ("background", "foreground")
    assert artefact.provenance["seed"] == 5
    assert artefact.provenance["episodes"]["kind"] == "superpixel"
    assert artefact.provenance["episodes"]["exclude"] == []
    scores = json.loads((folder / "validation" / "scores.json").read_text())
    assert scores["classes"].keys() == {"label 1", "label 2", "label 3"}
    assert "few-shot protocol chunk3, 1-shot" in scores["protocol_words"]
    assert result.dice == pytest.approx(scores["macro"]["dice"]["present"]["mean"])
    frozen = EpisodeFile.load(folder / "validation" / "episodes.json")
    assert {episode.query for episode in frozen.episodes} < {"patient006_frame01", "patient007_frame01"}
    assert list((folder / "validation" / "overlays").glob("worst1_patient00*_frame01.png"))
    assert list((folder / "validation" / "panels").glob("*/label 1 foreground.png"))
    card = (folder / "card.md").read_text()
    assert "Episodes: superpixel, 1 shot" in card
    assert "scored with `delineate fewshot evaluate`" in card
    page = (folder / "report.html").read_text()
    assert "delineate fewshot evaluate" in page
    assert "superpixel, 1 shot, all 42 training slices" in page
    assert {case.split for case in Manifest.load(folder / "manifest.json").cases} == {"train", "val", "test"}
    assert not list(folder.glob("steps/*/*.safetensors"))


def test_what_is_scored_is_what_evaluation_measures(run: Train, slice_folder: Path, tmp_path: Path) -> None:
    result = run()
    episodes = result.folder / "validation" / "episodes.json"
    measured = delineate.fewshot_evaluate(
        result.folder, slice_folder, episodes=episodes, out=tmp_path / "evaluation", device="cpu"
    )
    assert measured.headline("dice") == pytest.approx(result.dice, abs=1e-9)


@pytest.mark.parametrize("kind", ["superpixel", "supervoxel", "labels"])
def test_killed_runs_end_with_the_same_bits(run: Train, kind: str, tmp_path: Path) -> None:
    settings = ["engine.save_minutes=0.00001", "engine.validate_every=0.2", "episodes.supervoxel_size=12000"]
    run("whole", episodes=kind, settings=settings, shots=2)
    with pytest.raises(Killed):
        run("killed", episodes=kind, settings=settings, shots=2, reporter=Recorder(3))
    with pytest.raises(Killed):
        run("killed", episodes=kind, settings=settings, shots=2, reporter=Recorder(2), resume=True)
    run("killed", episodes=kind, settings=settings, shots=2, resume=True)
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert log(tmp_path / "whole") == log(tmp_path / "killed")
    assert len(log(tmp_path / "whole")) > 1


def test_resume_with_other_episodes_is_refused(run: Train) -> None:
    with pytest.raises(Killed):
        run(reporter=Recorder(2))
    with pytest.raises(RecipeError, match=r"episodes\.kind: superpixel → labels"):
        run(episodes="labels", resume=True)


def test_excluded_slices_never_reach_the_method(
    run: Train, make_slices: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch is about a slice with label 3, and the weights are not chosen by it either."""
    import few_method

    seen: set[str] = set()
    objective = few_method.Few.objective

    def spy(self: Any, batch: Any, ctx: Any) -> Any:
        seen.update(batch["sample_id"])
        return objective(self, batch, ctx)

    monkeypatch.setattr(few_method.Few, "objective", spy)
    data = make_slices(tmp_path / "data", patients=14)
    recorder = Recorder()
    result = run(data=data, exclude_classes=["label 3"], steps=30, reporter=recorder)
    trained = {name.split(" ")[0] for name in seen if "region" in name}
    held = {one.name for _, one in open_samples(data).split("train") if one.holds(3)}
    assert len(trained) > 20
    assert not trained & held
    assert not any("label 3" in name for name in seen)
    assert any("50 of 70 training slices: those with any of label 3 are left out" in note for note in recorder.notes)
    artefact = artefact_format.load(result.model)
    assert artefact.provenance["episodes"]["exclude"] == ["label 3"]
    candidate = open_evaluated_model(str(result.folder), open_samples(data).census, device="cpu")
    assert [candidate.setting(name) for name in ("label 1", "label 3")] == ["1", "2"]


def test_volumes_and_supervoxels(run: Train, volume_folder: Path) -> None:
    result = run(data=volume_folder, episodes="supervoxel", settings=["episodes.supervoxel_size=12000"])
    section = artefact_format.load(result.model).provenance["episodes"]
    assert (section["kind"], section["axis"]) == ("supervoxel", 2)
    with pytest.raises(Killed):
        run("other", data=volume_folder, episodes="labels", reporter=Recorder(2))
    run("other", data=volume_folder, episodes="labels", resume=True)


def test_volumes_by_a_window_are_shown_with_their_own_values(
    run: Train, volume_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training and in every evaluation: bytes between percentiles would be another picture in the same window."""
    shown: list[np.dtype[Any]] = []
    read = Volumes.image

    def noted(*given: Any) -> Any:
        image = read(*given)
        shown.append(image.dtype)
        return image

    monkeypatch.setattr(Volumes, "image", noted)
    window = ["input.intensity=window", "input.window_level=1500", "input.window_width=2000"]
    result = run(data=volume_folder, settings=window)
    assert artefact_format.load(result.model).spec.window_level == 1500
    trained, measured = len(shown), result.folder / "validation" / "episodes.json"
    delineate.fewshot_evaluate(result.folder, volume_folder, episodes=measured, out=tmp_path / "e", device="cpu")
    assert 0 < trained < len(shown)
    assert set(shown) == {np.dtype(np.float32)}


def test_single_pictures(run: Train) -> None:
    result = run(stack="none", episodes="labels", shots=2)
    scores = json.loads((result.folder / "validation" / "scores.json").read_text())
    assert "protocol any2d, 2-shot" in scores["protocol_words"]
    assert scores["level"] == "image"


def parts(data: Path, store: Store) -> tuple[Any, tuple[CachedSlices, ...]]:
    opened, spec = open_samples(data).sealed(), InputSpec(channels="gray", size=(32, 32))
    return opened, tuple(decode(opened.split(name), spec, store) for name in ("train", "val"))


def test_validation_shows_other_patients_than_it_asks_for(slice_folder: Path, tmp_path: Path) -> None:
    data, working = parts(slice_folder, Store.at(tmp_path))
    frozen = freeze(data, working, (1, 2), shots=1, least=4, stack="auto")
    assert frozen.support_split == "val"
    for episode in frozen.episodes:
        assert episode.query not in {shown.volume for shown in episode.support}
    fixed = FixedEpisodes(frozen, working, most=6)
    asked = [one for part, _ in fixed.batches(4) for one in part]
    assert [one.label for one in asked].count(1) == [one.label for one in asked].count(2) == 3
    again = [one for part, _ in FixedEpisodes(frozen, working, most=6).batches(3) for one in part]
    assert [(one.label, one.query.number) for one in asked] == [(one.label, one.query.number) for one in again]


def test_validation_borrows_supports_where_patients_are_few(slice_folder: Path, tmp_path: Path) -> None:
    data, working = parts(slice_folder, Store.at(tmp_path))
    frozen = freeze(data, working, (1, 2, 3), shots=4, least=4, stack="auto")
    assert frozen.support_split == "train"
    assert {episode.query for episode in frozen.episodes} == {"patient006_frame01", "patient007_frame01"}
    with pytest.raises(DataError, match="7 shots asked for"):
        freeze(data, working, (1,), shots=7, least=4, stack="auto")
    with pytest.raises(DataError, match="all classes are excluded"):
        freeze(data, working, (), shots=1, least=4, stack="auto")
    with pytest.raises(DataError, match="no validation slice holds label 1"):
        freeze(data, working, (1,), shots=1, least=10**4, stack="auto")


REFUSED = {
    "plan": (["plan.from_data=true"], {}, "few-shot methods do not plan"),
    "patches": (["input.fit=patch"], {}, "few-shot methods see whole images"),
    "regions": (["data.regions={any: [big, small, end]}"], {}, "few-shot methods learn one class at a time"),
    "sampling": (["data.sampling=class_balanced"], {}, "few-shot methods draw episodes"),
    "class": ([], {"exclude_classes": ["RV"]}, "no foreground class 'RV'"),
    "too few": ([], {"exclude_classes": ["1"]}, "6 slices of 42 would be left"),
    "kind": ([], {"episodes": "superpixels"}, r"unknown episodes 'superpixels': did you mean 'superpixel'\?"),
    "axis": ([], {"axis": 1}, "holds no volumes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_write_nothing(run: Train, name: str, tmp_path: Path) -> None:
    settings, options, message = REFUSED[name]
    with pytest.raises((DataError, RecipeError), match=message):
        run(settings=settings, **options)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; exit code, stdout and stderr."""

    def go(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["delineate", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        return code, *capsys.readouterr()

    return go


def test_a_few_shot_verb_and_few_shot_options_are_for_few_shot_methods(
    typed: Callable[..., tuple[int, str, str]], few: str, slice_folder: Path, tmp_path: Path
) -> None:
    code, _, said = typed("fewshot", "train", slice_folder, "--method", "unet", "--out", tmp_path / "run")
    assert code == 2
    assert said.strip() == ("error: method 'unet' is not a few-shot method; train it with `delineate train`")
    for option in (["--set", "episodes.shots=2"], ["--shots", 2], ["--shots", 1]):
        code, _, said = typed("train", slice_folder, "--method", "unet", "--out", tmp_path / "run", *option)
        assert code == 2
        assert "episodes: only for methods that learn from episodes" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", [["train"], ["fewshot", "train"]])
def test_the_verbs(
    typed: Callable[..., tuple[int, str, str]], few: str, slice_folder: Path, tmp_path: Path, verb: list[str]
) -> None:
    words = [*verb, slice_folder, "--method", few, "--preset", "tiny", "--steps", 2, "--device", "cpu"]
    words += ["--episodes", "labels", "--shots", 2, "--seed", 1, "--cache-dir", tmp_path / "cache"]
    code, out, _ = typed(*words, "--out", tmp_path / "run")
    assert code == 0
    assert "validation Dice" in out
    recipe = resolve(few, "tiny", {})
    assert recipe.episodes.kind == "superpixel"
    saved = (tmp_path / "run" / "recipe.yaml").read_text()
    assert "kind: labels" in saved
    assert "shots: 2" in saved
    code, _, said = typed(*words, "--exclude-classes", "1,label 2", "--out", tmp_path / "other")
    assert code == 2
    assert "without label 1, label 2, 6 slices of 42 would be left" in said
    code, out, _ = typed(*verb, "--help")
    assert code == 0
    assert "--exclude-classes" in out


def test_an_interruption_says_how_to_go_on(run: Train, tmp_path: Path) -> None:
    import os
    import signal

    class Stopper(Recorder):
        def step(self, loss: float, images: int) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"--resume"):
        run(reporter=Stopper())
    run(resume=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
