"""Intensity rules by channel as recipes state them (`input.intensity: {CT: window, PET: percentile}`), settled by the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from delineate.common.errors import RecipeError
from delineate.data.cases.census import OWN_VALUES, Census
from delineate.data.core.channel_rules import ChannelRule, check_names
from delineate.data.core.intensity import USUAL_CLIP

__all__ = ["by_name", "left_open", "rules_like", "settled_rules"]


def by_name(given: Mapping[str, ChannelRule], channels: Sequence[str]) -> dict[str, ChannelRule]:
    """A rule for each channel, in their order; `auto` where none is stated. Raises `RecipeError` for other names."""
    try:
        check_names(list(given), channels)
    except ValueError as error:
        raise RecipeError(f"input.intensity: {error}") from error
    return {name: given.get(name, ChannelRule(rule="auto")) for name in channels}


def settled_rules(given: Mapping[str, ChannelRule], census: Census) -> dict[str, ChannelRule]:
    """The rules with each `auto` replaced by what the data say. Raises `RecipeError` for rules that they do not allow."""
    return {name: _settled(name, rule, census) for name, rule in by_name(given, census.named).items()}


def left_open(given: Mapping[str, ChannelRule]) -> dict[str, str]:
    """Names and rules as they were asked for, if the data had to say some of them or their numbers; else none."""
    return {name: rule.rule for name, rule in given.items()} if any(rule.open for rule in given.values()) else {}


def rules_like(given: Mapping[str, ChannelRule], saved: object) -> object:
    """The rules asked for, with what they leave to the data as a saved recipe has it."""
    if not isinstance(saved, Mapping) or set(given) - set(saved):
        return given
    return {name: _like(given.get(name, ChannelRule(rule="auto")), rule) for name, rule in saved.items()}


def _like(asked: ChannelRule, saved: ChannelRule) -> ChannelRule:
    if asked.rule == "auto" or (asked.open and saved.rule == asked.rule):
        return saved
    if asked.rule == "zscore" == saved.rule:
        return asked.model_copy(update={"clip": asked.clip or saved.clip, "over": asked.over or saved.over})
    return asked


def _settled(name: str, rule: ChannelRule, census: Census) -> ChannelRule:
    place = f"input.intensity.{name}"
    volumes = census.axis is not None
    if rule.rule == "auto":
        rule = ChannelRule(rule="percentile" if census.bits > 8 else "range")
    if rule.rule == "range" and census.bits == OWN_VALUES:
        raise RecipeError(
            f"{place}=range has no meaning for pictures of floats or signed numbers, whose type does not tell what is white; "
            "use percentile, zscore, or window with its level and width"
        )
    if rule.open:
        raise RecipeError(
            f"{place}=window needs its numbers here, {{rule: window, level: …, width: …}}: only training measures them, of volumes"
        )
    if rule.over == "volume" and not volumes:
        raise RecipeError(f"{place}: over=volume is for slices of volumes; leave it out")
    if rule.rule == "zscore":
        over = rule.over or ("volume" if volumes else "image")
        rule = ChannelRule(rule="zscore", clip=rule.clip or USUAL_CLIP, over=over)
    return rule
