"""What a mask file holds before anybody knows what it means: so many pixels of each gray value, palette index or color."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.findings import some
from delineate.data.core.manifest import Coding

__all__ = [
    "NEAR",
    "SEVERAL",
    "MaskValues",
    "RawMask",
    "Values",
    "choose_coding",
    "count_values",
    "edges_in",
    "filling",
    "format_name",
    "frame_of",
    "is_white",
    "lonely_in",
    "mask_values",
    "painted",
]

NEAR = 32
"""Noise of a black and white mask stays mostly within this distance from 0 and 255."""
_PIECE = 1 << 18
"""Pixels that are counted at a time."""
SEVERAL = 4
"""Fewer values than these in a file are no smooth gray."""
_BLACK_AND_WHITE = {0x000000, 0xFFFFFF}
_GRAY = 0x010101
"""Times a gray value: the color of that gray."""
_THIN = 3
"""Pixels of the shorter side below which a mask is nothing but its frame."""
_FRAME = 0.9
"""A value of so large a share of a mask's outermost pixels fills its frame."""


@dataclass(frozen=True)
class RawMask:
    """A decoded mask file."""

    pixels: NDArray[Any]
    """H×W (X×Y×Z) gray values, H×W palette indices, or H×W×3 colors (RGB)."""
    palette: NDArray[np.uint8] | None = None
    """Entries×3, of a palette file."""
    colored: bool = False
    """Whether pixels are colors."""
    lossy: bool = False
    """Whether the file's format keeps values only nearly (JPEG, and mostly WebP, JPEG 2000, AVIF)."""

    @property
    def used(self) -> NDArray[Any]:
        """Palette indices that some pixel has; an index beyond the stored palette is black."""
        return np.unique(self.pixels)

    @property
    def looks_gray(self) -> bool:
        """Whether a palette file is a gray picture rather than indices: its palette is gray, or it shows black and white alone."""
        assert self.palette is not None
        if not (self.palette == self.palette[:, :1]).all():
            return set(self.used_colors().values()) <= _BLACK_AND_WHITE and len(self.used) == 2
        grays = list(self.used_colors().values())
        return len(set(grays)) == len(grays)

    def used_colors(self) -> dict[int, int]:
        """Used palette index → its color, 0xRRGGBB."""
        table = _packed(_padded(self.palette))
        return {int(index): int(table[index]) for index in self.used}

    def as_coded(self, coding: Coding | None, path: Path) -> NDArray[Any]:
        """H×W raw values by a coding; None: as the file's own palette suggests. Raises `DataError` for unexpected colors."""
        if coding == "color":
            return self._colors(path)
        if self.colored:
            raise DataError(painted(path.as_posix(), count_values(_packed(self.pixels)), self.lossy))
        if self.palette is None or coding == "index" or (coding is None and not self.looks_gray):
            return self.pixels
        return _padded(self.palette)[:, 0][self.pixels]

    def _colors(self, path: Path) -> NDArray[np.uint32]:
        if self.palette is not None:
            return _packed(_padded(self.palette))[self.pixels]
        if self.pixels.dtype != np.uint8:
            raise DataError(
                f"{path} has {self.pixels.dtype} pixels; masks that are read by color have 8 bits a channel"
            )
        return _packed(self.pixels) if self.colored else self.pixels.astype(np.uint32) * _GRAY


@dataclass(frozen=True)
class MaskValues:
    """Raw values of one mask file with their pixels. `name`: of the file, for messages."""

    name: str
    counts: Mapping[int, int]
    """Gray value or palette index → pixels; color → pixels of a file painted in colors."""
    palette: Mapping[int, int] | None = None
    """Of a palette file: used index → color."""
    looks_gray: bool = True
    """Of a palette file: it is a gray picture rather than indices, as far as this file alone can tell."""
    colored: bool = False
    inner: int = 0
    """Pixels between black and white that have no other neighbors: inside of a region, not on an edge."""
    lossy: bool = False
    edges: int = 0
    """Pixels between black and white that touch both: where an edge was blurred, or a mask made smaller."""
    lonely: int = 0
    """Of several values: pixels above 0 without a neighbor of the same value, which smooth grays have and labels have not."""
    frame: int | None = None
    """The raw value that fills the outermost pixels of a picture; None where no value does, and of volumes."""

    def by(self, coding: Coding | None) -> Mapping[int, int]:
        """Raw value → pixels, as the coding reads the file; None: as its own palette suggests."""
        coding = coding or ("value" if self.looks_gray else "index")
        if coding == "color" and not self.colored:
            table = self.palette or {value: value * _GRAY for value in self.counts}
            return _mapped(self.counts, table)
        if coding == "value" and self.palette is not None:
            return _mapped(self.counts, {index: color & 0xFF for index, color in self.palette.items()})
        return self.counts

    def frame_by(self, coding: Coding) -> int | None:
        """`frame`, as the coding reads the file."""
        if self.frame is None or self.palette is None or coding == "index":
            return self.frame
        return self.palette[self.frame] & 0xFF if coding == "value" else self.palette[self.frame]


@dataclass(frozen=True)
class Values:
    """The masks of a data set under one coding: value → pixels of each file, in the order of the files."""

    files: Sequence[MaskValues]
    coding: Coding
    each: list[Mapping[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "each", [file.by(self.coding) for file in self.files])

    def total(self) -> dict[int, int]:
        """Raw value → pixels over all files, ascending."""
        found: dict[int, int] = {}
        for counts in self.each:
            for value, number in counts.items():
                found[value] = found.get(value, 0) + number
        return dict(sorted(found.items()))

    def holders(self) -> dict[int, list[int]]:
        """Raw value → positions of the files that hold it."""
        found: dict[int, list[int]] = {}
        for at, counts in enumerate(self.each):
            for value in counts:
                found.setdefault(value, []).append(at)
        return found


def mask_values(raw: RawMask, name: str) -> MaskValues:
    """Count one file."""
    if raw.colored:
        return MaskValues(name, count_values(_packed(raw.pixels)), colored=True, lossy=raw.lossy)
    counts = count_values(raw.pixels)
    if raw.palette is None:
        inner, edges = edges_in(raw.pixels) if is_white(counts) else (0, 0)
        lonely = lonely_in(raw.pixels) if len(counts) >= SEVERAL else 0
        frame = frame_of(raw.pixels)
        return MaskValues(name, counts, inner=inner, edges=edges, lossy=raw.lossy, lonely=lonely, frame=frame)
    gray = raw.as_coded("value", Path(name))
    inner, edges = edges_in(gray) if is_white(count_values(gray)) else (0, 0)
    frame = frame_of(raw.pixels)
    return MaskValues(name, counts, raw.used_colors(), raw.looks_gray, inner=inner, edges=edges, frame=frame)


def count_values(raw: NDArray[Any]) -> dict[int, int]:
    """Raw value → number of pixels."""
    if raw.dtype.kind in "iu" and raw.dtype.itemsize <= 2:
        limits = np.iinfo(raw.dtype)
        least, bins = int(limits.min), int(limits.max) - int(limits.min) + 1
        counts, flat = np.zeros(bins, np.int64), raw.ravel(order="K")
        for start in range(0, flat.size, _PIECE):  # in pieces: all at once would be copied to eight times its size
            piece = flat[start : start + _PIECE]
            counts += np.bincount(piece if least == 0 else piece.astype(np.int64) - least, minlength=bins)
        values = np.flatnonzero(counts)
        return dict(zip((values + least).tolist(), counts[values].tolist(), strict=True))
    found, number = np.unique(raw, return_counts=True)
    return dict(zip(found.tolist(), number.tolist(), strict=True))


def choose_coding(files: Sequence[MaskValues]) -> Coding:
    """Once for all masks of a data set: gray values, or palette indices.

    Raises `DataError`: files painted in colors, and palettes that differ, so that one index has several colors.
    """
    for file in files:
        if file.colored:
            raise DataError(painted(file.name, file.counts, file.lossy))
    palettes = [file for file in files if file.palette is not None]
    colors = {color for file in palettes for color in (file.palette or {}).values()}
    if all(file.looks_gray for file in palettes) or colors == _BLACK_AND_WHITE:
        return "value"
    _same_palettes(palettes)
    return "index"


def painted(name: str, counts: Mapping[int, int], lossy: bool = False) -> str:
    """What to say of a mask that is painted in colors. `lossy`: JPEG has changed them, so that naming them is no cure."""
    often = sorted(counts, key=lambda color: -counts[color])
    shown = some([f"#{color:06x} ({counts[color]} px)" for color in often], 4)
    if lossy:
        kind = format_name(name)
        return (
            f"{name} is a mask painted in colors and stored as {kind}, which changes them ({shown}); save masks as PNG"
        )
    example = next((color for color in often if color), 0xFF0000)
    return (
        f"{name} is a mask painted in colors: {shown}; name them with --labels '#{example:06x}=NAME,…', or save it with one value "
        "per class (0, 1, 2 …)"
    )


def format_name(name: str) -> str:
    """What people call the format of a mask that was stored with loss."""
    suffix = Path(name).suffix.lower()
    if suffix in (".webp", ".avif"):
        return {".webp": "WebP", ".avif": "AVIF"}[suffix]
    return "JPEG 2000" if suffix in (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx") else "JPEG"


def _same_palettes(palettes: Sequence[MaskValues]) -> None:
    """Raise `DataError` where one index stands for two colors; a palette that gives each index its own gray is none."""
    first: dict[int, tuple[int, str]] = {}
    for file in palettes:
        if all(color == index * _GRAY for index, color in (file.palette or {}).items() if index):
            continue
        for index, color in (file.palette or {}).items():
            known, name = first.setdefault(index, (color, file.name))
            if known != color:
                raise DataError(
                    f"the palettes of the masks differ: index {index} is #{known:06x} in {name} but #{color:06x} in {file.name}; "
                    f"name the colors with --labels '#{color:06x}=NAME,…', or save the masks with one palette"
                )


def is_white(counts: Iterable[int]) -> bool:
    """Whether there are gray values so near to 255 that those below may be edges."""
    return max(counts, default=0) in range(255 - NEAR, 256)


def edges_in(gray: NDArray[Any], above: int = 0, below: int = 0) -> tuple[int, int]:
    """Of the pixels between black and white: how many lie inside of gray regions, and how many touch black and white.

    `above`, `below`: rows of a larger mask that are given as neighbors and not counted.
    """
    if gray.ndim != 2 or gray.dtype != np.uint8:
        return 0, 0
    black, white = gray <= NEAR, gray >= 255 - NEAR
    between = ~(black | white)
    if not between.any():
        return 0, 0
    square = np.ones((3, 3), np.uint8)
    inside = cv2.erode(between.astype(np.uint8), square, borderValue=1) > 0
    touching = [cv2.dilate(each.astype(np.uint8), square) > 0 for each in (black, white)]
    counted = slice(above, len(gray) - below)
    return int(inside[counted].sum()), int((between & touching[0] & touching[1])[counted].sum())


def lonely_in(pixels: NDArray[Any], above: int = 0, below: int = 0) -> int:
    """Pixels above 0 of which none of the eight neighbors has the same value; 0 of volumes. Costs eight comparisons.

    `above`, `below`: as of `edges_in`.
    """
    if pixels.ndim != 2:
        return 0
    wide = np.pad(pixels, 1)
    own, height, width = pixels > 0, *pixels.shape
    places = [(down, across) for down in range(3) for across in range(3) if (down, across) != (1, 1)]
    same = [wide[down : down + height, across : across + width] == pixels for down, across in places]
    return int((own & ~np.logical_or.reduce(same))[above : height - below].sum())


def frame_of(pixels: NDArray[Any]) -> int | None:
    """The value of nearly all of the outermost pixels of a picture's mask; None where no value fills them, and of volumes."""
    if pixels.ndim != 2 or min(pixels.shape) < _THIN:
        return None
    return filling(np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]))


def filling(outermost: NDArray[Any]) -> int | None:
    """The value of nearly all of the outermost pixels, which are given; None where no value fills them."""
    found, numbers = np.unique(outermost, return_counts=True)
    most = int(numbers.argmax())
    return int(found[most]) if numbers[most] >= _FRAME * outermost.size else None


def _mapped(counts: Mapping[int, int], table: Mapping[int, int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for value, number in counts.items():
        found[table[value]] = found.get(table[value], 0) + number
    return found


def _padded(palette: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    assert palette is not None
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette[:256]
    return table


def _packed(rgb: NDArray[Any]) -> NDArray[np.uint32]:
    """RGB in the last axis → one number 0xRRGGBB."""
    wide = rgb.astype(np.uint32)
    packed: NDArray[np.uint32] = wide[..., 0] * np.uint32(65536) + wide[..., 1] * np.uint32(256) + wide[..., 2]
    return packed
