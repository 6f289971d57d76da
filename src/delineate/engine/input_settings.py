"""What a recipe leaves to the data of its network's input, settled by a census of them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from delineate.common.errors import RecipeError
from delineate.data.cases.census import OWN_VALUES, Census
from delineate.data.cases.facts import AS_STORED
from delineate.data.core.axes import ALL
from delineate.data.core.input_spec import InputSpec, PixelSpacing
from delineate.data.core.intensity import USUAL_CLIP, Rule
from delineate.engine.channel_intensity import settled_rules
from delineate.engine.recipe import Recipe
from delineate.engine.recipe_inputs import Channels, InputSection

__all__ = ["settle_input"]


def settle_input(recipe: Recipe, census: Census, training: Census | None = None) -> tuple[Recipe, InputSpec]:
    """The recipe with each `auto` of its input replaced by what the data say, and the specification that follows.

    Channels: by name where they are files of their own; else gray if all images are. Intensity: images of 8 bits fill their range
    by convention, so `range`; deeper ones seldom do (12 bits in 16), so `percentile`, which needs no unit. The window
    of CT has been planned before (`engine.intensity_plan`); `zscore` is never `auto`. Medians of spacings are those of `training`;
    None: of all cases.
    """
    wanted, bits = recipe.input, census.bits
    channels = _channels(wanted.channels, census)
    over, clip = wanted.zscore_over, wanted.zscore_clip
    if isinstance(wanted.intensity, str):
        intensity: Any = _rule_of_all(wanted, census)
        if intensity == "zscore":
            clip = clip or USUAL_CLIP
            if over == "auto":
                over = "image" if census.axis is None else "volume"
        if over == "volume" and (intensity != "zscore" or census.axis is None):
            raise RecipeError("input.zscore_over=volume is for intensity=zscore and slices of volumes; leave it out")
    else:
        intensity = settled_rules(wanted.intensity, census)
    spec = InputSpec(
        channels=channels,
        size=wanted.size,
        fit=wanted.fit,
        scale=wanted.scale,
        spacing=_pixel_spacing(wanted.spacing, census, training or census),
        intensity=intensity if isinstance(intensity, str) else tuple(intensity.values()),
        window_level=wanted.window_level,
        window_width=wanted.window_width,
        zscore_clip=clip,
        zscore_over="image" if over == "auto" else over,
        source_bits=bits,
        axis=census.axis,
        all_axes=census.all_axes,
        trained_spacing=_spacings(census),
        placed=_placed(training or census),
        neighbors=wanted.neighbors,
    )
    if spec.neighbors and spec.axis is None:
        raise RecipeError(
            "input.neighbors: only slices of volumes have neighbors, and the data are pictures; leave it out"
        )
    _check_patches(spec, census)
    _check_frame(spec, census)
    settled = wanted.model_copy(
        update={
            "channels": channels,
            "intensity": intensity,
            "zscore_clip": clip,
            "zscore_over": over,
            "spacing": spec.spacing,
        }
    )
    data = recipe.data.model_copy(update={"axis": ALL if census.all_axes else census.axis})
    return recipe.model_copy(update={"input": settled, "data": data}), spec


def _rule_of_all(wanted: InputSection, census: Census) -> Rule:
    """The intensity rule where it is one. Raises `RecipeError` for one that the data do not allow."""
    rule = wanted.intensity
    assert isinstance(rule, str), "not by channel"
    if rule == "auto":
        rule = "percentile" if census.bits > 8 else "range"
    if rule == "range" and census.bits == OWN_VALUES:
        raise RecipeError(
            "input.intensity=range has no meaning for pictures of floats or signed numbers, whose type does not tell what is "
            "white; use percentile, zscore, or window with its level and width"
        )
    if rule == "window" and wanted.window_level is None:
        raise RecipeError(
            "input.intensity=window needs input.window_level and input.window_width here: only training measures them"
        )
    return rule


def _channels(wanted: Channels, census: Census) -> Literal["rgb", "bgr", "gray"] | tuple[str, ...]:
    """What the network sees. Raises `RecipeError` for channels that the data have not."""
    named = census.named
    if wanted == "auto":
        return named or ("gray" if census.gray else "rgb")
    if isinstance(wanted, str) and not named:
        return wanted
    if wanted == named:
        return named
    stated = wanted if isinstance(wanted, str) else ", ".join(wanted)
    there = f"the channels {', '.join(named)}" if named else f"{' and '.join(sorted(census.channels))} pictures"
    raise RecipeError(f"input.channels: {stated} cannot be had, since the data have {there}; leave it out")


def _placed(census: Census) -> bool | None:
    """Whether volumes tell their place; None where only some do, and of pictures."""
    told = {fact.volume.orientation != AS_STORED for fact in census.facts.values() if fact.volume is not None}
    return told.pop() if len(told) == 1 else None


def _spacings(census: Census) -> Any:
    """The narrowest and the widest along each axis, in the canonical order; None where no volume tells its spacing."""
    volumes = [fact.volume for fact in census.facts.values() if fact.volume is not None]
    found = [one.spacing for one in volumes if one.spacing is not None]
    return tuple((min(axis), max(axis)) for axis in zip(*found, strict=True)) or None


def _pixel_spacing(
    wanted: Literal["auto"] | PixelSpacing | None, census: Census, training: Census
) -> PixelSpacing | None:
    """The spacing that images are resampled to. Raises `RecipeError` where one of them does not tell its own."""
    if wanted is None:
        return None
    unknown = next((name for name, fact in census.facts.items() if None in fact.spacings), None)
    if unknown is not None:
        raise RecipeError(
            f"input.spacing: '{unknown}' does not tell how large its pixels are; leave it out, or give `spacing` (mm, from row to "
            "row and from column to column) to the cases of a manifest.json"
        )
    if wanted != "auto":
        return wanted
    down, across = np.median([each for fact in training.facts.values() for each in fact.spacings if each], axis=0)
    return _rounded(down), _rounded(across)


def _rounded(millimeters: float) -> float:
    """As people write it: headers hold it as float32."""
    return float(f"{millimeters:.4g}")


def _check_frame(spec: InputSpec, census: Census) -> None:
    """Raise `RecipeError` for images that at the spacing asked for are larger than the frame of `letterbox`."""
    sizes = [
        spec.exceeds(*size, spacing)
        for fact in census.facts.values()
        for size, spacing in zip(fact.sizes, fact.spacings, strict=True)
    ]
    too_large = [size for size in sizes if size is not None]
    if too_large and spec.spacing is not None:
        height, width = (max(each) for each in zip(*too_large, strict=True))
        raise RecipeError(
            f"input.size: at a spacing of {spec.spacing[0]:g}×{spec.spacing[1]:g} mm images are up to {height}×{width} pixels, "
            f"more than the {spec.size[0]}×{spec.size[1]} that the network sees: use a larger --size or input.spacing, "
            "or input.fit=patch"
        )


def _check_patches(spec: InputSpec, census: Census) -> None:
    """Raise `RecipeError` for patches that are larger than every image on both axes: most of what they show is mirrored."""
    sizes = [
        spec.working_size(*size, spacing)
        for fact in census.facts.values()
        for size, spacing in zip(fact.sizes, fact.spacings, strict=True)
    ]
    if spec.fit != "patch" or any(h >= spec.size[0] or w >= spec.size[1] for h, w in sizes):
        return
    height, width = max(sizes)
    at, other = f"input.scale={spec.scale:g}", "a larger input.scale"
    if spec.spacing is not None:
        at, other = f"a spacing of {spec.spacing[0]:g}×{spec.spacing[1]:g} mm", "a smaller input.spacing"
    raise RecipeError(
        f"input.size: patches of {spec.size[0]}×{spec.size[1]} are larger than every image (the largest is {height}×{width} "
        f"at {at}); use a smaller --size, {other}, or input.fit=letterbox"
    )
