"""Whether the values of a volume lie where those of the training volumes did: a window means nothing in other units."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from delineate.data.cases.volumes import percentiles_of
from delineate.data.core.input_spec import InputSpec, Pixels

__all__ = ["far_from_training"]

_FAR = 0.25
"""Of the training volumes' span: a percentile that lies farther than this from all of theirs is told."""


def far_from_training(voxels: Pixels, spec: InputSpec, path: Path) -> str | None:
    """A remark with figures for a volume in other units than the training volumes; None where it lies among them.

    `voxels`: X×Y×Z(×channels), in the values of the files. Models without a window, or whose training volumes were not measured
    (`InputSpec.trained_lows`), have nothing to compare with.
    """
    if spec.trained_lows is None or spec.trained_highs is None:
        return None
    margin = _FAR * (spec.trained_highs[1] - spec.trained_lows[0])
    for at, (name, values) in enumerate(_channels(voxels, spec)):
        if (rule := spec.rule_of(at)).rule != "window":
            continue
        seen = rule.words(volume=True)
        found = percentiles_of(values, path, (0.5, 99.5))
        trained = (spec.trained_lows, spec.trained_highs)
        if any(
            not least - margin <= value <= most + margin for value, (least, most) in zip(found, trained, strict=True)
        ):
            return (
                f"its values{name} lie in {found[0]:.4g} … {found[1]:.4g}, but those of the training volumes began at "
                f"{_range(spec.trained_lows)} and ended at {_range(spec.trained_highs)}, and the model sees {seen}: the "
                "mask is right only where the values have the same unit"
            )
    return None


def _channels(voxels: Pixels, spec: InputSpec) -> Iterator[tuple[str, Pixels]]:
    if voxels.ndim == 3:
        yield "", voxels
        return
    for at, name in enumerate(spec.channels if spec.named else ("",) * voxels.shape[3]):
        yield f" of {name}" if name else "", voxels[..., at]


def _range(pair: tuple[float, float]) -> str:
    low, high = (float(np.round(value, 1)) for value in pair)
    return f"{low:g}" if low == high else f"{low:g} … {high:g}"
