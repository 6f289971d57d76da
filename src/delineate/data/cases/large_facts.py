"""What reading a large picture and its masks shows, a few rows at a time. The picture itself is not decoded.

It is known again by its file, and people and the search for near duplicates see a small copy of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from delineate.common.errors import DataError
from delineate.data.cases.facts import Facts, Read, Watch, check_same_file, differing
from delineate.data.cases.large import gray_mask, rows_of
from delineate.data.cases.overview import overview
from delineate.data.core.input_spec import Pixels
from delineate.data.core.intensity import shown
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.mask_values import SEVERAL, MaskValues, count_values, edges_in, filling, is_white, lonely_in
from delineate.data.formats.contract import ANY_SIZE, ImageHandle
from delineate.data.formats.registry import open_image

__all__ = ["counted_by_rows", "read_large"]

_KINDS = {1: "gray", 3: "RGB", 4: "RGBA"}


def read_large(manifest: Manifest, case: Case, watch: Watch | None) -> Read:
    """Read a large picture's header, and count its masks. Raises `DataError` as `facts.read_picture`, and as `gray_mask`."""
    image = open_image(manifest.path(case.images[0]), max_pixels=ANY_SIZE)
    hashes = {case.images[0]: image.digest()}
    masks = []
    for file in case.masks:
        handle = gray_mask(manifest.path(file))
        if handle.shape != image.shape:
            raise DataError(differing(str(handle.path), handle.shape, str(image.path), image.shape))
        hashes[file] = handle.digest()
        masks.append(counted_by_rows(handle, file))
    for file, digest in hashes.items():
        check_same_file(manifest, case, file, digest)
    if image.dtype.kind != "u":
        raise DataError(f"{image.path} is read by windows and has {image.dtype} pixels: save it with 8 or 16 bits")
    if watch is not None:
        watch(case.id, shown(overview(image)))
    microns = image.microns
    spacing = case.pixel_spacing or (None if microns is None else (microns[0] / 1000, microns[1] / 1000))
    facts = Facts(
        image.shape[0],
        image.shape[1],
        _KINDS[len(image.channels)],
        image.dtype.itemsize * 8,
        {},
        hashes[case.images[0]],
        spacing=spacing,
        large=True,
    )
    found = case.model_copy(update={"hashes": hashes, "pixels": facts.pixels})
    return Read(found, replace(facts, turns=(1,) * (1 + len(masks))), masks)


def counted_by_rows(handle: ImageHandle, name: str) -> MaskValues:
    """As `mask_values` of the whole mask. Costs one pass over the file, and a second one where there are many values."""
    counts: Counter[int] = Counter()
    inner = edges = 0
    frame: list[Pixels] = []
    for rows, above, below in _with_neighbors(handle):
        own = rows[above : len(rows) - below]
        counts.update(count_values(own))
        sides = own[0 if above else 1 : len(own) if below else -1]
        frame += [*([] if above else [own[0]]), sides[:, 0], sides[:, -1], *([] if below else [own[-1]])]
        found = edges_in(rows, above, below)
        inner, edges = inner + found[0], edges + found[1]
    if not is_white(counts):
        inner = edges = 0
    lonely = 0
    if len(counts) >= SEVERAL:
        lonely = sum(lonely_in(rows, above, below) for rows, above, below in _with_neighbors(handle))
    values = dict(sorted(counts.items()))
    return MaskValues(name, values, inner=inner, edges=edges, lonely=lonely, frame=filling(np.concatenate(frame)))


def _with_neighbors(handle: ImageHandle) -> Iterator[tuple[Pixels, int, int]]:
    """Bands of rows, each with the row above and the row below where there are such, and how many of them there are."""
    above: list[Pixels] = []
    held: Pixels | None = None
    for band in rows_of(handle):
        if held is not None:
            yield np.concatenate([*above, held, band[:1]]), len(above), 1
            above = [held[-1:]]
        held = band
    if held is not None:
        yield np.concatenate([*above, held]), len(above), 0
