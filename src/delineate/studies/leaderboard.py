"""A benchmark's table: one row per method, with what its scores, its training and its use cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from delineate.common.csv_text import csv_text
from delineate.common.files import write_json, write_text
from delineate.data.cases.pixels import input_pixels, open_case
from delineate.data.cases.volumes import volume_image
from delineate.data.core.input_spec import InputSpec, Pixels
from delineate.data.core.manifest import Case, Manifest
from delineate.data.formats.contract import slab_of
from delineate.data.formats.dicom.names import cover_of
from delineate.evaluation.comparison.budgets import budget_notes
from delineate.evaluation.comparison.compare import shared_tables
from delineate.evaluation.comparison.models import Model
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.evaluation.results.scores_file import ScoresFile, plain
from delineate.evaluation.results.summary import Values, bounds
from delineate.evaluation.statistics.bootstrap import cluster, estimate
from delineate.evaluation.statistics.intervals import Interval, mean_interval
from delineate.inference.predictor import Predictor, load
from delineate.nn.counting import count_cost
from delineate.report.parts.scores import title_of
from delineate.studies.benchmark import MANIFEST, Benchmark
from delineate.studies.foreign import foreign_notes
from delineate.studies.jobs import Job

__all__ = [
    "Cost",
    "Leaderboard",
    "Row",
    "make_leaderboard",
    "seed_sd",
    "write_leaderboard",
]

_CSV_NAME, _JSON_NAME = "leaderboard.csv", "leaderboard.json"
_TIMED_IMAGES = 7
"""Predicted one by one after a first that is not timed; the median counts."""


@dataclass(frozen=True)
class Cost:
    """What a method costs."""

    parameters: int
    gigaflops: float
    """Of one image at the working size (2 per multiply-add, convolutions and matrix products)."""
    milliseconds: float
    """Of predicting one image, or slice of a volume, at its own size, pre- and post-processing included."""
    device: str
    minutes: float | None
    """Mean of the runs."""
    peak_mib: float | None
    """Largest of the runs; None where the system does not tell."""


@dataclass(frozen=True)
class Row:
    """One method."""

    label: str
    seeds: int
    means: dict[str, Interval]
    """Metric → mean over cases of the mean over seeds, in the column to quote."""
    seed_means: dict[str, tuple[float, ...]]
    """Metric → the mean of each seed."""
    cost: Cost | None
    """None where no run is left to measure."""
    first_weights: str | None = None
    """Where training began: "random", or which pretrained weights; None: not known."""
    made_elsewhere: bool = False
    """Masks of other software: neither seeds nor costs nor first weights are known."""


@dataclass(frozen=True)
class Leaderboard:
    """Best first, by the first metric."""

    metrics: dict[str, dict[str, str]]
    """Name → title with its unit, kind, better, unit."""
    columns: dict[str, str]
    """Metric → the column of its means."""
    rows: tuple[Row, ...]
    failures: dict[str, str]
    """Run → why it failed."""
    words: tuple[str, ...]
    """What may be said, by the first metric."""
    cautions: tuple[str, ...] = ()
    """What must be known of budgets and references before the figures."""


def make_leaderboard(benchmark: Benchmark) -> Leaderboard:
    """Gather the scores of all seeds and measure what each method costs."""
    first = next(iter(benchmark.evaluations.values()))
    metrics = {name: {**about, "title": title_of(first, name)} for name, about in first.metrics.items()}
    keys, cases = list(benchmark.evaluations), first.cases()
    tables = {
        name: dict(zip(keys, shared_tables(list(benchmark.evaluations.values()), name, cases), strict=True))
        for name in metrics
    }
    rows = []
    for entrant in benchmark.setup.entrants:
        scores_file = [one for (label, _), one in benchmark.evaluations.items() if label == entrant.label]
        if scores_file:
            jobs = [job for job in benchmark.jobs if job.entrant == entrant and job.state == "done"]
            mine = {name: [tables[name][key] for key in keys if key[0] == entrant.label] for name in metrics}
            training = TrainingRecord.read(scores_file[0].content.get("training"))
            began = None if training is None else training.first_weights
            rows.append(_row(entrant.label, first, mine, metrics, _cost(jobs), began))
    for one in benchmark.foreign:
        mine = {name: [tables[name][one.name, 0]] for name in metrics}
        rows.append(replace(_row(one.name, first, mine, metrics, None, None), made_elsewhere=True))
    headline = next(iter(metrics))
    sign = -1 if metrics[headline]["better"] == "higher" else 1
    rows.sort(key=lambda row: _place(row.means[headline].mean, sign))
    failures = _failures(benchmark)
    columns = {name: str(first.column_of(name)) for name in metrics}
    return Leaderboard(metrics, columns, tuple(rows), failures, _words(benchmark), _cautions(benchmark))


def _place(mean: float | None, sign: int) -> float:
    """Smaller is further up; a method without any score comes last, whichever scores are good."""
    return math.inf if mean is None else sign * mean


def write_leaderboard(folder: Path, board: Leaderboard) -> None:
    """Write `leaderboard.csv` and `leaderboard.json`."""
    write_text(folder / _CSV_NAME, _leaderboard_csv(board))
    write_json(folder / _JSON_NAME, plain(asdict(board)))


def _leaderboard_csv(board: Leaderboard) -> str:
    """A line per method."""
    lines = []
    head = ["method", "first_weights", "seeds", "n", "groups"]
    for name in board.metrics:
        head += [name, f"{name}_low", f"{name}_high", f"{name}_seed_sd"]
    head += ["minutes", "parameters", "gigaflops", "ms_per_image", "peak_mib", "made_elsewhere"]
    for row in board.rows:
        whole = next(iter(row.means.values()))
        seeds = "" if row.made_elsewhere else row.seeds
        cells: list[Any] = [row.label, row.first_weights or "", seeds, whole.n, whole.groups]
        for name, interval in row.means.items():
            cells += [
                _cell(interval.mean),
                _cell(interval.low),
                _cell(interval.high),
                _cell(seed_sd(row.seed_means[name])),
            ]
        cost = row.cost
        cells += [""] * 5 if cost is None else [_cell(cost.minutes), cost.parameters, _cell(cost.gigaflops)]
        if cost is not None:
            cells += [_cell(cost.milliseconds), _cell(cost.peak_mib)]
        lines.append([*cells, "yes" if row.made_elsewhere else ""])
    return csv_text(head, lines)


def seed_sd(means: Sequence[float]) -> float | None:
    """Spread of the mean from seed to seed; None with one seed."""
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _cautions(benchmark: Benchmark) -> tuple[str, ...]:
    if benchmark.comparison is not None:
        return (*foreign_notes(benchmark.foreign), *benchmark.comparison.cautions)
    return tuple(budget_notes([Model(label, scores_file) for (label, _), scores_file in benchmark.evaluations.items()]))


def _words(benchmark: Benchmark) -> tuple[str, ...]:
    """Claims about methods where there are several seeds; else, and of masks made elsewhere always, of these trained models."""
    if benchmark.comparison is None:
        return ("One trained model: there is nothing to compare it with.",)
    one = benchmark.comparison.metrics[0]
    if not one.claims:
        return (*(pair.words for pair in one.pairs), one.rank_words)
    names = {foreign.name for foreign in benchmark.foreign}
    between = [claim.words for claim in one.methods if not names & {claim.first, claim.second}]
    claims = between if names else one.claims
    return (*claims, *(pair.words for pair in one.pairs if names & {pair.first, pair.second}))


def _failures(benchmark: Benchmark) -> dict[str, str]:
    """Run → why it failed, without names of DICOM's files: pages show it."""
    failed = {job.name: str(job.result()["error"]) for job in benchmark.jobs if job.state == "failed"}
    if not failed:
        return {}
    cover = cover_of(Manifest.load(benchmark.folder / MANIFEST))
    return {name: cover(error) for name, error in failed.items()}


def _row(
    label: str,
    first: ScoresFile,
    by_seed: Mapping[str, Sequence[Values]],
    metrics: Mapping[str, Any],
    cost: Cost | None,
    first_weights: str | None,
) -> Row:
    """`by_seed`: metric → cases×classes of each seed, as `shared_tables` counts them."""
    groups = first.groups()
    drawn = None if len(set(groups)) == len(groups) else groups
    means, seed_means = {}, {}
    for name in metrics:
        tables = np.stack(by_seed[name])
        seen = np.isfinite(tables).any(0)
        over_seeds = np.full(seen.shape, np.nan)
        over_seeds[seen] = np.nanmean(tables[:, seen], axis=0)
        diagonal = max(row.diagonal for row in first.rows)
        means[name] = mean_interval(over_seeds, drawn, bounds=bounds(metrics[name]["kind"], diagonal))
        known = (estimate(cluster(one)) for one in by_seed[name] if np.isfinite(one).any())
        seed_means[name] = tuple(known)
    return Row(label, len(next(iter(by_seed.values()))), means, seed_means, cost, first_weights)


def _cost(jobs: Sequence[Job]) -> Cost | None:
    if not jobs:
        return None
    results = [job.result() for job in jobs]
    predictor = load(jobs[0].run)
    manifest = Manifest.load(jobs[0].manifest)
    timed = manifest.split("test")[: _TIMED_IMAGES + 1]
    network = predictor.method.deploy().eval()
    counted = count_cost(network, in_channels=predictor.spec.in_channels, size=predictor.spec.size)
    peaks = [float(result["peak_mib"]) for result in results if result.get("peak_mib") is not None]
    return Cost(
        parameters=sum(parameter.numel() for parameter in predictor.method.parameters()),
        gigaflops=counted.gigaflops,
        milliseconds=1000 * _seconds(predictor, manifest, timed),
        device=str(predictor.device),
        minutes=fmean(float(result["minutes"]) for result in results),
        peak_mib=max(peaks, default=None),
    )


def _seconds(predictor: Predictor, manifest: Manifest, cases: Sequence[Case]) -> float:
    pixels = [_pixels(manifest, case, predictor.spec) for case in cases]
    shown = [(image, case.pixel_spacing) for image, case in zip(pixels, cases, strict=True)]
    predictor.predict(*shown[0])
    times = []
    for image, spacing in shown[1:] or shown:
        start = time.perf_counter()
        predictor.predict(image, spacing)
        times.append(time.perf_counter() - start)
    return median(times)


def _pixels(manifest: Manifest, case: Case, spec: InputSpec) -> Pixels:
    """A case's image as the network is shown it; of a volume its middle slice."""
    if spec.axis is None:
        return input_pixels(open_case(manifest, case), spec)
    voxels = volume_image(manifest, case, spec.volume_numbers)
    return slab_of(voxels, spec.axis, voxels.shape[spec.axis] // 2, spec.neighbors)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
