"""Slices at the working size: decoded once, in order, with where each belongs and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delineate.data.cache.cache import open_cache
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.formats.images import READING
from delineate.fewshot.slices import Slice, SliceSet, SliceStack
from delineate.fewshot.store import Rows, Store


@dataclass(frozen=True)
class WorkingSlices:
    """The N slices of a part of a data set, stack by stack."""

    stacks: tuple[SliceStack, ...]
    images: NDArray[Any]
    """N×H×W×C, uint8 or uint16."""
    masks: NDArray[np.uint8]
    """N×H×W class indices, 255 = ignore."""
    spec: InputSpec
    content: Any
    """What the pixels depend on, in plain types: names what is derived from them."""
    slices: tuple[Slice, ...] = field(init=False)
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
        keys = ((stack.volume, one.index) for stack in self.stacks for one in stack.slices)
        return {key: number for number, key in enumerate(keys)}


def decode(data: SliceSet, spec: InputSpec, store: Store, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> WorkingSlices:
    """All slices of `data` at the working size, from the cache where they are there. Raises as `data.cache.cache.open_cache`."""
    cases = [one.case for _, one in data]
    decisive = spec.model_dump(mode="json", include=spec.decisive)
    hashes = [[case.hashes[path] for path in case.images] for case in cases]
    content = {"reading": READING, "spec": decisive, "images": hashes, "axis": data.axis} | (
        {} if data.axis is None else {"order": "canonical"}
    )
    if data.axis is None:
        cache = open_cache(
            data.manifest,
            cases,
            spec,
            folder=store.folder.parent,  # `open_cache` makes the sub-folder of all entries itself
            limit_bytes=store.limit_bytes,
            announce=store.announce,
            max_pixels=max_pixels,
        )
        images, masks = np.asarray(cache.images), np.asarray(cache.masks)
    else:
        rows = {
            "images": ((*spec.size, spec.in_channels), np.dtype(np.uint8)),
            "masks": (spec.size, np.dtype(np.uint8)),
        }
        about = [content, [case.hashes[path] for case in cases for path in case.masks], _labels(data)]
        found = store.arrays("slices", about, len(data), rows, lambda: _decoded(data, spec))
        images, masks = found["images"], found["masks"]
    return WorkingSlices(data.stacks, images, masks, spec, content)


def _labels(data: SliceSet) -> Any:
    return data.manifest.labels.model_dump(mode="json", exclude={"reason"})


def _decoded(data: SliceSet, spec: InputSpec) -> Iterator[Rows]:
    for _, one in data:
        image: Pixels = spec.working_pixels(data.image(one))
        yield {"images": image, "masks": spec.working_mask(data.mask(one))}
