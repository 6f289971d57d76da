"""InputSpec: how the pixels of a file become the network's input. Training, prediction and export all go through it.

Two steps, so that the cache can hold the small result of the first in the source's own type:
`working_pixels` (channels, size) then `to_unit` (intensity rule → float32 in [0, 1]). What a rule measures is the image, never its
padding: where padding is added, all rules but `range` are applied before it, in the first step.
Mean/std and everything a paper does to the image are inside the method.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from delineate.common.errors import DataError
from delineate.data.core import intensity
from delineate.data.core.channel_rules import ChannelRule, limits_of_channels
from delineate.data.core.intensity import Limits, Rule, VolumeNumbers
from delineate.data.core.intensity import Pixels as Pixels  # who uses images finds their type here
from delineate.data.core.soft_mask import foreground_share, interpolated

__all__ = ["Fit", "InputSpec", "PixelSpacing", "Pixels", "Scale", "Value", "check_spacing_rule"]

Fit = Literal["stretch", "letterbox", "patch"]
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Value = Annotated[float, Field(allow_inf_nan=False)]
PixelSpacing = tuple[float, float]
"""Distances of an image's pixels in mm: from row to row, and from column to column."""
_Spacings = tuple[Scale, Scale]


_OPENCV_CHANNELS = 4
"""As many as OpenCV resizes at a time."""
_NUMBERS = ("window_level", "window_width", "zscore_clip")
"""What some intensity rules need."""


class InputSpec(BaseModel):
    """The network's input, as stored in recipes and artefacts.

    Example:
        >>> import numpy as np
        >>> from delineate.data.core.input_spec import InputSpec
        >>> spec = InputSpec(channels="gray", size=(64, 64), fit="letterbox")
        >>> pixels = spec.working_pixels(np.zeros((480, 640, 3), np.uint8))
        >>> pixels.shape, spec.to_unit(pixels).dtype
        ((64, 64, 1), dtype('float32'))
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Literal["rgb", "bgr", "gray"] | tuple[str, ...] = "rgb"
    """How pictures are seen; or the names of channels that are files of their own, in the network's order."""
    size: tuple[int, int] = (256, 256)
    """Working height and width in pixels; with `patch`, of a patch."""
    fit: Fit = "stretch"
    """`stretch`: to the working size whatever the aspect ratio (the literature's habit); `letterbox`: keep it and pad;
    `patch`: the image stays at its own resolution times `scale`, and the network sees patches of `size` (`augment.patches`)."""
    scale: Scale = 1.0
    """With `patch`: factor on the image's height and width before patches are cut."""
    spacing: tuple[Scale, Scale] | None = None
    """With `letterbox` and `patch`: the distances of pixels in mm, from row to row and from column to column, that each image is
    resampled to, so that anatomy has one scale; None: pixels are seen as they are. With `letterbox` what is smaller than the frame
    is not enlarged, and only what is larger than it is shrunk."""
    intensity: Rule | tuple[ChannelRule, ...] = "range"
    """`range`: divide by the type's maximum (255, 65535); `percentile`: per image, 0.5th → 0 and 99.5th → 1; `window`: level ∓ half
    the width → 0 and 1; `zscore`: per image, mean ∓ `zscore_clip` standard deviations → 0 and 1 (`data.core.intensity`). Named
    channels may have a rule each, in their order, with its own numbers."""
    window_level: Value | None = None
    """With `window`: the middle, in the images' values, which becomes ½."""
    window_width: Scale | None = None
    zscore_clip: Scale | None = None
    """With `zscore`; None: 3. Recipes state it once they are settled."""
    zscore_over: Literal["image", "volume"] = "image"
    """With `zscore`: what mean and standard deviation are of, the slice or all of its volume."""
    trained_lows: tuple[float, float] | None = None
    """With `window`, of volumes: the least and the greatest of the 0.5th percentiles of the training volumes, in the files' values,
    so that prediction can say when it is given other values. None: not measured."""
    trained_highs: tuple[float, float] | None = None
    """The same of the 99.5th percentiles."""
    modality: str | None = None
    """What made all of the training volumes (CT, MR), where their files or a `dataset.json` say it, so that prediction can say when
    it is given another one. None: not known, several, or pictures."""
    source_bits: Literal[8, 16, 32] = 8
    """Bit depth of the training images, so that prediction can say when it is given another kind. 32: pictures of floats or signed
    numbers, with the values of their files."""
    padding_counts: bool = False
    """Whether percentiles count the letterbox's padding: models of the first release have learned so. False for all new ones."""
    axis: Literal[0, 1, 2] | None = None
    """Across the slices of volumes that the network was trained on, in the canonical order (`data.formats.canonical`); None: it
    was trained on pictures."""
    all_axes: bool = False
    """Whether slices across all three axes were trained on: prediction then averages the probabilities of the three."""
    trained_spacing: tuple[_Spacings, _Spacings, _Spacings] | None = None
    """Of the volumes that the network was trained on: the narrowest and the widest spacing along each axis in mm, in the canonical
    order, so that prediction can say when it is given another kind. None: not known, or it was trained on pictures."""
    placed: bool | None = None
    """Whether the volumes that the network was trained on tell where in the patient they lie, so that prediction can say when one
    does not. None: not known, some do, or it was trained on pictures."""
    neighbors: Annotated[int, Field(ge=0, le=8)] = 0
    """Of volumes: so many slices before a slice, and as many behind it, are further channels; at the ends the last is repeated."""

    @model_validator(mode="after")
    def _rule_and_its_numbers(self) -> Self:
        rule = self.intensity if isinstance(self.intensity, str) else "by channel"
        intensity.check_rule(rule, self.window_level, self.window_width, self.zscore_clip)
        if not isinstance(self.intensity, str):
            if not self.named or len(self.intensity) != len(self.channels):
                raise ValueError(f"{len(self.intensity)} intensity rules for the channels {self.kind}")
            if any(rule.open for rule in self.intensity):
                raise ValueError("the intensity rule of each channel is settled, with the numbers of its window")
        check_spacing_rule(self.spacing, self.fit, self.scale)
        return self

    @property
    def in_channels(self) -> int:
        each = {"gray": 1, "rgb": 3, "bgr": 3}[self.channels] if isinstance(self.channels, str) else len(self.channels)
        return each * self.planes

    @property
    def planes(self) -> int:
        """Slices that the network sees at once."""
        return 2 * self.neighbors + 1

    @property
    def colored(self) -> bool:
        """Whether channels are colors, which augmentation may mix."""
        return not self.named and not self.neighbors

    @property
    def named(self) -> bool:
        """Whether channels have names; each then has limits of its own."""
        return not isinstance(self.channels, str)

    @property
    def kind(self) -> str:
        """The channels for people: 'rgb', or 'T1 + FLAIR'."""
        return self.channels if isinstance(self.channels, str) else " + ".join(self.channels)

    @property
    def scales_before_padding(self) -> bool:
        """Whether `working_pixels` applies the rule, since `to_unit` could not tell the image from its padding."""
        return self.fit == "letterbox" and self.intensity != "range" and not self.padding_counts

    @property
    def rules(self) -> tuple[ChannelRule, ...]:
        """Of each channel of a slice; one where they are alike."""
        if not isinstance(self.intensity, str):
            return self.intensity
        over = self.zscore_over if self.intensity == "zscore" else None
        return (
            ChannelRule(
                rule=self.intensity,
                level=self.window_level,
                width=self.window_width,
                clip=self.zscore_clip,
                over=over,
            ),
        )

    def rule_of(self, channel: int) -> ChannelRule:
        """The intensity rule of one channel.

        Args:
            channel: from 0.

        Returns:
            Its own, or that of all.
        """
        return self.rules[channel % len(self.rules)]

    @property
    def volume_numbers(self) -> VolumeNumbers:
        """What slices of volumes come as; all but bytes are float32."""
        numbers = tuple(rule.numbers for rule in self.rules)
        return numbers[0] if len(set(numbers)) == 1 else numbers

    @property
    def rule(self) -> dict[str, Any]:
        """The intensity rule with its numbers, in plain types: names what is derived from pixels in [0, 1]."""
        return self.model_dump(include={"intensity", *_NUMBERS}, exclude_none=True)

    @property
    def rule_words(self) -> str:
        """What becomes 0…1, for the user. Slices of volumes mostly come as bytes, scaled by their volume (`volume_numbers`)."""
        words = [rule.words(volume=self.axis is not None) for rule in self.rules]
        if isinstance(self.intensity, str):
            return words[0]
        return "; ".join(f"{name}: {one}" for name, one in zip(self.channels, words, strict=True))

    @property
    def decisive(self) -> set[str]:
        """The fields that `working_pixels`, `working_mask` and `limits_for_patches` depend on: what caches go by."""
        measured = self.fit == "patch" and self._own_limits
        scaled = set(self.rule) if self.scales_before_padding or measured else set()
        spaced = set() if self.spacing is None else {"spacing"}
        size = "scale" if self.fit == "patch" else "size"
        return {"channels", "fit", "source_bits", "neighbors", size} | scaled | spaced

    def working_pixels(self, image: Pixels, spacing: PixelSpacing | None = None) -> Pixels:
        """An image at the working size.

        Args:
            image: H×W or H×W×C (1, 3 or 4 in RGB order; or the named channels). With `neighbors`, those of each slice in turn.
            spacing: of the image's pixels, in mm; not used unless the specification has one.

        Returns:
            height×width×in_channels, of the same type.

        Raises:
            DataError: a number of channels that the network cannot take, or an unknown spacing where it matters.
        """
        pixels = self.as_channels(image)
        placed = self.placement(image.shape[0], image.shape[1], spacing)
        if placed is None:
            return _area_or_linear(pixels, self.working_size(image.shape[0], image.shape[1], spacing))
        top, left, height, width = placed
        inner = _area_or_linear(pixels, (height, width))
        result = np.zeros((*self.size, inner.shape[2]), inner.dtype)
        if self.scales_before_padding:
            inner = intensity.stored(self._scaled(inner, self.limits(inner)), inner.dtype)
        result[top : top + height, left : left + width] = inner
        return result

    def as_channels(self, image: Pixels) -> Pixels:
        """The channels that the network takes, at the image's own size.

        Args:
            image: as for `working_pixels`.

        Returns:
            H×W×in_channels, in a type that can be resized.

        Raises:
            DataError: as `working_pixels`, for its channels.
        """
        return _planes(intensity.usable(image), self.channels, self.planes)

    def working_mask(self, mask: NDArray[np.uint8], spacing: PixelSpacing | None = None) -> NDArray[np.uint8]:
        """A mask at the working size, by nearest neighbor.

        Args:
            mask: class indices H×W.
            spacing: as for `working_pixels`.

        Returns:
            Class indices height×width; the padding of a letterbox is ignored (255).
        """
        placed = self.placement(mask.shape[0], mask.shape[1], spacing)
        if placed is None:
            return _nearest(mask, self.working_size(mask.shape[0], mask.shape[1], spacing))
        top, left, height, width = placed
        result = np.full(self.size, 255, np.uint8)
        result[top : top + height, left : left + width] = _nearest(mask, (height, width))
        return result

    def soft_mask(self, mask: NDArray[np.uint8], spacing: PixelSpacing | None = None) -> NDArray[np.uint8]:
        """A mask at the working size, by linear interpolation: the foreground's share of each pixel (`data.core.soft_mask`).

        Args:
            mask: class indices H×W.
            spacing: as for `working_pixels`.

        Returns:
            Shares height×width, 255 = all of the pixel; 0 in the padding of a letterbox.
        """
        height, width = mask.shape
        top, left, *inner = self._placed(height, width, spacing)
        size = (inner[1], inner[0])
        share = interpolated(
            foreground_share(mask),
            mask != 255,
            lambda values, _: cv2.resize(values, size, interpolation=cv2.INTER_LINEAR),
        )
        result = np.zeros(self.working_size(height, width, spacing), np.uint8)
        result[top : top + inner[0], left : left + inner[1]] = share
        return result

    def zoom(self, height: int, width: int, spacing: PixelSpacing | None = None) -> tuple[float, float]:
        """By which factors an image's height and width become those at the working size.

        Args:
            height: of the image, in pixels.
            width: of the image.
            spacing: as for `working_pixels`.

        Returns:
            Pixels of the network's input per pixel of the image, along height and width.
        """
        _, _, *inner = self._placed(height, width, spacing)
        return inner[0] / height, inner[1] / width

    def working_size(self, height: int, width: int, spacing: PixelSpacing | None = None) -> tuple[int, int]:
        """What an image is brought to: `size`; with `patch`, its own size times `scale`, or at the specification's spacing.

        Args:
            height: of the image, in pixels.
            width: of the image.
            spacing: as for `working_pixels`.

        Returns:
            Height and width in pixels.
        """
        if self.fit != "patch":
            return self.size
        down, across = self._factors(spacing) or (self.scale, self.scale)
        return max(1, round(height * down)), max(1, round(width * across))

    def exceeds(self, height: int, width: int, spacing: PixelSpacing | None) -> tuple[int, int] | None:
        """Whether an image at the specification's spacing is larger than the frame of `letterbox`.

        Args:
            height: of the image, in pixels.
            width: of the image.
            spacing: as for `working_pixels`.

        Returns:
            Height and width that it would have; None where it fits.
        """
        factors = self._factors(spacing)
        if factors is None or self.fit != "letterbox":
            return None
        wanted = round(height * factors[0]), round(width * factors[1])
        return wanted if wanted[0] > self.size[0] or wanted[1] > self.size[1] else None

    def limits(self, pixels: Pixels) -> Limits:
        """The values that become 0 and 1. Whoever cuts patches from an image asks before.

        Args:
            pixels: of the image at the working size, h×w×C.

        Returns:
            Low and high.
        """
        if isinstance(self.intensity, str):
            return self.rules[0].limits(pixels, volume=False, each=self.named)
        return limits_of_channels(self.intensity * self.planes, pixels, volume=self.axis is not None)

    @property
    def _own_limits(self) -> bool:
        """Whether patches need other limits of their image than its percentiles."""
        return self.intensity == "zscore" or not isinstance(self.intensity, str)

    def limits_for_patches(self, pixels: Pixels) -> Limits:
        """What is kept of a whole image for its patches: its percentiles, which one cache has for all rules that need no others.

        Args:
            pixels: of the image at the working size, h×w×C.

        Returns:
            Low and high.
        """
        return self.limits(pixels) if self._own_limits else intensity.percentiles(pixels, each=self.named)

    def to_unit(self, pixels: Pixels, limits: Limits | None = None) -> NDArray[np.float32]:
        """Apply the intensity rule.

        Args:
            pixels: at the working size, h×w×C.
            limits: of the whole image that `pixels` are a patch of (`limits_for_patches`); None: `pixels` are the image.

        Returns:
            float32 in [0, 1], of the same shape.

        Raises:
            DataError: pixels that the rule has no meaning for.
        """
        if self.scales_before_padding:
            return intensity.restored(pixels)
        if self.intensity == "range":
            return intensity.of_range(pixels)
        if limits is None or self.intensity == "window":
            limits = self.limits(pixels)
        return self._scaled(pixels, limits)

    def _scaled(self, pixels: Pixels, limits: Limits) -> NDArray[np.float32]:
        if not isinstance(self.intensity, str):
            return intensity.by_channel(pixels, limits, [rule.from_low for rule in self.intensity] * self.planes)
        by = intensity.from_low if self.intensity == "percentile" else intensity.from_middle
        return by(pixels, limits)

    def placement(
        self, height: int, width: int, spacing: PixelSpacing | None = None
    ) -> tuple[int, int, int, int] | None:
        """Where an image lies in the working frame.

        Args:
            height: of the image, in pixels.
            width: of the image.
            spacing: as for `working_pixels`.

        Returns:
            (top, left, height, width) in pixels; None when it fills the frame.
        """
        if self.fit != "letterbox":
            return None
        factors = self._factors(spacing)
        down, across = factors or (1.0, 1.0)
        scale = min(self.size[0] / (height * down), self.size[1] / (width * across))
        if factors is not None:
            scale = min(scale, 1.0)
        inner_h = min(self.size[0], max(1, round(height * down * scale)))
        inner_w = min(self.size[1], max(1, round(width * across * scale)))
        return (self.size[0] - inner_h) // 2, (self.size[1] - inner_w) // 2, inner_h, inner_w

    def _placed(self, height: int, width: int, spacing: PixelSpacing | None) -> tuple[int, int, int, int]:
        return self.placement(height, width, spacing) or (0, 0, *self.working_size(height, width, spacing))

    def _factors(self, spacing: PixelSpacing | None) -> tuple[float, float] | None:
        """By which height and width become those at the specification's spacing; None where it has none."""
        if self.spacing is None:
            return None
        if spacing is None:
            raise DataError(
                f"the model sees pixels of {self.spacing[0]:g}×{self.spacing[1]:g} mm, and this image does not tell how large its "
                "own are: give it volumes, or use a model without input.spacing"
            )
        return spacing[0] / self.spacing[0], spacing[1] / self.spacing[1]


def check_spacing_rule(spacing: object, fit: Fit, scale: float) -> None:
    """Refuse a spacing that the size rule would undo, or that contradicts another factor.

    Args:
        spacing: of an input specification; None: there is none.
        fit: its size rule.
        scale: its factor on images.

    Raises:
        ValueError: `fit` is `stretch`, or `scale` is not 1.

    Example:
        >>> from delineate.data.core.input_spec import check_spacing_rule
        >>> check_spacing_rule((0.8, 0.8), "letterbox", 1.0)
    """
    if spacing is None:
        return
    if fit == "stretch":
        raise ValueError(
            "spacing needs fit=letterbox or fit=patch: stretch brings every image to the same pixels, whatever their spacing"
        )
    if scale != 1:
        raise ValueError("spacing and scale are both factors on the image's size; leave one out")


def _planes(image: Pixels, wanted: str | tuple[str, ...], number: int) -> Pixels:
    """Of each of `number` slices its channels as the network takes them."""
    if number == 1:
        return _channels(image, wanted)
    if image.ndim == 2 or image.shape[2] % number:
        raise DataError(
            f"the model sees {number} neighboring slices of a volume at once, and this image is a single one: give it volumes"
        )
    return np.concatenate([_channels(part, wanted) for part in np.split(image, number, axis=2)], axis=2)


def _channels(image: Pixels, wanted: str | tuple[str, ...]) -> Pixels:
    if image.ndim == 2:
        image = image[..., None]
    count = image.shape[2]
    if not isinstance(wanted, str):
        if count != len(wanted):
            raise DataError(f"the model takes the channels {', '.join(wanted)}, and this image has {count}")
        return image
    if count not in (1, 3, 4):
        raise DataError(
            f"images with {count} channels are neither gray, RGB nor RGBA, and this model takes {wanted} images"
        )
    image = image[..., : 3 if count == 4 else count]
    if wanted == "gray":
        return image if image.shape[2] == 1 else _gray(image)
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return image if wanted == "rgb" else np.ascontiguousarray(image[..., ::-1])


def _gray(image: Pixels) -> Pixels:
    if image.dtype == np.int16:  # unknown to OpenCV's conversion
        return np.rint(_gray(image.astype(np.float32))).astype(np.int16)
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]


def _area_or_linear(image: Pixels, size: tuple[int, int]) -> Pixels:
    if image.shape[:2] == size:
        return image
    if image.shape[2] > _OPENCV_CHANNELS:
        parts = range(0, image.shape[2], _OPENCV_CHANNELS)
        return np.concatenate([_area_or_linear(image[..., at : at + _OPENCV_CHANNELS], size) for at in parts], axis=2)
    shrinking = size[0] < image.shape[0] or size[1] < image.shape[1]
    result = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return result.reshape(*size, image.shape[2])


def _nearest(mask: NDArray[np.uint8], size: tuple[int, int]) -> Any:
    if mask.shape == size:
        return mask
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
