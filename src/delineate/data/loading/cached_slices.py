"""Slices at the working size: decoded once, in order, with where each belongs and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.cache.cache import content_of, open_cache
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.samples import Sample, SliceStack
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.loading.samples import SampleSet

__all__ = ["CachedSlices", "decode"]


@dataclass(frozen=True)
class CachedSlices:
    """The N slices of a part of a data set, stack by stack."""

    stacks: tuple[SliceStack, ...]
    images: NDArray[Any]
    """N×H×W×C, uint8 or uint16."""
    masks: NDArray[np.uint8]
    """N×H×W class indices, 255 = ignore."""
    spec: InputSpec
    content: Any
    """What the pixels depend on, in plain types: names what is derived from them."""
    slices: tuple[Sample, ...] = field(init=False)
    volume: NDArray[np.intp] = field(init=False)
    """Of each slice, the number of its stack."""
    group: NDArray[np.intp] = field(init=False)
    """Of each slice, the number of its patient."""

    def __post_init__(self) -> None:
        names = {name: at for at, name in enumerate(dict.fromkeys(stack.group for stack in self.stacks))}
        lengths = [len(stack.slices) for stack in self.stacks]
        object.__setattr__(self, "slices", tuple(one for stack in self.stacks for one in stack.slices))
        object.__setattr__(self, "volume", np.repeat(np.arange(len(lengths)), lengths))
        object.__setattr__(self, "group", np.repeat([names[stack.group] for stack in self.stacks], lengths))

    def __len__(self) -> int:
        return len(self.slices)

    @cached_property
    def pixels(self) -> NDArray[np.int64]:
        """N×256: pixels of each class index at the working size."""
        return np.stack([np.bincount(mask.ravel(), minlength=256) for mask in self.masks])

    @property
    def area(self) -> float:
        """The working size's area as a share of 256×256, to which sizes in pixels are stated."""
        return self.spec.size[0] * self.spec.size[1] / 256**2

    def unit(self, index: int) -> NDArray[np.float32]:
        """One slice's image H×W×C in [0, 1]."""
        return self.spec.to_unit(self.images[index])

    def place(self) -> dict[tuple[str, int], int]:
        """(volume, index in it) → the slice's number here."""
        keys = ((stack.volume, index) for stack in self.stacks for index in range(len(stack.slices)))
        return {key: number for number, key in enumerate(keys)}


def decode(data: SampleSet, spec: InputSpec, store: Store, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> CachedSlices:
    """All slices of `data` at the working size, from the cache where they are there. Raises as `data.cache.cache.open_cache`."""
    cache = open_cache(data.manifest, data.samples, spec, store, axis=data.axis, max_pixels=max_pixels)
    content = content_of(data.manifest, data.samples, spec, data.axis)
    return CachedSlices(data.stacks, np.asarray(cache.images), np.asarray(cache.masks), spec, content)
