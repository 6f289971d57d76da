"""The recipe's sections `data` and `input`: where samples come from, and how their pixels become the network's input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from delineate.common.errors import DataError
from delineate.data.core.axes import AxisChoice, axis_choice
from delineate.data.core.channel_rules import ChannelRule, channel_rules
from delineate.data.core.input_spec import Fit, Scale, check_spacing_rule
from delineate.data.core.intensity import check_rule
from delineate.data.core.regions import WantedRegions
from delineate.data.loading.loader import Sampling

__all__ = ["Channels", "DataSection", "InputSection", "Section"]


class Section(BaseModel):
    """Closed, read-only, finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSection(Section):
    """Where samples come from."""

    workers: int = Field(2, ge=1, description="threads that prepare samples")
    foreground: float = Field(
        0.33, ge=0, le=1, description="fit=patch: share of patches centered on a pixel of a foreground class"
    )
    patches_per_image: int | None = Field(
        None,
        ge=1,
        description="fit=patch: patches per image in an epoch; none: as many as have about the pixels of all images",
    )
    labeled_share: float | None = Field(
        None, gt=0, lt=1, description="where some images have no masks: part of each batch that has; none: as they come"
    )
    axis: AxisChoice | None = Field(
        None,
        description="volumes: the axis across slices (0 or sagittal, 1 or coronal, 2 or axial); none or auto: the coarsest; all: "
        "slices across each of the three, whose probabilities are averaged at prediction",
    )
    slices: Literal["all", "foreground"] = Field(
        "all", description="volumes: which slices are trained on: all, or those in which some class is labeled"
    )
    sampling: Sampling = Field(
        "uniform",
        description="class_balanced: each class (the background is one) is drawn equally often, then an image that has it; with "
        "fit=patch a patch about a pixel of it, whatever `foreground` says",
    )
    regions: WantedRegions = Field(
        "auto",
        description="nested regions to learn instead of classes: name → classes; auto: those that the data's labels name; or none",
    )
    license: str | None = Field(
        None,
        description="license of images and masks, for the model's card; none: as a `dataset.json` in their folder says",
    )

    @field_validator("axis", mode="before")
    @classmethod
    def _named_axis(cls, value: Any) -> Any:
        try:
            return axis_choice(value)
        except DataError as error:
            raise ValueError(str(error)) from error


Channels = Literal["auto", "rgb", "bgr", "gray"] | tuple[str, ...]


class InputSection(Section):
    """How pixels become the network's input; `auto` is settled by the data and then saved resolved."""

    size: tuple[int, int] = Field((256, 256), description="working height and width; with fit=patch, of a patch")
    channels: Channels = Field(
        "auto",
        description="auto: gray if all images are gray, and the channels by name where these are files of their own",
    )
    fit: Fit = Field(
        "stretch",
        description="letterbox keeps the aspect ratio; patch trains on parts of the image at its own resolution",
    )
    scale: Scale = Field(1.0, description="fit=patch: factor on an image's height and width before patches are cut")
    spacing: Literal["auto"] | tuple[Scale, Scale] | None = Field(
        None,
        description="fit=letterbox or patch: distance of pixels in mm (one, or from row to row and from column to column) that "
        "each image is resampled to, so that anatomy has one scale; auto: the median of the training images",
    )
    intensity: Literal["auto", "range", "percentile", "window", "zscore"] | dict[str, ChannelRule] = Field(
        "auto",
        description="what becomes 0 and 1; auto: of CT volumes a window, of other volumes their percentiles; of pictures with more "
        "than 8 bits percentile, else range; or by the names of channels: {CT: window, PET: percentile}",
    )
    window_level: float | None = Field(
        None,
        description="window: the value in its middle, in those of the images; none: both are measured in the labeled voxels of "
        "training volumes",
    )
    window_width: float | None = Field(None, gt=0, description="window: from the value that becomes 0 to that of 1")
    zscore_clip: float | None = Field(
        None, gt=0, description="zscore: standard deviations about the mean that become 0…1; none: 3"
    )
    zscore_over: Literal["auto", "image", "volume"] = Field(
        "auto",
        description="zscore: what mean and deviation are of; auto: the volume, or the image where images are pictures",
    )
    neighbors: int = Field(
        0, ge=0, le=8, description="volumes: slices before and behind each slice that are further channels of it"
    )

    @field_validator("intensity", mode="before")
    @classmethod
    def _by_channel(cls, value: Any) -> Any:
        return channel_rules(value) if isinstance(value, Mapping) else value

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        both = _twice(value)
        if not _are_numbers(both) or min(both) < 1 or any(one != int(one) for one in both):
            raise ValueError("height and width in whole pixels: one number for both, such as 256, or two, [256, 320]")
        return both

    @field_validator("spacing", mode="before")
    @classmethod
    def _millimeters(cls, value: Any) -> Any:
        if value in (None, "auto"):
            return value
        both = _twice(value)
        if not _are_numbers(both) or min(both) <= 0:
            raise ValueError("millimeters: one number, such as 0.8, or two, [0.8, 0.8]; or auto, or null")
        return both

    @model_validator(mode="after")
    def _rule_and_its_numbers(self) -> Self:
        measured = self.intensity == "window" and self.window_level is None and self.window_width is None
        rule = self.intensity if isinstance(self.intensity, str) else "by channel"
        if not measured:
            check_rule(rule, self.window_level, self.window_width, self.zscore_clip)
        if rule == "by channel" and self.zscore_over != "auto":
            raise ValueError("zscore_over is for intensity=zscore only; by channel: {rule: zscore, over: image}")
        check_spacing_rule(self.spacing, self.fit, self.scale)
        return self


def _twice(value: Any) -> Any:
    """One number for both axes; else the two that were given."""
    return (value, value) if isinstance(value, int | float) else value


def _are_numbers(values: Any) -> bool:
    """Whether these are two numbers."""
    if not isinstance(values, list | tuple) or len(values) != 2:
        return False
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
