"""`engine.select_by=last`: the weights after the last step are the model, with or without validation cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_resume import metrics

from delineate.common.errors import DataError, Interrupted, RecipeError
from delineate.data.core.manifest import Manifest
from delineate.data.loading.open_data import open_data
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.report.pages.run import write_run_report

Maker = Callable[..., TrainRequest]
LAST = ["engine.select_by=last"]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def without_validation(discs: Path, folder: Path) -> Path:
    manifest, _ = open_data(discs)
    cases = tuple(case.model_copy(update={"split": None}) if case.split == "val" else case for case in manifest.cases)
    manifest.model_copy(update={"cases": cases}).save(folder / "no-val.json")
    return folder / "no-val.json"


def test_a_run_without_validation_cases(request_for: Maker, recorder: Any, discs: Path, tmp_path: Path) -> None:
    data, watching = without_validation(discs, tmp_path), recorder()
    result = train(request_for(data=data, settings=LAST), watching, report=write_run_report)
    assert result.dice is None
    assert any("validation: none" in note for note in watching.notes)
    summary = json.loads((result.folder / "run.json").read_text())
    assert summary["status"] == "finished"
    assert summary["best"]["step"] == 12
    assert "last step" in summary["best"]["chosen_by"]
    assert any("no validation cases" in line for line in summary["warnings"])
    assert all("val" not in line and line["loss"]["total"] > 0 for line in metrics(result.folder))
    card = (result.folder / "card.md").read_text(encoding="utf-8")
    assert "There are no validation cases" in card
    assert "optimistic" not in card
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert "There are no validation cases" in page
    assert "Missing from this run folder" not in page
    used = Manifest.load(result.folder / "manifest.json")
    assert not used.split("val"), "none is drawn from the training cases"


def test_validation_cases_change_nothing(request_for: Maker, discs: Path, tmp_path: Path) -> None:
    """With them the curve is logged, and the weights are the same bits as without."""
    open_data(discs)[0].save(tmp_path / "val.json")
    seen = train(request_for("seen", data=tmp_path / "val.json", settings=LAST))
    assert seen.dice is not None
    assert metrics(seen.folder)[-1]["val"]["dice"] is not None
    blind = train(request_for("blind", data=without_validation(discs, tmp_path), settings=LAST))
    assert equal(weights(seen.folder), weights(blind.folder))
    assert "nothing was chosen on these cases" in (seen.folder / "card.md").read_text(encoding="utf-8")


def test_none_is_drawn_from_a_folder_without_lists(request_for: Maker) -> None:
    run = train(request_for(settings=LAST)).folder
    splits = [case.split for case in Manifest.load(run / "manifest.json").cases]
    assert (splits.count("train"), splits.count("val"), splits.count("test")) == (18, 0, 2)


def test_the_averaged_weights_are_the_model(request_for: Maker) -> None:
    plain = train(request_for("plain", settings=LAST))
    averaged = train(request_for("averaged", settings=[*LAST, "strategy.ema=0.9"]))
    assert not equal(weights(plain.folder), weights(averaged.folder))
    frozen = train(request_for("frozen", settings=[*LAST, "strategy.ema=0.9999999"]))
    start = train(request_for("start", settings=[*LAST, "engine.lr=1e-30"]))
    first, still = weights(start.folder), weights(frozen.folder)
    name = next(name for name in first if name.endswith("weight") and first[name].ndim == 4)
    assert torch.allclose(first[name], still[name], atol=1e-5), "an average that hardly moves is where it began"


@pytest.mark.parametrize("at", [1, 5, 12])
def test_resumed_is_the_same(request_for: Maker, recorder: Any, at: int) -> None:
    settings = [*LAST, "strategy.ema=0.9", "engine.validate_steps=4"]
    whole = train(request_for("whole", settings=settings))

    def stop(step: int) -> None:
        if step == at:
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train(request_for("cut", settings=settings), recorder(stop))
    cut = train(request_for("cut", settings=settings, resume=True))
    assert equal(weights(whole.folder), weights(cut.folder))
    assert [line["step"] for line in metrics(cut.folder)] == [4, 8, 12]


def test_what_needs_validations_is_refused(request_for: Maker) -> None:
    with pytest.raises(RecipeError, match=r"engine.early_stop=3 needs validations"):
        request_for(settings=[*LAST, "engine.early_stop=3"]).recipe()
    with pytest.raises(RecipeError, match=r"stages.train.schedule=plateau needs validations"):
        request_for(settings=[*LAST, "stages.train.schedule=plateau"]).recipe()


def test_without_it_validation_cases_are_needed(request_for: Maker, discs: Path, tmp_path: Path) -> None:
    run = train(request_for(data=without_validation(discs, tmp_path))).folder
    assert Manifest.load(run / "manifest.json").split("val"), "they are drawn from the training cases, as ever"
    manifest = Manifest.load(without_validation(discs, tmp_path))
    bare = tuple(
        one.model_copy(update={"split": "test" if one.split != "train" else "train"}) for one in manifest.cases
    )
    keep = [one for one in bare if one.split != "train"] + [one for one in bare if one.split == "train"][:1]
    manifest.model_copy(update={"cases": tuple(keep)}).save(tmp_path / "one.json")
    with pytest.raises(DataError):
        train(request_for("other", data=tmp_path / "one.json"))
