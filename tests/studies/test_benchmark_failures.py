"""Benchmarks that cannot be, runs of a benchmark that fail, and what the next call makes of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from delineate import cli
from delineate.common.errors import DataError, DelineateError, RecipeError
from delineate.common.folder_lock import hold_folder
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.engine.reporting import Silent
from delineate.studies.benchmark import BenchmarkRequest, prepare
from delineate.studies.folds import open_folds
from delineate.studies.jobs import Job, all_jobs
from delineate.studies.setup import BenchmarkSetup

Start = Callable[..., Any]
ONE = {"methods": ["unet"], "epochs": 1}


def jobs_of(folder: Path) -> list[Job]:
    return all_jobs(folder, BenchmarkSetup.load(folder))


class FailingOnce(Silent):
    """A run meets a fault at its first step; the ones after it do not."""

    def __init__(self, fault: Exception) -> None:
        self.fault: Exception | None = fault

    def step(self, loss: float, images: int) -> None:
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault


@pytest.mark.parametrize("fault", [DelineateError("no memory for it"), RuntimeError("a defect\nof two lines")])
def test_what_failed_is_named_and_tried_again_by_the_next_call(run: Start, tmp_path: Path, fault: Exception) -> None:
    with pytest.raises(DelineateError, match=r"nothing to compare .*unet, fold 0, seed 0: "):
        run(**ONE, reporter=FailingOnce(fault))
    first, second = jobs_of(tmp_path / "bench")
    assert (first.state, second.state) == ("failed", "done"), "the others went on"
    line = str(first.result()["error"])
    assert line == ("no memory for it" if isinstance(fault, DelineateError) else "RuntimeError: a defect of two lines")
    assert (first.run / "error.txt").exists() == isinstance(fault, RuntimeError)
    said: list[str] = []
    board = run(**ONE, resume=True, announce=said.append)
    assert [line for line in said if line.startswith("run ")] == [
        "run 1 of 2: unet, fold 0, seed 0 (less than a minute left)"
    ]
    assert not board.failures
    assert [job.state for job in jobs_of(tmp_path / "bench")] == ["done", "done"]


def test_a_run_killed_at_its_end_is_completed(run: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    for place in ("delineate.engine.finish.write_text", "delineate.studies.jobs.write_run_report"):
        with monkeypatch.context() as patch:
            patch.setattr(place, die)
            with pytest.raises(Killed):
                run(place.rpartition(".")[2], **ONE)
        assert run(place.rpartition(".")[2], **ONE).rows


def test_a_damaged_resume_state_costs_the_run_not_the_benchmark(run: Start, tmp_path: Path) -> None:
    with pytest.raises(DelineateError):
        run(**ONE, reporter=FailingOnce(DelineateError("stop")))
    (job, _) = jobs_of(tmp_path / "bench")
    for path in job.run.glob("steps/*/model.safetensors"):
        path.write_bytes(b"damaged")
    (job.run / "job.json").write_text("{damaged")
    assert job.state == "begun"
    assert run(**ONE).rows


def test_damaged_results_are_made_again(run: Start, tmp_path: Path) -> None:
    before = run(**ONE).rows
    (job, _) = jobs_of(tmp_path / "bench")
    for content in ('{"minutes": "x"}', '{"minutes": Infinity}', "[]"):
        (job.run / "job.json").write_text(content)
        assert job.state == "trained"
    (tmp_path / "bench" / "scores" / "unet-seed0" / "scores.json").write_text("{}")
    assert run(**ONE).rows[0].means == before[0].means
    assert job.state == "done"


def test_without_a_method_nothing_is_begun(run: Start, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no method is given"):
        run(methods=" ,", epochs=1)
    assert not (tmp_path / "bench" / "setup.json").exists()


def typed(monkeypatch: pytest.MonkeyPatch, *words: object) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["delineate", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_the_exit_code_tells_of_failed_runs(
    discs: Path, run: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = Job._train

    def fail(self: Job, *arguments: Any) -> None:
        if self.entrant.label == "unet@paper":
            raise DelineateError("no memory for it")
        train(self, *arguments)

    out = tmp_path / "bench"
    with monkeypatch.context() as patch:
        patch.setattr(Job, "_train", fail)
        run(epochs=1)
        small = [word for setting in BenchmarkSetup.load(out).settings for word in ("--set", setting)]
        words = ["benchmark", discs, "--methods", "unet,unet@paper", "--folds", 2, "--epochs", 1, "--size", 32]
        words += ["--metrics", "dice,hd95_pooled", "--out", out, *small]
        assert typed(patch, *words, "--resume") == 1
    said = capsys.readouterr()
    assert said.err.count("failed: unet@paper, fold 0, seed 0: no memory for it") == 2, (
        "when it happened, and at the end"
    )
    assert "the same command tries them again" in said.err
    assert "unet" in said.out
    assert typed(monkeypatch, "benchmark", out, "--status") in (0, None)
    status = capsys.readouterr().out
    assert "failed: unet@paper, fold 1, seed 0: no memory for it" in status
    assert typed(monkeypatch, "benchmark", discs, "--out", tmp_path / "none", "--resume", "--methods", "unet") == 2
    assert "none holds no benchmark; begin it without --resume" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_one_benchmark_at_a_time(run: Start, tmp_path: Path) -> None:
    with hold_folder(tmp_path / "bench"), pytest.raises(DelineateError, match=f"in use by process {os.getpid()}"):
        run(**ONE)


def test_a_run_at_work_is_told(run: Start, tmp_path: Path) -> None:
    run(**ONE)
    job = jobs_of(tmp_path / "bench")[0]
    (job.run / "job.json").unlink()
    with hold_folder(job.run):
        assert job.state == "running"
    assert job.state == "trained"


def asked(discs: Path, out: Path, **changes: Any) -> BenchmarkRequest:
    values: dict[str, Any] = {"data": discs, "out": out, "methods": ["unet"], "folds": 2, "epochs": 1}
    return BenchmarkRequest(**(values | changes))


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"methods": ["unet", "panet"]}, "'panet' is a few-shot method, which a benchmark does not train"),
    ({"methods": ["unet", "alpnet@tiny"]}, "'alpnet@tiny' is a few-shot method"),
    ({"settings": ["engine.devices=2"]}, "each run in one process"),
    ({"settings": ["engine.device=cpu", "engine.precision=16"]}, "needs a GPU"),
    ({"size": 16}, r"unet: input\.size"),
    (
        {"settings": ["input.fit=patch"], "size": 512},
        "unet: input.size: patches of 512×512 are larger than every image",
    ),
    ({"settings": ["method.encoder.name=resnt10"]}, "unet: .*resnt10"),
    ({"settings": ["stages.warm.lr=1"]}, "unet: stages: method 'unet' has no stage 'warm'"),
]


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE, ids=[message for _, message in IMPOSSIBLE])
def test_impossible_plans_are_refused_at_once(
    discs: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        prepare(asked(discs, tmp_path / "b", **changes))
    assert not (tmp_path / "b").exists()


def test_folds_that_leave_nothing_to_validate_on_are_refused(discs: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for folder in ("images", "masks"):
        (few / folder).mkdir(parents=True)
        for path in sorted((discs / folder).iterdir())[:4]:  # two patients
            shutil.copy(path, few / folder)
    with pytest.raises(DataError, match=r"without fold 0, too few .*give fewer --folds"):
        prepare(asked(few, tmp_path / "b"))
    own = Manifest.load(_saved(open_folds(DataSource(discs), 2).manifest, tmp_path))
    bare = own.model_copy(update={"cases": tuple(_listed(case) for case in own.cases)})
    with pytest.raises(DataError, match="has no test cases with masks; mend the lists"):
        prepare(asked(_saved(bare, tmp_path), tmp_path / "b", folds=None))
    assert not (tmp_path / "b").exists()


def _listed(case: Any) -> Any:
    """Folds become lists; test cases lose their masks."""
    split = {0: "test", 1: "train"}[case.fold] if not case.id.endswith("7_1") else "val"
    return case.model_copy(update={"fold": None, "split": split, **({"masks": ()} if split == "test" else {})})


def _saved(manifest: Manifest, folder: Path) -> Path:
    path = folder / "given.json"
    manifest.save(path)
    return path


def test_a_benchmark_goes_on_with_data_that_were_moved(discs: Path, tmp_path: Path) -> None:
    data = shutil.copytree(discs, tmp_path / "data")
    setup = prepare(asked(data, tmp_path / "b"))
    data.rename(tmp_path / "elsewhere")
    said: list[str] = []
    moved = prepare(asked(tmp_path / "elsewhere", tmp_path / "b"), said.append)
    assert moved == setup.model_copy(update={"data": str(tmp_path / "elsewhere")})
    assert any("all files are the same" in line for line in said)
    roots = {
        json.loads(path.read_text())["root"] for path in (tmp_path / "b").rglob("*.json") if path.name != "setup.json"
    }
    assert roots == {str(tmp_path / "elsewhere")}
    next((tmp_path / "elsewhere" / "masks").iterdir()).unlink()
    shutil.copytree(discs, data)
    next(data.joinpath("masks").iterdir()).write_bytes(b"other")
    with pytest.raises(DataError, match="holds other data"):
        prepare(asked(data, tmp_path / "b"))
