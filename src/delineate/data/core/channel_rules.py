"""The intensity rule of one channel, where channels have rules of their own: CT in a window, PET by its percentiles.

As recipes and artefacts write it: `percentile`, or with its numbers `{rule: window, level: 40, width: 400}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

from delineate.common.config import first_fault
from delineate.common.names import did_you_mean
from delineate.data.core import intensity
from delineate.data.core.intensity import USUAL_CLIP, Limits, Pixels, Rule, SingleNumbers

__all__ = ["ChannelRule", "channel_rules", "check_names", "limits_of_channels"]

_OWNERS = {"level": "window", "width": "window", "clip": "zscore", "over": "zscore"}
"""Numbers → the rule that they belong to."""
_RULES = ("auto", "range", "percentile", "window", "zscore")


class ChannelRule(BaseModel):
    """One channel's rule, as `InputSpec.intensity` explains it.

    Example:
        >>> from delineate.data.core.channel_rules import ChannelRule
        >>> ChannelRule(rule="window", level=40, width=400).words(volume=True)
        'values from -160 to 240'
        >>> ChannelRule.model_validate("percentile").model_dump()
        'percentile'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rule: Literal["auto"] | Rule
    """`auto`: still to be planned, only in recipes."""
    level: float | None = None
    width: Annotated[float, Field(gt=0)] | None = None
    clip: Annotated[float, Field(gt=0)] | None = None
    """With `zscore`; None: 3."""
    over: Literal["image", "volume"] | None = None
    """With `zscore`; None: the volume, or the image where images are pictures."""

    @model_validator(mode="before")
    @classmethod
    def _by_name_alone(cls, value: Any) -> Any:
        value = {"rule": value} if isinstance(value, str) else value
        if isinstance(value, Mapping) and value.get("rule") not in _RULES:
            given = value.get("rule")
            near = did_you_mean(given, _RULES) if isinstance(given, str) else f"one of {', '.join(_RULES)}"
            raise ValueError(f"an intensity rule is named, not {given!r}: {near}")
        return value

    @model_validator(mode="after")
    def _own_numbers(self) -> Self:
        for key, owner in _OWNERS.items():
            if getattr(self, key) is not None and self.rule != owner:
                raise ValueError(f"{key} is for rule={owner} only (given: rule={self.rule})")
        if (self.level is None) != (self.width is None):
            raise ValueError("a window has both level and width, or neither where they are to be measured")
        return self

    @model_serializer
    def _shortest(self) -> str | dict[str, Any]:
        stated = {key: getattr(self, key) for key in _OWNERS if getattr(self, key) is not None}
        return {"rule": self.rule, **stated} if stated else self.rule

    @property
    def open(self) -> bool:
        """Whether the data have yet to say the rule or its numbers."""
        return self.rule == "auto" or (self.rule == "window" and self.level is None)

    @property
    def numbers(self) -> SingleNumbers:
        """What slices of volumes come as."""
        if self.rule == "zscore" and self.over == "volume":
            return "standardized"
        return "own" if self.rule in ("window", "zscore") else "bytes"

    @property
    def from_low(self) -> bool:
        """Whether values are measured from the lower limit, so that 0 is what is not above it; else from the middle."""
        return self.rule in ("range", "percentile")

    def words(self, *, volume: bool) -> str:
        """What becomes 0…1, for the user; slices of a `volume` mostly come as bytes, scaled by it."""
        percentiles = "0.5th to 99.5th percentile"
        if self.level is not None and self.width is not None:
            return f"values from {self.level - self.width / 2:g} to {self.level + self.width / 2:g}"
        if self.rule == "zscore":
            return f"each {self.over or 'image'}'s mean ± {self.clip or USUAL_CLIP:g} standard deviations"
        if volume:
            by_slice = f", then each slice's {percentiles}" if self.rule == "percentile" else ""
            return f"each volume's {percentiles}{by_slice}"
        return f"each image's {percentiles}" if self.rule == "percentile" else "the whole range of the type"

    def limits(self, pixels: Pixels, *, volume: bool, each: bool) -> Limits:
        """The values that become 0 and 1.

        Args:
            pixels: h×w×channels, all of this rule.
            volume: whether they are a slice of one, of which floats of the rule `range` go from 0 to 255.
            each: whether each channel is measured by itself.

        Returns:
            Low and high.

        Raises:
            DataError: pixels of which the type does not tell what is white, with `range`.
        """
        if self.rule == "percentile":
            return intensity.percentiles(pixels, each=each)
        if self.rule == "zscore":
            clip = self.clip or USUAL_CLIP  # over the volume, pixels are in standard deviations
            return (-clip, clip) if self.over == "volume" else intensity.deviations(pixels, clip, each=each)
        if self.level is not None and self.width is not None:
            return self.level - self.width / 2, self.level + self.width / 2
        return (0.0, 255.0) if volume and pixels.dtype.kind == "f" else intensity.whole_range(pixels)


def channel_rules(given: Mapping[Any, Any]) -> dict[str, ChannelRule]:
    """Rules by the names of channels, as a recipe states them.

    Args:
        given: name → rule, or rule with its numbers.

    Returns:
        The same, checked.

    Raises:
        ValueError: no rules, or one that is wrong, by the channel's name.
    """
    rules = {}
    if not given:
        raise ValueError("name each channel's rule, for example {CT: window, PET: percentile}, or one for all")
    for name, rule in given.items():
        try:
            rules[str(name)] = ChannelRule.model_validate(rule)
        except ValidationError as error:
            raise ValueError(f"channel '{name}': {first_fault(error)}") from error
    return rules


def check_names(given: Sequence[str], channels: Sequence[str]) -> None:
    """Refuse rules for channels that the images have not.

    Args:
        given: names that rules are stated for.
        channels: those of the images; none: they have no names.

    Raises:
        ValueError: the first name that is not one of them.

    Example:
        >>> from delineate.data.core.channel_rules import check_names
        >>> check_names(["CT"], ["CT", "PET"])
    """
    if not channels:
        raise ValueError(f"rules by channel ({', '.join(given)}) need named channels, and the images have none")
    odd = next((name for name in given if name not in channels), None)
    if odd is not None:
        raise ValueError(f"the images have no channel '{odd}': {did_you_mean(odd, channels)}")


def limits_of_channels(rules: Sequence[ChannelRule], pixels: Pixels, *, volume: bool) -> Limits:
    """The limits of each channel by its own rule.

    Args:
        rules: in the order of the channels.
        pixels: h×w×channels.
        volume: as for `ChannelRule.limits`.

    Returns:
        Low and high of each channel.

    Raises:
        DataError: as `ChannelRule.limits`.
    """
    found = [rule.limits(pixels[..., at : at + 1], volume=volume, each=False) for at, rule in enumerate(rules)]
    low, high = zip(*found, strict=True)
    return np.array(low, np.float64), np.array(high, np.float64)
