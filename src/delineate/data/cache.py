"""Decode once: images and masks at the working size, in the source's own type, as memory-mapped files in the user's cache folder.

An entry is a folder named by everything that its content depends on (hashes of the sources, input specification, label
rule), with `images.bin`, `masks.bin` and `index.json`. It is built beside its place and renamed, under a lock.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, DelineateError
from delineate.data.case import IGNORE, Case, Manifest
from delineate.data.images import DEFAULT_MAX_PIXELS
from delineate.data.locks import lock_if_free, locked
from delineate.data.pixels import case_image, case_mask
from delineate.data.spec import InputSpec, Pixels

DEFAULT_LIMIT_BYTES = 20 * 1024**3
"""Room that all entries together may take."""

_FORMAT = 1
_WORKERS = max(1, min(8, os.cpu_count() or 1))


@dataclass(frozen=True)
class Cache:
    """The decoded samples of some cases, in their order. Views are read-only."""

    cases: tuple[Case, ...]
    images: NDArray[Any]
    """N×H×W×C, uint8 or uint16."""
    masks: NDArray[np.uint8]
    """N×H×W class indices, 255 = ignore."""

    def __len__(self) -> int:
        return len(self.cases)

    def image(self, index: int) -> Pixels:
        """H×W×C view of one image."""
        return self.images[index]

    def mask(self, index: int) -> NDArray[np.uint8]:
        """H×W view of one mask; all 255 where unlabelled."""
        return self.masks[index]

    def labelled(self, index: int) -> bool:
        return bool(self.cases[index].masks)


def open_cache(
    manifest: Manifest,
    cases: Sequence[Case],
    spec: InputSpec,
    *,
    folder: Path | None = None,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    announce: Callable[[str], None] = lambda _: None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Cache:
    """The cache of `cases`, built if it is not there or damaged.

    `folder`: where entries live (default: the user's cache folder). `announce` is told size and place before anything is
    written. Older entries make room when all of them would take more than `limit_bytes`. Raises `DataError` when this entry
    alone is larger, when a source cannot be read or has changed since the manifest was made.
    """
    if not cases:
        raise DataError(f"{manifest.root}: there are no cases to cache")
    place = _Place.of(manifest, cases, spec, folder or user_cache_folder())
    if place.size > limit_bytes:
        raise DataError(
            f"the cache of {len(cases)} samples needs {_amount(place.size)}, above the limit of {_amount(limit_bytes)}; "
            "raise --cache-limit or choose a smaller --size"
        )
    try:
        with locked(
            place.lock, lambda: announce(f"another process is writing the cache {place.entry}; waiting for it")
        ):
            if not place.is_sound():
                announce(
                    f"cache: {len(cases)} samples at {spec.size[0]}×{spec.size[1]}, {_amount(place.size)}, in {place.entry}"
                )
                _make_room(place, limit_bytes)
                _build(place, manifest, cases, spec, max_pixels)
            os.utime(place.entry / "index.json")
            return _mapped(place, cases)
    except OSError as error:
        raise _explain(error, place) from error


def user_cache_folder() -> Path:
    """Where this system's users keep caches, with our name."""
    home = Path.home()
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "delineate" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "delineate"
    return home / ".cache" / "delineate"


@dataclass(frozen=True)
class _Place:
    """Where an entry lives and what its files must look like."""

    folder: Path
    key: str
    image_shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, manifest: Manifest, cases: Sequence[Case], spec: InputSpec, folder: Path) -> _Place:
        content = {
            "format": _FORMAT,
            "spec": spec.model_dump(include={"channels", "size", "fit", "source_bits"}),
            "labels": manifest.labels.model_dump(exclude={"reason"}),
            "cases": [[_hashes(manifest, case, case.images), _hashes(manifest, case, case.masks)] for case in cases],
        }
        key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
        dtype = np.dtype(np.uint16 if spec.source_bits == 16 else np.uint8)
        return cls(folder, key, (len(cases), *spec.size, spec.in_channels), dtype)

    @property
    def entry(self) -> Path:
        return self.folder / self.key

    @property
    def lock(self) -> Path:
        return self.folder / "locks" / f"{self.key}.lock"

    @property
    def image_bytes(self) -> int:
        return int(np.prod(self.image_shape)) * self.dtype.itemsize

    @property
    def mask_bytes(self) -> int:
        return int(np.prod(self.image_shape[:3]))

    @property
    def size(self) -> int:
        return self.image_bytes + self.mask_bytes

    def is_sound(self) -> bool:
        """Whether a complete entry is there, with the checksums that it was written with."""
        try:
            index = json.loads((self.entry / "index.json").read_text())
            sizes = {name: (self.entry / f"{name}.bin").stat().st_size for name in ("images", "masks")}
            if sizes != {"images": self.image_bytes, "masks": self.mask_bytes}:
                return False
            return all(_checksum(self.entry / f"{name}.bin") == index[name] for name in sizes)
        except (OSError, ValueError, KeyError, TypeError):
            return False


def _hashes(manifest: Manifest, case: Case, files: Sequence[str]) -> list[str]:
    missing = [file for file in files if file not in case.hashes]
    if missing:
        raise DataError(f"{manifest.root}: {missing[0]} has no hash in the manifest; inspect the data first")
    return [case.hashes[file] for file in files]


def _build(place: _Place, manifest: Manifest, cases: Sequence[Case], spec: InputSpec, max_pixels: int) -> None:
    """Decode in threads, write in order, rename at the end. Plain writes, for a full disk kills whoever writes to a memory map."""
    building = place.folder / f"{place.key}.building"
    shutil.rmtree(building, ignore_errors=True)
    shutil.rmtree(place.entry, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        sums = {"images": 0, "masks": 0}
        with (building / "images.bin").open("wb") as images, (building / "masks.bin").open("wb") as masks:
            for image, mask in _decoded(manifest, cases, spec, max_pixels):
                for name, stream, array in (("images", images, image), ("masks", masks, mask)):
                    stream.write(array.data)
                    sums[name] = zlib.crc32(array.data, sums[name])
        description = {
            "cases": len(cases),
            "shape": place.image_shape,
            "dtype": str(place.dtype),
            "root": manifest.root,
        }
        (building / "index.json").write_text(json.dumps(sums | description))
        building.rename(place.entry)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _decoded(
    manifest: Manifest, cases: Sequence[Case], spec: InputSpec, max_pixels: int
) -> Iterator[tuple[Pixels, NDArray[np.uint8]]]:
    """Image and mask at the working size, in the cases' order; only a few are decoded ahead."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        waiting: list[Future[tuple[Pixels, NDArray[np.uint8]]]] = []
        todo = iter(cases)
        try:
            while True:
                ahead = islice(todo, 2 * _WORKERS - len(waiting))
                waiting += [pool.submit(_sample, manifest, case, spec, max_pixels) for case in ahead]
                if not waiting:
                    return
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(cancel_futures=True)


def _sample(manifest: Manifest, case: Case, spec: InputSpec, max_pixels: int) -> tuple[Pixels, NDArray[np.uint8]]:
    image = _as_bits(spec.working_pixels(case_image(manifest, case, max_pixels=max_pixels)), spec.source_bits)
    mask = case_mask(manifest, case, max_pixels=max_pixels)
    working = np.full(spec.size, IGNORE, np.uint8) if mask is None else spec.working_mask(mask)
    return np.ascontiguousarray(image), np.ascontiguousarray(working)


def _as_bits(image: Pixels, bits: int) -> Pixels:
    """8-bit images among 16-bit ones, and the reverse: the same fraction of the type's range."""
    if image.dtype == np.uint8 and bits == 16:
        return image.astype(np.uint16) * np.uint16(257)
    if image.dtype == np.uint16 and bits == 8:
        return np.round(image / np.float32(257)).astype(np.uint8)
    return image


def _mapped(place: _Place, cases: Sequence[Case]) -> Cache:
    images = np.memmap(place.entry / "images.bin", place.dtype, "r", shape=place.image_shape)
    masks = np.memmap(place.entry / "masks.bin", np.uint8, "r", shape=place.image_shape[:3])
    # As plain arrays: indexing a memmap makes a new memmap object each time, which is slow.
    return Cache(tuple(cases), np.asarray(images), np.asarray(masks))


def _make_room(place: _Place, limit_bytes: int) -> None:
    """Remove the entries used longest ago until this one fits; those that another process works on stay."""
    entries = []
    for index in place.folder.glob("*/index.json"):
        if index.parent != place.entry:
            with suppress(OSError):
                size = sum(file.stat().st_size for file in index.parent.iterdir())
                entries.append((index.stat().st_mtime, size, index.parent))
    excess = sum(size for _, size, _ in entries) + place.size - limit_bytes
    for _, size, entry in sorted(entries):
        if excess <= 0:
            return
        with lock_if_free(place.folder / "locks" / f"{entry.name}.lock") as free:
            if free:
                (entry / "index.json").unlink(missing_ok=True)
                shutil.rmtree(entry, ignore_errors=True)
                excess -= size


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            value = zlib.crc32(block, value)
    return value


def _amount(size: int) -> str:
    if size < 1024**2:
        return f"{size / 1024:.0f} KiB"
    return f"{size / 1024**2:.0f} MiB" if size < 1024**3 else f"{size / 1024**3:.1f} GiB"


def _explain(error: OSError, place: _Place) -> DelineateError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DelineateError(
            f"no room for the cache: {_amount(place.size)} are needed in {place.folder} and the disk is full; "
            "free some space or choose a smaller --size"
        )
    return DelineateError(f"cannot use the cache folder {place.folder}: {error.strerror or error}")
