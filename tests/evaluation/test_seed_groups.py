"""Claims about methods need seeds of one recipe on the same data; budgets that differ, and curves that still rose, are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squares import evaluation

from delineate.common.errors import DataError
from delineate.evaluation.comparison.compare import Comparison, compare_models
from delineate.evaluation.comparison.models import open_models
from delineate.evaluation.comparison.training_record import TrainingRecord, gain_at_end
from delineate.evaluation.statistics.mixed import MethodClaim, NoClaim

CASES = [f"c{at:02d}" for at in range(12)]
RECIPE = {"name": "unet", "engine.lr": 0.1, "engine.batch_size": 4}
USUAL = TrainingRecord(
    recipe=RECIPE, data_name="set", data_sha256="1" * 64, preset="tiny", size=(64, 64), steps=100, images_seen=400
)


def compared(folder: Path, *models: tuple[str, int | None, TrainingRecord | None], **origin: Any) -> Comparison:
    """Models given as (method, seed, training)."""
    made = []
    for at, (method, seed, training) in enumerate(models):
        shifts = {case: (place * 7 + at) % 4 for place, case in enumerate(CASES)}
        made.append(str(evaluation(folder / f"m{at}", shifts, training=training, method=method, seed=seed, **origin)))
    return compare_models(open_models(made), ["dice"])


def changed(**values: Any) -> TrainingRecord:
    return USUAL.model_copy(update=values)


def test_seeds_of_one_recipe_and_data_are_a_method(tmp_path: Path):
    made = compared(tmp_path, ("unet", 0, USUAL), ("unet", 1, USUAL), ("fcn", 0, USUAL), ("fcn", 1, USUAL))
    assert made.seeds == {"unet": 2, "fcn": 2}
    assert isinstance(made.metrics[0].methods[0].result, MethodClaim)
    assert made.cautions == (
        "The references are known to be the same by their sizes in pixels only: evaluate again to be sure.",
    )


@pytest.mark.parametrize(
    ("other", "label"),
    [
        (changed(recipe={**RECIPE, "engine.lr": 1e-7}), "unet (lr 1e-07)"),
        (changed(steps=200), "unet (steps 200)"),
        (changed(data_sha256="2" * 64), "unet (data set 22222222)"),
        (changed(size=(32, 64)), "unet (size 32×64)"),
        (changed(data_sha256=None), "unet (data set not know)"),
    ],
)
def test_other_recipes_budgets_and_data_are_no_seeds(tmp_path: Path, other: TrainingRecord, label: str):
    made = compared(tmp_path, ("unet", 0, USUAL), ("unet", 1, other), ("fcn", 0, USUAL), ("fcn", 1, USUAL))
    assert label in made.seeds
    assert [isinstance(of.result, NoClaim) for of in made.metrics[0].methods] == [True] * 3
    assert any(line.startswith("unet was trained in 2 ways, which are compared as such") for line in made.cautions)


def test_one_seed_twice_is_no_claim(tmp_path: Path):
    made = compared(tmp_path, ("unet", 0, USUAL), ("unet", 0, USUAL), ("fcn", 0, USUAL), ("fcn", 1, USUAL))
    (claim,) = made.metrics[0].methods
    assert isinstance(claim.result, NoClaim)
    assert "m0 and m1 are trainings of unet with one seed (0), not two seeds" in claim.words
    assert any("with one seed (0)" in line for line in made.cautions)


def test_one_model_file_twice_is_no_claim(tmp_path: Path):
    models = [("unet", None, USUAL), ("unet", None, USUAL), ("fcn", 0, USUAL), ("fcn", 1, USUAL)]
    made = compared(tmp_path, *models, model_sha256="f" * 64)
    assert "are of one model file, not of several seeds of unet" in made.metrics[0].methods[0].words


def test_what_is_not_known_is_taken_on_trust_and_that_is_said(tmp_path: Path):
    made = compared(tmp_path, ("unet", 0, None), ("unet", 1, None), ("fcn", 0, None), ("fcn", 1, None))
    assert isinstance(made.metrics[0].methods[0].result, MethodClaim)
    assert any("that they are seeds of one training is taken on trust" in line for line in made.cautions)
    mixed = compared(tmp_path / "mixed", ("unet", 0, None), ("unet", 1, USUAL))
    assert (
        list(mixed.seeds) == ["unet (recipe not known)", "unet (steps 100)"] or "unet (recipe not known)" in mixed.seeds
    )


def test_budgets_that_differ_and_curves_that_rose_are_told(tmp_path: Path):
    other = changed(steps=50, images_seen=200, size=(128, 128), preset="paper", gain=0.03)
    lines = compared(tmp_path, ("unet", 0, USUAL), ("fcn", 0, other)).cautions
    assert "Not the same steps: 100 (m0), 50 (m1)." in lines
    assert "Not the same images seen: 400 (m0), 200 (m1)." in lines
    assert "Not the same working size: 64×64 (m0), 128×128 (m1)." in lines
    assert "Not the same preset: tiny (m0), paper (m1)." in lines
    assert any("still rising when training ended: m1 (Dice +0.030)" in line for line in lines)


def test_references_of_other_sizes_are_refused_without_any_hash(tmp_path: Path):
    one = evaluation(tmp_path / "one", {"a": 0, "b": 1})
    other = evaluation(tmp_path / "other", {"a": 0, "b": 1})
    table = other / "scores.csv"
    head, first, second = table.read_text().splitlines()
    cells = dict(zip(head.split(","), second.split(","), strict=True))
    cells["fn"] = str(int(cells["fn"]) + 3)
    table.write_text("\n".join([head, first, ",".join(cells.values())]) + "\n")
    with pytest.raises(DataError, match=r"the reference masks have different content: 1 case \(b\)"):
        open_models([str(one), str(other)])


def test_a_difference_that_no_score_can_have_is_not_printed(tmp_path: Path):
    first = {case: at % 9 for at, case in enumerate(CASES[:6])}
    turned = {case: 8 - at % 9 for at, case in enumerate(CASES[:6])}
    none, all_wrong = dict.fromkeys(first, 0), dict.fromkeys(first, 8)
    runs = {("a", 0): first, ("a", 1): turned, ("b", 0): none, ("b", 1): all_wrong}
    made = [
        str(evaluation(tmp_path / f"{method}{seed}", shifts, method=method, seed=seed))
        for (method, seed), shifts in runs.items()
    ]
    metric = compare_models(open_models(made), ["dice"]).metrics[0]
    assert "no difference that two scores can have would be found" in metric.methods[0].words
    assert "any difference would still be in the interval" in metric.methods[0].words
    assert all(pair.least_detectable is None or pair.least_detectable <= 1 for pair in metric.pairs)


def log(*dice: float, total: int | None = None) -> list[dict[str, Any]]:
    return [
        {"stage": "train", "step": at, "total_steps": total or len(dice), "val": {"dice": value}}
        for at, value in enumerate(dice, start=1)
    ]


def test_what_counts_as_still_rising():
    assert gain_at_end(log(*(at / 20 for at in range(20)))) == pytest.approx(0.2)
    assert gain_at_end(log(0.2, 0.37)) == pytest.approx(0.17)
    assert gain_at_end(log(*[0.8] * 20)) == 0
    assert gain_at_end(log(0.5, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.85)) == 0, "the best came early"
    assert gain_at_end(log(0.5, 0.7, 0.9, total=100)) == 0, "stopped early: by what was seen, no more would have helped"
    assert gain_at_end(log(0.5)) is None
    assert gain_at_end([]) is None


@given(st.lists(st.floats(0, 1), max_size=30))
def test_a_gain_is_never_negative(dice: list[float]):
    gain = gain_at_end(log(*dice))
    assert gain is None or gain == 0 or gain >= 0.005


def test_folds_taken_together_are_one_training():
    first, second = changed(data_sha256="a", gain=0.0), changed(data_sha256="b", gain=0.02)
    joined = TrainingRecord.joined([first, second])
    assert joined is not None
    assert (joined.steps, joined.images_seen, joined.gain) == (200, 800, 0.02)
    assert joined.data_sha256 == TrainingRecord.joined([second, first]).data_sha256  # type: ignore[union-attr]
    assert TrainingRecord.joined([first, None]) is None
