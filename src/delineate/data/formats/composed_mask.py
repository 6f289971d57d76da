"""A mask that no file holds as it is: its pixels are put together from outlines, or from files of one class each."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.core.input_spec import Pixels
from delineate.data.core.mask_values import RawMask
from delineate.data.formats.contract import GRAY, ImageHandle, plane_of

__all__ = ["ComposedMask"]


class ComposedMask(ImageHandle):
    """A picture or a volume of class values. Its pixels are made when they are first asked for, and kept with the handle."""

    @abstractmethod
    def compose(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Make the values.

        Returns:
            An array of the shape `shape`.
        """

    @cached_property
    def _pixels(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        return self.compose()

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._pixels.dtype

    @property
    def channels(self) -> tuple[str, ...]:
        return GRAY

    def read(self) -> Pixels:
        return self._pixels

    def slice(self, axis: int, index: int) -> Pixels:
        if self.is_volume:
            return plane_of(self._pixels, axis, index)
        if index:
            raise IndexError(f"a picture has one slice, not a slice {index}")
        return self._pixels

    def labels(self) -> RawMask:
        return RawMask(self._pixels)
