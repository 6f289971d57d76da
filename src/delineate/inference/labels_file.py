"""A mask as OME-Zarr labels, with the classes' names and colors."""

from __future__ import annotations

from pathlib import Path

from delineate.data.core.manifest import ClassTable
from delineate.data.formats.ome_zarr_labels import OmeZarrLabels
from delineate.inference.overlay import CLASS_COLORS, foreground_colors

__all__ = ["labels_of"]


def labels_of(
    path: Path, size: tuple[int, int], classes: ClassTable, microns: tuple[float, float] | None
) -> OmeZarrLabels:
    """A folder to write class indices into. `microns`: of the mask's rows and columns."""
    colors = [CLASS_COLORS[0]] if len(classes.names) == 2 else foreground_colors(classes)
    return OmeZarrLabels(path, size, classes.names[1:], colors, microns)
