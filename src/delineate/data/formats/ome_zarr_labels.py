"""Write a large mask as OME-Zarr labels (0.4), a few rows at a time: `FOLDER/labels/mask`, in several sizes.

Nothing but a row of chunks of each size is held. A smaller size has every second pixel of the one before, so that values stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from delineate.common.files import new_folder
from delineate.data.formats.zarr_package import zarr

__all__ = ["ATTRIBUTES", "LABEL", "OmeZarrLabels"]

LABEL = "mask"
"""What the label is called."""
ATTRIBUTES = f"labels/{LABEL}/.zattrs"
"""The file that says what the values are."""
_SIDE = 512
"""Of a chunk, in pixels."""
_LEAST = 1024
"""Height and width from which on there is a smaller size."""
_VERSION = "0.4"


class OmeZarrLabels:
    """A folder that is being written beside its place, and moved there once all rows are in it; after a fault nothing is left."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        names: Sequence[str],
        colors: Sequence[Sequence[int]],
        microns: tuple[float, float] | None = None,
    ) -> None:
        """`names`, `colors` (RGB): of the values from 1 on; `microns`: distances of rows and columns, where they are known."""
        self._path, self._size, self._names, self._colors, self._microns = path, size, names, colors, microns
        self._whole = new_folder(path)
        self._levels: list[_Level] = []

    def __enter__(self) -> Self:
        package = zarr(str(self._path))
        root = package.create_group(self._whole.__enter__(), zarr_format=2)
        labels = root.create_group("labels")
        labels.attrs["labels"] = [LABEL]
        group = labels.create_group(LABEL)
        sizes = [self._size]
        while max(sizes[-1]) > _LEAST:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        self._levels = [_Level(group, str(at), size) for at, size in enumerate(sizes)]
        group.attrs.update(self._described(sizes))
        return self

    def add(self, rows: NDArray[np.uint8]) -> None:
        """The next rows h×W of class indices."""
        for level in self._levels:
            first = level.added
            level.add(rows)
            rows = rows[first % 2 :: 2, ::2]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for level in self._levels:
                level.flush()
            if self._path.is_dir():  # an earlier one, which the caller was allowed to replace
                shutil.rmtree(self._path)
        self._whole.__exit__(kind, error, trace)

    def _described(self, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
        unit = {} if self._microns is None else {"unit": "micrometer"}
        first = self._microns or (1.0, 1.0)
        datasets = [
            {
                "path": str(at),
                "coordinateTransformations": [{"type": "scale", "scale": [first[0] * 2**at, first[1] * 2**at]}],
            }
            for at in range(len(sizes))
        ]
        axes = [{"name": axis, "type": "space", **unit} for axis in "yx"]
        colors = [{"label-value": at, "rgba": [*color, 255]} for at, color in enumerate(self._colors, 1)]
        classes = [{"label-value": at, "class": name} for at, name in enumerate(self._names, 1)]
        return {
            "multiscales": [{"version": _VERSION, "name": LABEL, "axes": axes, "datasets": datasets}],
            "image-label": {
                "version": _VERSION,
                "colors": colors,
                "properties": classes,
                "source": {"image": "../../"},
            },
        }


class _Level:
    """One size: what has been written, and the rows that wait for a whole row of chunks."""

    def __init__(self, group: Any, name: str, size: tuple[int, int]) -> None:
        self._array = group.create_array(
            name,
            shape=size,
            chunks=(_SIDE, _SIDE),
            dtype="uint8",
            fill_value=0,
            compressors=_packing(),
            chunk_key_encoding={"name": "v2", "separator": "/"},
            config={"write_empty_chunks": False},
        )
        self.added = 0
        self._waiting = np.zeros((_SIDE, size[1]), np.uint8)

    def add(self, rows: NDArray[np.uint8]) -> None:
        while len(rows):
            at = self.added % _SIDE
            taken = rows[: _SIDE - at]
            self._waiting[at : at + len(taken)] = taken
            self.added += len(taken)
            rows = rows[len(taken) :]
            if self.added % _SIDE == 0:
                self._write(_SIDE)

    def flush(self) -> None:
        if at := self.added % _SIDE:
            self._write(at)

    def _write(self, number: int) -> None:
        self._array[self.added - number : self.added] = self._waiting[:number]


def _packing() -> Any:
    return import_module("numcodecs").Zlib(level=6)  # it comes with zarr
