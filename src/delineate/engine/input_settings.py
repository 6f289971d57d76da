"""What a recipe leaves to the data of its network's input, settled by a census of them."""

from __future__ import annotations

from typing import Any, Literal

from delineate.common.errors import RecipeError
from delineate.data.cases.census import OWN_VALUES, Census
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.intensity import USUAL_CLIP
from delineate.engine.recipe import Recipe
from delineate.engine.recipe_inputs import Channels

__all__ = ["settle_input"]


def settle_input(recipe: Recipe, census: Census) -> tuple[Recipe, InputSpec]:
    """The recipe with each `auto` of its input replaced by what the data say, and the specification that follows.

    Channels: by name where they are files of their own; else gray if all images are. Intensity: images of 8 bits fill their range
    by convention, so `range`; deeper ones seldom do (12 bits in 16), so `percentile`, which needs no unit. The window
    of CT has been planned before (`engine.intensity_plan`); `zscore` is never `auto`.
    """
    wanted, bits = recipe.input, census.bits
    channels = _channels(wanted.channels, census)
    intensity = wanted.intensity
    if intensity == "auto":
        intensity = "percentile" if bits > 8 else "range"
    if intensity == "range" and bits == OWN_VALUES:
        raise RecipeError(
            "input.intensity=range has no meaning for pictures of floats or signed numbers, whose type does not tell what is "
            "white; use percentile, zscore, or window with its level and width"
        )
    if intensity == "window" and wanted.window_level is None:
        raise RecipeError(
            "input.intensity=window needs input.window_level and input.window_width here: only training measures them"
        )
    over = wanted.zscore_over
    if over == "auto" and intensity == "zscore":
        over = "image" if census.axis is None else "volume"
    if over == "volume" and (intensity != "zscore" or census.axis is None):
        raise RecipeError("input.zscore_over=volume is for intensity=zscore and slices of volumes; leave it out")
    clip = USUAL_CLIP if intensity == "zscore" and wanted.zscore_clip is None else wanted.zscore_clip
    spec = InputSpec(
        channels=channels,
        size=wanted.size,
        fit=wanted.fit,
        scale=wanted.scale,
        intensity=intensity,
        window_level=wanted.window_level,
        window_width=wanted.window_width,
        zscore_clip=clip,
        zscore_over="image" if over == "auto" else over,
        source_bits=bits,
        axis=census.axis,
        trained_spacing=_spacings(census),
        neighbors=wanted.neighbors,
    )
    if spec.neighbors and spec.axis is None:
        raise RecipeError(
            "input.neighbors: only slices of volumes have neighbors, and the data are pictures; leave it out"
        )
    _check_patches(spec, census)
    settled = wanted.model_copy(
        update={"channels": channels, "intensity": intensity, "zscore_clip": clip, "zscore_over": over}
    )
    data = recipe.data.model_copy(update={"axis": census.axis})
    return recipe.model_copy(update={"input": settled, "data": data}), spec


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


def _spacings(census: Census) -> Any:
    """The narrowest and the widest along each axis, in the canonical order; None without volumes."""
    found = [fact.volume.spacing for fact in census.facts.values() if fact.volume is not None]
    return tuple((min(axis), max(axis)) for axis in zip(*found, strict=True)) or None


def _check_patches(spec: InputSpec, census: Census) -> None:
    """Raise `RecipeError` for patches that are larger than every image on both axes: most of what they show is mirrored."""
    sizes = [spec.working_size(*size) for size in census.sizes]
    if spec.fit != "patch" or any(h >= spec.size[0] or w >= spec.size[1] for h, w in sizes):
        return
    height, width = max(sizes)
    raise RecipeError(
        f"input.size: patches of {spec.size[0]}×{spec.size[1]} are larger than every image (the largest is {height}×{width} "
        f"at input.scale={spec.scale:g}); use a smaller --size, a larger input.scale, or input.fit=letterbox"
    )
