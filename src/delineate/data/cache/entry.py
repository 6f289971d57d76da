"""One entry of the cache: a folder named by everything that its content depends on (hashes of the sources, input specification,
label rule), with `images.bin`, `masks.bin` and `index.json`.

All samples have the working size, or, where windows are to be cut from them (fit `patch`), each has its own. Then the sizes and
intensity limits are in the index, and `rows.bin` has the counts that windows are drawn by (`data.augment.windows.Contents`).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.common.files import checksum, read_json
from delineate.data.augment.windows import Contents, Size
from delineate.data.cases.pixels import case_content
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.manifest import Case, Manifest
from delineate.data.formats.headers import read_header
from delineate.data.formats.images import READING

_FORMAT = 1

Index = dict[str, Any]
"""The content of index.json: checksums by file name, and what describes the entry."""
Arrays = tuple[Any, Any, tuple[Contents, ...]]
"""The first three things that a `Cache` has beside its cases."""


@dataclass(frozen=True)
class Entry:
    """Where an entry lives and what its files must look like."""

    folder: Path
    key: str
    count: int
    """Samples."""
    channels: int
    dtype: np.dtype[Any]
    fixed: Size | None
    """The size of all samples; None where each has its own."""
    classes: int
    """Foreground classes."""
    size: int
    """Bytes. Of an entry that is not there yet, and whose samples have sizes of their own, as the headers of the files tell."""

    @classmethod
    def of(cls, manifest: Manifest, cases: Sequence[Case], spec: InputSpec, folder: Path) -> Entry:
        """The place for `cases`. Raises `DataError` for a case without hashes, or whose file has changed."""
        own_sizes = spec.fit == "patch"
        content: dict[str, Any] = {
            "format": [_FORMAT, READING],
            "spec": spec.model_dump(include=spec.decisive),
            "labels": manifest.labels.model_dump(exclude={"reason"}),
            "cases": [[_hashes(manifest, case, case.images), _hashes(manifest, case, case.masks)] for case in cases],
        }
        classes = len(manifest.classes.names) - 1
        if own_sizes:
            content["classes"] = classes
        key = hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]
        dtype = np.dtype(np.uint16 if spec.source_bits == 16 else np.uint8)
        fixed = None if own_sizes else spec.size
        entry = cls(folder, key, len(cases), spec.in_channels, dtype, fixed, classes, size=0)
        sizes = entry._sizes(entry._index()) or [_size_in_header(manifest, case, spec) for case in cases]
        return replace(entry, size=sum(entry._bytes(sizes).values()))

    @property
    def path(self) -> Path:
        return self.folder / self.key

    @property
    def lock(self) -> Path:
        return self.folder / "locks" / f"{self.key}.lock"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files, without their ending."""
        return ("images", "masks") if self.fixed else ("images", "masks", "rows")

    def sound(self) -> Index | None:
        """The index of a complete entry whose files have the checksums that they were written with; else None."""
        try:
            index = self._index()
            sizes = self._sizes(index)
            if sizes is None or {name: self._file(name).stat().st_size for name in self.names} != self._bytes(sizes):
                return None
            return index if all(checksum(self._file(name)) == index[name] for name in self.names) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def description(self) -> Index:
        """What the index says of a new entry's samples, for `record` to go on with."""
        if self.fixed:
            return {"shape": (self.count, *self.fixed, self.channels)}
        return {"sizes": [], "limits": []}

    def record(self, index: Index, image: Pixels, mask: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """What to write for the next sample, by file; what the index says of it is added there."""
        if self.fixed:
            return {"images": image, "masks": mask}
        contents = Contents.of(image, mask, self.classes)
        index["sizes"].append(mask.shape)
        index["limits"].append(contents.limits)
        return {"images": image, "masks": mask, "rows": contents.rows}

    def seal(self, index: Index) -> None:
        """After the last sample: a checksum of what the index alone tells."""
        if not self.fixed:
            index["digest"] = _digest(index)

    def mapped(self, index: Index) -> Arrays:
        """Read-only memory maps of images, masks and contents."""
        images, masks = self._map("images"), self._map("masks")
        if self.fixed:
            shape = (self.count, *self.fixed)
            return images.reshape(*shape, self.channels), masks.reshape(shape), ()
        sizes = self._sizes(index) or []
        pixels, heights = [height * width for height, width in sizes], [height for height, _ in sizes]
        rows = _parts(self._map("rows").reshape(-1, self.classes), heights)
        return (
            tuple(
                part.reshape(*size, -1) for part, size in zip(_parts(images, pixels, self.channels), sizes, strict=True)
            ),
            tuple(part.reshape(size) for part, size in zip(_parts(masks, pixels), sizes, strict=True)),
            tuple(Contents((low, high), part) for (low, high), part in zip(index["limits"], rows, strict=True)),
        )

    def _map(self, name: str) -> NDArray[Any]:
        # As a plain array: indexing a memmap makes a new memmap object each time, which is slow.
        return np.asarray(np.memmap(self._file(name), self._types()[name], "r"))

    def _types(self) -> dict[str, np.dtype[Any]]:
        return {"images": self.dtype, "masks": np.dtype(np.uint8), "rows": np.dtype(np.int64)}

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.bin"

    def _index(self) -> Index:
        """The index as it stands; empty where there is none that can be read."""
        try:
            content = read_json(self.path / "index.json")
            return content if isinstance(content, dict) else {}
        except (OSError, ValueError):
            return {}

    def _sizes(self, index: Index) -> list[Size] | None:
        """Height and width of each sample; None where the index does not tell."""
        if self.fixed:
            return [self.fixed] * self.count
        try:
            sizes = [(int(height), int(width)) for height, width in index["sizes"]]
            whole = index["digest"] == _digest(index) and len(sizes) == self.count
        except (KeyError, TypeError, ValueError):
            return None
        return sizes if whole else None

    def _bytes(self, sizes: Sequence[Size]) -> dict[str, int]:
        pixels, rows = sum(height * width for height, width in sizes), sum(height for height, _ in sizes)
        counts = {"images": pixels * self.channels, "masks": pixels, "rows": rows * self.classes}
        return {name: counts[name] * self._types()[name].itemsize for name in self.names}


def _digest(index: Index) -> int:
    """Checksum of what the index alone tells of the samples."""
    return zlib.crc32(json.dumps([index["sizes"], index["limits"]], allow_nan=False).encode())


def _size_in_header(manifest: Manifest, case: Case, spec: InputSpec) -> Size:
    """The working size of a case by its file's header; height and width may be the other way round (EXIF)."""
    header = read_header(case_content(manifest, case, case.images[0]))
    return spec.working_size(header.height, header.width) if header else (0, 0)


def _parts(array: NDArray[Any], lengths: Sequence[int], each: int = 1) -> Iterator[NDArray[Any]]:
    """Views of parts that lie one after the other; `each` is what one unit of length takes."""
    start = 0
    for length in lengths:
        yield array[start : start + length * each]
        start += length * each


def _hashes(manifest: Manifest, case: Case, files: Sequence[str]) -> list[str]:
    missing = [file for file in files if file not in case.hashes]
    if missing:
        raise DataError(f"{manifest.root}: {missing[0]} has no hash in the manifest; inspect the data first")
    return [case.hashes[file] for file in files]
