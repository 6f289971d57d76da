"""Near duplicates: pictures that are copies of each other after resizing, recompression, rotation, mirroring or a slight crop.

A picture is reduced to a perceptual hash (256 numbers: its medium-sized structure on a 16×16 grid) and to two small band-passed
copies. The nearest hashes under the eight rotations and mirrorings are candidates. A candidate counts if the aligned copies agree
in detail. Structure that many pictures of one kind share (a dark spot in the middle, the outline of a chest) is coarse and filtered
out, so it causes no false duplicates.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.data.core.input_spec import Pixels
from delineate.data.splits.image_border import fill_border, inside_border

__all__ = [
    "NEAR",
    "ORIENTATIONS",
    "SURE",
    "DuplicatePair",
    "PictureHash",
    "find_near_duplicates",
    "oriented",
    "picture_hash",
]

NEAR = 0.88
"""Least correlation in detail of a near duplicate. Figures behind it: docs/data-doctor.md."""
SURE = 0.94
"""From here on the pictures alone decide; below, masks that mark different places speak against a pair."""
ORIENTATIONS = (
    "as it is",
    "turned by 90°",
    "turned by 180°",
    "turned by 270°",
    "mirrored left to right",
    "mirrored and turned by 90°",
    "mirrored top to bottom",
    "mirrored and turned by 270°",
)
"""Turns are counter-clockwise, after the mirroring."""

_FINE, _COARSE, _HASH = 128, 64, 16
"""Sides in pixels of the two copies and of the grid of the hash."""
_NEIGHBORS = 6
"""So many nearest hashes of each picture are looked at."""
_LEAST_HASH, _LEAST_GLIMPSE, _LEAST_COARSE = 0.4, 0.4, 0.75
_CROPS = (1.0, 0.95, 0.9)
"""Shares of the side that a cropped copy may show."""
_MARGIN = 2
"""The coarse copy's rim is left out of the template, so that it can slide by so many pixels."""
_LEAST_OVERLAP = 0.6
_FLAT = 1e-3
"""A picture whose band-passed copy varies less than this share of its brightness has nothing to compare."""
_BLOCK = 1024
_SET = 8
"""Fewer pictures than this do not tell what is common to all."""

_Plane = NDArray[np.float32]


@dataclass(frozen=True)
class PictureHash:
    """What is kept of a picture for the comparison, about 21 kB."""

    hash: _Plane
    """16×16, mean 0, length 1."""
    coarse: NDArray[np.int8]
    fine: NDArray[np.int8]
    seen: NDArray[np.bool_] | None = None
    """Of the fine copy: where the picture is more than a flat frame; None: everywhere. The copies are 0 in the frame."""


@dataclass(frozen=True)
class DuplicatePair:
    """Two pictures that look the same. `similarity`: correlation in detail, 1 for equal ones."""

    first: str
    second: str
    similarity: float
    orientation: int = 0
    """What must be done to the second to see the first: an index of `ORIENTATIONS`."""


def picture_hash(image: Pixels) -> PictureHash | None:
    """Of H×W or H×W×3/4 pixels of any integer type; None for a picture without structure."""
    gray = image if image.ndim == 2 else cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY)
    size = (_FINE, _FINE)
    shrinking = min(gray.shape) > _FINE
    fine = cv2.resize(gray, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR).astype(np.float32)
    seen = inside_border(fine)
    if seen is not None:
        fine = fill_border(fine, seen)
    coarse = _shrunk(fine, _COARSE)
    middle = _band(coarse, 2, 8)
    if middle.std() <= _FLAT * max(1.0, float(fine.max())):
        return None
    part = np.ones_like(fine) if seen is None else seen.astype(np.float32)
    half = _shrunk(part, _COARSE)
    return PictureHash(
        _hash(_shrunk(middle * half, _HASH)),
        _compressed(_band(coarse, 0.7, 3), half),
        _compressed(_band(fine, 1, 4), part),
        seen,
    )


def find_near_duplicates(hashes: Mapping[str, PictureHash], *, workers: int | None = None) -> list[DuplicatePair]:
    """All pairs of near duplicates, the most similar first. Deterministic; cost grows with the square of the number of pictures.

    Of two pictures the one that comes first in `hashes` is `first`.
    """
    names, found = list(hashes), list(hashes.values())
    pairs = _candidates(_distinct([one.hash for one in found]))
    telling = _telling(found)

    def score(pair: tuple[int, int, int]) -> float:
        first, second, orientation = pair
        return _similarity(
            (found[first], telling), (_oriented_hash(found[second], orientation), oriented(telling, orientation))
        )

    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        scores = pool.map(score, pairs)
        twins = [
            DuplicatePair(names[first], names[second], score, orientation)
            for (first, second, orientation), score in zip(pairs, scores, strict=True)
            if score >= NEAR
        ]
    return sorted(twins, key=lambda one: -one.similarity)


def oriented(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An image turned and mirrored as `ORIENTATIONS` says."""
    mirrored = array[:, ::-1] if orientation >= 4 else array
    return np.ascontiguousarray(np.rot90(mirrored, orientation % 4))


def _distinct(hashes: Sequence[_Plane]) -> list[_Plane]:
    """Hashes without what all pictures of the set share."""
    if len(hashes) < _SET:
        return list(hashes)
    common = np.mean(hashes, axis=0)
    return [_normalized(one - common) for one in hashes]


def _telling(found: Sequence[PictureHash]) -> _Plane:
    """How much each pixel of the fine copies tells pictures of this set apart: 1, or near 0 where all show the same.

    Lettering, rulers and marks stand in the same place in all pictures of a device.
    """
    if len(found) < _SET:
        return np.ones((_FINE, _FINE), np.float32)
    total, squares = np.zeros((2, _FINE, _FINE), np.float32)
    for one in found:
        values = _unpacked(one.fine)
        total += values
        squares += values * values
    mean, power = total / len(found), squares / len(found) + 1e-6
    common = np.maximum(0, mean**2 - (power - mean**2) / (len(found) - 1)) / power
    return np.asarray((1 - common) ** 2, np.float32)


def _candidates(hashes: Sequence[_Plane]) -> list[tuple[int, int, int]]:
    """(first, second, orientation of the second) of the pictures whose hashes are nearest to each other."""
    if len(hashes) < 2:
        return []
    rows = np.stack([one.ravel() for one in hashes])
    turned = [np.stack([oriented(one, at).ravel() for one in hashes]) for at in range(len(ORIENTATIONS))]
    pairs: dict[tuple[int, int], int] = {}
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        nearest = block @ turned[0].T
        for others in turned[1:]:
            np.maximum(nearest, block @ others.T, out=nearest)
        nearest[np.arange(len(block)), np.arange(start, start + len(block))] = -1
        count = min(_NEIGHBORS, len(rows) - 1)
        top = np.argpartition(-nearest, count - 1, axis=1)[:, :count]
        for row, columns in enumerate(top.tolist(), start=start):
            for column in columns:
                first, second = sorted((row, column))
                if (first, second) not in pairs and nearest[row - start, column] >= _LEAST_HASH:
                    pairs[first, second] = int(np.argmax([others[second] @ rows[first] for others in turned]))
    return [(first, second, at) for (first, second), at in sorted(pairs.items())]


_Weighed = tuple[PictureHash, _Plane]
"""A picture, and how much each pixel of its fine copy tells."""


def _similarity(first: _Weighed, second: _Weighed) -> float:
    """Correlation of the fine copies after the second was laid over the first, −1 when the coarse ones differ already."""
    coarse = _unpacked(first[0].coarse), _unpacked(second[0].coarse)
    if _glimpse(*coarse) < _LEAST_GLIMPSE:
        return -1.0
    score, scale, left, top, swapped = _placed(*coarse)
    if score < _LEAST_COARSE:
        return -1.0
    whole, part = (second, first) if swapped else (first, second)
    ratio = _FINE / _COARSE
    start = np.array([[1 / scale, 0, -ratio * left / scale], [0, 1 / scale, -ratio * top / scale]], np.float32)
    return _aligned(whole, part, start)


def _glimpse(first: _Plane, second: _Plane) -> float:
    """Best correlation of the second's middle with the first at half the size: cheap, and most candidates end here."""
    whole, part = _shrunk(first, _COARSE // 2), _shrunk(second, _COARSE // 2)[4:-4, 4:-4]
    return float(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED).max())


def _placed(first: _Plane, second: _Plane) -> tuple[float, float, int, int, bool]:
    """Where one of two coarse copies lies in the other: correlation, scale, left, top; whether the first lies in the second."""
    best = (-1.0, 1.0, 0, 0, False)
    for swapped, (whole, part) in enumerate(((first, second), (second, first))):
        for scale in _CROPS[swapped:]:  # at full size both ways are the same
            template = _shrunk(part, round(scale * _COARSE))[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
            _, score, _, (left, top) = cv2.minMaxLoc(cv2.matchTemplate(whole, template, cv2.TM_CCOEFF_NORMED))
            if score > best[0]:
                best = (float(score), scale, left - _MARGIN, top - _MARGIN, bool(swapped))
    return best


def _aligned(first: _Weighed, second: _Weighed, start: NDArray[np.float32]) -> float:
    """Correlation over the common area, after an affine fit that starts from `start` (first → second)."""
    whole, part = _unpacked(first[0].fine), _unpacked(second[0].fine)
    wanted, given = _seen(first[0]), _seen(second[0])
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 1e-3)
    try:
        _, warp = cv2.findTransformECC(whole, part, start, cv2.MOTION_AFFINE, stop, given, 3)
    except cv2.error:  # the fit diverges: the two have nothing in common
        return -1.0
    size = (_FINE, _FINE)
    moved = cv2.warpAffine(part, warp, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    inside = cv2.warpAffine(given, warp, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP) * wanted > 0
    if inside.sum() < _LEAST_OVERLAP * min(wanted.sum(), given.sum()):
        return -1.0
    telling = cv2.warpAffine(second[1], warp, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    weights = np.minimum(first[1], telling.astype(np.float32))
    return _correlation(whole[inside], moved[inside].astype(np.float32), weights[inside])


def _correlation(first: _Plane, second: _Plane, weights: _Plane) -> float:
    weights = weights / max(1e-9, float(weights.sum()))
    one, other = first - float(weights @ first), second - float(weights @ second)
    power = float(weights @ one**2) * float(weights @ other**2)
    return float(weights @ (one * other)) / max(1e-12, power) ** 0.5


def _seen(one: PictureHash) -> NDArray[np.uint8]:
    """1 where a fine copy shows more than a frame."""
    return np.ones((_FINE, _FINE), np.uint8) if one.seen is None else one.seen.astype(np.uint8)


def _oriented_hash(one: PictureHash, orientation: int) -> PictureHash:
    if orientation == 0:
        return one
    hashed, coarse, fine = (oriented(plane, orientation) for plane in (one.hash, one.coarse, one.fine))
    return PictureHash(hashed, coarse, fine, None if one.seen is None else oriented(one.seen, orientation))


def _band(plane: _Plane, inner: float, outer: float) -> _Plane:
    """Structure between two sizes, in pixels (standard deviations of Gaussians)."""
    return (cv2.GaussianBlur(plane, (0, 0), inner) - cv2.GaussianBlur(plane, (0, 0), outer)).astype(
        np.float32, copy=False
    )


def _hash(plane: _Plane) -> _Plane:
    """Roots of the values, so that a single bright spot does not decide, then mean 0 and length 1."""
    rooted: _Plane = np.sign(plane) * np.sqrt(np.abs(plane))
    return _normalized(rooted - rooted.mean())


def _normalized(plane: _Plane) -> _Plane:
    return (plane / max(1e-9, float(np.linalg.norm(plane)))).astype(np.float32)


def _compressed(plane: _Plane, part: _Plane) -> NDArray[np.int8]:
    """Values in standard deviations, bent so that outliers do not decide, as bytes; `part`: 1 inside the frame, 0 in it."""
    deviation = float(plane[part > 0.5].std())
    return np.round(127 * part * np.tanh(plane / max(1e-6, 2 * deviation))).astype(np.int8)


def _unpacked(plane: NDArray[np.int8]) -> _Plane:
    return plane.astype(np.float32) / np.float32(127)


def _shrunk(plane: _Plane, side: int) -> _Plane:
    return (
        plane
        if len(plane) == side
        else cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    )
