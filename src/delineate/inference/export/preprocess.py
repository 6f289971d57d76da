"""The torch twin of `InputSpec`: what numpy and OpenCV do to an image at prediction, as a module that can be exported.

The size of the image may be a symbol of a graph: where the working size is fixed (`stretch`, `letterbox`), nothing but the lengths
of two index ranges depends on it. Resizing is `export.resize`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from delineate.data.core.channel_rules import ChannelRule
from delineate.data.core.input_spec import InputSpec, PixelSpacing
from delineate.data.core.intensity import LEAST, USUAL_CLIP, whole_range
from delineate.inference.export.resize import Placed, Values, into_frame, scalar

__all__ = ["Kind", "Preprocess"]

_LUMA = (9798, 19235, 3735)
"""Weights of R, G, B in luma (ITU-R BT.601) in units of 1/32768, as OpenCV has them."""
_LUMA_BITS = 15
_FLOAT_LUMA = (0.299, 0.587, 0.114)
"""The same for floats."""
_PERCENTILES = (5, 995)
"""Of the rule `percentile`, in thousandths."""


Kind = Literal["uint8", "uint16", "int16", "float32"]
"""Of the numbers of an image."""


class Preprocess(nn.Module):
    """An image as it is → the network's input.

    Equal to `InputSpec.to_unit(InputSpec.working_pixels(image))` but for sums of pixels that lie, within rounding, halfway between
    two gray levels: for `range` at most one gray level of the source's depth (1/255 or
    1/65535) in a few pixels of ten thousand; for the other rules as much of the distance between their limits.

    Slices of volumes are given as `spec.volume_numbers` says: where z-scores are over the volume, in its standard deviations.
    Where the channels of volumes have several rules, all are floats, and those without values of their own go from 0 to 255.

    With `patch` it stops where that ends, too: the whole image at its resolution times `scale`, of any size. Cutting it into tiles,
    mirroring what is smaller than a tile, and blending the tiles' probabilities are not part of it (`inference.sliding_window`).
    """

    def __init__(self, spec: InputSpec, kind: Kind = "uint8", spacing: PixelSpacing | None = None) -> None:
        """
        Args:
            spec: what the network's input is to be.
            kind: of the numbers in the images that will be given, whatever type they come in.
            spacing: of the pixels of these images, in mm, where the specification has one.

        Raises:
            DataError: the rule `range` for numbers whose type does not tell what is white; a spacing that is not known.
        """
        super().__init__()
        spec.working_size(1, 1, spacing)
        spec.placement(1, 1, spacing)
        self.spec, self.spacing, self.kind = spec, spacing, kind
        self.whole = kind != "float32"
        self.lowest = float(np.iinfo(kind).min) if self.whole else -math.inf
        self.highest = float(np.iinfo(kind).max) if self.whole else 1.0
        if any(rule.rule == "range" for rule in spec.rules) and (spec.intensity == "range" or spec.axis is None):
            whole_range(np.zeros(0, kind))

    def forward(self, image: Tensor) -> Tensor:
        """B×C×H×W of numbers as `kind` has them, any type, C of 1, 3 or 4 (RGB order; or the named channels, in the order of the
        specification; of each slice in turn where the network sees several) → float32 B×in_channels×h×w in [0, 1]."""
        return self.placed(image, self.place(image))

    def place(self, image: Tensor, spacing: Tensor | None = None) -> Placed:
        """Where B×C×H×W images lie in the working frame. `spacing`: of their pixels, 2 numbers in mm, in double precision, in
        place of that of all images; for `letterbox` alone."""
        height, width = image.shape[-2:]
        old = scalar(height, image), scalar(width, image)
        zero = torch.zeros_like(old[0])
        if self.spec.fit == "patch" and self.spec.scale == 1 and self.spec.spacing is None:
            return Placed(old, old, (zero, zero), (height, width))
        if self.spec.fit == "patch":
            frame = self.spec.working_size(height, width, self.spacing)
            return Placed(old, (scalar(frame[0], image), scalar(frame[1], image)), (zero, zero), frame)
        frame = self.spec.size
        full = [torch.full_like(zero, length) for length in frame]
        if self.spec.fit == "stretch":
            return Placed(old, (full[0], full[1]), (zero, zero), frame)
        # As `InputSpec.placement`, in double precision like Python's numbers.
        factors = self._factors(spacing)
        sides = [length.double() * factor for length, factor in zip(old, factors or (1.0, 1.0), strict=True)]
        scale = torch.minimum(*(length / side for length, side in zip(full, sides, strict=True)))
        scale = scale if factors is None else scale.clamp(max=1.0)
        down, across = ((side * scale).round().long().clamp(min=1) for side in sides)
        new = torch.minimum(down, full[0]), torch.minimum(across, full[1])
        start = (full[0] - new[0]) // 2, (full[1] - new[1]) // 2  # not negative, so that all runtimes round alike
        return Placed(old, new, start, frame)

    def placed(self, image: Tensor, place: Placed) -> Tensor:
        """`forward` of images whose place is known."""
        parts = image.to(torch.float32).chunk(self.spec.planes, 1)
        pixels = torch.cat([self._channels(part) for part in parts], 1)
        if not self._alike(pixels, place):
            pixels = into_frame(pixels, place, self._values)
        if self.spec.fit == "letterbox":
            inside = place.inside
            if self.spec.scales_before_padding:
                scaled = self._rounded(self._scaled(pixels, inside) * self.highest)
                return torch.where(inside, scaled, torch.zeros_like(scaled)) / self.highest
            pixels = torch.where(inside, pixels, torch.zeros_like(pixels))
        if self.spec.intensity == "range":
            return pixels / self.highest
        return self._scaled(pixels)

    def _alike(self, image: Tensor, place: Placed) -> bool:
        """Whether patches are cut from the image as it is: then nothing is resized, whatever its size."""
        return self.spec.fit == "patch" and tuple(image.shape[-2:]) == tuple(place.frame)

    def _factors(self, spacing: Tensor | None) -> tuple[float | Tensor, float | Tensor] | None:
        given = self.spacing if spacing is None else spacing
        if self.spec.spacing is None or given is None:
            return None
        if isinstance(given, Tensor):
            return given[0] / _exact(self.spec.spacing[0], given), given[1] / _exact(self.spec.spacing[1], given)
        return given[0] / self.spec.spacing[0], given[1] / self.spec.spacing[1]

    def _rounded(self, pixels: Tensor) -> Tensor:
        """As the type of the image has it."""
        return pixels.round().clamp(self.lowest, self.highest) if self.whole else pixels

    def _channels(self, image: Tensor) -> Tensor:
        if self.spec.named:
            return image
        image = image[:, :3] if image.shape[1] == 4 else image
        if self.spec.channels == "gray":
            if image.shape[1] == 1:
                return image
            return self._gray(image)
        if image.shape[1] == 1:
            return image.expand(-1, 3, -1, -1)
        return image if self.spec.channels == "rgb" else image.flip(1)

    def _gray(self, image: Tensor) -> Tensor:
        """RGB as OpenCV turns it gray; of signed numbers as `InputSpec` does, which OpenCV does not know."""
        if self.kind in ("uint8", "uint16"):
            weights = torch.tensor(_LUMA, dtype=torch.int64, device=image.device).view(1, 3, 1, 1)
            total = (image.long() * weights).sum(1, keepdim=True) + (1 << (_LUMA_BITS - 1))
            return (total // (1 << _LUMA_BITS)).float()
        shares = torch.tensor(_FLOAT_LUMA, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
        return self._rounded((image * shares).sum(1, keepdim=True))

    @property
    def _values(self) -> Values:
        return "bytes" if self.kind == "uint8" else "whole" if self.whole else "floats"

    def _scaled(self, pixels: Tensor, inside: Tensor | None = None) -> Tensor:
        """By the rule, each image by itself, to [0, 1]. `inside`: bool h×w, the pixels that are measured; None: all."""
        low, high = self._limits(pixels, inside)
        least = _exact(LEAST, low)
        if not self.whole:
            least = _exact(LEAST, low) * torch.maximum(low.abs(), high.abs())
            least = least.clamp(min=torch.finfo(torch.float32).tiny)
        span = torch.maximum(high - low, least)
        from_low = torch.tensor([rule.from_low for rule in self._rules], device=pixels.device)[:, None, None]
        zero, at = torch.where(from_low, low, (low + high) / 2), torch.where(from_low, 0.0, 0.5)
        unit = (pixels - zero.float()) / span.float()
        return (unit + at).clamp(0, 1)

    @property
    def _rules(self) -> tuple[ChannelRule, ...]:
        """One for all channels of a slice and its neighbors, or one for each."""
        rules = self.spec.rules
        return rules if len(rules) == 1 else rules * self.spec.planes

    def _limits(self, pixels: Tensor, inside: Tensor | None) -> tuple[Tensor, Tensor]:
        """B×1×1×1 of each image over all channels, or B×C×1×1 of each where they are named; in double precision, since a large
        mean takes the digits of a small deviation."""
        values = pixels.flatten(2) if self.spec.named else pixels.flatten(1)[:, None]
        measured = torch.ones_like(values, dtype=torch.bool)
        if inside is not None:
            measured = inside.expand(pixels.shape).reshape(values.shape)
        rules = self._rules
        parts = zip(rules, values.chunk(len(rules), 1), measured.chunk(len(rules), 1), strict=True)
        found = [self._limits_by(rule, part, counted) for rule, part, counted in parts]
        low, high = (torch.cat(each, 1) for each in zip(*found, strict=True))
        return low[..., None, None], high[..., None, None]

    def _limits_by(self, rule: ChannelRule, values: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
        """Of B×C×pixels, each channel by itself."""
        if rule.rule == "percentile":
            ordered = torch.where(measured, values, torch.full_like(values, math.inf)).sort(-1).values
            count = measured[:1, :1].sum(-1).flatten()  # int64, the same for each image
            low, high = (_quantile(ordered, count, share).double() for share in _PERCENTILES)
            return low, high
        if rule.rule == "zscore" and rule.over != "volume":
            count, exact = measured.sum(-1).double(), values.double()
            nothing = torch.zeros_like(exact)
            mean = torch.where(measured, exact, nothing).sum(-1) / count
            away = torch.where(measured, exact - mean[..., None], nothing)
            reach = _exact(rule.clip or USUAL_CLIP, away) * ((away * away).sum(-1) / count).sqrt()
            return mean - reach, mean + reach
        sample = np.zeros((1, 1, 1), self.kind)
        bounds = rule.limits(sample, volume=self.spec.axis is not None, each=False)
        first, last = (_exact(float(bound), values).expand_as(values[..., 0]) for bound in bounds)
        return first, last


def _exact(number: float, like: Tensor) -> Tensor:
    """A number in double precision as a tensor: exporters round plain ones to single precision."""
    return torch.tensor(number, dtype=torch.float64, device=like.device)


def _quantile(ordered: Tensor, count: Tensor, thousandths: int) -> Tensor:
    """Of the first `count` numbers along the last axis, linear between order statistics (as numpy). The place is computed in whole
    numbers: single precision has none for the pixels of large images, and numbers of a graph's trace would be those of its size."""
    place = (count - 1) * thousandths
    below = place // 1000
    above = torch.minimum(below + 1, count - 1)
    share = (place - below * 1000).float() / 1000
    low, high = ordered.index_select(-1, below)[..., 0], ordered.index_select(-1, above)[..., 0]
    return low + share * (high - low)
