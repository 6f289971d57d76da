"""The torch twin of `InputSpec`: what numpy and OpenCV do to an image at prediction, as a module that can be exported.

Resizing is a product with one weight matrix per axis. The matrices follow OpenCV's definitions: area averaging where both
axes shrink, else linear interpolation; with its special sample positions where one axis shrinks and the other grows.
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

__all__ = ["Kind", "Preprocess"]

_LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in luma (ITU-R BT.601), as OpenCV has them."""


Kind = Literal["uint8", "uint16", "int16", "float32"]
"""Of the numbers of an image."""


class Preprocess(nn.Module):
    """An image as it is → the network's input.

    Equal to `InputSpec.to_unit(InputSpec.working_pixels(image))` up to OpenCV's fixed-point rounding: for `range` at most one gray
    level of the source's depth (1/255 or 1/65535) per pixel, two where a color image is turned to gray; for the other rules as
    much of the distance between their limits.

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
        parts = image.to(torch.float32).chunk(self.spec.planes, 1)
        pixels = self._fit(torch.cat([self._channels(part) for part in parts], 1))
        if self.spec.intensity == "range" or self.spec.scales_before_padding:
            return pixels / self.highest
        return self._scaled(pixels)

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
            weights = torch.tensor(_LUMA, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
            return self._rounded((image * weights).sum(1, keepdim=True))
        if image.shape[1] == 1:
            return image.expand(-1, 3, -1, -1)
        return image if self.spec.channels == "rgb" else image.flip(1)

    def _fit(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        placed = self.spec.placement(height, width, self.spacing)
        if placed is None:
            return self._rounded(_resize(image, self.spec.working_size(height, width, self.spacing)))
        top, left, inner_h, inner_w = placed
        bottom, right = self.spec.size[0] - top - inner_h, self.spec.size[1] - left - inner_w
        inner = self._rounded(_resize(image, (inner_h, inner_w)))
        if self.spec.scales_before_padding:
            inner = self._rounded(self._scaled(inner) * self.highest)
        return nn.functional.pad(inner, (left, right, top, bottom))

    def _scaled(self, pixels: Tensor) -> Tensor:
        """By the rule, each image by itself, to [0, 1]."""
        low, high = self._limits(pixels)
        least = torch.full_like(low, LEAST)
        if not self.whole:
            least = (LEAST * torch.maximum(low.abs(), high.abs())).clamp(min=torch.finfo(torch.float32).tiny)
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

    def _limits(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """B×1×1×1 of each image over all channels, or B×C×1×1 of each where they are named; in double precision, since a large
        mean takes the digits of a small deviation."""
        values = pixels.flatten(2) if self.spec.named else pixels.flatten(1)[:, None]
        rules = self._rules
        parts = values.chunk(len(rules), 1)
        found = [self._limits_by(rule, part) for rule, part in zip(rules, parts, strict=True)]
        low, high = (torch.cat(each, 1) for each in zip(*found, strict=True))
        return low[..., None, None], high[..., None, None]

    def _limits_by(self, rule: ChannelRule, values: Tensor) -> tuple[Tensor, Tensor]:
        """Of B×C×pixels, each channel by itself."""
        if rule.rule == "percentile":
            ordered = values.sort(-1).values
            return _quantile(ordered, 0.005).double(), _quantile(ordered, 0.995).double()
        if rule.rule == "zscore" and rule.over != "volume":
            mean, deviation = values.double().mean(-1), values.double().std(-1, correction=0)
            reach = (rule.clip or USUAL_CLIP) * deviation
            return mean - reach, mean + reach
        sample = np.zeros((1, 1, 1), self.kind)
        low, high = (float(limit) for limit in rule.limits(sample, volume=self.spec.axis is not None, each=False))
        return (
            torch.full_like(values[..., 0], low, dtype=torch.float64),
            torch.full_like(values[..., 0], high, dtype=torch.float64),
        )


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """…×H×W float → …×h×w as OpenCV resizes it where `InputSpec` asks it to (see above)."""
    given = (image.shape[-2], image.shape[-1])
    if given == size:
        return image
    shrinks = [new < old for new, old in zip(size, given, strict=True)]
    grows = [new > old for new, old in zip(size, given, strict=True)]
    kind = _area if any(shrinks) and not any(grows) else _mixed if any(shrinks) else _linear
    rows, columns = (kind(old, new).to(image) for new, old in zip(size, given, strict=True))
    return rows @ image @ columns.T


def _area(old: int, new: int) -> Tensor:
    """new×old: the share of each source pixel in each target pixel's area."""
    scale = old / new
    start = torch.arange(new, dtype=torch.float64)[:, None] * scale
    pixel = torch.arange(old, dtype=torch.float64)[None]
    overlap = torch.minimum(start + scale, pixel + 1) - torch.maximum(start, pixel)
    return overlap.clamp(min=0) / scale


def _linear(old: int, new: int) -> Tensor:
    """new×old: weights of the two nearest pixel centers; constant beyond the outermost centers."""
    position = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    return _between(position, old)


def _mixed(old: int, new: int) -> Tensor:
    """new×old: OpenCV's INTER_AREA where one axis grows: linear, blending only where a target pixel straddles two sources."""
    growth = new / old
    target = torch.arange(new, dtype=torch.float64)
    first = (target * (1 / growth)).floor()  # not old / new: rounding decides where this is a whole number
    blend = (
        (target + 1) - (first + 1) * growth
    ).float()  # whose rounding decides what is a whole number, and with it the pixel
    return _between((first + torch.where(blend <= 0, 0.0, blend - blend.floor())).clamp(0, old - 1), old)


def _between(position: Tensor, old: int) -> Tensor:
    pixel = torch.arange(old, dtype=torch.float64)[None]
    return (1 - (position[:, None] - pixel).abs()).clamp(min=0)


def _quantile(ordered: Tensor, share: float) -> Tensor:
    """Along the last axis, linear between order statistics (as numpy)."""
    place = share * (ordered.shape[-1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[-1] - 1)
    return torch.lerp(ordered[..., below], ordered[..., above], place - below)
