"""How runs end: finished last of all, told truthfully in between, one process at a time, and with the data they began with."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from delineate import api
from delineate.common.errors import DataError, DelineateError, Interrupted, TrainingError
from delineate.common.folder_lock import hold_folder
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.engine import finish, run
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.engine.run_folder import RunFolder, environment_changes
from delineate.report.pages.run import write_run_report
from delineate.report.parts.run_record import read_run

Maker = Callable[..., TrainRequest]


class Killed(BaseException):
    """Stands for a kill: nothing of the program gets a say."""


def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text()))


def stop_at(step: int, how: Callable[[], None]) -> Callable[[int], None]:
    return lambda now: how() if now == step else None


def die() -> None:
    raise Killed


WHOLE = {
    "card.md",
    "environment.json",
    "manifest.json",
    "metrics.jsonl",
    "model.safetensors",
    "recipe.yaml",
    "report.html",
    "run.json",
    "validation",
}


@pytest.mark.parametrize("moment", ["artefact", "card", "report", "removal of the states"])
def test_a_run_killed_at_its_end_is_completed(
    moment: str, request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(steps=4)
    places: dict[str, tuple[Any, str]] = {
        "artefact": (finish, "save"),
        "card": (finish, "write_text"),
        "removal of the states": (run.Checkpoints, "discard"),
    }
    report: Callable[[Path], object] = (lambda _: die()) if moment == "report" else write_run_report
    with monkeypatch.context() as patch:
        if moment in places:
            patch.setattr(*places[moment], lambda *_, **__: die())
        with pytest.raises(Killed):
            train(request, recorder(), report=report)
    again = recorder()
    if moment == "removal of the states":
        assert summary(request.out)["status"] == "finished"
        with pytest.raises(TrainingError, match="is finished"):
            train(replace(request, resume=True), again, report=write_run_report)
        assert not (request.out / "steps").exists()
        return
    assert summary(request.out)["status"] != "finished"
    result = train(replace(request, resume=True), again, report=write_run_report)
    assert again.steps == 0, "nothing was trained anew"
    assert {path.name for path in request.out.iterdir()} == WHOLE
    assert summary(request.out)["status"] == "finished"
    assert "reason" not in summary(request.out)
    whole = train(replace(request, out=request.out.parent / "whole"), recorder(), report=write_run_report)
    ours, theirs = (load_file(one.model) for one in (result, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert result.dice == whole.dice
    assert "not finished" not in (request.out / "report.html").read_text()


def test_the_missing_page_of_a_finished_run_is_made(request_for: Maker, recorder: Any) -> None:
    """As runs of the first version were left, that were killed while the page was written."""
    request = request_for(steps=2)
    first = train(request, recorder())
    result = train(replace(request, resume=True), recorder(), report=write_run_report)
    assert (request.out / "report.html").exists()
    assert result.dice == pytest.approx(first.dice, abs=1e-6)
    with pytest.raises(TrainingError, match=r"nothing is left to do\. To train it further, .*: --init "):
        train(replace(request, resume=True), recorder(), report=write_run_report)
    (request.out / "run.json").rename(request.out / "kept.json")
    with pytest.raises(
        TrainingError, match=r"run\.json is gone, and so are its checkpoints; train again in another folder"
    ):
        train(replace(request, resume=True), recorder(), report=write_run_report)
    (request.out / "kept.json").rename(request.out / "run.json")
    (request.out / "model.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"model\.safetensors is gone, and so are its checkpoints"):
        train(replace(request, resume=True), recorder(), report=write_run_report)


def test_a_signal_at_the_end_says_what_is_kept(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(steps=2)

    def interrupted(_: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match=r"stopped by SIGTERM; training is complete and saved.*--resume"):
        train(request, recorder(), report=interrupted)
    assert summary(request.out)["status"] == "interrupted"
    train(replace(request, resume=True), recorder(), report=write_run_report)
    assert summary(request.out)["status"] == "finished"


def test_failures_are_noted_with_their_reason(request_for: Maker, recorder: Any) -> None:
    def fail() -> None:
        raise RuntimeError("a defect\nof two lines")

    with pytest.raises(RuntimeError):
        train(request_for(), recorder(stop_at(2, fail)))
    noted = summary(request_for().out)
    assert (noted["status"], noted["reason"]) == ("failed", "RuntimeError: a defect of two lines")
    write_run_report(request_for().out)
    assert "It failed: RuntimeError: a defect of two lines" in (request_for().out / "report.html").read_text()
    with pytest.raises(KeyboardInterrupt):
        train(
            request_for(resume=True), recorder(stop_at(2, lambda: signal.raise_signal(signal.SIGINT) or raise_ctrl_c()))
        )
    assert summary(request_for().out)["status"] == "interrupted"


def raise_ctrl_c() -> None:
    raise KeyboardInterrupt


def test_a_killed_run_is_told_as_interrupted_by_who_reads_it(request_for: Maker, recorder: Any) -> None:
    """A kill leaves `running` in the file; that nobody holds the folder tells the truth."""
    with pytest.raises(Killed):
        train(request_for(), recorder(stop_at(2, die)))
    folder = RunFolder(request_for().out)
    folder.update_summary(status="running")
    assert folder.status() == "interrupted"
    assert read_run(folder.path).summary["status"] == "interrupted"
    with hold_folder(folder.path):
        assert folder.status() == "running"
        with pytest.raises(DelineateError, match=f"in use by process {os.getpid()}"):
            train(request_for(resume=True), recorder())
    train(request_for(resume=True), recorder())
    assert folder.status() == "finished"


def test_a_new_run_is_refused_where_another_is_at_work(request_for: Maker, recorder: Any) -> None:
    with hold_folder(request_for().out), pytest.raises(DelineateError, match="is in use by process"):
        train(request_for(), recorder())
    (request_for().out).mkdir()
    (request_for().out / ".lock").touch()  # of a process that was killed before it wrote anything
    train(request_for(steps=1), recorder())
    assert not (request_for().out / ".lock").exists()


def begun(request: TrainRequest, recorder: Any) -> None:
    with pytest.raises(Killed):
        train(request, recorder(stop_at(2, die)))


def test_data_that_moved_are_found_again(request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    request = request_for(steps=4)
    data = shutil.copytree(request.source.path, tmp_path / "data")
    request = replace(request, data=data)
    begun(request, recorder)
    data.rename(tmp_path / "elsewhere")
    watching = recorder()
    train(replace(request, data=tmp_path / "elsewhere", resume=True), watching)
    assert any("the data are in" in note and "all files are the same" in note for note in watching.notes)
    assert Manifest.load(request.out / "manifest.json").root == str(tmp_path / "elsewhere")


def test_other_data_are_refused(request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    request = request_for(steps=4)
    begun(request, recorder)
    other = shutil.copytree(request.source.path, tmp_path / "other")
    resume = replace(request, resume=True)
    picture = other / "images" / "case03.png"
    cv2.imwrite(str(picture), np.zeros((48, 40), np.uint8))
    with pytest.raises(DataError, match=r"other holds other data \(in .*images/case03\.png is another file\)"):
        train(replace(resume, data=other), recorder())
    picture.unlink()
    with pytest.raises(DataError, match=r"images/case03\.png is not there"):
        train(replace(resume, data=other), recorder())
    own = request.out / "manifest.json"
    given = tmp_path / "given.json"
    saved = Manifest.load(own)
    validation = saved.split("val")[0]
    for changed, words in (
        (tuple(case for case in saved.cases if case != validation), "is not there"),
        (
            tuple(replace_split(case, validation) for case in saved.cases),
            "is in the split 'train', in the run it is in 'val'",
        ),
    ):
        saved.model_copy(update={"cases": changed}).save(given)
        with pytest.raises(DataError, match=words):
            train(replace(resume, data=given), recorder())
    saved.save(given)
    for data in (given, own, DataSource(request.source.path)):
        watching = recorder(stop_at(1, die))
        with pytest.raises(Killed):
            train(replace(resume, data=data), watching)
    with pytest.raises(DataError, match="group_by None → none"):
        train(replace(resume, data=DataSource(request.source.path, group_by="none")), recorder())
    train(resume, recorder())


def replace_split(case: Any, chosen: Any) -> Any:
    return case.model_copy(update={"split": "train"}) if case == chosen else case


def test_other_versions_and_threads_are_said(request_for: Maker, recorder: Any) -> None:
    begun(request_for(), recorder)
    path = request_for().out / "environment.json"
    before = json.loads(path.read_text()) | {"torch": "1.0", "threads": "64"}
    path.write_text(json.dumps(before))
    watching = recorder()
    train(request_for(resume=True), watching)
    (line,) = [note for note in watching.notes if "since the run was started" in note]
    assert "torch 1.0 → " in line
    assert "threads 64 → " in line
    assert len(summary(request_for().out)["resumed_with"]) == 2
    assert environment_changes(before, before) == []


def test_a_damaged_state_gives_way_to_the_one_before(request_for: Maker, recorder: Any) -> None:
    train(request_for("whole"), recorder())
    settings = ["engine.save_minutes=0.00001"]
    with pytest.raises(Killed):
        train(request_for(settings=settings), recorder(stop_at(7, die)))
    steps = request_for().out / "steps"
    newest = max(steps.glob("0-*"))
    content = bytearray((newest / "training.safetensors").read_bytes())
    content[-9] ^= 1
    (newest / "training.safetensors").write_bytes(content)
    watching = recorder()
    train(request_for(resume=True, settings=settings), watching)
    assert any("training.safetensors is damaged" in note and "the state before it" in note for note in watching.notes)
    ours, theirs = (load_file(request_for(name).out / "model.safetensors") for name in ("run", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_library_writes_the_page_before_it_says_finished(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(steps=1)
    seen = []
    monkeypatch.setattr(
        "delineate.report.pages.run.write_run_report", lambda path: seen.append(summary(path)["status"])
    )
    api.train(
        request.data,
        method="unet",
        preset="tiny",
        size=32,
        steps=1,
        device="cpu",
        out=request.out,
        settings=request.settings,
        cache_dir=request.cache_folder,
        reporter=recorder(),
    )
    assert seen == ["completing"]
    assert summary(request.out)["status"] == "finished"


def test_a_damaged_summary_is_named(request_for: Maker, recorder: Any) -> None:
    begun(request_for(), recorder)
    (request_for().out / "run.json").write_bytes(b"{\x00")
    with pytest.raises(TrainingError, match=r"run\.json is damaged .*remove it, and --resume makes it anew"):
        train(request_for(resume=True), recorder())
    (request_for().out / "run.json").unlink()
    train(request_for(resume=True), recorder())
    assert summary(request_for().out)["method"] == "unet"


def as_the_first_version_left_it(run: Path) -> None:
    """Rewrite a killed run to the documented form of the first version: states without checksums, one file of best weights for each
    stage, nothing about the data in `run.json`."""
    pointer = run / "steps" / "latest.json"
    newest = run / "steps" / json.loads(pointer.read_text())["state"]
    for other in (run / "steps").glob("0-*"):
        if other != newest:
            shutil.rmtree(other)
    content = json.loads((newest / "state.json").read_text())
    best = content["best"]
    old = ("stage", "step", "best_dice", "best_step", "waited", "seconds", "images_seen", "finished")
    progress = {key: content["progress"][key] for key in old}
    (newest / "state.json").write_text(json.dumps({"format": 1, "progress": progress, "values": content["values"]}))
    (run / "steps" / best).rename(run / "steps" / "best-train.safetensors")
    noted = summary(run)
    for key in ("data", "reason"):
        noted.pop(key, None)
    (run / "run.json").write_text(json.dumps(noted | {"status": "running"}))


def test_a_run_of_the_first_version_goes_on(request_for: Maker, recorder: Any) -> None:
    """Not to the same bits: which weights are the best was decided by another rule then."""
    with pytest.raises(Killed):
        train(request_for(), recorder(stop_at(7, die)))
    as_the_first_version_left_it(request_for().out)
    assert RunFolder(request_for().out).status() == "interrupted"
    watching = recorder()
    train(request_for(resume=True), watching, report=write_run_report)
    assert watching.steps == 12 - 4
    assert {path.name for path in request_for().out.iterdir()} == WHOLE


def test_a_stop_at_the_last_step_is_heard(request_for: Maker, recorder: Any) -> None:
    """A benchmark would go on with its next run otherwise."""
    request = request_for(steps=2)
    with pytest.raises(Interrupted, match="Ctrl-C"):
        train(request, recorder(stop_at(2, lambda: signal.raise_signal(signal.SIGINT))))
    assert summary(request.out)["status"] == "interrupted"
    train(replace(request, resume=True), recorder())
    assert summary(request.out)["status"] == "finished"
