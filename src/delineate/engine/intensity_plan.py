"""The intensity rule that a recipe leaves open (`input.intensity=auto`, a window without numbers), planned from training volumes.

Computed tomography has a unit, so its channels are shown within one window in the values of the files; others keep the rules that
need no unit. What was decided, and from what, is told; the run's recipe holds the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delineate.common.errors import RecipeError
from delineate.data.cases.census import Census
from delineate.data.cases.volumes import is_volume
from delineate.data.core.channel_rules import ChannelRule
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.modality import said_of_ct
from delineate.data.doctor.intensities import Intensities, Pair, measure_intensities, taken_for_ct
from delineate.engine.channel_intensity import by_name, left_open
from delineate.engine.recipe import Recipe

__all__ = ["IntensityPlan", "plan_intensity", "planned_keys", "without_windows"]

_STATED = "as stated"
_NOT_THIS = "if not: --set input.intensity=range takes each volume's percentiles"
_NOT_THAT = "if they do: --set input.intensity=window"


@dataclass(frozen=True)
class IntensityPlan:
    """What was decided."""

    section: dict[str, Any] = field(default_factory=dict)
    """Of the recipe's `input`; empty: what the recipe says, or `settle_input` decides."""
    trained: Intensities | None = None
    """The values of the training volumes, where the rule depends on them."""
    why: str = ""
    """From what it was decided, for people."""

    def apply(self, recipe: Recipe) -> Recipe:
        """The recipe with the rule and its numbers."""
        if not self.section:
            return recipe
        return recipe.model_copy(update={"input": recipe.input.model_copy(update=self.section)})

    def complete(self, spec: InputSpec) -> InputSpec:
        """The specification with the values of the training volumes."""
        if self.trained is None:
            return spec
        return spec.model_copy(update={"trained_lows": self.trained.lows, "trained_highs": self.trained.highs})

    def line(self, spec: InputSpec) -> str:
        """For the console: the rule, and why."""
        return f"intensity: {spec.rule_words} → 0…1" + (f" ({self.why})" if self.why else "")


def planned_keys(asked: Recipe, settled: Recipe) -> dict[str, Any]:
    """Dotted key → what was asked, of the settings that a plan has replaced by the data's numbers."""
    if isinstance(asked.input.intensity, dict):
        opened = left_open(asked.input.intensity)
        return {"input.intensity": opened} if opened else {}
    by_channel = isinstance(settled.input.intensity, dict)
    if asked.input.window_level is not None or (settled.input.window_level is None and not by_channel):
        return {}
    keys = ("intensity", "window_level", "window_width")
    return {f"input.{key}": getattr(asked.input, key) for key in keys}


def without_windows(recipe: Recipe) -> Recipe:
    """The recipe before its windows are measured, for what does not depend on them."""
    wanted = recipe.input.intensity
    if isinstance(wanted, dict):
        auto = ChannelRule(rule="auto")
        plain: dict[str, Any] = {"intensity": {name: auto if rule.open else rule for name, rule in wanted.items()}}
    elif wanted == "window":
        plain = {"intensity": "auto", "window_level": None, "window_width": None}
    else:
        return recipe
    return recipe.model_copy(update={"input": recipe.input.model_copy(update=plain)})


def plan_intensity(recipe: Recipe, manifest: Manifest, census: Census, cache_folder: Path | None) -> IntensityPlan:
    """Decide from the training cases alone. What a recipe states holds.

    Raises `RecipeError` for a window without numbers where the images are pictures, and rules for channels that they have not;
    `DataError` for files that cannot be read.
    """
    wanted = recipe.input
    bare = wanted.intensity == "window" and wanted.window_level is None
    cases = [case for case in manifest.split("train") if case.masks and is_volume(manifest, case)]
    if census.axis is None or not cases:
        if bare:
            raise RecipeError(
                "input.intensity=window needs input.window_level and input.window_width: they are measured for volumes alone"
            )
        return IntensityPlan(why="" if wanted.intensity != "auto" else f"pictures of {census.bits} bits")
    volumes = _Volumes(manifest, census, cases, cache_folder)
    if isinstance(wanted.intensity, dict):
        return volumes.by_channel(wanted.intensity, _STATED)
    if wanted.intensity not in ("auto", "window"):
        return IntensityPlan(why=_STATED)
    if not bare and wanted.intensity == "window":
        return IntensityPlan(trained=volumes.measured(), why=_STATED)
    why = "a window was asked for" if bare else ""
    if not bare:
        ct, why = taken_for_ct(manifest, census, cases, cache_folder=cache_folder)
        if not ct:
            return IntensityPlan(why=f"{why}; {_NOT_THAT}")
        if len(ct) < len(census.named):
            return volumes.by_channel({}, why)
    found = volumes.measured()
    limits, measured = _limits(found)
    if limits is None:
        if bare:
            raise RecipeError(f"input.intensity=window: no window can be measured, since {measured}; state its numbers")
        return IntensityPlan(why=f"{why}, but {measured}")
    rule = _window(limits)
    section = {"intensity": "window", "window_level": rule.level, "window_width": rule.width}
    return IntensityPlan(section, found, f"{why}; {measured}; {_NOT_THIS}")


@dataclass(frozen=True)
class _Volumes:
    """The training volumes, and what is measured of them."""

    manifest: Manifest
    census: Census
    cases: Sequence[Case]
    cache_folder: Path | None

    def measured(self, channels: Sequence[int] = ()) -> Intensities:
        return measure_intensities(self.manifest, self.cases, channels=channels, cache_folder=self.cache_folder)

    def by_channel(self, given: Mapping[str, ChannelRule], why: str) -> IntensityPlan:
        """Channels of CT are shown within one window; of others, one that is asked for is measured by itself."""
        names = self.census.named
        rules, told = by_name(given, names), [why]
        for wanted in self._together(rules):
            limits, measured = _limits(self.measured(wanted))
            called = ", ".join(names[at] for at in wanted)
            if limits is not None:
                rules |= {names[at]: _window(limits) for at in wanted}
            elif asked := next((names[at] for at in wanted if rules[names[at]].rule == "window"), None):
                raise RecipeError(
                    f"input.intensity.{asked}=window: no window can be measured, since {measured}; state its numbers"
                )
            told.append(f"{called}: {measured}" if len(names) > len(wanted) else measured)
        seen = [at for at, name in enumerate(names) if rules[name].level is not None]
        hint = [] if given else [_NOT_THIS]
        return IntensityPlan({"intensity": rules}, self.measured(seen) if seen else None, "; ".join((*told, *hint)))

    def _together(self, rules: Mapping[str, ChannelRule]) -> list[list[int]]:
        """Channels whose window is still to be measured, those of one window together."""
        ct, alone = [], []
        for at, (name, rule) in enumerate(rules.items()):
            if rule.open and said_of_ct(name):
                ct.append(at)
            elif rule.open and rule.rule == "window":
                alone.append([at])
        return [ct, *alone] if ct else alone


def _window(limits: Pair) -> ChannelRule:
    low, high = limits
    return ChannelRule(rule="window", level=(low + high) / 2, width=high - low)


def _limits(found: Intensities) -> tuple[Pair | None, str]:
    """The window, rounded to three digits of its width, and how it was measured; or None, and why there is none."""
    of = f"training volume{'s' if found.volumes > 1 else ''}"
    limits, measured = found.labeled, f"0.5th to 99.5th percentile of the labeled voxels of {found.volumes} {of}"
    if limits is None or limits[0] >= limits[1]:
        limits = (found.lows[0], found.highs[1])
        measured = (
            f"0.5th to 99.5th percentile of all voxels of {found.volumes} {of}, whose labeled ones have one value"
        )
    low, high = limits
    if low >= high:
        return None, "the training volumes have one value"
    step = 10.0 ** (math.floor(math.log10(high - low)) - 2)
    return (round(math.floor(low / step) * step, 12), round(math.ceil(high / step) * step, 12)), measured
