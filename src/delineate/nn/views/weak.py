"""The weak view: flips, quarter turns and shifts by whole pixels, and the way back for a network's maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from delineate.nn.losses import IGNORE
from delineate.nn.views.draws import Draws


@dataclass(frozen=True)
class WeakView:
    """A turn and mirrorings of the frame, then a shift of what it shows. Values are moved, never interpolated.

    `back` undoes it exactly wherever `kept()` is true; that is everywhere when nothing is shifted. Fields are of length B.

        view = WeakView.draw(image, ctx.generator)
        logits = view.back(self(view.image(image)))     # in the image's own frame
        agree = (logits - teacher).square().mean(1)[view.kept()]
    """

    transposed: Tensor
    """Bool: rows and columns change places, before the mirrorings."""
    mirrored_rows: Tensor
    """Bool: upside down."""
    mirrored_columns: Tensor
    """Bool: left to right."""
    shift: tuple[Tensor, Tensor] | None
    """Whole pixels down and to the right; None: no image is shifted."""
    size: tuple[int, int]
    """Height and width of the frame."""

    @classmethod
    def draw(
        cls,
        image: Tensor,
        generator: torch.Generator,
        *,
        flip_horizontal: bool = True,
        flip_vertical: bool = True,
        turn: bool = True,
        shift: float = 0.1,
    ) -> Self:
        """Draw a view for each image.

        Args:
            image: B×C×H×W; only its shape and its device are used.
            generator: on the image's device; all random numbers come from it, the same number of them whatever the options.
            flip_horizontal: mirror half of the images left to right.
            flip_vertical: turn half of the images upside down.
            turn: turn by 0, 1, 2 or 3 quarters. Frames of unequal sides, which a quarter turn would change, turn by halves.
            shift: the most that an image is moved, as a part of its height and width, in all directions.
        """
        draws = Draws(image, generator)
        height, width = image.shape[-2:]
        horizontal, vertical = (draws.chance(0.5).flatten() for _ in range(2))
        quarters = draws.choice((0, 1, 2, 3) if height == width else (0, 2)).flatten()
        moves = [draws.between(-shift * side, shift * side).flatten().round().long() for side in (height, width)]
        quarters, horizontal, vertical = quarters * turn, horizontal & flip_horizontal, vertical & flip_vertical
        return cls(
            transposed=quarters % 2 == 1,
            mirrored_rows=vertical ^ ((quarters == 1) | (quarters == 2)),
            mirrored_columns=horizontal ^ (quarters >= 2),
            shift=(moves[0], moves[1]) if shift else None,
            size=(height, width),
        )

    def image(self, image: Tensor) -> Tensor:
        """The view of the images it was drawn for, B×C×H×W → the same; past their border the border is repeated."""
        return self.maps(image)

    def mask(self, mask: Tensor) -> Tensor:
        """The masks that belong to it, B×H×W of any integer type → the same; past the border 255, which is ignored."""
        return torch.where(self.seen(), self.maps(mask), IGNORE)

    def maps(self, maps: Tensor) -> Tensor:
        """Maps of the image (logits, say) → of the view: B×…×H×W → the same; past the border the border is repeated."""
        maps = _where(self.transposed, maps.mT, maps) if self.size[0] == self.size[1] else maps
        maps = _where(self.mirrored_rows, maps.flip(-2), maps)
        maps = _where(self.mirrored_columns, maps.flip(-1), maps)
        return maps if self.shift is None else _moved(maps, *self.shift)

    def back(self, maps: Tensor) -> Tensor:
        """Maps of the view → of the image: B×…×H×W → the same. What the view does not show repeats its border."""
        if self.shift is not None:
            maps = _moved(maps, -self.shift[0], -self.shift[1])
        maps = _where(self.mirrored_columns, maps.flip(-1), maps)
        maps = _where(self.mirrored_rows, maps.flip(-2), maps)
        return _where(self.transposed, maps.mT, maps) if self.size[0] == self.size[1] else maps

    def seen(self) -> Tensor:
        """Pixels of the view that show a pixel of the image: bool B×H×W."""
        if self.shift is None:
            return self._everywhere()
        return _inside(self.size, *self.shift)

    def kept(self) -> Tensor:
        """Pixels of the image that the view shows, where `back` says what was said of them: bool B×H×W."""
        if self.shift is None:
            return self._everywhere()
        unshifted = WeakView(self.transposed, self.mirrored_rows, self.mirrored_columns, None, self.size)
        return unshifted.back(_inside(self.size, -self.shift[0], -self.shift[1]))

    def _everywhere(self) -> Tensor:
        return torch.ones(len(self.transposed), *self.size, dtype=torch.bool, device=self.transposed.device)


def _where(chosen: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Image by image, one or the other."""
    return torch.where(chosen.view(-1, *[1] * (one.ndim - 1)), one, other)


def _sources(length: int, move: Tensor) -> Tensor:
    """Where each of `length` pixels comes from when all move by `move`: B×length, beyond 0 … length − 1 at the border."""
    return torch.arange(length, device=move.device) - move[:, None]


def _moved(maps: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Indexing, unlike `gather`, is deterministic backwards on every device."""
    height, width = maps.shape[-2:]
    rows = _sources(height, down).clamp(0, height - 1)[:, :, None]
    columns = _sources(width, right).clamp(0, width - 1)[:, None]
    images = torch.arange(len(maps), device=maps.device)[:, None, None]
    flat = maps.reshape(len(maps), -1, height, width)
    return flat[images, :, rows, columns].movedim(-1, 1).reshape(maps.shape)


def _inside(size: tuple[int, int], down: Tensor, right: Tensor) -> Tensor:
    rows, columns = _sources(size[0], down), _sources(size[1], right)
    return _within(rows, size[0])[:, :, None] & _within(columns, size[1])[:, None]


def _within(at: Tensor, length: int) -> Tensor:
    return (at >= 0) & (at < length)
