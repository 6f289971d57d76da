"""What people are shown of a volume's values: gray of 8 bits, as the model sees it where it sees a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.data.cases.volumes import windowed
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.intensity import from_middle, stored

__all__ = ["shaded"]


def shaded(voxels: Pixels, spec: InputSpec, path: Path) -> NDArray[np.uint8]:
    """X×Y×Z(×channels) as a model with that `spec` is given them → bytes X×Y×Z, of the first channel.

    Own values are shown within the model's window; without one, between the volume's 0.5th and 99.5th percentiles. Raises
    `DataError` as `windowed`.
    """
    seen = voxels if voxels.ndim == 3 else voxels[..., 0]
    if seen.dtype == np.uint8:
        return seen
    rule = spec.rule_of(0)
    if rule.numbers == "bytes":  # beside a channel with values of its own
        return np.rint(seen).astype(np.uint8)
    if rule.rule != "window":
        return windowed(seen, path)
    return stored(from_middle(seen, rule.limits(seen, volume=True, each=False)), np.dtype(np.uint8))
