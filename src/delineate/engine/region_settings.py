"""Which regions a run learns: those of the recipe, or those that the data's own table of classes names."""

from __future__ import annotations

from delineate.common.errors import RecipeError
from delineate.data.core.manifest import ClassTable, Manifest
from delineate.engine.recipe import Recipe

__all__ = ["settle_regions", "with_regions"]


def with_regions(manifest: Manifest, recipe: Recipe) -> Manifest:
    """The manifest with the regions that the recipe wants. Raises `RecipeError` for such as do not fit its classes."""
    wanted = recipe.data.regions
    if wanted == "auto" or wanted == _stated(manifest.classes):
        return manifest  # the data's own regions may also say what is painted where
    try:
        classes = manifest.classes.with_regions(wanted)
    except ValueError as error:
        raise RecipeError(f"data.regions: {error}") from error
    return manifest.model_copy(update={"classes": classes})


def settle_regions(recipe: Recipe, classes: ClassTable) -> Recipe:
    """The recipe with the regions that `auto` has found; it stays `auto` where there are none."""
    if not classes.regions:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"regions": _stated(classes)})})


def _stated(classes: ClassTable) -> dict[str, tuple[str, ...]]:
    """The regions of a class table as a recipe states them."""
    return {name: tuple(members) for name, members in classes.regions_by_name.items()}
