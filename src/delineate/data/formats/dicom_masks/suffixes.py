"""How the names of DICOM masks end that are written here."""

from __future__ import annotations

__all__ = ["MASK_SUFFIXES", "SEGMENTATION_SUFFIX", "STRUCTURE_SET_SUFFIX"]

SEGMENTATION_SUFFIX = ".seg.dcm"
"""Of segmentations. Archives take files of any name."""
STRUCTURE_SET_SUFFIX = ".rtstruct.dcm"
"""Of structure sets."""
MASK_SUFFIXES = (SEGMENTATION_SUFFIX, STRUCTURE_SET_SUFFIX)
"""All of them."""
