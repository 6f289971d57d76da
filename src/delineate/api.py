"""The library's verbs that join several rooms: train + report, evaluate, compare, and the demo. The command line calls these."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from delineate.common.errors import DelineateError
from delineate.requests.option import recipe_sections
from delineate.requests.signature import takes
from delineate.requests.train import TrainOptions

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource
    from delineate.engine.console import Reporter
    from delineate.engine.data_module import DataKind
    from delineate.engine.run import RunResult
    from delineate.evaluation.comparison import Comparison
    from delineate.evaluation.files import Evaluation
    from delineate.fewshot.episode_file import EpisodeFile
    from delineate.inference.results import PredictionResult
    from delineate.studies.leaderboard import Leaderboard

GIB = 2**30


@takes(TrainOptions)
def train(
    data: Path | str | DataSource, *, reporter: Reporter | None = None, **options: Unpack[TrainOptions]
) -> RunResult:
    """Train a method on the images and masks in `data` and write the run folder `out`, its report included.

    The method's kind decides what a batch is: single images, or episodes for few-shot methods. The frozen episodes that the
    weights of a few-shot method were chosen and scored by are in `out/validation/episodes.json`.

        delineate.train("polyps/", method="condseg", preset="tiny", out="runs/first")

    Args:
        data: A folder, a table or a manifest, or a `DataSource` that says which folders, labels and groups are meant.
        reporter: Receives progress; by default a progress bar on stderr.

    Returns:
        Where everything lies and the Dice of the validation split.

    Raises:
        DelineateError: One line for whatever a user can mend, before anything is written.
        Interrupted: After Ctrl-C or SIGTERM, with the state saved for `resume=True`.
    """
    from delineate.engine.dense import DENSE
    from delineate.fewshot.training import EPISODIC

    return _train(data, options, reporter, (DENSE, EPISODIC))


@takes(TrainOptions)
def fewshot_train(
    data: Path | str | DataSource, *, reporter: Reporter | None = None, **options: Unpack[TrainOptions]
) -> RunResult:
    """`train` for few-shot methods alone.

    Args:
        data: Slices whose names tell volume and position, NIfTI volumes, or single images; otherwise as for `train`.
        reporter: Receives progress; by default a progress bar on stderr.

    Returns:
        As `train`.

    Raises:
        DelineateError: As `train`, for a method that is no few-shot method, for classes that are not there, and for fewer than
            50 slices left.
    """
    from delineate.fewshot.training import EPISODIC

    return _train(data, options, reporter, (EPISODIC,))


def _train(
    data: Path | str | DataSource, options: TrainOptions, reporter: Reporter | None, kinds: Sequence[DataKind]
) -> RunResult:
    """A run with its report."""
    from delineate.common.config import merge
    from delineate.data.layouts.source import as_source
    from delineate.engine.request import TrainRequest
    from delineate.engine.run import train as run
    from delineate.report.run import write_run_report

    request = TrainRequest(
        data=as_source(data),
        method=options["method"],
        out=Path(options["out"]),
        preset=options["preset"],
        resume=options["resume"],
        fold=options["fold"],
        init=_path(options["init"]),
        settings=options["settings"],
        options=merge(recipe_sections(TrainOptions, options), options["options"] or {}),
        max_pixels=options["max_pixels"],
        cache_folder=_path(options["cache_dir"]),
        cache_limit_bytes=_bytes(options["cache_limit"]),
    )
    return run(request, reporter, kinds, report=write_run_report)


def _path(given: Path | str | None) -> Path | None:
    return None if given is None else Path(given)


def _bytes(gib: float) -> int:
    if not 0 <= gib < math.inf:
        raise DelineateError(f"cache_limit is a number of GiB from 0 on, not {gib}")
    return round(gib * GIB)


def load(path: Path | str, device: str = "auto", precision: str = "32") -> Any:
    """Read a `model.safetensors`, or the one in a run folder, ready to predict.

    A dense method's model gives an `inference.predictor.Predictor` (`.predict(image)`), a few-shot one's a
    `fewshot.segmenter.FewShotPredictor` (`.segment_like(support_images, support_masks, query)`). Raises `ArtefactError` for what
    is not a usable model, `DeviceError` for an absent device.
    """
    from delineate.artefact import format as artefact_format
    from delineate.inference.predictor import Predictor

    artefact, source = artefact_format.load(path), artefact_format.locate(path)
    if artefact.method.kind == "dense":
        return Predictor(artefact, device, precision, source)  # type: ignore[arg-type]
    from delineate.fewshot.segmenter import FewShotPredictor

    return FewShotPredictor(artefact, device, precision, source)  # type: ignore[arg-type]


def fewshot_predict(
    model: Path | str,
    queries: Sequence[Path | str],
    *,
    out: Path | str,
    support: Path | str | DataSource | None = None,
    support_images: Sequence[Path | str] = (),
    support_masks: Sequence[Path | str] = (),
    labels: str | None = None,
    device: str = "auto",
    precision: str = "32",
    **options: Any,
) -> PredictionResult:
    """Segment every image of `queries` (files, folders, patterns) as the support shows, into the folder `out`.

    The support is a folder in any layout that the data room reads, or as many image files as mask files; `labels` says what the
    values of such files mean ("0=background,255=lesion"). `options` are those of
    `delineate.inference.files.predict_files`, which also says what is written. Raises `DelineateError` (one line) for whatever
    a user can mend.
    """
    from delineate.data.layouts.source import as_source
    from delineate.fewshot.segmenter import load as load_fewshot
    from delineate.fewshot.support import Support
    from delineate.inference.files import predict_files

    if not queries:
        raise DelineateError("there is no query: give --query with image files, folders or patterns like 'scans/*.png'")
    predictor = load_fewshot(model, device, precision)  # type: ignore[arg-type]
    folder = None if support is None else as_source(support)
    shown = Support.given(
        folder, [Path(path) for path in support_images], [Path(path) for path in support_masks], labels
    )
    result = predict_files(predictor.condition_on(shown), queries, out, **options)
    shown.save(Path(out))
    return result


def fewshot_episodes(
    data: Path | str | DataSource,
    *,
    out: Path | str,
    stack: str = "auto",
    axis: int | None = None,
    fold: int | None = None,
    **plan: Any,
) -> EpisodeFile:
    """Freeze few-shot episodes of a data set in the file `out`, which holds the SHA-256 of every image and mask they use.

    `plan` are the fields of `delineate.fewshot.protocol.Plan`; `stack` and `axis` say how slices make volumes
    (`delineate.data.loading.samples.open_samples`); `fold`: of a manifest with folds, the one that validates, which is then the
    split `val`. Raises `DataError` for whatever a user can mend.
    """
    from delineate.common.outputs import check_result_file
    from delineate.data.layouts.source import as_source
    from delineate.data.loading.samples import open_samples
    from delineate.fewshot.protocol import Plan, make_episodes

    check_result_file(Path(out), ['"protocol"', '"episodes"', '"support_split"'], "file of episodes")
    opened = open_samples(as_source(data), stack=stack, axis=axis, fold=fold)
    made = make_episodes(opened, Plan(**plan), name=Path(opened.manifest.root).name, stack=stack)
    made = made.model_copy(update={"fold": fold})
    made.save(Path(out))
    return made


def fewshot_evaluate(
    model: Path | str,
    data: Path | str | DataSource,
    *,
    episodes: Path | str,
    out: Path | str,
    classes: Sequence[str] = (),
    setting: int = 1,
    metrics: Sequence[str] | None = None,
    device: str = "auto",
    precision: str = "32",
    batch_size: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Score a few-shot model on frozen episodes; write scores, `episodes.csv`, pictures and `report.html` to `out`.

    `model`: a run or model file, a baseline or an untrained method (`delineate.fewshot.candidates`); `seed`: of an untrained
    method's weights; `classes`: of those in the file, all if empty; `setting` 2: refuse classes that training has seen. Raises
    `DelineateError` (one line): files that are not those of the episodes, unknown classes, a support that shows too little.
    """
    from delineate.common.files import output_folder
    from delineate.common.outputs import check_new, check_results_folder
    from delineate.data.layouts.source import as_source
    from delineate.fewshot.candidates import check_unseen, open_candidate
    from delineate.fewshot.episode_file import EpisodeFile
    from delineate.fewshot.evaluate import METRICS, Job, evaluate_episodes, write_episodes
    from delineate.fewshot.pictures import write_pictures
    from delineate.report.evaluation import write_evaluation_report

    check_new(Path(out), "scores.json", overwrite)
    source = as_source(data)
    check_results_folder(Path(out), "scores.json", [source.path, Path(model)])
    frozen = EpisodeFile.load(Path(episodes))
    frozen = frozen.of_classes(classes) if classes else frozen
    opened = frozen.open(source)
    candidate = open_candidate(str(model), opened.census, device=device, precision=precision, seed=seed)  # type: ignore[arg-type]
    candidate = candidate.on(opened, frozen)
    if setting == 2:
        check_unseen(candidate, frozen.classes)
    job = Job(candidate, opened, frozen, batch_size)
    evaluation, scored = evaluate_episodes(job, metrics=metrics or METRICS, progress=progress)
    folder = output_folder(Path(out))
    evaluation = write_episodes(folder, job, evaluation, scored, write_pictures(job, scored, folder), source.path)
    write_evaluation_report(folder)
    return evaluation


def evaluate(
    predictions: Path | str,
    references: Path | str | DataSource,
    *,
    out: Path | str,
    overwrite: bool = False,
    **options: Any,
) -> Evaluation:
    """Score a folder of masks against the reference masks; write `scores.csv`, `scores.json` and `report.html` to `out`.

    `options` are the fields of `delineate.evaluation.files.Options`; see `evaluate_folders` there for the pairing of names and
    the errors. An earlier evaluation in `out` is an error unless `overwrite`.
    """
    from delineate.common.outputs import check_new
    from delineate.data.layouts.source import as_source
    from delineate.evaluation.files import Options, evaluate_folders
    from delineate.report.evaluation import write_evaluation_report

    check_new(Path(out), "scores.json", overwrite)
    evaluation = evaluate_folders(Path(predictions), as_source(references), Options(**options), out=Path(out))
    write_evaluation_report(Path(out), evaluation.references)
    return evaluation


def compare(
    evaluations: Sequence[Path | str],
    *,
    out: Path | str,
    metrics: Sequence[str] | None = None,
    target: float | None = None,
    overwrite: bool = False,
) -> Comparison:
    """Compare runs or evaluations case by case; write `report.html`, `comparison.json`, `pairs.csv` and `cases.csv` to `out`.

    `evaluations`: run folders (their validation scores), folders that `evaluate` wrote, or texts "NAME=FOLDER". See
    `delineate.evaluation.comparison.compare_models` for the options. Raises `DataError` for evaluations that cannot be compared,
    and for an earlier comparison in `out` unless `overwrite`.
    """
    from delineate.common.outputs import check_new, check_results_folder
    from delineate.evaluation.comparison import compare_models, write_comparison_files
    from delineate.evaluation.models import open_models
    from delineate.report.comparison import write_comparison_report

    check_new(Path(out), "comparison.json", overwrite)
    models = open_models([str(one) for one in evaluations])
    check_results_folder(Path(out), "comparison.json", [model.run or model.stored.folder for model in models])
    comparison = compare_models(models, metrics, target=target)
    write_comparison_files(Path(out), comparison)
    write_comparison_report(comparison, Path(out))
    return comparison


def benchmark(
    data: Path | str | DataSource,
    *,
    out: Path | str,
    methods: Sequence[str],
    announce: Callable[[str], None] = lambda _: None,
    reporter: Reporter | None = None,
    **options: Any,
) -> Leaderboard:
    """Train methods on the same splits with the same budget, score and compare them; write all of it and a report to `out`.

    `options` are the fields of `delineate.studies.benchmark.BenchmarkRequest`. The same call goes on where an earlier one was
    stopped, and tries again what failed. `announce` receives lines worth knowing. A run that fails is in the board's `failures`.
    Raises `DelineateError` for whatever a user can mend, `Interrupted` after Ctrl-C or SIGTERM.
    """
    from delineate.common.occupied import occupied
    from delineate.data.core.manifest import Manifest
    from delineate.data.layouts.source import as_source
    from delineate.engine.signals import raise_on_signals
    from delineate.report.comparison import write_comparison_report
    from delineate.report.evaluation import write_evaluation_report
    from delineate.studies import benchmark as study
    from delineate.studies.leaderboard import make_leaderboard, write_leaderboard
    from delineate.studies.page import write_benchmark_report

    if options.get("cache_folder") is not None:
        options["cache_folder"] = Path(options["cache_folder"])
    request = study.BenchmarkRequest(data=as_source(data), out=Path(out), methods=methods, **options)
    folder = Path(out)
    kept = "what was done is kept; the same command goes on"
    with occupied(folder, announce), raise_on_signals(kept):
        plan = study.prepare(request, announce)
        result = study.run(folder, plan, reporter, announce, request.cache_folder)
        for stored in result.evaluations.values():
            write_evaluation_report(stored.folder, Manifest.load(folder / study.SCORED))
        if result.comparison is not None:
            write_comparison_report(result.comparison, folder / study.COMPARISON)
        board = make_leaderboard(result)
        write_leaderboard(folder, board)
        write_benchmark_report(result, board)
    return board


@dataclass(frozen=True)
class DemoRow:
    """One method's result in the demo."""

    method: str
    dice: float
    iou: float
    minutes: float


@dataclass(frozen=True)
class DemoResult:
    """What the demo made."""

    rows: tuple[DemoRow, ...]
    cases: int
    report: Path


DEMO_METHODS = {"condseg": 16, "unet": 16}
"""Method → epochs. Equal, so that both see the same number of images."""


def demo(
    out: Path | str = "demo", *, epochs: Mapping[str, int] | None = None, reporter: Reporter | None = None
) -> DemoResult:
    """Phantom images → tiny ConDSeg and U-Net → test predictions, scores, overlays and a page that compares them.

    Raises `DelineateError` when `out` holds something already.
    """
    from delineate.data.cases.phantom import write_phantoms
    from delineate.inference.files import predict_files
    from delineate.inference.predictor import load
    from delineate.report.compare import Entry, write_comparison

    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DelineateError(f"{folder} is not empty; give another --out or remove it")
    data = write_phantoms(folder / "phantoms", count=160, size=128, seed=0)
    rows, entries = [], []
    for method, count in (epochs or DEMO_METHODS).items():
        run = folder / method
        result = train(
            data,
            method=method,
            preset="tiny",
            size=96,
            epochs=count,
            seed=0,
            out=run,
            cache_dir=folder / "cache",
            reporter=reporter,
        )
        test_images = [
            data / "images" / f"{stem}.png" for stem in (data / "test.txt").read_text(encoding="utf-8").split()
        ]
        predicted = folder / f"{method}-test"
        predict_files(load(run), test_images, predicted, overlay=True)
        evaluation = evaluate(predicted, data, out=predicted / "evaluation")
        rows.append(DemoRow(method, evaluation.headline("dice"), evaluation.headline("iou"), result.minutes))
        entries.append(Entry(method, run, predicted, predicted / "evaluation"))
    shutil.rmtree(folder / "cache", ignore_errors=True)
    report = write_comparison("Demo: tiny networks on phantom images", entries, folder / "report.html")
    return DemoResult(tuple(rows), len(test_images), report)
