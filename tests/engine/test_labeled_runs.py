"""Runs on a part of the labels: what is trained on, what is noted, and that the other masks are never read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import delineate
from delineate.common.errors import DataError, Interrupted, RecipeError
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.splits.label_budget import LabelBudget, list_hash
from delineate.data.splits.resplit import resplit
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.fewshot.training import EPISODIC

Maker = Callable[..., TrainRequest]


def same_bits(one: Path, two: Path) -> bool:
    ours, theirs = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_noted_of_the_labels(request_for: Maker, recorder: Any) -> None:
    watching = recorder()
    folder = train(request_for(strategy="mean-teacher", labels=LabelBudget(cases=5, draw=2)), watching).folder
    manifest = Manifest.load(folder / "manifest.json")
    kept = [case.id for case in manifest.split("train") if case.masks]
    assert len(kept) == 5
    assert len(manifest.split("train")) == 16
    origin = f"masks of 5 of 16 training cases (5 of 16 images), seed 2, list {list_hash(kept)[:12]}"
    assert origin in (folder / "card.md").read_text(encoding="utf-8")
    assert any(origin in note for note in watching.notes)
    record = TrainingRecord.of_run(folder)
    assert record is not None
    assert (record.labeled, record.labeled_sha256) == (5, list_hash(kept))
    assert json.loads((folder / "run.json").read_text())["data"]["labeled"] == {"cases": 5, "draw": 2}
    other = train(request_for("other", labels=LabelBudget(cases=5, draw=2), seed=7)).folder
    again = [case.id for case in Manifest.load(other / "manifest.json").split("train") if case.masks]
    assert len(again) == 5, "the seed draws the splits anew, and the labels from what they leave"


def test_masks_of_unlabeled_images_are_never_read(request_for: Maker, discs: Path, tmp_path: Path) -> None:
    """Their files are deleted, and the model is the same bits."""
    copy = tmp_path / "discs"
    shutil.copytree(discs, copy)
    divided = resplit(DataSource(copy), labeled=LabelBudget(cases=4)).manifest
    divided.save(tmp_path / "labels.json")
    whole = train(request_for("whole", strategy="mean-teacher", data=tmp_path / "labels.json")).folder
    bare = [case.id for case in divided.split("train") if not case.masks]
    assert len(bare) == 12
    for name in bare:
        (copy / "masks" / f"{name}.png").unlink()
    without = train(request_for("without", strategy="mean-teacher", data=tmp_path / "labels.json")).folder
    assert same_bits(whole, without)


@pytest.mark.parametrize("saved", [False, True])
def test_resumed_with_the_same_labels(
    request_for: Maker, recorder: Any, discs: Path, tmp_path: Path, saved: bool
) -> None:
    """From the folder, and from a manifest that knows all masks."""
    options: dict[str, Any] = {"strategy": "mean-teacher", "labels": LabelBudget(share=0.25)}
    if saved:
        resplit(discs).manifest.save(tmp_path / "all.json")
        options["data"] = tmp_path / "all.json"
    whole = train(request_for("whole", **options)).folder

    def stop(step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train(request_for("cut", **options), recorder(stop))
    other = {**options, "labels": LabelBudget(share=0.5)}
    with pytest.raises(DataError, match=r"--resume: the data options differ.*labeled"):
        train(request_for("cut", resume=True, **other))
    assert same_bits(whole, train(request_for("cut", resume=True, **options)).folder)


def test_what_remains_of_a_strategy_without_unlabeled_images(request_for: Maker, recorder: Any) -> None:
    watching = recorder()
    train(request_for(strategy="mean-teacher", steps=2), watching)
    (line,) = [note for note in watching.notes if "every training image has a mask" in note]
    assert "of strategy 'mean-teacher' remain supervised training" in line
    watching = recorder()
    train(request_for("supervised", steps=2), watching)
    assert not any("every training image" in note for note in watching.notes)


@pytest.mark.parametrize("given", [{}, {"labeled": "list.txt"}])
def test_a_draw_of_nothing_is_refused(
    given: dict[str, Any], discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("a\n")
    with pytest.raises(DataError, match="--labeled-draw 2: nothing is drawn without"):
        delineate.train(discs, method="unet", out="run", labeled_draw=2, **given)
    assert not Path("run").exists()


def test_few_shot_methods_take_no_part(request_for: Maker) -> None:
    request = request_for(method="panet", labels=LabelBudget(cases=3))
    request = TrainRequest(request.data, "panet", request.out, "tiny", labels=request.labels)
    with pytest.raises(RecipeError, match="--labeled-cases 3: few-shot methods learn from episodes"):
        train(request, kinds=(EPISODIC,))
