"""Few-shot training on the engine: episodes are its batches, fixed episodes of the validation patients choose the weights."""

from __future__ import annotations

import torch

from delineate.common.errors import RecipeError
from delineate.data.cache.store import Store
from delineate.data.cases.turned import turned_apart
from delineate.data.core.findings import count
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest, Split
from delineate.data.loading.samples import SampleSet, open_samples
from delineate.data.loading.working import WorkingSlices, decode
from delineate.engine.console import Reporter
from delineate.engine.dense import check_splits, tell_groups
from delineate.engine.folder import RunFolder
from delineate.engine.input import settle_input
from delineate.engine.planning import DataPlan
from delineate.engine.recipe import EpisodesSection, Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run_state import Run
from delineate.engine.sources import Source
from delineate.engine.task import TaskKind
from delineate.engine.validation import ValidationResult
from delineate.fewshot.class_names import labels_named
from delineate.fewshot.ending import Ending, finish
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.episodes import EpisodeSource
from delineate.fewshot.exclusion import allowed
from delineate.fewshot.identity import excluded_section
from delineate.fewshot.pools import LabelPool, Pool, SuperpixelPool, SupervoxelPool
from delineate.fewshot.regions import slice_regions, volume_regions
from delineate.fewshot.validation import FixedEpisodes, freeze
from delineate.methods.contract import Context, Method, Stage
from delineate.methods.episodic import EpisodicMethod

SOURCE = "episodes"
"""What an episodic method's stages name as their source."""


class EpisodicTask:
    """The training and validation slices of a data set, and the episodes that are made of them."""

    def __init__(self, request: TrainRequest, reporter: Reporter, data: SampleSet, section: EpisodesSection) -> None:
        """`data`: all of it. Raises `DataError`: unknown classes to exclude, or too few slices left."""
        self.whole: Manifest = data.manifest
        self._request, self._reporter, self._section = request, reporter, section
        self._data = data.sealed()  # from here on nothing knows of a test slice
        self._excluded = labels_named(section.exclude, data.classes, data.manifest.root) if section.exclude else ()
        self._allowed = allowed(self._data.split("train"), self._excluded, section.exclude_rule)
        self._pool: Pool
        self._training: WorkingSlices
        self._episodes: EpisodeFile
        self._fixed: FixedEpisodes

    @classmethod
    def open(cls, request: TrainRequest, folder: RunFolder, recipe: Recipe, reporter: Reporter) -> EpisodicTask:
        """Read and check the data, or those of the run to go on with. Raises `DataError`."""
        section = recipe.episodes
        data = open_samples(
            folder.manifest if request.resume else request.source,
            stack=section.stack,
            axis=section.axis,
            fold=None if request.resume else request.fold,
            seed=recipe.engine.seed,
            max_pixels=request.max_pixels,
            cache_folder=request.cache_folder,
            watch=not request.resume,
        )
        check_splits(data.manifest)
        task = cls(request, reporter, data, section)
        for line in task._lines(data):
            reporter.note(line)
        tell_groups(data.manifest, reporter)
        return task

    @property
    def outputs(self) -> int:
        """One foreground logit; several classes are conditioned one by one."""
        return 1

    def settle(self, recipe: Recipe) -> tuple[Recipe, InputSpec, DataPlan | None]:
        if recipe.plan.from_data:
            raise RecipeError("plan.from_data: few-shot methods do not plan from the data; leave it false")
        if recipe.input.fit == "patch":
            raise RecipeError("input.fit=patch: few-shot methods see whole images; use stretch or letterbox")
        return *settle_input(recipe, self._data.census), None

    def check_memory(self, recipe: Recipe, method: Method, spec: InputSpec, device: torch.device) -> None:
        """Nothing: what an episode takes depends on its masks, so that it cannot be estimated without data."""
        if not isinstance(method, EpisodicMethod):
            raise RecipeError(f"method '{recipe.name}' calls itself episodic but is no EpisodicMethod")
        for stage in method.stages():
            if stage.source != SOURCE:
                raise RecipeError(
                    f"method '{recipe.name}': stage '{stage.name}' wants batches of '{stage.source}', and here are only "
                    f"'{SOURCE}'"
                )

    def prepare(self, recipe: Recipe, spec: InputSpec) -> None:
        request, section = self._request, self._section
        store = Store.at(request.cache_folder, request.cache_limit_bytes, self._reporter.note)
        self._training = decode(self._data.split("train"), spec, store, max_pixels=request.max_pixels)
        self._pool = self._make_pool(store, recipe.data.workers)
        parts = (self._training, decode(self._data.split("val"), spec, store, max_pixels=request.max_pixels))
        labels = [label for label in self._data.labels if label not in self._excluded]
        least = _scaled(section.least_labelled, self._training)
        self._episodes = freeze(self._data, parts, labels, shots=section.shots, least=least, stack=section.stack)
        self._fixed = FixedEpisodes(self._episodes, parts, most=section.validation)

    def source(self, recipe: Recipe, stage: Stage, *, index: int, rank: int, world: int) -> Source:
        return EpisodeSource(
            self._training,
            self._pool,
            recipe.stage_augment(stage.name),
            shots=self._section.shots,
            sides=self._section.augment,
            batch_size=recipe.stage_settings(stage.name).batch_size,
            seed=recipe.engine.seed + 7919 * index,  # each stage sees the slices in an order of its own
            workers=recipe.data.workers,
            rank=rank,
            world=world,
        )

    def validate(self, run: Run, stage: Stage, method: Method, ctx: Context) -> ValidationResult:
        return self._fixed.validate(run, stage, method, ctx)

    def finish(self, run: Run) -> float | None:
        section = self._section.model_dump(mode="json") | {
            "exclude": [self._data.classes.names[label] for label in self._excluded],
            "axis": self._data.axis,
            **excluded_section(self.whole, self._excluded),
        }
        return finish(run, Ending(self._data, self._episodes, section, self._words()))

    def _make_pool(self, store: Store, workers: int) -> Pool:
        section, training, usable = self._section, self._training, self._allowed
        least = _scaled(section.least, training)
        if section.kind == "labels":
            labels = [label for label in self._data.labels if label not in self._excluded]
            least = _scaled(section.least_labelled, training)
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


def _scaled(pixels: int, data: WorkingSlices) -> int:
    """Pixels at 256×256 → at the working size."""
    return max(1, round(pixels * data.area))


EPISODIC = TaskKind("episodic", EpisodicTask.open)
