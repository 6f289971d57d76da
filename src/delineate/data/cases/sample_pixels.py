"""The pixels of samples, at native size: of pictures, and of slices of volumes."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_image, case_mask, case_view
from delineate.data.cases.volumes import Volumes
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.intensity import VolumeNumbers
from delineate.data.core.manifest import Manifest
from delineate.data.core.samples import Sample
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS

__all__ = ["SamplePixels"]


class SamplePixels:
    """Reads samples of a data set."""

    def __init__(
        self,
        manifest: Manifest,
        axis: int | None = None,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        *,
        spec: InputSpec | None = None,
        numbers: VolumeNumbers = "bytes",
    ) -> None:
        """`axis`: across the slices of volumes, in the canonical order; None where no case is a volume. `spec`: of the network that
        is to be shown them, which may want neighbors and other numbers than bytes; `numbers`: these alone."""
        self._manifest, self._axis, self._max_pixels = manifest, axis, max_pixels
        self._numbers: VolumeNumbers = numbers if spec is None else spec.volume_numbers
        self._neighbors = 0 if spec is None else spec.neighbors

    def with_numbers(self, numbers: VolumeNumbers) -> SamplePixels:
        """The same samples, slices of volumes as a network is shown them."""
        return SamplePixels(self._manifest, self._axis, self._max_pixels, numbers=numbers)

    def image(self, sample: Sample) -> Pixels:
        """H×W or H×W×C: a picture's own pixels; a volume's slice as `Volumes.image` has it. Where volumes are floats, pictures are.

        Raises `DataError` for files that are damaged or have changed.
        """
        if sample.plane is not None:
            return self._volumes.image(sample.case, sample.plane, sample.axis)
        picture = case_image(self._manifest, sample.case, max_pixels=self._max_pixels)
        return picture.astype(np.float32) if self._numbers != "bytes" and self._axis is not None else picture

    def view(self, sample: Sample) -> Pixels:
        """What people are shown of a sample, H×W or H×W×3/4: of channels that are files, and of volumes, the first channel."""
        if sample.plane is None:
            return case_view(self._manifest, sample.case, max_pixels=self._max_pixels)
        shown = self._shown.image(sample.case, sample.plane, sample.axis)
        return shown if shown.ndim == 2 else np.ascontiguousarray(shown[..., 0])

    def mask(self, sample: Sample) -> NDArray[np.uint8] | None:
        """Class indices H×W; 255 = ignore. None where the case has no mask. Raises `DataError` as `image`."""
        if not sample.labeled:
            return None
        if sample.plane is not None:
            return self._volumes.mask(sample.case, sample.plane, sample.axis)
        return case_mask(self._manifest, sample.case, max_pixels=self._max_pixels)

    @cached_property
    def _volumes(self) -> Volumes:
        return self._opened(self._numbers, self._neighbors)

    @cached_property
    def _shown(self) -> Volumes:
        plain = self._numbers == "bytes" and not self._neighbors
        return self._volumes if plain else self._opened("bytes", 0)

    def _opened(self, numbers: VolumeNumbers, neighbors: int) -> Volumes:
        if self._axis is None:
            raise DataError(f"{self._manifest.root}: slices of volumes without an axis across them")
        return Volumes(self._manifest, self._axis, numbers, neighbors)
