"""A sliding window over an image, wherever its pixels come from: how large its tiles are, and the rows that they give.

A source of tiles is an array in memory (`ArrayTiles`) or a file that is read by windows (`inference.streaming`). Both pass through
the same function, so that their results are the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import RecipeError
from delineate.data.augment.patches import OVERLAP, Corner, Size, cut, tiles
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.inference.segmenter import Probabilities
from delineate.inference.sliding_window import TileBlender

if TYPE_CHECKING:
    from delineate.artefact.format import Artefact  # it brings torch, and what reads this does without

__all__ = ["MOST_OVERLAP", "MOST_TILE", "ArrayTiles", "TileSource", "Tiling", "blended_rows"]

MOST_OVERLAP = 0.9
"""With more, each pixel would pass the network more than a hundred times."""

MOST_TILE = 16384
"""Side of a tile, in pixels: one of colors takes 3 GB as numbers."""


@dataclass(frozen=True)
class Tiling:
    """Height and width of the tiles, and the share of their side by which they overlap at least."""

    size: Size
    overlap: float = OVERLAP

    @classmethod
    def of(cls, artefact: Artefact, tile: int | None = None, overlap: float | None = None) -> Tiling:
        """That of a model, with another side of the tiles or another overlap where these are given.

        Raises `RecipeError` for a model that sees whole images, and for sides that its method does not take.
        """
        spec, info = artefact.spec, artefact.method.info
        if tile is None and overlap is None:
            return cls(spec.size)
        if spec.fit != "patch":
            raise RecipeError(
                f"--tile and --overlap are for models trained on patches (input.fit=patch); this one has learned from whole images "
                f"brought to {spec.size[0]}×{spec.size[1]} (input.fit={spec.fit}), and parts of an image have another scale: leave "
                "them out, or train with --set input.fit=patch"
            )
        size = spec.size if tile is None else (tile, tile)
        if max(size) > MOST_TILE:
            raise RecipeError(f"--tile: at most {MOST_TILE}, which takes gigabytes as it is (given: {tile})")
        if min(size) < info.min_size or any(side % info.divisor for side in size):
            raise RecipeError(
                f"--tile: {info.name} needs multiples of {info.divisor} from {info.min_size} on (given: {tile})"
            )
        if overlap is not None and not 0 <= overlap <= MOST_OVERLAP:
            raise RecipeError(f"--overlap is a share of a tile's side, 0 to {MOST_OVERLAP} (given: {overlap})")
        return cls(size, OVERLAP if overlap is None else overlap)

    def tiles(self, image: Size) -> list[Corner]:
        """The tiles over an image."""
        return tiles(image, self.size, self.overlap)


class TileSource(Protocol):
    """What tiles are cut from, row by row from the top."""

    @property
    def size(self) -> Size:
        """Of the image that the tiles lie on."""

    def tile(self, corner: Corner) -> NDArray[np.float32] | None:
        """The network's input h×w×C; None for one that need not be computed, since it shows nothing but background.

        Called in the order of `patches.tiles`, from one thread, which is not that of the device.
        """


@dataclass(frozen=True)
class ArrayTiles:
    """Tiles of an image in memory."""

    pixels: Pixels
    spec: InputSpec
    tile_size: Size
    limits: Any = None

    @property
    def size(self) -> Size:
        return self.pixels.shape[0], self.pixels.shape[1]

    def tile(self, corner: Corner) -> NDArray[np.float32]:
        return self.spec.to_unit(cut(self.pixels, corner, self.tile_size), self.limits)


def blended_rows(
    source: TileSource,
    tiling: Tiling,
    forward: Callable[[Sequence[NDArray[np.float32]]], Probabilities],
    batch: int,
    background: NDArray[np.float32],
) -> Iterator[tuple[slice, Probabilities]]:
    """Probabilities by a sliding window, a few rows K×r×W at a time: those that no later tile adds to.

    `forward`: a batch of tiles → B×K×h×w. The next batch is cut meanwhile, in a thread of its own. `background`: the
    probabilities K of tiles that the source leaves out.
    """
    blender = TileBlender(source.size, tiling.size, tiling.overlap)
    empty = np.broadcast_to(background[:, None, None], (len(background), *tiling.size))
    top = 0
    with ThreadPoolExecutor(1) as reader:
        corners = iter(blender.corners)
        following = reader.submit(_next_batch, source, corners, batch)
        while inputs := following.result():
            following = reader.submit(_next_batch, source, corners, batch)
            given = [one for one in inputs if one is not None]
            made = iter(forward(given)) if given else iter(())
            for one in inputs:
                if (values := blender.add(empty if one is None else next(made))) is not None:
                    yield slice(top, top + values.shape[1]), values
                    top += values.shape[1]


def _next_batch(source: TileSource, corners: Iterator[Corner], batch: int) -> list[NDArray[np.float32] | None]:
    """Tiles until there are enough to compute, those between that are left out; none at the end."""
    found: list[NDArray[np.float32] | None] = []
    computed = 0
    for corner in corners:
        found.append(source.tile(corner))
        computed += found[-1] is not None
        if computed == batch:
            break
    return found
