"""Temperatures are found where they help, and nowhere else; what they are worth is measured on cases that did not choose them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import expit, softmax

from delineate.artefact.format import Artefact
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import Region
from delineate.engine.calibration.logit_samples import (
    MOST_PIXELS,
    PIXELS_IN_ALL,
    LogitSample,
    chosen,
    pixels_of_each,
    sampled,
    truth_of,
)
from delineate.engine.calibration.resampled import Resampled, folds_of
from delineate.engine.calibration.temperatures import find_temperatures
from delineate.evaluation.metrics.calibration import Probabilities, brier, expected_calibration_error
from delineate.inference.predictor import Predictor
from delineate.inference.segment import Worker
from micro_method import brightness

FOUR = ClassTable(names=("background", "a", "b", "c"))
NESTED = ClassTable(
    names=("background", "muscle", "cavity"),
    regions=(Region(name="heart", classes=(1, 2), paints=1), Region(name="cavity", classes=(2,), paints=2)),
)


def samples(
    kind: str, temperatures: Sequence[float], cases: int = 12, pixels: int = 1500, seed: int = 0
) -> list[LogitSample]:
    """Pixels whose logits are right once they are divided by the temperatures."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(cases):
        right = rng.normal(0, 2, (pixels, len(temperatures))).astype(np.float32)
        if kind == "softmax":
            edges = softmax(right, axis=1).cumsum(1)
            truth = (rng.random((pixels, 1)) > edges[:, :-1]).sum(1)
        else:
            truth = rng.random(right.shape) < expit(right)
        found.append(LogitSample(right * np.float32(temperatures), truth))
    return found


def names(number: int) -> list[str]:
    return [f"patient {at}" for at in range(number)]


@pytest.mark.parametrize(("kind", "channels"), [("sigmoid", 1), ("softmax", 4), ("sigmoid", 2)])
@pytest.mark.parametrize("planted", [0.4, 3.0])
def test_one_temperature_is_found(kind: str, channels: int, planted: float) -> None:
    found = find_temperatures(samples(kind, [planted] * channels), names(12))
    assert len(found.temperatures) == 1, "one for each channel is no better"
    assert found.temperatures[0] == pytest.approx(planted, rel=0.05)
    for one in found.figures.by_title.values():
        assert one.after.value < one.before.value
        assert one.change.high < 0
        assert one.before.low <= one.before.value <= one.before.high
    assert found.figures.ece.after.value < 0.02


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_one_for_each_channel_is_found_where_they_differ(kind: str) -> None:
    planted = [1.0, 4.0, 0.5]
    found = find_temperatures(samples(kind, planted), names(12))
    assert found.temperatures == pytest.approx(planted, rel=0.1)
    assert [step[4] for step in found.steps][-1]


@pytest.mark.parametrize(("kind", "channels"), [("sigmoid", 1), ("softmax", 3)])
def test_chance_is_not_taken_for_a_temperature(kind: str, channels: int) -> None:
    """What is calibrated already stays as it is, in most draws."""
    adopted = [
        find_temperatures(samples(kind, [1.0] * channels, 8, 100, seed), names(8)).temperatures for seed in range(6)
    ]
    assert sum(bool(one) for one in adopted) <= 2


def test_what_is_right_without_fail_has_an_end() -> None:
    """A network that makes no mistake would like its logits to be infinite."""
    logits = np.random.default_rng(0).normal(0, 1, (500, 1)).astype(np.float32)
    found = find_temperatures([LogitSample(logits, logits > 0)] * 6, names(6))
    assert found.temperatures == pytest.approx([0.05])


def test_what_lowers_the_likelihood_for_the_sake_of_few_pixels_is_not_adopted() -> None:
    """A few pixels are wrong and as sure as can be: a high temperature would make all others worse for them."""
    logits = np.full((1000, 1), np.log(4), np.float32)
    logits[:10] = 50
    truth = np.ones((1000, 1), bool)
    truth[:5], truth[10:109] = False, False
    found = find_temperatures([LogitSample(logits, truth)] * 6, names(6))
    (step,) = found.steps
    assert float(step[1]) > 1.2
    assert step[2] > 0.01
    assert found.figures.brier.change.value > 0
    assert found.temperatures == ()


def test_the_models_own_temperature_counts_as_before() -> None:
    given = samples("sigmoid", [3.0])
    found = find_temperatures(given, names(12), own=3.0)
    assert found.temperatures == ()
    assert find_temperatures(given, names(12)).figures.nll.before.value > found.figures.nll.before.value


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_figures_are_those_of_evaluate(kind: str) -> None:
    """Of cases that are all alike, each is what the metrics say of one of them."""
    (one,) = samples(kind, [2.0] if kind == "sigmoid" else [2.0] * 3, cases=1)
    found = find_temperatures([one] * 6, names(6)).figures
    if kind == "sigmoid":
        values, classes = expit(one.logits[:, 0]), one.truth[:, 0].astype(np.int64)
    else:
        values, classes = softmax(one.logits, axis=1), one.truth
    stated = Probabilities(values.astype(np.float64), classes)
    assert found.ece.before.value == pytest.approx(expected_calibration_error(stated), abs=1e-5)
    assert found.brier.before.value == pytest.approx(brier(stated), abs=1e-5)


def test_patients_are_never_on_both_sides_and_count_as_one() -> None:
    groups = [f"patient {at // 3}" for at in range(21)]
    draws = Resampled(groups)
    folds = folds_of(draws.codes)
    assert len(np.unique(folds)) == 5
    for one in set(groups):
        assert len({fold for fold, group in zip(folds, groups, strict=True) if group == one}) == 1
    values = np.repeat(np.random.default_rng(0).random(7), 3)
    alone, together = (
        one.model_dump().values() for one in (Resampled(groups[::3]).interval(values[::3]), draws.interval(values))
    )
    assert list(together) == pytest.approx(list(alone)), "three equal cases of a patient say what one says"
    assert draws.standard_error(values) == pytest.approx(values[::3].std(ddof=1) / np.sqrt(7))


@pytest.mark.usefixtures("micro")
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patch"])
def test_pixels_are_drawn_where_the_reference_counts(fit: str) -> None:
    """The network says what is bright: each drawn logit belongs to the class that is drawn with it."""
    rng = np.random.default_rng(0)
    mask = (rng.random((96, 64)) < 0.3).astype(np.uint8)
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    mask[:50] = 255
    predictor = Predictor(Artefact(brightness(), InputSpec(size=(32, 32), fit=fit), ClassTable()), "cpu")
    if fit != "patch":  # at the network's size, so that no pixel is a mean of several
        image, mask = np.ascontiguousarray(image[30:62, :32]), np.ascontiguousarray(mask[30:62, :32])
    found = sampled(Worker(predictor), predictor, "a", [(image, mask, None)], 300)
    assert found is not None
    again = sampled(Worker(predictor, 3), predictor, "a", [(image, mask, None)], 300)
    assert again is not None
    assert np.array_equal(found.truth, again.truth)
    assert 150 < len(found.logits) <= 330, "tiles have fewer where they lie where nothing counts"
    assert np.array_equal(found.logits > 0, found.truth)
    assert sampled(Worker(predictor), predictor, "a", [(image, np.full_like(mask, 255), None)], 300) is None


def test_pixels_are_bounded_and_classes_become_what_channels_say() -> None:
    assert pixels_of_each(1) == MOST_PIXELS
    assert 5000 * pixels_of_each(5000) <= PIXELS_IN_ALL
    assert chosen("a", 7) == list(range(7))
    picked = chosen("a", 1000)
    assert len(picked) == len(set(picked)) == 24
    assert picked == chosen("a", 1000)
    assert max(picked) < 1000
    known = np.array([0, 1, 2], np.uint8)
    assert truth_of(known, ClassTable()).tolist() == [[False], [True], [False]]
    assert truth_of(known, FOUR).tolist() == [0, 1, 2]
    assert truth_of(known, NESTED).tolist() == [[False, False], [True, False], [True, True]]
