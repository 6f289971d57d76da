"""Sets in the form of ADE20K and mmsegmentation, in which the value 0 may mean "not labeled" instead of background: a hint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from delineate.common.errors import DataError
from delineate.data.cases.overview import glance
from delineate.data.core.findings import Finding
from delineate.data.core.manifest import Case

__all__ = ["LOOKED_AT", "other_or_background"]

LOOKED_AT = 8
"""Masks that are read."""
_FORMS = (("annotations", "training"), ("ann_dir", "train"), ("ann_dir", "training"))
"""Folders of masks in the sets of that form."""
_SEVERAL = 2
"""With fewer classes than these, 0 is what is left of the picture."""


def other_or_background(root: Path, cases: Sequence[Case]) -> list[Finding]:
    """A note where the folders are of that form and the first masks show several classes; nothing tells what 0 means there."""
    masks = [case.masks[0] for case in cases if case.masks and PurePosixPath(case.masks[0]).parts[-3:-1] in _FORMS]
    values: set[int] = set()
    try:
        for mask in masks[:LOOKED_AT]:
            values.update(np.unique(glance(root / mask, mask=True)).tolist())
    except DataError:
        return []  # what cannot be read is told where it is read for good
    if 0 not in values or len(values - {0, 255}) < _SEVERAL:
        return []
    meant = "'other' or 'not labeled' (ADE20K, reduce_zero_label of mmsegmentation)"
    text = f"the value 0 is read as background; where it means {meant}"
    return [Finding("note", text, "name the values: --labels 0=ignore,1=NAME,2=NAME …")]
