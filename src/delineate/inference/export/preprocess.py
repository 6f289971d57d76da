"""The torch twin of `InputSpec`: what numpy and OpenCV do to an image at prediction, as a module that can be exported.

Resizing is a product with one weight matrix per axis. The matrices follow OpenCV's definitions: area averaging where both
axes shrink, else linear interpolation; with its special sample positions where one axis shrinks and the other grows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from delineate.data.core.input_spec import InputSpec

GREY = (0.299, 0.587, 0.114)
"""Weights of R, G, B in luma (ITU-R BT.601), as OpenCV has them."""


class Preprocess(nn.Module):
    """An image as it is → the network's input.

    Equal to `InputSpec.to_unit(InputSpec.working_pixels(image))` up to OpenCV's fixed-point rounding: for `range` at most one grey
    level of the source's depth (1/255 or 1/65535) per pixel, two where a colour image is turned to grey; for `percentile` as much
    of the image's range.

    With `patch` it stops where that ends, too: the whole image at its resolution times `scale`, of any size. Cutting it into tiles,
    mirroring what is smaller than a tile, and blending the tiles' probabilities are not part of it (`inference.tiles`).
    """

    def __init__(self, spec: InputSpec, bits: int = 8) -> None:
        """`bits`: depth of the images that will be given, 8 or 16."""
        super().__init__()
        self.spec = spec
        self.maximum = float(2**bits - 1)

    def forward(self, image: Tensor) -> Tensor:
        """B×C×H×W in 0…2**bits − 1, any type, C of 1, 3 or 4 (RGB order) → float32 B×in_channels×h×w in [0, 1]."""
        pixels = self._channels(image.to(torch.float32))
        pixels = self._fit(pixels).round().clamp(0, self.maximum)
        scaled = self.spec.intensity == "range" or self.spec.scales_before_padding
        return pixels / self.maximum if scaled else _percentile(pixels)

    def _channels(self, image: Tensor) -> Tensor:
        image = image[:, :3] if image.shape[1] == 4 else image
        if self.spec.channels == "grey":
            if image.shape[1] == 1:
                return image
            weights = torch.tensor(GREY, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
            return (image * weights).sum(1, keepdim=True).round()
        if image.shape[1] == 1:
            return image.expand(-1, 3, -1, -1)
        return image if self.spec.channels == "rgb" else image.flip(1)

    def _fit(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        placed = self.spec.placement(height, width)
        if placed is None:
            return resize(image, self.spec.working_size(height, width))
        top, left, inner_h, inner_w = placed
        bottom, right = self.spec.size[0] - top - inner_h, self.spec.size[1] - left - inner_w
        inner = resize(image, (inner_h, inner_w)).round()
        if self.spec.scales_before_padding:
            inner = (_percentile(inner.clamp(0, self.maximum)) * self.maximum).round()
        return nn.functional.pad(inner, (left, right, top, bottom))


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
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
    """new×old: weights of the two nearest pixel centres; constant beyond the outermost centres."""
    position = ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    return _between(position, old)


def _mixed(old: int, new: int) -> Tensor:
    """new×old: OpenCV's INTER_AREA where one axis grows: linear, blending only where a target pixel straddles two sources."""
    growth = new / old
    target = torch.arange(new, dtype=torch.float64)
    first = (target * (1 / growth)).floor()  # not old / new: rounding decides where this is a whole number
    blend = (target + 1) - (first + 1) * growth
    return _between((first + torch.where(blend <= 0, 0.0, blend - blend.floor())).clamp(0, old - 1), old)


def _between(position: Tensor, old: int) -> Tensor:
    pixel = torch.arange(old, dtype=torch.float64)[None]
    return (1 - (position[:, None] - pixel).abs()).clamp(min=0)


def _percentile(pixels: Tensor) -> Tensor:
    """0.5th → 0 and 99.5th percentile → 1, per image over all channels, linear between order statistics (as numpy)."""
    ordered = pixels.flatten(1).sort(1).values
    low, high = (_quantile(ordered, share) for share in (0.005, 0.995))
    span = (high - low).clamp(min=1e-6)
    return ((pixels - low.view(-1, 1, 1, 1)) / span.view(-1, 1, 1, 1)).clamp(0, 1)


def _quantile(ordered: Tensor, share: float) -> Tensor:
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    return torch.lerp(ordered[:, below], ordered[:, above], place - below)
