"""Whether voxels are as large as those of the training volumes: a network sees pixels, not millimeters."""

from __future__ import annotations

from collections.abc import Sequence

from delineate.data.core.findings import count, some
from delineate.data.core.input_spec import InputSpec
from delineate.inference.results import FileResult

__all__ = ["FAR", "spacing_notes"]

FAR = 1.5
"""So many times the widest or narrowest spacing that the training volumes had along an axis is told."""


def spacing_notes(files: Sequence[FileResult], spec: InputSpec) -> list[str]:
    """A line with figures about the volumes of another spacing; none where all are like those of training.

    Args:
        files: What was predicted.
        spec: Of the model. Where it does not know the spacing of its training volumes, there is nothing to compare with.

    Returns:
        The line, or nothing.
    """
    trained = spec.trained_spacing
    if trained is None:
        return []
    told = {file.name: file.spacing for file in files if file.spacing is not None and file.error is None}
    axes = _axes(spec)
    far = [name for name, spacing in told.items() if any(_far(spacing[at], trained[at]) for at in axes)]
    if not far:
        return []
    shown = some([f"{name} ({' × '.join(f'{length:.3g}' for length in told[name])} mm)" for name in far], 3)
    usual = " × ".join(
        f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g}–{high:.3g}" for low, high in trained
    )
    number = count(len(far), "volume has", "volumes have")
    return [
        f"{number} a spacing far from that of the training volumes, {usual} mm (right-left, back-front, feet-head): {shown}; the "
        "network sees pixels, not millimeters, so look at these masks, and whether the headers are right"
    ]


def _axes(spec: InputSpec) -> Sequence[int]:
    """Those along which the size of voxels matters: where slices are resampled to one spacing, it does only across them."""
    if spec.spacing is None:
        return range(3)
    return () if spec.axis is None or spec.all_axes else (spec.axis,)


def _far(length: float, trained: tuple[float, float]) -> bool:
    low, high = trained
    return length > FAR * high or length < low / FAR
