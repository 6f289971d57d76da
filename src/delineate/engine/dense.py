"""Training on single images with their masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from delineate.common.errors import DataError, RecipeError
from delineate.data.cache.cache import Cache, open_cache
from delineate.data.cache.store import Store
from delineate.data.cases.census import Census
from delineate.data.cases.turned import turned_apart
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest, Split
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open import open_data
from delineate.data.loading.window_loader import make_loader
from delineate.data.splits.label_share import for_training
from delineate.engine.data_module import DataKind
from delineate.engine.finish import Ending
from delineate.engine.folder import RunFolder
from delineate.engine.input import settle_input
from delineate.engine.lacking import lacking, nothing_to_learn
from delineate.engine.native_scores import judge
from delineate.engine.plan import check_training_memory, source_of
from delineate.engine.planning import DataPlan, plan_from_data
from delineate.engine.recipe import EpisodesSection, Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.sources import Source, to_device, to_torch
from delineate.engine.validation import TiledCounts, ValidationJob, ValidationResult, count_cases, validate
from delineate.methods import registry
from delineate.methods.contract import Batch, Method, Stage
from delineate.strategies import registry as strategies

Note = Callable[[str], None]
"""Is told what the user should know."""
SPLITS: tuple[Split, Split] = ("train", "val")
"""All that training ever opens."""


class OpenedImages:
    """The training and validation cases of a data set, read and checked."""

    def __init__(self, request: TrainRequest, recipe: Recipe, note: Note, whole: Manifest, census: Census) -> None:
        self.whole = whole
        self._request, self._note = request, note
        # From here on nothing knows of a test case.
        self._manifest, said = for_training(whole.sealed(), uses_unlabelled=_uses_unlabelled(recipe))
        if said:
            note(said)
        self._census = census.of(self._manifest.cases)

    @classmethod
    def open(cls, request: TrainRequest, folder: RunFolder, recipe: Recipe, note: Note) -> OpenedImages:
        """Read and check the data, or those of the run to go on with. Raises `DataError`."""
        if recipe.episodes != EpisodesSection():
            raise RecipeError(
                f"episodes: only for methods that learn from episodes; '{recipe.name}' learns from single images"
            )
        return cls(request, recipe, note, *_open_data(request, folder, recipe.engine.seed, note))

    @property
    def outputs(self) -> int:
        return self._manifest.classes.outputs

    def settle(self, recipe: Recipe) -> tuple[Recipe, InputSpec, DataPlan | None]:
        data_plan = None
        if recipe.plan.from_data and not self._request.resume:
            recipe, data_plan = plan_from_data(self._request, recipe, self._manifest, self._census)
            self._note(data_plan.summary())
        return *settle_input(recipe, self._census), data_plan

    def check_method(self, recipe: Recipe, method: Method, spec: InputSpec, device: torch.device) -> None:
        check_training_memory(recipe, method, spec, device)

    def prepare(self, recipe: Recipe, spec: InputSpec) -> PreparedImages:
        training, validation = (self._cache(split, spec) for split in SPLITS)
        masks = ((one.name, validation.mask(at)) for at, one in enumerate(validation.samples) if one.labelled)
        for line in lacking(masks, self._manifest.classes.names):
            self._note(line)
        return PreparedImages(recipe, spec, self._manifest, training, validation, self._request.max_pixels)

    def _cache(self, split: Split, spec: InputSpec) -> Cache:
        request = self._request
        store = Store.at(request.cache_folder, request.cache_limit_bytes, self._note)
        samples = self._census.samples(self._manifest.split(split), self._manifest.labels)
        return open_cache(self._manifest, samples, spec, store, max_pixels=request.max_pixels)


@dataclass(frozen=True)
class PreparedImages:
    """The same at the working size, for one recipe."""

    recipe: Recipe
    spec: InputSpec
    manifest: Manifest
    training: Cache
    validation: Cache
    max_pixels: int

    def source(self, stage: Stage, *, index: int, rank: int, world: int) -> Source:
        return source_of(self.recipe, stage, self.training, self.spec, index=index, rank=rank, world=world)

    def validate(self, job: ValidationJob) -> ValidationResult:
        """At the working size over the validation split, of whole images also where the network sees windows."""
        cache, spec, workers = self.validation, self.spec, self.recipe.data.workers
        loader = make_loader(cache, spec, None, batch_size=job.batch_size, seed=0, workers=workers)
        batches: Iterator[Batch] = (to_device(to_torch(batch), job.device) for batch in loader.once())
        return validate(job, batches, TiledCounts(cache, spec.size) if spec.fit == "patch" else count_cases)

    def ending(self) -> Ending:
        return Ending(self.manifest, partial(judge, self.manifest, self.max_pixels))


def _uses_unlabelled(recipe: Recipe) -> bool:
    """Whether the strategy, in any stage, or the method learns from images without masks."""
    strategy = strategies.strategy_class(recipe.strategy["name"])
    options = (recipe.strategy_options(stage) for stage in ("", *recipe.stages))
    if strategy.info.uses_unlabelled and any(map(strategy.uses_unlabelled, options)):
        return True
    cls = registry.method_class(recipe.name)
    # The options are asked for only where they matter: those that are planned from the data are not all known before it.
    return cls.info.uses_unlabelled and cls.uses_unlabelled(registry.checked_options(recipe.name, recipe.method))


DENSE = DataKind("dense", OpenedImages.open)


def check_splits(manifest: Manifest) -> None:
    """Raise `DataError` where there is nothing to train or to validate on."""
    for name in SPLITS:
        if not manifest.split(name):
            raise DataError(
                f"{manifest.root}: the {name} split is empty; mend {name}.txt or remove the lists to get a seeded split"
            )


def _open_data(request: TrainRequest, folder: RunFolder, seed: int, note: Note) -> tuple[Manifest, Census]:
    source: Path | DataSource = folder.manifest if request.resume else request.source
    fold = None if request.resume else request.fold
    manifest, census = open_data(source, fold=fold, seed=seed, max_pixels=request.max_pixels, watch=not request.resume)
    if request.resume and request.fold is not None:
        _check_fold(manifest, request.fold)
    counts = ", ".join(f"{len(manifest.split(name))} {name}" for name in ("train", "val", "test"))
    note(f"data: {manifest.root} ({manifest.layout}; {counts}; splits: {manifest.split_origin})")
    note(f"labels: {manifest.labels.reason}; classes: {', '.join(manifest.classes.names)}")
    for finding in turned_apart(manifest.cases, census.facts):
        note(f"{finding.severity}: {finding}")
    check_splits(manifest)
    tell_groups(manifest, note)
    facts = census.of(manifest.split("train")).facts.values()
    for line in nothing_to_learn(fact.class_pixels(manifest.labels) for fact in facts if fact.values):
        note(line)
    return manifest, census


def tell_groups(manifest: Manifest, note: Note) -> None:
    """How the folder was read, what is known to belong together, and what lies in more than one split all the same."""
    for line in manifest.notes:
        note(line)
    note(f"groups: {manifest.grouping or 'none known, each case stands alone'}")
    for leak in manifest.leaks or ():
        note(f"warning: {leak}")


def _check_fold(manifest: Manifest, fold: int) -> None:
    """A run goes on with the fold that it was started with."""
    if manifest.of_fold(fold).split("val") != manifest.split("val"):
        raise DataError(f"--resume: the run does not validate on fold {fold}; give the fold that it was started with")
