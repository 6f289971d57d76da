"""Training on single images with their masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from delineate.artefact.training_images import ENTRY
from delineate.common.errors import DataError, RecipeError
from delineate.data.augment.patches import Corner
from delineate.data.cache.cache import Cache, open_cache, with_shares
from delineate.data.cache.large_cache import by_regions, open_with_large
from delineate.data.cache.store import Store
from delineate.data.cases.census import Census
from delineate.data.cases.turned import turned_apart
from delineate.data.core.findings import count
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest, Split
from delineate.data.core.modality import one_modality
from delineate.data.core.samples import Sample
from delineate.data.layouts.source import DataSource
from delineate.data.loading.loader import Loader
from delineate.data.loading.open_data import open_data
from delineate.data.loading.patch_loader import make_loader
from delineate.data.splits.label_share import for_training, keep_labeled
from delineate.engine.batch_source import BatchSource, to_device, to_torch
from delineate.engine.build import check_training_memory, source_of, targets_of
from delineate.engine.class_weights import frequencies, settle_class_weights
from delineate.engine.data_module import DataKind
from delineate.engine.data_warnings import side_warnings, training_warnings, validation_warnings
from delineate.engine.finish import FinishSpec, TrainedModel
from delineate.engine.first_weights import begin_at_shares
from delineate.engine.input_settings import settle_input
from delineate.engine.intensity_plan import plan_intensity
from delineate.engine.native_scores import score_validation_cases
from delineate.engine.planning import DataPlan, plan_from_data
from delineate.engine.recipe import EpisodesSection, Recipe
from delineate.engine.region_settings import settle_regions, with_regions
from delineate.engine.request import TrainRequest
from delineate.engine.run_folder import RunFolder
from delineate.engine.training_images import Shown, summarize
from delineate.engine.validation import (
    TiledCounts,
    ValidationJob,
    ValidationResult,
    VolumeCounts,
    count_cases,
    validate,
)
from delineate.inference.encoder_features import EncoderFeatures
from delineate.methods import registry
from delineate.methods.contract import Batch, Method, Stage
from delineate.nn.output import Output
from delineate.strategies import registry as strategies

__all__ = ["DENSE", "Note", "OpenedImages", "PreparedImages", "check_splits", "tell_groups"]

Note = Callable[[str], None]
"""Is told what the user should know."""
_SPLITS: tuple[Split, Split] = ("train", "val")
"""All that training ever opens."""


class OpenedImages:
    """The training and validation cases of a data set, read and checked."""

    def __init__(self, request: TrainRequest, recipe: Recipe, note: Note, whole: Manifest, census: Census) -> None:
        self.whole = whole
        self._request, self._note = request, note
        # From here on nothing knows of a test case.
        self._manifest, said = for_training(whole.sealed(), uses_unlabeled=_uses_unlabeled(recipe))
        if said:
            note(said)
        elif _strategy_uses_unlabeled(recipe):
            note(
                f"warning: every training image has a mask: of strategy '{recipe.strategy['name']}' remain supervised training, "
                "its averaged weights, and those of its terms that images with masks have too"
            )
        self._census = census.of(self._manifest.cases)

    @classmethod
    def open(cls, request: TrainRequest, folder: RunFolder, recipe: Recipe, note: Note) -> OpenedImages:
        """Read and check the data, or those of the run to go on with. Raises `DataError`."""
        if recipe.episodes != EpisodesSection() or "episodes" in request.stated():
            raise RecipeError(
                f"episodes: only for methods that learn from episodes; '{recipe.name}' learns from single images"
            )
        return cls(request, recipe, note, *_open_data(request, folder, recipe, note))

    @property
    def output(self) -> Output:
        return Output.of(self._manifest.classes)

    def settle(self, recipe: Recipe) -> tuple[Recipe, InputSpec, DataPlan | None]:
        data_plan = None
        planned = plan_intensity(recipe, self._manifest, self._census, self._request.cache_folder)
        if recipe.plan.from_data and not self._request.resume:
            recipe, data_plan = plan_from_data(self._request, planned.apply(recipe), self._manifest, self._census)
            self._note(data_plan.summary())
        classes = self._manifest.classes
        recipe = settle_regions(recipe, classes)
        recipe = settle_class_weights(recipe, classes, self._training(recipe), self._note)
        training = self._census.of(self._manifest.split("train"))
        recipe, spec = settle_input(planned.apply(recipe), self._census, training)
        self._note(planned.line(spec))
        for line in side_warnings(classes.names, recipe.augment):
            self._note(line)
        trained = [case.modality for case in self._manifest.split("train") if case.masks]
        spec = spec.model_copy(update={"modality": one_modality(trained)})
        return recipe, planned.complete(spec), data_plan

    def check_method(self, recipe: Recipe, method: Method, spec: InputSpec, device: torch.device) -> None:
        check_training_memory(recipe, method, spec, device)

    def set_first_weights(self, recipe: Recipe, method: Method) -> None:
        if recipe.engine.output_bias == "class_shares":
            begin_at_shares(method, frequencies(self.output.structures, self._training(recipe)), self.output)

    def prepare(self, recipe: Recipe, spec: InputSpec) -> PreparedImages:
        targets = targets_of(recipe)
        samples, all_of_them = self._training(recipe), len(self._samples("train"))
        if len(samples) < all_of_them:
            self._note(f"trained on {len(samples)} of {all_of_them} slices: those without any class are left out")
        if recipe.data.sampling == "class_balanced":
            self._tell_absent(samples)
        training, held_out = self._cache(samples, spec), self._samples("val")
        validation, regions = by_regions(self._cache(held_out, spec), spec) if held_out else (None, {})
        if training.large or regions:
            self._note(_large_words(training, regions))
        if targets.soft:
            training = with_shares(
                training,
                self._manifest,
                spec,
                self._store,
                axis=self._census.axis,
                max_pixels=self._request.max_pixels,
            )
        names, by = self._manifest.classes.names, recipe.engine.select_by
        if validation is not None:
            for line in validation_warnings(_masks_by_case(validation), names, by):
                self._note(line)
        return PreparedImages(recipe, spec, self._manifest, training, validation, self._request.max_pixels, regions)

    def _samples(self, split: Split) -> tuple[Sample, ...]:
        return self._census.samples(self._manifest.split(split), self._manifest.labels)

    def _training(self, recipe: Recipe) -> tuple[Sample, ...]:
        """What is trained on: all samples, or of volumes the slices with a class, and those of cases without masks."""
        samples = self._samples("train")
        if recipe.data.slices == "all":
            return samples
        kept = tuple(one for one in samples if one.has_foreground or not one.labeled)
        if not any(one.labeled for one in kept):
            raise DataError("data.slices=foreground: no slice of the training volumes has a class; train on all slices")
        return kept

    def _tell_absent(self, samples: Sequence[Sample]) -> None:
        """Of classes that no training image shows."""
        shown = {label for one in samples for label in one.pixels}
        for label, name in enumerate(self._manifest.classes.names):
            if label and label not in shown:
                self._note(f"warning: '{name}' is in no training image: data.sampling=class_balanced never draws it")

    def _cache(self, samples: tuple[Sample, ...], spec: InputSpec) -> Cache:
        request, axis, manifest = self._request, self._census.axis, self._manifest

        def decoded(some: Sequence[Sample]) -> Cache:
            return open_cache(manifest, some, spec, self._store, axis=axis, max_pixels=request.max_pixels)

        return open_with_large(manifest, samples, spec, self._store, decoded)

    @property
    def _store(self) -> Store:
        request = self._request
        return Store.at(request.cache_folder, request.cache_limit_bytes, self._note)


@dataclass(frozen=True)
class PreparedImages:
    """The same at the working size, for one recipe."""

    recipe: Recipe
    spec: InputSpec
    manifest: Manifest
    training: Cache
    validation: Cache | None
    """None: there are no validation cases."""
    max_pixels: int
    regions: Mapping[str, Sequence[Corner]] = field(default_factory=dict)
    """Of the large validation pictures: where the places lie that they are judged by."""

    def source(self, stage: Stage, *, index: int, rank: int, world: int) -> BatchSource:
        return source_of(self.recipe, stage, self.training, self.spec, index=index, rank=rank, world=world)

    @property
    def validation_size(self) -> int:
        return 0 if self.validation is None else len(self._validation_loader(self.validation, 1))

    def validate(self, job: ValidationJob) -> ValidationResult:
        """At the working size over the validation split, of whole images also where the network sees patches."""
        cache, spec, output = self.validation, self.spec, Output.of(self.manifest.classes)
        assert cache is not None  # else it is not asked for
        count = TiledCounts(cache, spec.size, output) if spec.fit == "patch" else partial(count_cases, output=output)
        loaded = self._validation_loader(cache, job.batch_size).once()
        batches: Iterator[Batch] = (to_device(to_torch(batch), job.device) for batch in loaded)
        whole = spec.axis is None and not self.regions
        return validate(job, batches, count if whole else VolumeCounts(cache, count))

    def _validation_loader(self, cache: Cache, batch_size: int) -> Loader:
        workers = self.recipe.data.workers
        return make_loader(cache, self.spec, None, batch_size=batch_size, seed=0, workers=workers)

    def finish_spec(self) -> FinishSpec:
        judge = partial(score_validation_cases, self.manifest, self.spec.axis, self.max_pixels, self.regions)
        return FinishSpec(self.manifest, judge, describe=self._describe)

    def _describe(self, trained: TrainedModel) -> dict[str, Any]:
        """What the training images look like; nothing of pictures that are read by windows."""
        if self.training.large:
            return {}
        held_out = None if self.validation is None else Shown.of(self.validation)
        encoder = EncoderFeatures.of(trained.artefact.method, trained.device)
        seen = summarize(Shown.of(self.training), held_out, self.spec, encoder)
        return {} if seen is None else {ENTRY: seen.model_dump(mode="json")}


def _masks_by_case(cache: Cache) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The masks of labeled cases; of a volume all of its slices in one row."""
    labeled = ((at, one) for at, one in enumerate(cache.samples) if one.labeled)
    for name, members in groupby(labeled, lambda each: each[1].case.id):
        yield name, np.concatenate([cache.mask(at).ravel() for at, _ in members])


def _large_words(training: Cache, regions: Mapping[str, Sequence[Corner]]) -> str:
    """How large pictures are trained on and judged."""
    said = [f"{count(len(training.large), 'training picture')} read by windows"] if training.large else []
    if regions:
        number = sum(map(len, regions.values()))
        said.append(
            f"{count(len(regions), 'large validation picture')} judged by {count(number, 'region')}, always the same"
        )
    return "; ".join(said)


def _strategy_uses_unlabeled(recipe: Recipe) -> bool:
    """Whether the strategy, in any stage, learns from images without masks."""
    strategy = strategies.strategy_class(recipe.strategy["name"])
    options = (recipe.strategy_options(stage) for stage in ("", *recipe.stages))
    return strategy.info.uses_unlabeled and any(map(strategy.uses_unlabeled, options))


def _uses_unlabeled(recipe: Recipe) -> bool:
    """Whether the strategy or the method learns from images without masks."""
    if _strategy_uses_unlabeled(recipe):
        return True
    cls = registry.method_class(recipe.name)
    # The options are asked for only where they matter: those that are planned from the data are not all known before it.
    return cls.info.uses_unlabeled and cls.uses_unlabeled(registry.checked_options(recipe.name, recipe.method))


DENSE = DataKind("dense", OpenedImages.open)


def check_splits(manifest: Manifest, *, validation: bool = True) -> None:
    """Raise `DataError` where there is nothing to train or, if there must be `validation` cases, to validate on."""
    for name in _SPLITS if validation else _SPLITS[:1]:
        if not manifest.split(name):
            raise DataError(
                f"{manifest.root}: the {name} split is empty; correct {name}.txt, or remove the lists to get a random split"
            )


def _open_data(request: TrainRequest, folder: RunFolder, recipe: Recipe, note: Note) -> tuple[Manifest, Census]:
    source: Path | DataSource = folder.manifest if request.resume else request.source
    fold = None if request.resume else request.fold
    opened, census = open_data(
        source,
        fold=fold,
        seed=recipe.engine.seed,
        max_pixels=request.max_pixels,
        watch=not request.resume,
        axis=recipe.data.axis,
        cache_folder=request.cache_folder,
        validation=recipe.engine.select_by != "last",
    )
    if request.labels is not None and not request.resume:
        opened = keep_labeled(opened, census, request.labels, seed=0, cure="raise it, or take another --labeled-draw")
    manifest = with_regions(opened, recipe)
    if request.resume and request.fold is not None:
        _check_fold(manifest, request.fold)
    counts = ", ".join(f"{len(manifest.split(name))} {name}" for name in ("train", "val", "test"))
    note(f"data: {manifest.root} ({manifest.layout}; {counts}; splits: {manifest.split_origin})")
    if census.axis is not None:
        slices = [len(census.samples(manifest.split(name), manifest.labels)) for name in _SPLITS]
        across = f"the axis {census.across} (data.axis={census.axis})"
        note(
            f"slices: {slices[0]} train, {slices[1]} val, across {'each of the three axes' if census.all_axes else across}"
        )
    note(f"labels: {manifest.labels.reason}; classes: {', '.join(manifest.classes.names)}")
    if manifest.classes.regions:
        note(f"regions to learn: {manifest.classes.regions_in_words}")
    for finding in turned_apart(manifest.cases, census.facts):
        note(f"{finding.severity}: {finding}")
    check_splits(manifest, validation=recipe.engine.select_by != "last")
    if not manifest.split("val"):
        note("validation: none; the weights after the last step are the model (engine.select_by=last)")
    tell_groups(manifest, note)
    if recipe.data.slices != "all" and census.axis is None:
        raise RecipeError("data.slices: only for volumes; leave that key out")
    facts = census.of([case for case in manifest.split("train") if case.masks]).facts.values()
    for line in training_warnings(fact.class_pixels(manifest.labels) for fact in facts):
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
