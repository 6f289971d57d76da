"""`benchmark`: the same splits and budget for every method, then the ruler. Interrupted at any moment, it goes on where it was."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delineate.common.errors import DataError, DelineateError
from delineate.common.files import output_folder
from delineate.common.folder_lock import folder_contents
from delineate.common.names import listed
from delineate.data.core.manifest import ClassTable, Manifest
from delineate.data.core.regions import Region
from delineate.data.layouts.source import DataSource, as_source
from delineate.engine.recipe import resolve
from delineate.engine.region_settings import with_regions
from delineate.engine.reporting import Reporter
from delineate.evaluation.comparison.compare import Comparison, compare_models, write_comparison_files
from delineate.evaluation.comparison.models import Model
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.evaluation.inputs.prediction_list import PredictedFile, PredictionList
from delineate.evaluation.metrics.metric_selection import check_millimeters
from delineate.evaluation.metrics.registry import resolve as resolve_metrics
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.studies import trial
from delineate.studies.folds import open_folds
from delineate.studies.foreign import ELSEWHERE, Foreign, foreign_scores_folder, parse_foreign, score_foreign
from delineate.studies.jobs import Announce, Job, all_jobs, do_all, predictions_folder, scores_folder
from delineate.studies.moved import move_data
from delineate.studies.possible import check_entrants, check_fits, check_parts
from delineate.studies.setup import BenchmarkSetup, Entrant, differences, entrants, setup_file

__all__ = [
    "COMPARISON",
    "MANIFEST",
    "METRICS",
    "SCORED",
    "Benchmark",
    "BenchmarkRequest",
    "finish",
    "prepare",
    "run",
]

METRICS = ("dice", "iou", "hd95_pooled", "nsd@2")
MANIFEST = "manifest.json"
SCORED = "scored.json"
_FOLDS = "folds"
COMPARISON = "comparison"


@dataclass(frozen=True)
class BenchmarkRequest:
    """What `benchmark` is asked for."""

    data: Path | DataSource
    out: Path
    methods: Sequence[str]
    """Names, or NAME@PRESET."""
    predictions: Sequence[str] = ()
    """NAME=FOLDER: masks of the scored cases that other software made. No part of the setup: each call names its own."""
    preset: str = "tiny"
    folds: int | None = None
    """None: the data set's own train, val and test lists, or those of a manifest with folds."""
    seeds: int = 1
    epochs: int | None = None
    minutes: float | None = None
    """Of training steps, per run; turned into steps once."""
    size: int | None = None
    settings: Sequence[str] = ()
    own_augment: bool = False
    metrics: Sequence[str] = METRICS
    stack: str | None = None
    spacing: Sequence[float] | None = None
    cache_folder: Path | None = None
    resume: bool = False
    """Insist that there is a benchmark to go on with; without it one is begun or gone on with, as `out` has it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", listed(self.metrics) or METRICS)
        object.__setattr__(self, "methods", listed(self.methods))


@dataclass(frozen=True)
class Benchmark:
    """A finished benchmark."""

    folder: Path
    setup: BenchmarkSetup
    jobs: list[Job]
    comparison: Comparison | None
    """None with a single trained model: there is nothing to compare."""
    evaluations: dict[tuple[str, int], ScoresFile] = field(default_factory=dict)
    """(label, seed) → scores over all folds; those made elsewhere are last, with seed 0."""
    foreign: tuple[Foreign, ...] = ()
    """Candidates that were made elsewhere."""


def prepare(request: BenchmarkRequest, announce: Announce = lambda _: None) -> BenchmarkSetup:
    """Make the setup and write it, or find that the one in `out` is the same. Nothing is trained but short trials.

    Raises `DelineateError`: an unknown method or metric, what no run could do, folds that the data cannot give, another setup in
    the folder.
    """
    if request.epochs is not None and request.minutes is not None:
        raise DataError("give --epochs or --budget-minutes, not both")
    if request.seeds < 1:
        raise DataError("--seeds must be at least 1")
    resolve_metrics(request.metrics)
    if not request.methods:
        raise DataError("no method is given; name some with --methods, separated by commas: unet,resenc")
    methods = entrants(
        request.methods,
        preset=request.preset,
        size=request.size,
        settings=request.settings,
        own_augment=request.own_augment,
    )
    check_entrants(methods, request.settings)
    parse_foreign(request.predictions, [entrant.label for entrant in methods])
    folder, source = request.out, as_source(request.data)
    begun, there = setup_file(folder).exists(), {path.name for path in folder_contents(folder)}
    if not begun and there - {MANIFEST, SCORED, _FOLDS}:
        raise DataError(f"{folder} is not empty and holds no benchmark; give another --out")
    if request.resume and not there:
        raise DataError(f"--resume: {folder} holds no benchmark; begin it without --resume")
    asked = BenchmarkSetup(
        data=str(source.path.resolve()),
        images=source.images,
        masks=source.masks,
        labels=source.labels,
        codes=source.codes,
        asked_folds=request.folds,
        group_by=source.group_by,
        join=source.join,
        folds=0,
        seeds=request.seeds,
        epochs=request.epochs,
        minutes=request.minutes,
        size=request.size,
        metrics=tuple(request.metrics),
        stack=request.stack,
        spacing=None if request.spacing is None else tuple(request.spacing),
        settings=tuple(request.settings),
        own_augment=request.own_augment,
        entrants=methods,
    )
    if begun:
        saved = BenchmarkSetup.load(folder)
        if saved.data != asked.data and not differences(saved, asked.model_copy(update={"data": saved.data})):
            manifests = [folder / MANIFEST, folder / SCORED, *sorted((folder / _FOLDS).glob("*.json"))]
            saved = move_data(folder, saved, source, manifests, announce)
        changed = differences(saved, asked)
        if changed:
            raise DataError(f"{folder} holds a benchmark with another setup ({'; '.join(changed)}); give another --out")
        return saved
    folds = open_folds(source, request.folds, announce)
    parts = folds.training()
    check_parts(parts)
    check_fits(methods, request.settings, parts, folds.census)
    scored = folds.scored()
    bare = [case.id for case in scored.cases if request.stack is not None or case.spacing is None]
    check_millimeters(request.metrics, [] if request.spacing else bare)
    output_folder(folder)
    folds.manifest.save(folder / MANIFEST)
    for at, manifest in enumerate(parts):
        manifest.save(folder / _FOLDS / f"fold{at}.json")
    scored.save(folder / SCORED)
    setup = _measured(asked.model_copy(update={"folds": folds.count}), folder, request, announce)
    setup.save(folder)
    return setup


def run(
    folder: Path,
    setup: BenchmarkSetup,
    reporter: Reporter | None = None,
    announce: Announce = lambda _: None,
    cache: Path | None = None,
    predictions: Sequence[str] = (),
) -> Benchmark:
    """Do what is not done yet, score all and compare. What failed in an earlier call is tried again.

    A method that fails is named and left out; the others go on. `Interrupted` passes through; the same call goes on later.
    Raises `DelineateError` when nothing at all could be trained, and for `predictions` that are no candidate: these are scored
    before anything is trained.
    """
    foreign = parse_foreign(predictions, [entrant.label for entrant in setup.entrants])
    for one in foreign:
        announce(f"scoring {one.name} ({ELSEWHERE}: {one.folder})")
        _evaluate_foreign(folder, setup, one, _planned_classes(folder, setup))
    jobs = all_jobs(folder, setup)
    do_all(jobs, setup, cache, reporter, announce)
    return finish(folder, setup, foreign)


def finish(folder: Path, setup: BenchmarkSetup, foreign: tuple[Foreign, ...] = ()) -> Benchmark:
    """Score what is complete and compare it."""
    jobs = all_jobs(folder, setup)
    evaluations = {}
    for entrant in setup.entrants:
        for seed in range(setup.seeds):
            mine = [job for job in jobs if job.entrant == entrant and job.seed == seed]
            if all(job.state == "done" for job in mine):
                evaluations[entrant.label, seed] = _evaluate(folder, setup, entrant, seed, mine)
    if not evaluations:
        failed = [job for job in jobs if job.state == "failed"]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        why = (
            f"{failed[0].name}: {failed[0].result()['error']}{more}" if failed else "no method was trained on all folds"
        )
        raise DelineateError(f"nothing to compare in {folder}; {why}")
    names = {key: key[0] if setup.seeds == 1 else f"{key[0]} #{key[1]}" for key in evaluations}
    for one in foreign:
        evaluations[one.name, 0] = _evaluate_foreign(folder, setup, one, _learned_classes(folder, setup, evaluations))
        names[one.name, 0] = one.name
    comparison = None
    if len(evaluations) > 1:
        models = [Model(names[key], scores_file) for key, scores_file in evaluations.items()]
        comparison = compare_models(models)
        write_comparison_files(folder / COMPARISON, comparison)
    return Benchmark(folder, setup, jobs, comparison, evaluations, foreign)


def _measured(setup: BenchmarkSetup, folder: Path, request: BenchmarkRequest, announce: Announce) -> BenchmarkSetup:
    """The setup with minutes turned into steps by a trial of each method."""
    if setup.minutes is None:
        return setup
    measured = []
    for entrant in setup.entrants:
        seconds = trial.seconds_per_step(entrant, folder / "folds" / "fold0.json", setup.settings, request.cache_folder)
        measured.append(trial.frozen(entrant, seconds, setup.minutes))
        announce(f"{entrant.label}: {seconds:.3f} s a step, {measured[-1].steps} steps in {setup.minutes:g} min")
    return setup.model_copy(update={"entrants": tuple(measured)})


def _evaluate(folder: Path, setup: BenchmarkSetup, entrant: Entrant, seed: int, jobs: Sequence[Job]) -> ScoresFile:
    """Scores over the test cases of all folds; each case was predicted by a model that never saw it."""
    out = scores_folder(folder, entrant, seed)
    if not _is_whole(out):
        predictions = predictions_folder(folder, entrant, seed)
        _join_lists(predictions, [job.predictions for job in jobs], entrant, seed)
        options = EvaluationOptions(split="all", metrics=setup.metrics, stack=setup.stack, spacing=setup.spacing)
        evaluate_folders(predictions, folder / SCORED, options, out=out)
    return ScoresFile.read(out)


def _evaluate_foreign(folder: Path, setup: BenchmarkSetup, foreign: Foreign, classes: ClassTable) -> ScoresFile:
    options = EvaluationOptions(metrics=setup.metrics, stack=setup.stack, spacing=setup.spacing)
    return score_foreign(foreign, foreign_scores_folder(folder, foreign), folder / SCORED, options, classes)


def _planned_classes(folder: Path, setup: BenchmarkSetup) -> ClassTable:
    """What the first method will learn, as its masks will be scored."""
    first = setup.entrants[0]
    recipe = resolve(first.method, first.preset, first.options, setup.settings)
    known = with_regions(Manifest.load(folder / SCORED), recipe).classes
    return ClassTable(names=known.names, regions=known.regions)


def _learned_classes(folder: Path, setup: BenchmarkSetup, evaluations: Collection[tuple[str, int]]) -> ClassTable:
    """What the models have learned; all of the benchmark have learned the same."""
    label, seed = next(iter(evaluations))
    entrant = next(one for one in setup.entrants if one.label == label)
    listing = PredictionList.find(predictions_folder(folder, entrant, seed))
    return _planned_classes(folder, setup) if listing is None else listing.classes


def _is_whole(scores: Path) -> bool:
    """Whether an evaluation is there and can be read; one that is damaged is made again."""
    try:
        ScoresFile.read(scores)
    except DelineateError:
        return False
    return True


def _join_lists(folder: Path, parts: Sequence[Path], entrant: Entrant, seed: int) -> None:
    """One list of the masks of all folds."""
    lists = [(part, PredictionList.find(part)) for part in parts]
    files: list[PredictedFile] = []
    classes: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()
    trainings: list[TrainingRecord | None] = []
    for part, listing in lists:
        if listing is None:
            raise DataError(f"{part} has lost its predictions.json; remove that folder's job.json and go on")
        classes, regions = listing.class_names, listing.regions
        files += [_moved(file, part.name) for file in listing.files]
        trainings.append(TrainingRecord.read(listing.training))
    training = TrainingRecord.joined(trainings)
    PredictionList(
        method=entrant.label,
        model=None,
        model_sha256=None,
        seed=seed,
        training=None if training is None else training.to_json(),
        class_names=classes,
        regions=regions,
        files=tuple(files),
    ).save(folder)


def _moved(file: PredictedFile, folder: str) -> PredictedFile:
    """The same file as the list one folder above names it."""
    inner = {
        "mask": f"{folder}/{file.mask}",
        "maps": None if file.maps is None else {f"{folder}/{name}": digest for name, digest in file.maps.items()},
        "overlays": {f"{folder}/{name}": digest for name, digest in file.overlays.items()},
    }
    return file.model_copy(update=inner)
