"""Few-shot training on the engine: episodes are its batches, fixed episodes of the validation patients choose the weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from delineate.common.errors import RecipeError
from delineate.data.cache.store import Store
from delineate.data.cases.turned import turned_apart
from delineate.data.core.findings import count
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable, Manifest, Split
from delineate.data.loading.cached_slices import CachedSlices, decode
from delineate.data.loading.samples import SampleSet, open_samples
from delineate.engine.batch_source import BatchSource
from delineate.engine.data_module import DataKind
from delineate.engine.dense import Note, check_splits, tell_groups
from delineate.engine.finish import FinishSpec
from delineate.engine.input_settings import settle_input
from delineate.engine.intensity_plan import plan_intensity
from delineate.engine.planning import DataPlan
from delineate.engine.recipe import EpisodesSection, Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run_folder import RunFolder
from delineate.engine.validation import ValidationJob, ValidationResult
from delineate.fewshot.class_identity import excluded_section
from delineate.fewshot.class_names import labels_by_name
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.episode_scores import judge
from delineate.fewshot.episode_source import EpisodeSource
from delineate.fewshot.exclusion import allowed
from delineate.fewshot.foreground_pools import LabelPool, Pool, SuperpixelPool, SupervoxelPool
from delineate.fewshot.regions import slice_regions, volume_regions
from delineate.fewshot.validation import FixedEpisodes, freeze
from delineate.methods.contract import Method, Stage
from delineate.nn.output import Output

__all__ = ["EPISODIC", "OpenedSlices", "PreparedEpisodes"]

_SOURCE = "episodes"
"""What an episodic method's stages name as their source."""
_VERB = "delineate fewshot evaluate"
"""What scores such a model on a test set."""


class OpenedSlices:
    """The training and validation slices of a data set, read and checked, and which of them are trained on."""

    def __init__(self, request: TrainRequest, note: Note, data: SampleSet, section: EpisodesSection) -> None:
        """`data`: all of it. Raises `DataError`: unknown classes to exclude, or too few slices left."""
        self.whole: Manifest = data.manifest
        self._request, self._note, self._section = request, note, section
        self._data = data.sealed()  # from here on nothing knows of a test slice
        self._excluded = labels_by_name(section.exclude, data.classes, data.manifest.root) if section.exclude else ()
        self._allowed = allowed(self._data.split("train"), self._excluded, section.exclude_rule)

    @classmethod
    def open(cls, request: TrainRequest, folder: RunFolder, recipe: Recipe, note: Note) -> OpenedSlices:
        """Read and check the data, or those of the run to go on with. Raises `DataError`."""
        if request.labels is not None:
            raise RecipeError(
                f"{request.labels.words}: few-shot methods learn from episodes; leave it out (--exclude-classes leaves classes "
                "out)"
            )
        section = recipe.episodes
        data = open_samples(
            folder.manifest if request.resume else request.source,
            stack=section.stack,
            axis=recipe.data.axis,
            fold=None if request.resume else request.fold,
            seed=recipe.engine.seed,
            max_pixels=request.max_pixels,
            cache_folder=request.cache_folder,
            watch=not request.resume,
        )
        check_splits(data.manifest)
        opened = cls(request, note, data, section)
        for line in opened._lines(data):
            note(line)
        tell_groups(data.manifest, note)
        return opened

    @property
    def output(self) -> Output:
        """One foreground logit; several classes are conditioned one by one."""
        return Output(1)

    def settle(self, recipe: Recipe) -> tuple[Recipe, InputSpec, DataPlan | None]:
        if recipe.data.sampling != "uniform":
            raise RecipeError("data.sampling: few-shot methods draw episodes, not single images; leave it out")
        if recipe.engine.output_bias != "default":
            raise RecipeError("engine.output_bias: few-shot methods have no classes of their own; leave it out")
        if recipe.input.neighbors:
            raise RecipeError(
                "input.neighbors: few-shot methods see single slices, as their supports are; leave it out"
            )
        if recipe.input.spacing is not None:
            raise RecipeError("input.spacing: few-shot methods see images at the size of their supports; leave it out")
        if recipe.data.regions not in ("auto", {}):
            raise RecipeError("data.regions: few-shot methods learn one class at a time; leave it out")
        if recipe.plan.from_data:
            raise RecipeError("plan.from_data: few-shot methods do not plan from the data; leave it false")
        if recipe.input.fit == "patch":
            raise RecipeError("input.fit=patch: few-shot methods see whole images; use stretch or letterbox")
        planned = plan_intensity(recipe, self._data.manifest, self._data.census, self._request.cache_folder)
        recipe, spec = settle_input(planned.apply(recipe), self._data.census)
        self._note(planned.line(spec))
        return recipe, planned.complete(spec), None

    def check_method(self, recipe: Recipe, method: Method, spec: InputSpec, device: torch.device) -> None:
        """Memory is not looked at: what an episode takes depends on its masks, so that it cannot be estimated without data."""
        for stage in method.stages():
            if stage.source != _SOURCE:
                raise RecipeError(
                    f"method '{recipe.name}': stage '{stage.name}' wants batches of '{stage.source}', and here are only "
                    f"'{_SOURCE}'"
                )

    def set_first_weights(self, recipe: Recipe, method: Method) -> None:
        """Nothing of them is left to the data."""

    def prepare(self, recipe: Recipe, spec: InputSpec) -> PreparedEpisodes:
        request, section = self._request, self._section
        store = Store.at(request.cache_folder, request.cache_limit_bytes, self._note)
        training = decode(self._data.split("train"), spec, store, max_pixels=request.max_pixels)
        pool = self._make_pool(training, store, recipe.data.workers)
        parts = (training, decode(self._data.split("val"), spec, store, max_pixels=request.max_pixels))
        labels = [label for label in self._data.labels if label not in self._excluded]
        least = _scaled(section.least_labeled, training)
        episodes = freeze(self._data, parts, labels, shots=section.shots, least=least, stack=section.stack)
        return PreparedEpisodes(
            recipe=recipe,
            data=self._data,
            training=training,
            pool=pool,
            episodes=episodes,
            fixed=FixedEpisodes(episodes, parts, most=section.validation),
            about=self._about(),
            words=self._words(),
        )

    def _about(self) -> dict[str, Any]:
        """What a model says of the episodes that it was trained on."""
        return self._section.model_dump(mode="json") | {
            "exclude": [self._data.classes.names[label] for label in self._excluded],
            "axis": self._data.axis,
            **excluded_section(self.whole, self._excluded),
        }

    def _make_pool(self, training: CachedSlices, store: Store, workers: int) -> Pool:
        section, usable = self._section, self._allowed
        least = _scaled(section.least, training)
        if section.kind == "labels":
            labels = [label for label in self._data.labels if label not in self._excluded]
            least = _scaled(section.least_labeled, training)
            return LabelPool(training, usable, labels, self._data.classes.names, least=least)
        if section.kind == "supervoxel":
            size = section.supervoxel_size
            regions = volume_regions(training, store, size=size, least=section.least, workers=workers)
            return SupervoxelPool(regions, training, usable, least=least)
        regions = slice_regions(
            training,
            store,
            algorithm=section.regions,
            size=section.region_size,
            least=section.least,
            workers=workers,
        )
        return SuperpixelPool(regions, usable, least=least)

    def _lines(self, data: SampleSet) -> list[str]:
        """What the user is told of the data."""
        manifest = data.manifest
        splits: tuple[Split, ...] = ("train", "val", "test")
        parts = {name: data.split(name) for name in splits}
        counts = ", ".join(f"{len(part)} {name} of {count(len(part.stacks), 'volume')}" for name, part in parts.items())
        names = ", ".join(manifest.classes.names)
        return [
            f"data: {manifest.root} ({manifest.layout}; slices: {counts}; splits: {manifest.split_origin})",
            f"labels: {manifest.labels.reason}; classes: {names}",
            f"episodes: {self._words()}",
            *(f"{one.severity}: {one}" for one in turned_apart(manifest.cases, data.census.facts)),
        ]

    def _words(self) -> str:
        section = self._section
        text = f"{section.kind}, {section.shots} shot{'s' if section.shots > 1 else ''}"
        if not self._excluded:
            return f"{text}, all {len(self._allowed)} training slices (setting 1)"
        names = ", ".join(self._data.classes.names[label] for label in self._excluded)
        held = f"any of {names}" if section.exclude_rule == "any" else f"all of {names} (legacy_all: not setting 2)"
        return f"{text}, {sum(self._allowed)} of {len(self._allowed)} training slices: those with {held} are left out"


@dataclass(frozen=True)
class PreparedEpisodes:
    """The same at the working size, for one recipe: what episodes are drawn from, and those that validate."""

    recipe: Recipe
    data: SampleSet
    training: CachedSlices
    pool: Pool
    episodes: EpisodeFile
    """Of the validation patients."""
    fixed: FixedEpisodes
    """Those slices of them that each validation segments."""
    about: dict[str, Any]
    """What a model says of the episodes that it was trained on."""
    words: str
    """The same for the reader."""

    def source(self, stage: Stage, *, index: int, rank: int, world: int) -> BatchSource:
        recipe, section = self.recipe, self.recipe.episodes
        return EpisodeSource(
            self.training,
            self.pool,
            recipe.stage_augment(stage.name),
            shots=section.shots,
            sides=section.augment,
            batch_size=recipe.stage_settings(stage.name).batch_size,
            seed=recipe.engine.seed + 7919 * index,  # each stage sees the slices in an order of its own
            workers=recipe.data.workers,
            rank=rank,
            world=world,
        )

    @property
    def validation_size(self) -> int:
        return len(self.fixed)

    def validate(self, job: ValidationJob) -> ValidationResult:
        return self.fixed.validate(job)

    def finish_spec(self) -> FinishSpec:
        return FinishSpec(
            self.data.manifest,
            partial(judge, self.data, self.episodes),
            classes=ClassTable(),
            provenance={"episodes": self.about},
            summary={"episodes": self.words, "test_with": _VERB},
            about=lambda judged: [f"Episodes: {self.words}", f"Validated by: {judged.protocol}"],
        )


def _scaled(pixels: int, data: CachedSlices) -> int:
    """Pixels at 256×256 → at the working size."""
    return max(1, round(pixels * data.area))


EPISODIC = DataKind("episodic", OpenedSlices.open)
