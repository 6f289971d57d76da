"""Pairs of masks for hypothesis, and ours under the peers' names."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.registry import METRICS, resolve

patient = settings(deadline=None, max_examples=60)
"""For tests that are slow on a busy machine."""
SIZES = st.floats(0.1, 9).map(lambda size: round(size, 2))


@st.composite
def masks(draw, axes=(2, 3), longest=7, spacing=SIZES, empty=False):
    """`Masks` of random pixels; both have at least one unless `empty`."""
    shape = draw(st.sampled_from(axes).flatmap(lambda n: st.tuples(*[st.integers(1, longest)] * n)))
    pair = [draw(arrays.arrays(np.bool_, shape)) for _ in range(2)]
    if not empty:
        for mask in pair:
            mask[tuple(draw(st.integers(0, n - 1)) for n in shape)] = True
    return Masks.of(*pair, spacing=draw(st.tuples(*[spacing] * len(shape))))


def swapped(of: Masks) -> Masks:
    """Prediction and reference have changed places."""
    return Masks.of(of.reference, of.prediction, spacing=of.spacing, valid=of.valid)


def ours(name: str, of: Masks, tolerance: float) -> float:
    """The value of one of the names of `peers`."""
    if name.startswith("mean_of_"):
        far, size = of.surfaces[("prediction", "reference").index(name.removeprefix("mean_of_"))]
        return float(far @ size / size.sum())
    (metric,) = resolve([f"{name}@{tolerance}" if name.startswith("nsd") else name])
    assert name in METRICS
    return metric.value(of)
