"""The intensity rule that a recipe leaves open (`input.intensity=auto`, a window without numbers), planned from training volumes.

Computed tomography has a unit, so it is shown within one window in the values of the files; all else keeps the rules that need no
unit. What was decided, and from what, is told; the run's recipe holds the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delineate.common.errors import RecipeError
from delineate.data.cases.census import Census
from delineate.data.cases.volumes import is_volume
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.intensities import Intensities, Pair, measure_intensities, taken_for_ct
from delineate.engine.recipe import Recipe

__all__ = ["IntensityPlan", "plan_intensity", "planned_keys"]

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
    keys = ("intensity", "window_level", "window_width")
    if asked.input.window_level is not None or settled.input.window_level is None:
        return {}
    return {f"input.{key}": getattr(asked.input, key) for key in keys}


def plan_intensity(recipe: Recipe, manifest: Manifest, census: Census, cache_folder: Path | None) -> IntensityPlan:
    """Decide from the training cases alone. What a recipe states holds.

    Raises `RecipeError` for a window without numbers where the images are pictures, `DataError` for files that cannot be read.
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
    if wanted.intensity not in ("auto", "window"):
        return IntensityPlan(why="as stated")
    if not bare and wanted.intensity == "window":
        return IntensityPlan(trained=measure_intensities(manifest, cases, cache_folder=cache_folder), why="as stated")
    why = "a window was asked for" if bare else ""
    if not bare:
        ct, why = taken_for_ct(manifest, census, cases, cache_folder=cache_folder)
        if not ct:
            return IntensityPlan(why=f"{why}; {_NOT_THAT}")
    found = measure_intensities(manifest, cases, cache_folder=cache_folder)
    limits, measured = _limits(found)
    if limits is None:
        if bare:
            raise RecipeError(f"input.intensity=window: no window can be measured, since {measured}; state its numbers")
        return IntensityPlan(why=f"{why}, but {measured}")
    low, high = limits
    section = {"intensity": "window", "window_level": (low + high) / 2, "window_width": high - low}
    return IntensityPlan(section, found, f"{why}; {measured}; {_NOT_THIS}")


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
