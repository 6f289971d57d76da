"""InputSpec: how the pixels of a file become the network's input. Training, prediction and export all go through it.

Two steps, so that the cache can hold the small result of the first in the source's own type:
`working_pixels` (channels, size) then `to_unit` (intensity rule → float32 in [0, 1]). Percentiles are those of the image: where
padding is added, they are applied before it, in the first step.
Mean/std and everything a paper does to the image are inside the method.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from delineate.common.errors import DataError

Pixels = NDArray[Any]
"""An image in its source's own type: uint8 or uint16."""

Fit = Literal["stretch", "letterbox", "patch"]
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Limits = tuple[float, float]
"""Pixel values that become 0 and 1."""


class InputSpec(BaseModel):
    """The network's input, as stored in recipes and artefacts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal["rgb", "bgr", "grey"] = "rgb"
    size: tuple[int, int] = (256, 256)
    """Working height and width in pixels; of a window with `patch`."""
    fit: Fit = "stretch"
    """`stretch`: to the working size whatever the aspect ratio (the literature's habit); `letterbox`: keep it and pad;
    `patch`: the image stays at its own resolution times `scale`, and the network sees windows of `size` (`augment.windows`)."""
    scale: Scale = 1.0
    """With `patch`: factor on the image's height and width before windows are cut."""
    intensity: Literal["range", "percentile"] = "range"
    """`range`: divide by the type's maximum (255, 65535); `percentile`: per image, 0.5th → 0 and 99.5th → 1."""
    source_bits: Literal[8, 16] = 8
    """Bit depth of the training images, so that prediction can say when it is given another kind."""
    padding_counts: bool = False
    """Whether percentiles count the letterbox's padding: models of the first release have learned so. False for all new ones."""
    axis: Literal[0, 1, 2] | None = None
    """Across the slices of volumes that the network was trained on, in the canonical order (`data.formats.canonical`); None: it
    was trained on pictures."""

    @property
    def in_channels(self) -> int:
        return 1 if self.channels == "grey" else 3

    @property
    def scales_before_padding(self) -> bool:
        """Whether `working_pixels` applies the percentiles, since `to_unit` could not tell the image from its padding."""
        return self.fit == "letterbox" and self.intensity == "percentile" and not self.padding_counts

    @property
    def decisive(self) -> set[str]:
        """The fields that `working_pixels` and `working_mask` depend on: what caches go by."""
        scaled = {"intensity"} if self.scales_before_padding else set()
        return {"channels", "fit", "source_bits", "scale" if self.fit == "patch" else "size"} | scaled

    def working_pixels(self, image: Pixels) -> Pixels:
        """H×W or H×W×C (1, 3 or 4, RGB order) → height×width×in_channels, same type."""
        pixels = _channels(image, self.channels)
        placed = self.placement(image.shape[0], image.shape[1])
        if placed is None:
            return _area_or_linear(pixels, self.working_size(image.shape[0], image.shape[1]))
        top, left, height, width = placed
        inner = _area_or_linear(pixels, (height, width))
        result = np.zeros((*self.size, inner.shape[2]), inner.dtype)
        result[top : top + height, left : left + width] = _stretched(inner) if self.scales_before_padding else inner
        return result

    def working_mask(self, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Class indices H×W → height×width, nearest neighbour; letterbox padding is ignored (255)."""
        placed = self.placement(mask.shape[0], mask.shape[1])
        if placed is None:
            return _nearest(mask, self.working_size(mask.shape[0], mask.shape[1]))
        top, left, height, width = placed
        result = np.full(self.size, 255, np.uint8)
        result[top : top + height, left : left + width] = _nearest(mask, (height, width))
        return result

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a height×width image is brought to: `size`, but with `patch` its own times `scale`."""
        if self.fit != "patch":
            return self.size
        return max(1, round(height * self.scale)), max(1, round(width * self.scale))

    def to_unit(self, pixels: Pixels, limits: Limits | None = None) -> NDArray[np.float32]:
        """Working pixels → float32 in [0, 1], same shape. `limits`: those of the whole image that `pixels` are a window of."""
        if self.intensity == "range" or self.scales_before_padding:
            return np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)
        return _between(pixels, limits or percentiles(pixels))

    def placement(self, height: int, width: int) -> tuple[int, int, int, int] | None:
        """Where a height×width image lies in the working frame: (top, left, height, width); None when it fills it."""
        if self.fit != "letterbox":
            return None
        scale = min(self.size[0] / height, self.size[1] / width)
        inner_h = min(self.size[0], max(1, round(height * scale)))
        inner_w = min(self.size[1], max(1, round(width * scale)))
        return (self.size[0] - inner_h) // 2, (self.size[1] - inner_w) // 2, inner_h, inner_w


def percentiles(pixels: Pixels) -> Limits:
    """The limits of the `percentile` rule: an image's 0.5th and 99.5th percentile, over all channels."""
    low, high = np.percentile(pixels, (0.5, 99.5))
    return float(low), float(high)


def _between(pixels: Pixels, limits: Limits) -> NDArray[np.float32]:
    low, high = limits
    scale = 1.0 / max(high - low, 1e-6)
    return np.clip((pixels.astype(np.float32) - np.float32(low)) * np.float32(scale), 0, 1)


def _stretched(pixels: Pixels) -> Pixels:
    """By the `percentile` rule to the whole range of the type, which costs half a level of it by rounding."""
    full = np.float32(np.iinfo(pixels.dtype).max)
    return np.rint(_between(pixels, percentiles(pixels)) * full).astype(pixels.dtype)


def _channels(image: Pixels, wanted: str) -> Pixels:
    if image.ndim == 2:
        image = image[..., None]
    count = image.shape[2]
    if count not in (1, 3, 4):
        raise DataError(f"images with {count} channels are not supported yet; use grey, RGB or RGBA")
    image = image[..., : 3 if count == 4 else count]
    if wanted == "grey":
        return image if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image if wanted == "rgb" else np.ascontiguousarray(image[..., ::-1])


def _area_or_linear(image: Pixels, size: tuple[int, int]) -> Pixels:
    if image.shape[:2] == size:
        return image
    shrinking = size[0] < image.shape[0] or size[1] < image.shape[1]
    result = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return result.reshape(*size, image.shape[2])


def _nearest(mask: NDArray[np.uint8], size: tuple[int, int]) -> Any:
    if mask.shape == size:
        return mask
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
