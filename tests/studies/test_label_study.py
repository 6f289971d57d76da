"""A study of few labels from end to end, on discs: what is trained on what, going on after a kill, what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from test_benchmark import Killed, PowerCut
from typer.testing import CliRunner

import delineate
from delineate import api
from delineate.cli.root import app
from delineate.common.errors import DataError, DelineateError, RecipeError
from delineate.data.core.manifest import Manifest
from delineate.data.splits.label_budget import list_hash
from delineate.engine.recipe import Recipe
from delineate.engine.reporting import Silent
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.studies.labels.draws import list_file
from delineate.studies.labels.jobs import LabelJob, all_jobs
from delineate.studies.labels.setup import LabelSetup

SMALL = (
    "method.encoder.name=resnet10t",
    "method.decoder_channels=[16, 16, 8, 8, 8]",
    "engine.batch_size=4",
    "engine.device=cpu",
)
REFERENCE = "supervised:view=both"
"""Supervised training with the views of the other strategies."""
Run = Callable[..., Any]


@pytest.fixture
def study(discs: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    def start(out: str = "few", **changes: Any) -> Any:
        options: dict[str, Any] = {
            "method": "unet",
            "strategies": "supervised,mean-teacher",
            "labeled_groups": [2, 4],
            "draws": 2,
            "steps": 4,
            "size": 32,
            "settings": SMALL,
            "cache_folder": tmp_path_factory.getbasetemp() / "cache",
            "reporter": Silent(),
        }
        data = changes.pop("data", discs)
        verb = changes.pop("verb", api.study_labels)
        given = options | changes
        if verb is api.estimate_study_labels:
            del given["reporter"]
        return verb(data, out=tmp_path / out, **given)

    return start


def scores(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("scores/**/scores.csv"))}


def test_a_study(study: Run, tmp_path: Path) -> None:
    said: list[str] = []
    table = study(announce=said.append)
    folder = tmp_path / "few"
    setup = LabelSetup.load(folder)
    assert setup.runs == 9
    assert len(all_jobs(folder, setup)) == 9
    assert any("9 runs of 4 steps" in line for line in said)
    lists = {(one["labels"], one["draw"]): one for one in json.loads((folder / "draws.json").read_text())["lists"]}
    assert len(lists) == 5
    for draw in range(2):
        small, large = lists["2 groups", draw], lists["4 groups", draw]
        assert set(small["training"]) < set(large["training"]), "nested"
        assert (small["groups"], large["groups"]) == (2, 4)
        assert small["sha256"] == list_hash(small["training"])
    assert set(lists["4 groups", 0]["training"]) != set(lists["4 groups", 1]["training"])
    for job in all_jobs(folder, setup):
        asked = "all" if job.budget < 0 else job.words
        wanted = lists[asked, job.draw]
        used = Manifest.load(job.run / "manifest.json")
        assert {case.id for case in used.split("train") if case.masks} == set(wanted["training"])
        assert not used.split("val")
        assert len(used.split("train")) == 14
        record = TrainingRecord.of_run(job.run)
        assert record is not None
        assert record.steps == 4
        if job.budget >= 0:
            assert record.labeled_sha256 == wanted["sha256"]
            assert wanted["sha256"][:12] in (job.run / "card.md").read_text(encoding="utf-8")
        recipe = Recipe.load(job.run / "recipe.yaml")
        assert (recipe.strategy["ema"], recipe.strategy["ema_ramp"]) == (0.99, 10.0)
        assert recipe.engine.select_by == "last"
    seeds = {(job.draw, job.seed) for job in all_jobs(folder, setup) if job.budget >= 0}
    assert len({seed for _, seed in seeds}) == 2, "other draws, other seeds"
    assert [(row.label, row.asked) for row in table.rows] == [
        (label, number)
        for number in ("2 groups", "4 groups", "all")
        for label in (REFERENCE, "mean-teacher")
        if (label, number) != ("mean-teacher", "all")
    ]
    for row in table.rows:
        assert bool(row.differences) == (row.label == "mean-teacher")
        assert row.passes == pytest.approx(1 if row.supervised else 2.5)
    lines = list(csv.DictReader((folder / "labels.csv").open()))
    assert [line["labels"] for line in lines] == [row.asked for row in table.rows]
    page = (folder / "report.html").read_text(encoding="utf-8")
    for words in ("Share of the gap closed", "More labels that bring as much", "The same cases side by side"):
        assert words in page
    assert "<script" not in page


@pytest.mark.slow
def test_killed_and_continued_is_the_same(study: Run, tmp_path: Path) -> None:
    options = {"labeled_groups": [2], "draws": 1}
    study("whole", **options)
    for at in (2, 5):
        with pytest.raises(Killed):
            study("cut", reporter=PowerCut(at=at), **options)
    jobs = all_jobs(tmp_path / "cut", LabelSetup.load(tmp_path / "cut"))
    assert [job.state for job in jobs] != ["done"] * 3
    done = [job.run / "model.safetensors" for job in jobs if job.state == "done"]
    written = [path.stat().st_mtime_ns for path in done]
    study("cut", **options)
    assert written == [path.stat().st_mtime_ns for path in done], "what is finished is not made again"
    assert scores(tmp_path / "whole") == scores(tmp_path / "cut")
    assert (tmp_path / "whole" / "draws.json").read_bytes() == (tmp_path / "cut" / "draws.json").read_bytes()


def test_one_draw_claims_nothing(study: Run, tmp_path: Path) -> None:
    table = study(labeled_groups=[2], draws=1)
    assert all(row.verdict is None for row in table.rows)
    page = (tmp_path / "few" / "report.html").read_text(encoding="utf-8")
    assert "nothing is concluded about the ways of training" in page
    assert "scores better" not in page


@pytest.mark.slow
def test_labels_that_validate_are_labels(study: Run, tmp_path: Path) -> None:
    study(labeled_groups=[3], draws=1, validation="inside", strategies="mean-teacher")
    folder = tmp_path / "few"
    few, everything = json.loads((folder / "draws.json").read_text())["lists"]
    assert few["groups"] == 3
    assert (len(few["training"]), len(few["validation"])) == (4, 2)
    assert everything["groups"] == 7
    assert len(everything["validation"]) == 2
    jobs = all_jobs(folder, LabelSetup.load(folder))
    used = Manifest.load(jobs[-1].run / "manifest.json")
    assert {case.id for case in used.split("val")} == set(few["validation"])
    assert not {case.group for case in used.split("val")} & {case.group for case in used.split("train")}
    assert Recipe.load(jobs[-1].run / "recipe.yaml").engine.select_by == "dice"


@pytest.mark.slow
def test_other_validation_cases_and_masks_have_no_say(study: Run, discs: Path, tmp_path: Path) -> None:
    """The data's own validation images are exchanged, and masks that no run needs deleted: the same scores."""
    data = tmp_path / "data"
    shutil.copytree(discs, data)
    names = sorted(path.stem for path in (data / "images").iterdir())
    for split, part in {"train": names[:10], "val": names[10:12], "test": names[12:]}.items():
        (data / f"{split}.txt").write_text("\n".join(part))
    said: list[str] = []
    options = {"labeled_groups": [2], "draws": 1, "strategies": "mean-teacher"}
    study("one", data=data, announce=said.append, **options)
    assert any("the 2 validation cases" in line and "take no part" in line for line in said)
    for name in names[10:12]:
        shutil.copy(data / "images" / f"{names[12]}.png", data / "images" / f"{name}.png")
    study("two", data=data, **options)
    assert scores(tmp_path / "one") == scores(tmp_path / "two")
    for name in names[10:12]:
        (data / "images" / f"{name}.png").unlink()
    # The list of few labels alone: the masks of all others are gone.
    folder = tmp_path / "one"
    manifest = Manifest.load(list_file(folder, 0, 0))
    for case in manifest.split("train"):
        if not case.masks:
            (data / "masks" / f"{case.id}.png").unlink()
    job = next(job for job in all_jobs(folder, LabelSetup.load(folder)) if job.budget == 0)
    before = (job.run / "model.safetensors").read_bytes()
    shutil.rmtree(job.run)
    job.do(LabelSetup.load(folder), None, Silent())
    assert (job.run / "model.safetensors").read_bytes()[-4096:] == before[-4096:]


def test_a_run_that_fails_is_named_and_the_others_go_on(
    study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = LabelJob._train

    def fail(self: LabelJob, *given: Any) -> None:
        if self.entrant.label == "mean-teacher" and self.draw == 1:
            raise DelineateError("no memory for it")
        train(self, *given)

    monkeypatch.setattr(LabelJob, "_train", fail)
    table = study(labeled_groups=[2])
    assert list(table.failures.values()) == ["no memory for it"]
    assert table.incomplete == ("mean-teacher, 2 groups",)
    assert [row.label for row in table.rows] == [REFERENCE] * 2
    page = (tmp_path / "few" / "report.html").read_text(encoding="utf-8")
    assert "Left out, since some of their runs are not done" in page


def test_what_is_refused(study: Run, discs: Path, tmp_path: Path) -> None:
    no_test = tmp_path / "no test"
    shutil.copytree(discs, no_test)
    names = sorted(path.stem for path in (discs / "images").iterdir())
    (no_test / "train.txt").write_text("\n".join(names[4:]))
    (no_test / "val.txt").write_text("\n".join(names[:4]))
    healthy = tmp_path / "healthy"
    shutil.copytree(no_test, healthy)
    (healthy / "val.txt").rename(healthy / "test.txt")
    for name in names[:4]:
        cv2.imwrite(str(healthy / "masks" / f"{name}.png"), np.zeros((40, 40), np.uint8))
    cases: tuple[tuple[dict[str, Any], type[DelineateError], str], ...] = (
        ({"method": "panet"}, RecipeError, "'panet' is a few-shot method"),
        ({"strategies": "mean-techer"}, DelineateError, "did you mean 'mean-teacher'"),
        ({"strategies": "mean-teacher:wieght=1"}, RecipeError, "did you mean 'weight'"),
        ({"strategies": "mean-teacher:weight"}, RecipeError, "expected NAME:option=value"),
        ({"strategies": "mean-teacher,mean-teacher"}, RecipeError, "named twice"),
        ({"labeled_groups": [9]}, DataError, "training groups with masks; give fewer"),
        ({"labeled_groups": [7]}, DataError, "training groups with masks; all of them"),
        ({"labeled_groups": (), "labeled_cases": [1]}, DataError, "groups are kept whole"),
        ({"labeled_groups": ()}, DataError, "no number of labels given"),
        ({"labeled_cases": [2]}, DataError, "--labeled-cases and --labeled-groups given; give one"),
        ({"labeled_groups": (), "fractions": "1.5"}, DataError, "--fractions 1.5 is not between 0 and 1"),
        ({"labeled_groups": (), "fractions": "1"}, DataError, "--fractions 1 alone compares nothing"),
        ({"labeled_groups": (), "fractions": "a"}, DataError, "expected numbers"),
        ({"labeled_groups": (), "fractions": ".3,.31"}, DataError, "must rise and differ"),
        ({"labeled_groups": "2,2"}, DataError, "names a number twice"),
        ({"draws": 0}, DataError, "draws 0: give 1 or more"),
        ({"ema": 1.0}, RecipeError, "--ema 1"),
        ({"metrics": ["dcie"]}, DataError, "did you mean 'dice'"),
        ({"settings": [*SMALL, "engine.seed=3"]}, RecipeError, "states this itself; use --seeds"),
        ({"settings": [*SMALL, "engine={seed: 3}"]}, RecipeError, "states this itself; use --seeds"),
        ({"settings": [*SMALL, "engine={lr: 0.1, steps: 9}"]}, RecipeError, "states this itself; use --steps"),
        ({"settings": [*SMALL, "strategy.weight=3"]}, RecipeError, "use --strategies"),
        ({"settings": [*SMALL, "stages.train.strategy.ema=0"]}, RecipeError, "use --strategies"),
        (
            {"settings": [*SMALL, "stages.train.early_stop=3"], "validation": "inside"},
            RecipeError,
            "stages.train.early_stop: in a study all runs",
        ),
        ({"settings": [*SMALL, "engine.early_stop=3"]}, RecipeError, "all runs take the same steps"),
        ({"settings": [*SMALL, "engine.stepz=3"]}, RecipeError, "did you mean"),
        ({"data": no_test}, DataError, "has no test cases with masks"),
        ({"data": healthy}, DataError, "none of the 4 test masks shows any class"),
        ({"labeled_groups": [1], "validation": "inside"}, DataError, "cannot both train and validate"),
    )
    for changes, kind, words in cases:
        with pytest.raises(kind) as caught:
            study(**changes)
        assert words in str(caught.value), changes
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "few" / "setup.json").exists(), changes


def test_what_fails_in_the_trial_leaves_nothing(study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a second network that does not fit into memory: another --strategies with the same --out is a new study."""

    def fail(*_: Any) -> None:
        raise DelineateError("no memory for two networks")

    monkeypatch.setattr("delineate.studies.trial.seconds_per_step", fail)
    with pytest.raises(DelineateError, match="no memory for two networks"):
        study(strategies="cps")
    assert not (tmp_path / "few").exists()


def test_a_class_without_masks_is_refused(study: Run, discs: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(discs, data)
    for path in sorted((data / "masks").iterdir()):
        mask = (cv2.imread(str(path), 0) > 0).astype("uint8")
        if path.stem.startswith("patient03"):
            mask[:4, :4] = 2
        cv2.imwrite(str(path), mask)
    with pytest.raises(DataError, match=r"draw \d: 2 training masks without label 2; give more labels"):
        study(data=data, labeled_groups=[1], draws=8)


def test_going_on_with_others_is_refused(study: Run, discs: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(discs, data)
    options = {"data": data, "labeled_groups": [2], "draws": 1, "strategies": "supervised"}
    study(**options)
    with pytest.raises(DataError, match=r"another setup .*steps 4 → 5"):
        study(**{**options, "steps": 5})
    with pytest.raises(DataError, match=r"another setup .*strategies supervised:view=both → supervised:view=weak"):
        study(**{**options, "strategies": "supervised:view=weak"})
    moved = tmp_path / "moved"
    data.rename(moved)
    study(**{**options, "data": moved})
    image = next((moved / "images").iterdir())
    shutil.copy(image, moved / "images" / "patient99_0.png")
    shutil.copy(moved / "masks" / image.name, moved / "masks" / "patient99_0.png")
    with pytest.raises(DataError, match=r"has changed since the study in .* began .*'patient99_0' is new"):
        study(**{**options, "data": moved})
    (moved / "images" / "patient99_0.png").unlink()
    (moved / "masks" / "patient99_0.png").unlink()
    shutil.copy(sorted((moved / "images").iterdir())[1], image)
    with pytest.raises(DataError, match=r"has changed since the study in .* began"):
        study(**{**options, "data": moved})
    other = tmp_path / "other"
    shutil.copytree(discs, other)
    for path in [*(other / "images").iterdir(), *(other / "masks").iterdir()]:
        path.rename(path.with_name(f"other{path.name}"))
    with pytest.raises(DataError, match=r"holds a study of few labels on .*, and .* holds other data .*none of the 16"):
        study(**{**options, "data": other})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty and holds no study of few labels"):
        study("full", labeled_groups=[2])


def test_strategies_and_draws_may_be_added(study: Run, tmp_path: Path) -> None:
    study(labeled_groups=[2], draws=1, strategies="supervised")
    folder, told = tmp_path / "few", []
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    lists = json.loads((folder / "draws.json").read_text())["lists"]
    assert len(before) == 2
    study(labeled_groups=[2], draws=2, strategies="entropy,supervised", announce=told.append)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "what is done is kept"
    assert len(list(folder.rglob("model.safetensors"))) == 5
    later = json.loads((folder / "draws.json").read_text())["lists"]
    assert [one for one in later if one in lists] == lists
    assert any("grows from 2 to 5 runs" in line for line in told)
    assert [one.label for one in LabelSetup.load(folder).entrants] == [REFERENCE, "entropy"]
    with pytest.raises(DataError, match=r"draws 2 → 1.*strategies and draws may be added"):
        study(labeled_groups=[2], draws=1, strategies="supervised,entropy")
    with pytest.raises(DataError, match="strategies supervised:view=both, entropy → supervised:view=both"):
        study(labeled_groups=[2], draws=2, strategies="supervised")
    study(labeled_groups=[2], draws=2, strategies="supervised,entropy")


def test_the_plan_writes_nothing(study: Run, tmp_path: Path) -> None:
    cost = study(verb=api.estimate_study_labels)
    assert not (tmp_path / "few").exists()
    assert set(cost.seconds_per_step) == {REFERENCE, "mean-teacher"}
    assert cost.seconds > 0
    assert "9 runs of 4 steps" in cost.lines()[0]


def test_the_verb(discs: Path, tmp_path: Path) -> None:
    out = tmp_path / "few"
    arguments = [
        "study",
        "labels",
        str(discs),
        "--method",
        "unet",
        "--labeled-groups",
        "2",
        "--draws",
        "1",
        "--steps",
        "2",
    ]
    arguments += ["--size", "32", "--out", str(out), "--strategies", "supervised:ema=0.5,ema_ramp=0,mean-teacher"]
    for setting in SMALL:
        arguments += ["--set", setting]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "nothing is concluded" in result.output.replace("\n", " ")
    labels = [one.label for one in LabelSetup.load(out).entrants]
    assert labels[1] == "mean-teacher"
    assert "ema=0.5,ema_ramp=0" in labels[0]
    status = CliRunner().invoke(app, ["study", "labels", str(out), "--status"])
    assert status.exit_code == 0
    assert "nothing is left to do" in status.output
    assert delineate.study_labels is api.study_labels
