"""Instance maps: 0 is background, every other value is one object (a nucleus, a gland). PNG or TIFF of 8 or 16 bits, or NIfTI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.findings import count, some
from delineate.data.formats.registry import file_stem, read_mask
from delineate.evaluation.inputs.references import mask_like_files

__all__ = ["instance_maps", "pair_instances", "read_instances"]


def pair_instances(
    predictions: Path, references: Path, cases: Sequence[str] | None = None
) -> dict[str, tuple[Path, Path]]:
    """Case → (predicted map, reference map), by equal names, in the order of `cases`.

    `cases`: those to score, both folders may hold more; None: all of both. Raises `DataError`: a folder without maps, two maps of
    one name, a case without its map in either folder.
    """
    ours, theirs = instance_maps(predictions), instance_maps(references)
    wanted = list(dict.fromkeys([*theirs, *ours])) if cases is None else cases
    for folder, maps in ((predictions, ours), (references, theirs)):
        missing = [case for case in wanted if case not in maps]
        if missing:
            raise DataError(f"{folder} has no instance map of {count(len(missing), 'case')}: {some(missing)}")
    return {case: (ours[case], theirs[case]) for case in wanted}


def instance_maps(folder: Path) -> dict[str, Path]:
    """Name → file of the maps in a folder. Raises `DataError` when there are none, or two of one name."""
    files: dict[str, Path] = {}
    for path in mask_like_files(folder) if folder.is_dir() else []:
        if file_stem(path) in files:
            raise DataError(f"{files[file_stem(path)]} and {path} are both maps of '{file_stem(path)}'; keep one")
        files[file_stem(path)] = path
    if not files:
        raise DataError(f"{folder} holds no instance maps (PNG, TIFF or NIfTI with a number for each object)")
    return files


def read_instances(path: Path) -> NDArray[Any]:
    """Object numbers H×W (X×Y×Z of a volume), uint8 or uint16, 0 = background; numbers need not be consecutive.

    Raises `DataError` as `read_mask`, and for a black and white mask, in which objects have no numbers.
    """
    raw = read_mask(path)
    if set(np.unique(raw).tolist()) in ({255}, {0, 255}):
        raise DataError(f"{path} is black and white (0 and 255); an instance map has another number for each object")
    return raw
