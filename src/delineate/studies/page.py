"""The page of a benchmark: what can be concluded, the leaderboard, the setup, where each method fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from delineate.data.core.findings import count
from delineate.data.core.manifest import Manifest
from delineate.data.core.stacks import stack_names
from delineate.data.formats.dicom.names import data_name, holds_dicom, shown_folder
from delineate.evaluation.results.summary import Values
from delineate.evaluation.statistics.bootstrap import cluster, estimate
from delineate.report.charts.forest import Estimate, forest
from delineate.report.html.document import notice, page, pictures, section, write_page
from delineate.report.html.elements import Html, element, facts, join, number, table
from delineate.report.html.images import contour_legend, figure_of
from delineate.report.parts.case_gallery import worst_first
from delineate.report.parts.first_weights import briefly
from delineate.report.parts.overlays import Overlays
from delineate.report.parts.scores import case_values, title_of
from delineate.studies.benchmark import COMPARISON, MANIFEST, SCORED, Benchmark
from delineate.studies.foreign import ELSEWHERE
from delineate.studies.leaderboard import Leaderboard, Row, seed_sd

__all__ = ["write_benchmark_report"]

_REPORT = "report.html"
_FAILURES = 3
"""Pictures of each method's worst cases."""


def write_benchmark_report(benchmark: Benchmark, board: Leaderboard) -> Path:
    """Write `report.html` into the benchmark's folder and return its path."""
    setup, manifest = benchmark.setup, Manifest.load(benchmark.folder / MANIFEST)
    document = page(
        f"Benchmark on {data_name(manifest) if holds_dicom(manifest) else Path(setup.data).name}",
        "benchmark",
        element("p", _lead(benchmark), class_="lead"),
        notice([f"{name}: {error}" for name, error in board.failures.items()], "Runs that failed"),
        notice(list(board.cautions), "Read this first"),
        notice(list(manifest.leaks or ()), "Images in more than one split"),
        section("What can be concluded", element("ul", *(element("li", line) for line in board.words))),
        section("Leaderboard", _scores(board), *(_forest(board, name) for name in board.metrics)),
        _parts(benchmark, board),
        section("What it costs", _costs(board), _notes(board)),
        _links(benchmark),
        section("Where each method fails", *_galleries(benchmark)),
        section("The setup", _setup(benchmark, manifest)),
    )
    return write_page(benchmark.folder / _REPORT, document)


def _lead(benchmark: Benchmark) -> str:
    setup = benchmark.setup
    folds = "the dataset's own splits" if setup.folds == 1 else f"{setup.folds} folds"
    return (
        f"{count(len(setup.entrants), 'method')}, {folds}, {count(setup.seeds, 'seed')}: every case was scored by "
        f"models that never saw it, at its own resolution.{_foreign_words(benchmark)}"
    )


def _foreign_words(benchmark: Benchmark) -> str:
    foreign = benchmark.foreign
    if not foreign:
        return ""
    number = count(len(foreign), "candidate was", "candidates were")
    return f" {number} {ELSEWHERE}: {', '.join(f'{one.name} ({one.folder})' for one in foreign)}."


def _scores(board: Leaderboard) -> Html:
    head: list[Any] = ["Method", "Seeds", "n"]
    for name, about in board.metrics.items():
        head.append(join(about["title"], element("small", f" {board.columns[name]}")))
    return table(head, [_score_line(row, board) for row in board.rows])


def _score_line(row: Row, board: Leaderboard) -> list[Any]:
    cells: list[Any] = [_name(row), "–" if row.made_elsewhere else row.seeds, next(iter(row.means.values())).n]
    for name in board.metrics:
        spread = seed_sd(row.seed_means[name])
        seeds = None if spread is None else element("small", f" ± {number(spread)}")
        cells.append(join(element("b", number(row.means[name].mean)), seeds))
    return cells


def _name(row: Row) -> Html:
    """The candidate, and that it was made elsewhere."""
    return join(element("b", row.label), element("small", f" {ELSEWHERE}") if row.made_elsewhere else None)


def _parts(benchmark: Benchmark, board: Leaderboard) -> Html | None:
    """The first metric by class and by fold, where there are several."""
    metric = next(iter(board.metrics))
    title = f"{board.metrics[metric]['title']}, {board.columns[metric]}"
    tables = [(name, _by_column(of, board, metric)) for name, of in _divisions(benchmark, metric).items()]
    parts = [join(element("h3", name), made) for name, made in tables if made is not None]
    return section(f"{title}: classes and folds", *parts) if parts else None


def _divisions(benchmark: Benchmark, metric: str) -> dict[str, dict[str, dict[str, list[float]]]]:
    """What the scores are divided by → column → method → the means of its seeds."""
    fold_of = _folds(benchmark)
    found: dict[str, dict[str, dict[str, list[float]]]] = {"By class": {}, "By fold": {}}
    for (label, _), scores_file in benchmark.evaluations.items():
        table = scores_file.values(metric)
        for name, values in zip(scores_file.classes, table.T, strict=True):
            found["By class"].setdefault(name, {}).setdefault(label, []).append(_mean(values[:, None]))
        folds = [fold_of.get(case) for case in scores_file.cases()]
        for fold in sorted({fold for fold in folds if fold is not None}):
            chosen = table[[one == fold for one in folds]]
            found["By fold"].setdefault(f"fold {fold}", {}).setdefault(label, []).append(_mean(chosen))
    return found


def _folds(benchmark: Benchmark) -> dict[str, int]:
    """Case or volume → the fold that tested it; empty where there is one fold, or volumes lie across folds."""
    if benchmark.setup.folds == 1:
        return {}
    known = {case.id: case.fold for case in Manifest.load(benchmark.folder / SCORED).cases if case.fold is not None}
    if benchmark.setup.stack is None:
        return known
    found: dict[str, set[int]] = {}
    for stack in stack_names(list(known), benchmark.setup.stack):
        found[stack.volume] = {known[name] for name in stack.slices}
    return {volume: folds.pop() for volume, folds in found.items() if len(folds) == 1}


def _mean(table: Values) -> float:
    """The mean of the classes' means; NaN where nothing counts."""
    return estimate(cluster(table)) if np.isfinite(table).any() else float("nan")


def _by_column(of: dict[str, dict[str, list[float]]], board: Leaderboard, metric: str) -> Html | None:
    """A row per method, a column per class or fold: the mean over the seeds."""
    if len(of) < 2:
        return None
    rows = [
        [
            element("b", row.label),
            *(number(float(np.mean(of[name][row.label]))) for name in of),
            number(row.means[metric].mean),
        ]
        for row in board.rows
    ]
    return table(["Method", *of, "all"], rows)


def _costs(board: Leaderboard) -> Html:
    head = ["Method", "First weights", "Minutes of training", "Parameters", "GFLOP", "ms per image", "Peak MiB"]
    return table(head, [_cost_line(row) for row in board.rows], numeric_from=2)


def _cost_line(row: Row) -> list[Any]:
    cost = row.cost
    began = briefly(row.first_weights)
    if cost is None:
        return [_name(row), began, *["–"] * 5]
    return [
        _name(row),
        began,
        number(cost.minutes),
        f"{cost.parameters / 1e6:.2f} M",
        f"{cost.gigaflops:.2f}",
        f"{cost.milliseconds:.0f}",
        "–" if cost.peak_mib is None else f"{cost.peak_mib:.0f}",
    ]


def _notes(board: Leaderboard) -> Html:
    device = next((row.cost.device for row in board.rows if row.cost is not None), "cpu")
    lines = (
        "Scores are means over cases of the mean over seeds, ± the standard deviation of the mean from seed to seed; intervals are "
        "over cases. GFLOP: one image at the working size. ms per image: one image, or slice of a volume, at its own size on "
        f"{device}, without reading the file. Peak: largest memory of the process (GPU: allocated) in training and prediction. "
        "Minutes are of training, mean of the runs."
    )
    return element("p", lines, class_="note")


def _forest(board: Leaderboard, metric: str) -> Html:
    about = board.metrics[metric]
    rows = [
        Estimate(row.label, interval.mean, interval.low, interval.high, (interval.n,))
        for row in board.rows
        for interval in (row.means[metric],)
    ]
    return forest({"": rows}, title=f"{about['title']}, {board.columns[metric]}", head=["n"], first="Method")


def _links(benchmark: Benchmark) -> Html | None:
    pages = []
    if benchmark.comparison is not None:
        pages.append(element("a", "all differences, tests and ranks", href=f"{COMPARISON}/report.html"))
    elsewhere = {one.name for one in benchmark.foreign}
    for (label, seed), scores_file in benchmark.evaluations.items():
        where = scores_file.folder.relative_to(benchmark.folder)
        which = f"{label}, {ELSEWHERE}" if label in elsewhere else f"{label}, seed {seed}"
        pages.append(element("a", which, href=f"{where.as_posix()}/report.html"))
    return section("More pages", element("ul", *(element("li", link) for link in pages)))


def _galleries(benchmark: Benchmark) -> list[Html]:
    """The worst cases of the first seed of each method."""
    manifest = Manifest.load(benchmark.folder / SCORED)
    parts = [contour_legend(manifest.classes.names)]
    for (label, seed), scores_file in benchmark.evaluations.items():
        if seed:
            continue
        metric = next(iter(scores_file.metrics))
        values, overlays = case_values(scores_file, metric), Overlays.find(scores_file, manifest)
        worst = [case for case in worst_first(scores_file, metric) if case in overlays.files][:_FAILURES]
        figures = [
            figure_of(
                overlays.picture(case), element("b", f"{title_of(scores_file, metric)} {number(values[case])}"), case
            )
            for case in worst
        ]
        parts += [element("h3", label), pictures(figures, wide=overlays.volumes)]
    return parts


def _setup(benchmark: Benchmark, manifest: Manifest) -> Html:
    setup = benchmark.setup
    budget = (
        f"{setup.minutes:g} minutes of training steps" if setup.minutes else f"{setup.epochs or 'the preset’s'} epochs"
    )
    steps = ", ".join(f"{one.label} {one.steps}" for one in setup.entrants if one.steps)
    return facts(
        {
            "Data": shown_folder(manifest, setup.data),
            "Folds": "own lists" if setup.folds == 1 else setup.folds,
            "Groups": setup.group_by or "as the dataset states",
            "Seeds": setup.seeds,
            "Budget of a run": budget,
            **({"Steps": steps} if steps else {}),
            "Working size": setup.size or "the preset’s",
            "Augmentation": "each method’s own" if setup.own_augment else "the same for all",
            "Weights": "best Dice on validation cases of the other folds"
            if setup.folds > 1
            else "best Dice on validation",
            "Presets": ", ".join(f"{one.label}: {one.preset}" for one in setup.entrants),
            **({"Settings": ", ".join(setup.settings)} if setup.settings else {}),
        }
    )
