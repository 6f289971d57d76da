"""The weak view: flips, quarter turns and shifts by whole pixels, and their inverse for a network's maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from delineate.nn.losses import IGNORE
from delineate.nn.views.random_draws import RandomDraws

__all__ = ["WeakView"]


@dataclass(frozen=True)
class WeakView:
    """A quarter turn and flips, then a shift. Pixels are moved, never interpolated.

    `inverse` undoes it exactly wherever `visible()` is true; that is everywhere when nothing is shifted. Fields are of length B.

    Example:
        >>> from delineate.nn.views.weak import WeakView
        >>> image = torch.rand(2, 3, 32, 32)
        >>> view = WeakView.draw(image, torch.Generator().manual_seed(0))
        >>> moved = view.image(image)
        >>> back = view.inverse(moved)  # what a network finds in `moved`, at the image's own pixels
        >>> torch.equal(back.movedim(1, 3)[view.visible()], image.movedim(1, 3)[view.visible()])
        True
    """

    transposed: Tensor
    """Bool: rows and columns change places, before the flips."""
    flipped_rows: Tensor
    """Bool: upside down."""
    flipped_columns: Tensor
    """Bool: left to right."""
    shift: tuple[Tensor, Tensor] | None
    """Whole pixels down and to the right; None: no image is shifted."""
    size: tuple[int, int]
    """Height and width of the images, in pixels."""

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
            generator: On the image's device. All random numbers come from it, the same number of them whatever the options.
            flip_horizontal: Flip half of the images left to right.
            flip_vertical: Flip half of the images upside down.
            turn: Turn by 0, 1, 2 or 3 quarters. Images that are not square turn by 0 or 2, so that their size stays.
            shift: Largest shift in each direction, as a share of height and width.

        Returns:
            The view, whose random numbers are drawn.
        """
        draws = RandomDraws(image, generator)
        height, width = image.shape[-2:]
        horizontal, vertical = (draws.bernoulli(0.5).flatten() for _ in range(2))
        quarters = draws.choice((0, 1, 2, 3) if height == width else (0, 2)).flatten()
        shifts = [draws.uniform(-shift * side, shift * side).flatten().round().long() for side in (height, width)]
        quarters, horizontal, vertical = quarters * turn, horizontal & flip_horizontal, vertical & flip_vertical
        return cls(
            transposed=quarters % 2 == 1,
            flipped_rows=vertical ^ ((quarters == 1) | (quarters == 2)),
            flipped_columns=horizontal ^ (quarters >= 2),
            shift=(shifts[0], shifts[1]) if shift else None,
            size=(height, width),
        )

    def image(self, image: Tensor) -> Tensor:
        """The view of the images that it was drawn for.

        Args:
            image: B×C×H×W.

        Returns:
            The same shape; beyond the border of the image its border is repeated.
        """
        return self.maps(image)

    def mask(self, mask: Tensor) -> Tensor:
        """The masks of the images that it was drawn for.

        Args:
            mask: B×H×W class indices of any integer type.

        Returns:
            The same shape; 255 (ignore) beyond the border of the image.
        """
        return torch.where(self.valid(), self.maps(mask), IGNORE)

    def maps(self, maps: Tensor) -> Tensor:
        """Maps of the images, such as a teacher's logits, brought to the view.

        Args:
            maps: B×…×H×W.

        Returns:
            The same shape; beyond the border of the image its border is repeated.
        """
        maps = _where(self.transposed, maps.mT, maps) if self.size[0] == self.size[1] else maps
        maps = _where(self.flipped_rows, maps.flip(-2), maps)
        maps = _where(self.flipped_columns, maps.flip(-1), maps)
        return maps if self.shift is None else _shifted(maps, *self.shift)

    def inverse(self, maps: Tensor) -> Tensor:
        """Maps of the view, such as a student's logits, brought back to the image.

        Args:
            maps: B×…×H×W.

        Returns:
            The same shape. Pixels that the view does not show (`visible()` is false) repeat its border.
        """
        if self.shift is not None:
            maps = _shifted(maps, -self.shift[0], -self.shift[1])
        maps = _where(self.flipped_columns, maps.flip(-1), maps)
        maps = _where(self.flipped_rows, maps.flip(-2), maps)
        return _where(self.transposed, maps.mT, maps) if self.size[0] == self.size[1] else maps

    def valid(self) -> Tensor:
        """Pixels of the view that show a pixel of the image, not its repeated border.

        Returns:
            Bool B×H×W.
        """
        if self.shift is None:
            return self._everywhere()
        return _inside(self.size, *self.shift)

    def visible(self) -> Tensor:
        """Pixels of the image that the view shows. Only there `inverse` gives what belongs to them.

        Returns:
            Bool B×H×W.
        """
        if self.shift is None:
            return self._everywhere()
        unshifted = WeakView(self.transposed, self.flipped_rows, self.flipped_columns, None, self.size)
        return unshifted.inverse(_inside(self.size, -self.shift[0], -self.shift[1]))

    def _everywhere(self) -> Tensor:
        return torch.ones(len(self.transposed), *self.size, dtype=torch.bool, device=self.transposed.device)


def _where(chosen: Tensor, true: Tensor, false: Tensor) -> Tensor:
    """`torch.where` by image: `chosen` is of length B."""
    return torch.where(chosen.view(-1, *[1] * (true.ndim - 1)), true, false)


def _sources(length: int, shift: Tensor) -> Tensor:
    """Index that each of `length` pixels is taken from after a shift: B×length, beyond 0 … length − 1 at the border."""
    return torch.arange(length, device=shift.device) - shift[:, None]


def _shifted(maps: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """By indexing: unlike `gather`, its backward pass is deterministic on every device."""
    height, width = maps.shape[-2:]
    rows = _sources(height, down).clamp(0, height - 1)[:, :, None]
    columns = _sources(width, right).clamp(0, width - 1)[:, None]
    images = torch.arange(len(maps), device=maps.device)[:, None, None]
    flat = maps.reshape(len(maps), -1, height, width)
    return flat[images, :, rows, columns].movedim(-1, 1).reshape(maps.shape)


def _inside(size: tuple[int, int], down: Tensor, right: Tensor) -> Tensor:
    rows, columns = _sources(size[0], down), _sources(size[1], right)
    in_height = (rows >= 0) & (rows < size[0])
    in_width = (columns >= 0) & (columns < size[1])
    return in_height[:, :, None] & in_width[:, None]
