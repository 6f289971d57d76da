"""Benchmarks of tiny networks: what is trained on what, going on after a kill, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate import cli
from delineate.common.errors import DataError, DelineateError, RecipeError
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.splits.folds import split_data
from delineate.engine.reporting import Silent
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.studies.benchmark import BenchmarkRequest, prepare
from delineate.studies.folds import open_folds
from delineate.studies.jobs import Job, all_jobs
from delineate.studies.setup import BenchmarkSetup

SMALL = (
    "method.encoder.name=resnet10t",
    "method.decoder_channels=[16, 16, 8, 8, 8]",
    "engine.batch_size=4",
    "engine.device=cpu",
)


def test_every_case_is_scored_once_by_models_that_never_saw_it(run, tmp_path: Path):
    board = run()
    folder = tmp_path / "bench"
    setup = BenchmarkSetup.load(folder)
    assert setup.runs == 4
    seen: list[str] = []
    for fold in range(2):
        manifest = Manifest.load(folder / "folds" / f"fold{fold}.json")
        parts = {name: {case.group for case in manifest.split(name)} for name in ("train", "val", "test")}
        assert all(parts.values())
        assert not parts["test"] & (parts["train"] | parts["val"]), "no patient on both sides"
        assert not parts["train"] & parts["val"]
        seen += [case.id for case in manifest.split("test")]
        used = Manifest.load(folder / "runs" / "unet" / f"fold{fold}-seed0" / "manifest.json")
        assert {case.id for case in used.split("test")} == {case.id for case in manifest.split("test")}
    assert sorted(seen) == sorted(set(seen))
    assert len(seen) == 16
    stored = ScoresFile.read(folder / "scores" / "unet-seed0")
    assert sorted(stored.cases()) == sorted(seen)
    assert len(set(stored.groups())) == 8
    by_label = {row.label: row for row in board.rows}
    assert set(by_label) == {"unet", "unet@paper"}
    assert by_label["unet"].means["dice"].mean == pytest.approx(np.nanmean(stored.values("dice")))
    assert by_label["unet"].means["dice"].groups == 8
    cost = by_label["unet"].cost
    assert cost is not None
    assert cost.parameters > 0
    assert cost.minutes is not None
    assert any("two trained models" in words for words in board.words)
    rows = list(csv.DictReader((folder / "leaderboard.csv").open()))
    assert [row["method"] for row in rows] == [row.label for row in board.rows]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Where each method fails" in page
    assert page.count("<img") == 6
    assert (folder / "comparison" / "report.html").exists()


class Killed(BaseException):
    """Stands for a kill: nothing of the program gets a say."""


class PowerCut(Silent):
    """Dies at a step, as a kill does: nothing of this library catches it."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self, loss: float, images: int) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.mark.slow
def test_a_killed_benchmark_goes_on_to_the_same_scores(run, tmp_path: Path):
    options = {"methods": ["unet"], "seeds": 2, "epochs": 1}
    run("whole", **options)
    with pytest.raises(Killed):
        run("cut", reporter=PowerCut(at=4), **options)
    states = [job.state for job in all_jobs(tmp_path / "cut", BenchmarkSetup.load(tmp_path / "cut"))]
    assert states == ["done", "begun", "waiting", "waiting"]
    plan = json.loads((tmp_path / "cut" / "setup.json").read_text())
    del plan["entrants"][0]["options"]["augment"]["dropout_pixels"]  # as if begun before there was such an augmentation
    (tmp_path / "cut" / "setup.json").write_text(json.dumps(plan))
    board = run("cut", **options)
    assert board.rows[0].seeds == 2
    for seed in range(2):
        files = [tmp_path / name / "scores" / f"unet-seed{seed}" / "scores.csv" for name in ("whole", "cut")]
        assert files[0].read_text() == files[1].read_text()


def test_minutes_become_steps_once(run, tmp_path: Path):
    board = run(methods=["unet"], epochs=None, minutes=0.02, folds=2)
    setup = BenchmarkSetup.load(tmp_path / "bench")
    (entrant,) = setup.entrants
    assert entrant.seconds_per_step is not None
    assert entrant.steps == max(1, round(0.02 * 60 / entrant.seconds_per_step))
    assert board.words == ("One trained model: there is nothing to compare it with.",)
    summary = json.loads((tmp_path / "bench" / "runs" / "unet" / "fold0-seed0" / "run.json").read_text())
    assert summary["stages"] == [{"name": "train", "steps": entrant.steps}]
    run(methods=["unet"], epochs=None, minutes=0.02, folds=2)
    assert BenchmarkSetup.load(tmp_path / "bench") == setup


def test_a_method_that_fails_is_named_and_the_others_go_on(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    train = Job._train

    def fail(self: Job, *arguments: Any) -> None:
        if self.entrant.label == "unet@paper":
            raise DelineateError("no memory for it")
        train(self, *arguments)

    monkeypatch.setattr(Job, "_train", fail)
    board = run(epochs=1)
    assert [row.label for row in board.rows] == ["unet"]
    assert list(board.failures.values()) == ["no memory for it"] * 2
    assert "no memory for it" in (tmp_path / "bench" / "report.html").read_text()


def test_wrong_plans_are_refused_before_anything_is_written(discs: Path, tmp_path: Path):
    def asked(**changes: Any) -> BenchmarkRequest:
        values: dict[str, Any] = {"data": discs, "out": tmp_path / "b", "methods": ["unet"], "folds": 2, "epochs": 1}
        return BenchmarkRequest(**(values | changes))

    without_test = tmp_path / "no test"
    shutil.copytree(discs, without_test)
    names = sorted(path.stem for path in (discs / "images").iterdir())
    (without_test / "train.txt").write_text("\n".join(names[4:]))
    (without_test / "val.txt").write_text("\n".join(names[:4]))
    for changes, error, message in (
        ({"methods": ["unt"]}, RecipeError, "did you mean 'unet'"),
        ({"methods": ["unet@papr"]}, RecipeError, "has no preset 'papr'"),
        ({"methods": ["unet", "unet"]}, RecipeError, "named twice"),
        ({"folds": 20}, DataError, "there are 8"),
        ({"data": without_test, "folds": None}, DataError, "has no test list; give --folds"),
        ({"data": DataSource(discs, group_by="zebra")}, DataError, "matches none of the 16 cases"),
        ({"metrics": ["dcie"]}, DataError, "did you mean 'dice'"),
        ({"minutes": 1.0}, DataError, "not both"),
        ({"settings": ["engine.lrr=1"]}, RecipeError, "lr"),
    ):
        with pytest.raises(error, match=message):
            prepare(asked(**changes))
        assert not (tmp_path / "b").exists()
    setup = prepare(asked())
    assert prepare(asked()) == setup, "the same setup is taken up again"
    with pytest.raises(DataError, match=r"another setup \(seeds 1 → 2; .*epochs 1 → 3"):
        prepare(asked(seeds=2, epochs=3))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="is not empty and holds no benchmark"):
        prepare(asked(out=tmp_path / "other"))


def test_verbs(discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def typed(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["delineate", "benchmark", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        assert stop.value.code in (0, None), captured.err
        return captured.out

    monkeypatch.setattr("delineate.studies.speed._SECONDS", 0.1)
    monkeypatch.setattr("delineate.studies.speed._WORKERS", (1,))
    small = [word for setting in SMALL for word in ("--set", setting)]
    shared = [discs, "--methods", "unet", "--size", 32, "--cache-dir", tmp_path / "cache", *small]
    assert "limits:" in typed(*shared, "--speed")
    out = typed(*shared, "--folds", 2, "--epochs", 1, "--out", tmp_path / "b")
    assert "unet" in out
    status = typed(tmp_path / "b", "--status")
    assert "2 runs: 1 method × 2 folds × 1 seed" in status
    assert status.count("done") == 2


def test_folds_that_were_frozen_before_are_used_as_they_are(discs: Path, tmp_path: Path):
    frozen = split_data(discs, folds=4).manifest
    frozen.save(tmp_path / "folds.json")
    found = open_folds(DataSource(tmp_path / "folds.json"), None)
    assert found.count == 4
    assert {case.id: case.fold for case in found.manifest.cases} == {case.id: case.fold for case in frozen.cases}
    with pytest.raises(DataError, match=r"has 4 folds, not 3; leave --folds out"):
        open_folds(DataSource(tmp_path / "folds.json"), 3)
