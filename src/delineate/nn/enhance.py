"""Contrast enhancement of images in [0, 1]: logarithm, gamma, CLAHE, histogram equalization. Deterministic, batched on the
images' device, part of the network's graph.

The histogram methods quantize to 256 gray levels and follow OpenCV's `equalizeHist` and `CLAHE` step by step, except that
their results are not rounded to gray levels again. On 8-bit images they differ from OpenCV's by at most half a level (global)
and one level (CLAHE). Brightness that is not a multiple of 1/255 may fall to the other side of a histogram bin than in a
computation with other rounding.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.blocks import known
from delineate.nn.luminance import luminance

__all__ = ["BINS", "Enhance", "EnhanceOptions", "clahe", "equalize", "logarithm"]

_EnhanceKind = Literal["log", "gamma", "clahe", "equalize", "identity"]
_ColorRule = Literal["channels", "luminance"]
BINS = 256
"""Gray levels of the histogram methods."""


class EnhanceOptions(BaseModel):
    """Which enhancement, and its constants."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: _EnhanceKind = Field("log", description="how the image is enhanced; identity leaves it as it is")
    gamma: float = Field(0.22, gt=0, description="exponent of kind gamma")
    clip: float = Field(2.0, gt=0, description="clip limit of CLAHE, in multiples of an even histogram")
    tiles: int = Field(8, ge=1, description="CLAHE's tiles along each axis")
    color: _ColorRule = Field(
        "channels",
        description="color images: each channel by itself, or the luminance, with the color differences kept",
    )


class Enhance(nn.Module):
    """B×C×H×W in [0, 1] → the same, enhanced as the options say.

    `luminance` enhances Y (BT.601; with other than three channels their mean) and adds E(Y) − Y to every channel, bounded to
    [0, 1]. For one channel both color rules are the same.
    """

    def __init__(self, options: EnhanceOptions) -> None:
        super().__init__()
        self.options = options

    def forward(self, image: Tensor) -> Tensor:
        if self.options.color == "channels" or image.shape[1] == 1:
            return self._enhanced(image)
        light = luminance(image)
        return (image + self._enhanced(light) - light).clamp(0, 1)

    def _enhanced(self, image: Tensor) -> Tensor:
        options = self.options
        match options.kind:
            case "log":
                return logarithm(image)
            case "gamma":
                return image.clamp(0, 1) ** options.gamma
            case "clahe":
                return clahe(image, clip=options.clip, tiles=options.tiles)
            case "equalize":
                return equalize(image)
            case "identity":
                return image


def logarithm(image: Tensor) -> Tensor:
    """ln(1 + 255·r) / ln 256 of each value r: 0 and 1 stay, dark values between are spread out."""
    return torch.log1p(255 * image.clamp(0, 1)) / math.log(256)


def equalize(image: Tensor) -> Tensor:
    """Histogram equalization of each image and channel: B×C×H×W in [0, 1] → the same.

    (cdf − cdf₀) / (pixels − cdf₀) with cdf₀ the count of the darkest level that occurs; an image of one level stays.
    """
    planes = _levels(image).flatten(0, 1).flatten(1)
    cumulative = _histogram(planes).cumsum(1, dtype=torch.int32)
    pixels = planes.shape[1]
    darkest = torch.where(cumulative > 0, cumulative, pixels).amin(1, keepdim=True)
    table = (cumulative - darkest).clamp_min(0) / (pixels - darkest).clamp_min(1)
    unchanged = torch.arange(BINS, device=image.device) / (BINS - 1)
    table = torch.where(darkest == pixels, unchanged, table)
    return table.gather(1, planes).view(image.shape).to(image.dtype)


def clahe(image: Tensor, *, clip: float = 2.0, tiles: int = 8) -> Tensor:
    """Contrast-limited adaptive histogram equalization (Zuiderveld, Graphics Gems IV, 1994) of each image and channel:
    B×C×H×W in [0, 1] → the same, as OpenCV's `createCLAHE(clip, (tiles, tiles))`.

    Each tile's histogram is cut off at `clip` times its mean, what was cut off is spread evenly, and each pixel is mapped by its
    four nearest tiles' cumulative histograms, interpolated bilinearly. Sizes that `tiles` does not divide are mirrored to the
    next size that it does.

    Raises:
        ValueError: The image is too small to be mirrored, or its size is a symbol of a graph for any size.
    """
    height, width = image.shape[-2:]
    if not known(height, width):
        raise ValueError("CLAHE is exported for one size alone")
    levels = _levels(_to_tiles(image, tiles))
    padded_height, padded_width = levels.shape[-2:]
    tile = (padded_height // tiles, padded_width // tiles)
    by_tile = levels.view(-1, tiles, tile[0], tiles, tile[1]).transpose(2, 3).reshape(-1, tile[0] * tile[1])
    histogram = _clipped(_histogram(by_tile), max(int(clip * by_tile.shape[1] / BINS), 1))
    tables = histogram.cumsum(1, dtype=torch.int32) / by_tile.shape[1]
    mapped = _interpolated(
        tables.view(-1, tiles * tiles * BINS), levels[..., :height, :width].flatten(0, 1), tile=tile, tiles=tiles
    )
    return mapped.view(image.shape).to(image.dtype)


def _levels(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * (BINS - 1)).round().long()


def _histogram(rows: Tensor) -> Tensor:
    """Levels N×pixels → counts N×256 (whole numbers, so that the order of additions on a GPU does not matter)."""
    ones = torch.ones_like(rows, dtype=torch.int32)
    return torch.zeros(rows.shape[0], BINS, dtype=torch.int32, device=rows.device).scatter_add(1, rows, ones)


def _to_tiles(image: Tensor, tiles: int) -> Tensor:
    """Mirror the lower and right edge (the edge pixel once) until `tiles` divides both sides. Where it divides one side only,
    OpenCV adds `tiles` pixels to that one too, and so does this."""
    height, width = image.shape[-2:]
    if known(height, width) and height % tiles == 0 and width % tiles == 0:
        return image
    bottom, right = tiles - height % tiles, tiles - width % tiles
    if bottom >= height or right >= width:
        raise ValueError(f"CLAHE with {tiles}×{tiles} tiles needs images larger than {height}×{width}")
    return F.pad(image, (0, right, 0, bottom), mode="reflect")


def _clipped(histogram: Tensor, limit: int) -> Tensor:
    """Cut counts off at `limit` and spread the surplus: the same to all bins, the remainder to bins at even steps."""
    surplus = (histogram - limit).clamp_min(0).sum(1, keepdim=True, dtype=torch.int32)
    share = surplus // BINS
    remainder = surplus - share * BINS
    step = (BINS // remainder.clamp_min(1)).clamp_min(1)
    bins = torch.arange(BINS, dtype=torch.int32, device=histogram.device)
    extra = (bins % step == 0) & (bins // step < remainder)
    return histogram.clamp_max(limit) + share + extra.to(torch.int32)


def _interpolated(tables: Tensor, levels: Tensor, *, tile: tuple[int, int], tiles: int) -> Tensor:
    """Look each pixel up in the tables of its four nearest tiles: tables N×(tiles²·256), levels N×H×W → N×H×W."""
    top, bottom, down = _neighbors(levels.shape[1], tile[0], tiles, levels.device)
    left, right, across = _neighbors(levels.shape[2], tile[1], tiles, levels.device)

    def look_up(row: Tensor, column: Tensor) -> Tensor:
        index = (row[:, None] * tiles + column) * BINS + levels
        return tables.gather(1, index.flatten(1)).view(levels.shape)

    upper = torch.lerp(look_up(top, left), look_up(top, right), across)
    lower = torch.lerp(look_up(bottom, left), look_up(bottom, right), across)
    return torch.lerp(upper, lower, down[:, None])


def _neighbors(length: int, tile: int, tiles: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Of each pixel along an axis: the tile centered before it, the one after it, and how far it is between the two."""
    position = torch.arange(length, dtype=torch.float32, device=device) / tile - 0.5
    before = position.floor()
    index = before.long()
    return index.clamp_min(0), (index + 1).clamp_max(tiles - 1), position - before
