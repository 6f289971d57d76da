"""The pixel values that become 0 and 1, of a picture that is read by windows: measured on all of it in one pass over its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.intensity import USUAL_CLIP, Limits
from delineate.data.core.resampling import RowSource

__all__ = ["limits_of_rows"]

_ROWS = 256


def limits_of_rows(rows: RowSource, spec: InputSpec, path: Path) -> Limits | None:
    """As `InputSpec.limits` of all rows, which begin with the first; None where the rule measures nothing.

    Costs unpacking the whole file once more where it does. Raises `DataError` for pixels that are no whole numbers.
    """
    if spec.intensity in ("range", "window"):
        return None
    clip = spec.zscore_clip or USUAL_CLIP
    if spec.intensity == "zscore" and spec.zscore_over == "volume":
        return -clip, clip
    dtype = rows.between(0, 1).dtype
    if dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{path} has {dtype} pixels, and the model's input.intensity={spec.intensity} is measured on whole "
            "images: save it with 8 or 16 bits to have it read by windows"
        )
    counts = np.zeros(np.iinfo(dtype).max + 1, np.int64)
    height = rows.size[0]
    for top in range(0, height, _ROWS):
        part = rows.between(top, min(height, top + _ROWS))
        counts += np.bincount(part.ravel(), minlength=len(counts))
    if spec.intensity == "percentile":
        return _percentile(counts, 0.5), _percentile(counts, 99.5)
    values, number = np.arange(len(counts), dtype=np.float64), counts.sum()
    mean = float((counts * values).sum() / number)
    deviation = float(np.sqrt((counts * (values - mean) ** 2).sum() / number))
    return mean - clip * deviation, mean + clip * deviation


def _percentile(counts: np.ndarray, share: float) -> float:
    """As `numpy.percentile`, between the two values that lie about it."""
    upto, place = np.cumsum(counts), share / 100 * (counts.sum() - 1)
    low = int(place)
    first, second = (int(np.searchsorted(upto, at, side="right")) for at in (low, min(low + 1, upto[-1] - 1)))
    return first + (place - low) * (second - first)
