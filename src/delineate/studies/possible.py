"""What can be known to be impossible before anything is trained: better one line now than failed runs later."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from delineate.common.errors import DataError, DelineateError, RecipeError
from delineate.data.cases.census import Census
from delineate.data.core.manifest import Manifest
from delineate.engine.build import build_method, targets_of
from delineate.engine.input_settings import settle_input
from delineate.engine.intensity_plan import without_windows
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.region_settings import with_regions
from delineate.engine.run import make_fabric
from delineate.methods import registry
from delineate.nn.meta_device import on_meta_device
from delineate.nn.output import Output
from delineate.studies.setup import Entrant

__all__ = ["check_entrants", "check_fits", "check_parts"]


def check_entrants(entrants: Sequence[Entrant], settings: Sequence[str]) -> None:
    """Raise `RecipeError` or `DeviceError` for what no benchmark could train here, whatever the data."""
    for entrant in entrants:
        if registry.method_class(entrant.method).kind != "dense":
            raise RecipeError(
                f"'{entrant.label}' is a few-shot method, which a benchmark does not train; leave it out (`delineate fewshot "
                "train` and `delineate fewshot evaluate` are for it)"
            )
        recipe = resolve(entrant.method, entrant.preset, entrant.options, settings)
        if recipe.engine.devices > 1:
            raise RecipeError(
                f"engine.devices={recipe.engine.devices}: a benchmark trains each run in one process; leave engine.devices at 1"
            )
        make_fabric(recipe)


def check_fits(
    entrants: Sequence[Entrant], settings: Sequence[str], manifests: Sequence[Manifest], census: Census
) -> None:
    """Raise `RecipeError` for a method that cannot be built for these data: channels, sizes, patches, options, stages.

    Networks that are planned from the data are not known yet. Costs a network without memory for each entrant and fold.
    """
    for entrant in entrants:
        recipe = resolve(entrant.method, entrant.preset, entrant.options, settings)
        if recipe.plan.from_data:
            continue
        for manifest in manifests:
            try:
                _check_fit(recipe, manifest, census)
            except DelineateError as error:
                raise RecipeError(f"{entrant.label}: {error}") from error


def _check_fit(recipe: Recipe, manifest: Manifest, census: Census) -> None:
    manifest = with_regions(manifest, recipe)
    recipe = without_windows(recipe)  # their numbers may be still to be measured, and change no shape
    settled, spec = settle_input(recipe, census.of(manifest.sealed().cases))
    with suppress(
        NotImplementedError, RuntimeError, TypeError, ValueError
    ):  # not every network can be built without memory
        with on_meta_device():
            method = build_method(settled, Output.of(manifest.classes), spec)
            targets_of(settled)
        settled.check_stages(method.stages())


def check_parts(manifests: Sequence[Manifest]) -> None:
    """Raise `DataError` for a fold without training, validation or test cases that have masks."""
    for fold, manifest in enumerate(manifests):
        for part in ("train", "val", "test"):
            if any(case.masks for case in manifest.split(part)):
                continue
            what = {"train": "training", "val": "validation", "test": "test"}[part]
            advice = "give fewer --folds" if len(manifests) > 1 else "mend the lists, or give --folds"
            raise DataError(f"{manifest.root}: fold {fold} has no {what} cases with masks; {advice}")
