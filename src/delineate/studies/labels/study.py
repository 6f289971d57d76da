"""`study labels`: one method trained in several ways with several numbers of labels. Interrupted at any moment, it goes on where it
was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from delineate.common.errors import DataError, DelineateError, Interrupted, RecipeError
from delineate.common.files import output_folder
from delineate.common.folder_lock import folder_contents
from delineate.common.names import listed
from delineate.data.cases.census import Census
from delineate.data.cases.moved import moved
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource, as_source
from delineate.data.loading.open_data import open_data
from delineate.engine.build import targets_of
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.reporting import Reporter
from delineate.engine.run import make_fabric
from delineate.evaluation.metrics.metric_selection import check_millimeters
from delineate.evaluation.metrics.registry import resolve as resolve_metrics
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.studies.jobs import Announce, do_all
from delineate.studies.labels.draws import DRAWS, LabelList, freeze, pool, read_lists, write_lists
from delineate.studies.labels.jobs import LabelJob, all_jobs
from delineate.studies.labels.setup import (
    LabelSetup,
    Validation,
    check_settings,
    differences,
    grown,
    in_order_of,
    make_entrants,
)
from delineate.studies.moved import move_data
from delineate.studies.possible import check_fits
from delineate.studies.setup import setup_file

__all__ = [
    "METRICS",
    "POOL",
    "SCORED",
    "LabelRequest",
    "LabelStudy",
    "Prepared",
    "finish",
    "plan",
    "prepare",
    "run",
    "save",
]

METRICS = ("dice", "hd95_pooled")
POOL, SCORED = "manifest.json", "scored.json"
_EMA = 0.99


@dataclass(frozen=True)
class LabelRequest:
    """What `study labels` is asked for."""

    data: Path | DataSource
    out: Path
    method: str
    strategies: str | Sequence[str] = "supervised,mean-teacher"
    """NAME or NAME:option=value,…"""
    preset: str = "tiny"
    fractions: Sequence[float] | None = None
    """Of the training groups; 1 stands for all labels, which are always trained on."""
    labeled_cases: Sequence[int] | None = None
    labeled_groups: Sequence[int] | None = None
    draws: int = 3
    seeds: int = 1
    steps: int | None = None
    """None: as many as the preset takes on all labels."""
    size: int | None = None
    validation: Validation = "none"
    ema: float = _EMA
    """Decay of the averaged weights of all ways of training; 0: none."""
    settings: Sequence[str] = ()
    metrics: Sequence[str] = METRICS
    stack: str | None = None
    spacing: Sequence[float] | None = None
    cache_folder: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", listed(self.metrics) or METRICS)
        object.__setattr__(self, "strategies", listed(self.strategies))

    def budgets(self) -> tuple[dict[str, int | float], ...]:
        """The numbers of labels, fewest first. Raises `DataError`."""
        given = {"--fractions": self.fractions, "--labeled-cases": self.labeled_cases}
        given["--labeled-groups"] = self.labeled_groups
        told = [name for name, values in given.items() if values]
        if len(told) != 1:
            which = " and ".join(told) or "no number of labels"
            raise DataError(f"{which} given; give one of --fractions, --labeled-cases and --labeled-groups")
        if wrong := [value for value in self.fractions or () if not 0 < value <= 1]:
            raise DataError(f"--fractions {wrong[0]:g} is not between 0 and 1; 0.1 is a tenth of the training groups")
        shares: list[dict[str, int | float]] = [{"share": value} for value in self.fractions or () if value < 1]
        numbers: list[dict[str, int | float]] = [{"cases": value} for value in self.labeled_cases or ()]
        numbers += [{"groups": value} for value in self.labeled_groups or ()]
        found = sorted([*shares, *numbers], key=lambda one: next(iter(one.values())))
        if not found:
            raise DataError("--fractions 1 alone compares nothing; give smaller ones too")
        if any(one == two for one, two in pairwise(found)):
            raise DataError(f"{told[0]} names a number twice")
        return tuple(found)


@dataclass(frozen=True)
class Prepared:
    """A study before its first run."""

    setup: LabelSetup
    pool: Manifest
    lists: list[LabelList]


@dataclass(frozen=True)
class LabelStudy:
    """A study whose runs were tried."""

    folder: Path
    setup: LabelSetup
    jobs: list[LabelJob]
    pool: Manifest
    lists: list[LabelList]
    scores: dict[str, ScoresFile]
    """Name of a run that is done → its scores of the test cases."""


def plan(request: LabelRequest, announce: Announce = lambda _: None) -> Prepared:
    """Read the data, check all options and draw the lists. Nothing is written.

    Raises `DelineateError` for what no run could do.
    """
    setup = _setup(request)
    source = as_source(request.data)
    recipe = resolve(setup.method, setup.preset, setup.entrants[0].options, setup.settings)
    manifest, census = open_data(source, watch=True, axis=recipe.data.axis, validation=False)
    for leak in manifest.leaks or ():
        announce(f"warning: {leak}")
    known = pool(manifest)
    dropped = sum(case.split == "val" for case in manifest.cases)
    if dropped:
        announce(f"the {dropped} validation cases of {source.path} take no part: validation labels are labels, too")
    tested = [case for case in known.split("test") if case.masks]
    if all(case.id in census.empty for case in tested):
        raise DataError(
            f"{manifest.root}: none of the {len(tested)} test masks shows any class, so that there is nothing to score; give it "
            "another test list (`delineate data split`)"
        )
    bare = [case.id for case in tested if request.stack is not None or case.spacing is None]
    check_millimeters(setup.metrics, [] if request.spacing else bare)
    setup = setup.model_copy(update={"steps": request.steps or _usual_steps(recipe, known, census)})
    lists = freeze(setup, known, census)
    check_fits(setup.entrants, setup.settings, [known], census.of(known.cases))
    unlabeled = sum(not case.masks for case in known.split("train"))
    most = max(len(one.cases) for one in lists if one.budget >= 0)
    everything = len(lists[-1].cases)
    if everything - most + unlabeled == 0:
        raise DataError("no unlabeled images are left; give fewer labels")
    return Prepared(setup, known, lists)


def prepare(
    request: LabelRequest, announce: Announce = lambda _: None, trial: Callable[[Prepared], None] = lambda _: None
) -> LabelSetup:
    """Make the setup and write it with the lists, or find that the one in `out` is the same, or a part of it.

    `trial`: of a new study, before anything of it is written. Raises `DelineateError`: as `plan` and `trial`; another setup in the
    folder; data that have changed since the study began.
    """
    folder = request.out
    if setup_file(folder).exists():
        return _again(request, announce)
    if {path.name for path in folder_contents(folder)} - {POOL, SCORED, DRAWS, "lists"}:
        raise DataError(f"{folder} is not empty and holds no study of few labels; give another --out")
    prepared = plan(request, announce)
    trial(prepared)
    save(prepared, folder)
    return prepared.setup


def save(prepared: Prepared, folder: Path) -> None:
    """Write the lists and, last, the setup."""
    output_folder(folder)
    known = prepared.pool
    known.save(folder / POOL)
    scored = tuple(case for case in known.split("test") if case.masks)
    known.model_copy(update={"cases": scored}).save(folder / SCORED)
    write_lists(folder, prepared.setup, known, prepared.lists)
    prepared.setup.save(folder)


def run(
    folder: Path,
    setup: LabelSetup,
    reporter: Reporter | None = None,
    announce: Announce = lambda _: None,
    cache: Path | None = None,
) -> LabelStudy:
    """Do what is not done yet, and score it. What failed in an earlier call is tried again; a run that fails is left out.

    `Interrupted` passes through; the same call goes on later. Raises `DelineateError` where no run was done at all.
    """
    try:
        do_all(all_jobs(folder, setup), setup, cache, reporter, announce)
    except Interrupted as stop:  # a run's own advice is --resume, which a study does not need
        what = str(stop).partition("; continue with")[0]
        raise Interrupted(f"{what}; run the same command to continue") from None
    return finish(folder, setup)


def finish(folder: Path, setup: LabelSetup) -> LabelStudy:
    """Score what is done."""
    jobs = all_jobs(folder, setup)
    done = {job.name: _scored(job, folder, setup) for job in jobs if job.state == "done"}
    if not done:
        failed = [job for job in jobs if job.state == "failed"]
        why = f"{failed[0].name}: {failed[0].result()['error']}" if failed else "no run is done"
        raise DelineateError(f"nothing to compare in {folder}; {why}")
    return LabelStudy(folder, setup, jobs, Manifest.load(folder / POOL), read_lists(folder), done)


def _setup(request: LabelRequest) -> LabelSetup:
    """As it is asked for; the steps are 0 where they are the preset's."""
    for name, number in {"--draws": request.draws, "--seeds": request.seeds}.items():
        if number < 1:
            raise DataError(f"{name} must be at least 1")
    if request.steps is not None and request.steps < 1:
        raise DataError("--steps must be at least 1")
    if not 0 <= request.ema < 1:
        raise RecipeError(f"--ema {request.ema:g} is not a decay from 0 (no average) to below 1")
    resolve_metrics(request.metrics)
    check_settings(request.settings, request.method, request.preset)
    entrants = make_entrants(
        listed(request.strategies),
        method=request.method,
        preset=request.preset,
        size=request.size,
        settings=request.settings,
        ema=request.ema,
        validation=request.validation,
    )
    recipe = resolve(request.method, request.preset, entrants[0].options, request.settings)
    make_fabric(recipe)
    targets_of(recipe)
    source = as_source(request.data)
    return LabelSetup(
        data=str(source.path.resolve()),
        settings=tuple(request.settings),
        entrants=entrants,
        images=source.images,
        masks=source.masks,
        labels=source.labels,
        codes=source.codes,
        group_by=source.group_by,
        join=source.join,
        method=request.method,
        preset=request.preset,
        size=request.size,
        steps=request.steps or 0,
        budgets=request.budgets(),
        draws=request.draws,
        seeds=request.seeds,
        validation=request.validation,
        ema=request.ema,
        metrics=tuple(request.metrics),
        stack=request.stack,
        spacing=None if request.spacing is None else tuple(request.spacing),
    )


def _usual_steps(recipe: Recipe, known: Manifest, census: Census) -> int:
    """What the preset takes with all labels: its steps, or its epochs over all training images, of volumes over their slices.

    Raises `DataError` where an epoch is of patches whose number nobody states.
    """
    if recipe.engine.steps is not None:
        return recipe.engine.steps
    samples = census.samples([case for case in known.split("train") if case.masks], known.labels)
    number = sum(recipe.data.slices == "all" or one.has_foreground for one in samples)
    if recipe.input.fit == "patch":
        if recipe.data.patches_per_image is None:
            raise DataError(
                "--steps is missing: only a run knows how many patches an epoch of the preset has; give the steps of every run"
            )
        number *= recipe.data.patches_per_image
    return max(1, (recipe.engine.epochs or 1) * -(-number // recipe.engine.batch_size))


def _again(request: LabelRequest, announce: Announce) -> LabelSetup:
    """The setup of a study that was begun, if it is the one that is asked for, or grows to it, on the same data."""
    folder, source = request.out, as_source(request.data)
    saved = LabelSetup.load(folder)
    asked = _setup(request)
    kept = {"data": saved.data, **({} if request.steps else {"steps": saved.steps})}
    wanted = grown(saved, asked)
    if changed := differences(wanted, in_order_of(wanted, asked).model_copy(update=kept)):
        raise DataError(
            f"{folder} holds a study of few labels with another setup ({'; '.join(changed)}); give the same options, or "
            "another --out; strategies and draws may be added"
        )
    known = Manifest.load(folder / POOL)
    given = source.manifest()
    ours, theirs = {case.id for case in known.cases}, {case.id for case in given.cases}
    if strange := ours ^ theirs:
        there = len(ours & theirs)
        if 2 * there < len(ours):
            raise DataError(
                f"{folder} holds a {saved.study} on {saved.data}, and {source.path} holds other data (it has {there or 'none'} of "
                f"the {len(ours)} cases); give another --out"
            )
        name = min(strange)
        what = "is not there any more" if name in ours else "is new"
        raise DataError(
            f"{source.path} has changed since the study in {folder} began (case '{name}' {what}); give another --out"
        )
    if asked.data != saved.data:
        manifests = [folder / POOL, folder / SCORED, *sorted((folder / "lists").glob("*.json"))]
        saved = move_data(folder, saved, source, manifests, announce)
    else:
        try:
            moved(known, Path(known.root))
        except DataError as error:
            raise DataError(
                f"{source.path} has changed since the study in {folder} began ({error}); give another --out"
            ) from error
    return saved if wanted.runs == saved.runs else _grow(request, saved, wanted, announce)


def _grow(request: LabelRequest, saved: LabelSetup, wanted: LabelSetup, announce: Announce) -> LabelSetup:
    """Add strategies and draws. What is there stays as it is; the lists of new draws are drawn as they would have been."""
    folder = request.out
    prepared = plan(request)
    lists = prepared.lists
    if not {(one.budget, one.draw, one.cases) for one in read_lists(folder)} <= {
        (one.budget, one.draw, one.cases) for one in lists
    }:
        raise DataError(
            f"{folder / DRAWS}: this version would draw other labels, so that nothing can be added; give another --out"
        )
    setup = saved.model_copy(update={"entrants": wanted.entrants, "draws": wanted.draws})
    write_lists(folder, setup, Manifest.load(folder / POOL), lists)
    setup.save(folder)
    announce(f"the study in {folder} grows from {saved.runs} to {setup.runs} runs")
    return setup


def _scored(job: LabelJob, folder: Path, setup: LabelSetup) -> ScoresFile:
    try:
        return ScoresFile.read(job.scores)
    except DelineateError:  # not made yet, or damaged
        options = EvaluationOptions(split="all", metrics=setup.metrics, stack=setup.stack, spacing=setup.spacing)
        evaluate_folders(job.predictions, folder / SCORED, options, out=job.scores)
    return ScoresFile.read(job.scores)
