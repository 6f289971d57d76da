"""The promises that every metric of masks keeps, as a function that runs on any of them: ours and those of other packages."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.metric import Metric
from delineate.evaluation.metrics.registry import resolve

__all__ = ["check_metric"]

_EMPTY = {
    "overlap": {"both_empty": 1.0, "missed": 0.0, "false_positive": 0.0},
    "distance": dict.fromkeys(("both_empty", "missed", "false_positive"), math.nan),
    "relative": {"both_empty": math.nan, "missed": -1.0, "false_positive": math.nan},
}
"""Kind → outcome → what such a case is worth."""
_SCALE = 3.0


def check_metric(name: str) -> None:
    """Assert what tables, intervals and comparisons rely on.

    Args:
        name: of a metric of masks, as `--metrics` takes it.

    Raises:
        AssertionError: naming the promise that is not kept.

    Example:
        check_metric("hd95_pooled")
    """
    (metric,) = resolve([name])
    for masks in _pairs():
        before = [masks.prediction.copy(), masks.reference.copy()]
        value = metric.value(masks)
        assert np.array_equal([masks.prediction, masks.reference], before), "the masks were changed"
        assert _same(metric.value(_again(masks)), value), "the same masks give two values"
        _check_value(metric, masks, value)
        _check_unit(metric, masks, value)
    _check_agreement(metric)


def _check_value(metric: Metric, masks: Masks, value: float) -> None:
    """What the kind says of empty masks, and the range of the kind where both have pixels."""
    wanted = _EMPTY.get(metric.kind, {}).get(masks.outcome)
    if wanted is not None:
        assert _same(value, wanted), f"{masks.outcome} gives {value:g}, of the kind {metric.kind} it is {wanted:g}"
        return
    lowest, highest = {"overlap": (0, 1), "distance": (0, math.inf)}.get(metric.kind, (-math.inf, math.inf))
    right = not math.isinf(value) and (math.isnan(value) or lowest <= value <= highest)
    assert right, f"{masks.outcome} gives {value:g}, which the kind {metric.kind} cannot be"


def _check_unit(metric: Metric, masks: Masks, value: float) -> None:
    """Pixels three times as large: lengths are three times as long, sizes as many times as there are axes, others are the same."""
    if metric.parameter is not None and metric.parameter.is_length:
        return  # a tolerance in mm is another in pixels
    axes = masks.prediction.ndim
    larger = Masks.of(
        masks.prediction, masks.reference, spacing=[size * _SCALE for size in masks.spacing], valid=masks.valid
    )
    factor = {"": 1.0, "length": _SCALE, "size": _SCALE**axes}[metric.unit]
    found = metric.value(larger)
    what = f"unit {metric.unit!r}: pixels {_SCALE:g} times as large should change {value:g} to {value * factor:g}"
    assert _same(found, value * factor), f"{what}, not to {found:g}"


def _check_agreement(metric: Metric) -> None:
    mask = _disc((20, 24), 10, 11, 5)
    value = metric.value(Masks.of(mask, mask))
    best = {"overlap": 1.0, "distance": 0.0, "relative": value, "amount": value}[metric.kind]
    best = 0.0 if metric.better == "zero" else best
    assert _same(value, best), f"equal masks give {value:g}, the best is {best:g}"
    off = metric.value(Masks.of(_disc((20, 24), 10, 15, 5), mask))
    worse = {"higher": off <= value, "lower": off >= value, "zero": abs(off) >= abs(value)}[metric.better]
    assert worse, f"better is {metric.better!r}, but a shifted mask gives {off:g} and the same one {value:g}"


def _pairs() -> Iterator[Masks]:
    """Pictures and a volume: alike, shifted, apart, at the border, of one pixel, and each way of being empty."""
    size, spacing = (20, 24), (0.5, 2.0)
    disc, none = _disc(size, 10, 11, 5), np.zeros(size, bool)
    dot = none.copy()
    dot[7, 9] = True
    others = (disc, _disc(size, 12, 11, 6), _disc(size, 2, 20, 3), _disc(size, 0, 0, 6), ~none, dot, none)
    for reference in (disc, dot, none):
        for prediction in others:
            yield Masks.of(prediction, reference, spacing=spacing)
    ball, other = (np.stack([_disc(size, 10, column, radius) for radius in (3, 5, 4)]) for column in (11, 13))
    yield Masks.of(other, ball, spacing=(3.0, *spacing))


def _disc(
    shape: tuple[int, int], row: int, column: int, radius: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return inside


def _again(masks: Masks) -> Masks:
    """The same masks, without what was computed of them."""
    return Masks.of(masks.prediction, masks.reference, spacing=masks.spacing, valid=masks.valid)


def _same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
