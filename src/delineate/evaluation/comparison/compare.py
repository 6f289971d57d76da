"""Several evaluations of the same cases, set side by side: differences, tests, ranks, claims about methods, and their reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from delineate.common.csv_text import csv_text
from delineate.common.errors import DataError
from delineate.common.files import output_folder, write_json, write_text
from delineate.common.names import did_you_mean, listed
from delineate.evaluation.comparison.budgets import budget_notes
from delineate.evaluation.comparison.false_positives import false_positive_notes
from delineate.evaluation.comparison.models import Model, references_known
from delineate.evaluation.comparison.seed_groups import SeedGroup, group_by_training, seed_group_notes
from delineate.evaluation.results.scores_file import ScoresFile, plain
from delineate.evaluation.results.summary import Column, Values
from delineate.evaluation.results.summary import bounds as score_bounds
from delineate.evaluation.statistics.interpretation import method_words, paired_words, rank_words
from delineate.evaluation.statistics.mixed import MethodClaim, NoClaim, compare_methods
from delineate.evaluation.statistics.paired import Paired, compare_paired, holm
from delineate.evaluation.statistics.power import groups_needed, least_detectable
from delineate.evaluation.statistics.ranks import Ranks, rank_models

__all__ = [
    "CASES_CSV",
    "PAIRS_CSV",
    "Comparison",
    "Key",
    "MethodResult",
    "MetricComparison",
    "PairResult",
    "cases_csv",
    "compare_models",
    "pairs_csv",
    "shared_tables",
    "write_comparison_files",
]

_PREFERRED = ("dice", "hd95_pooled")
"""Compared unless others are asked for, where they were computed: one of overlap and one of distance, as is advised."""
_TARGETS = {"overlap": 0.01, "distance": 1.0}
"""Kind → a difference worth seeing, in the metric's unit, for which the number of cases needed is told."""
_JSON_NAME, CASES_CSV, PAIRS_CSV = "comparison.json", "cases.csv", "pairs.csv"

Key = tuple[str, str, str]
"""Metric, first, second."""


@dataclass(frozen=True)
class PairResult:
    """Two trained models."""

    first: str
    second: str
    result: Paired
    adjusted_p: float | None
    """The permutation test's, after Holm over all pairs and metrics of the comparison."""
    least_detectable: float | None
    """At 80 % power, two-sided 5 %, with these cases; None where there is no spread to judge by, or no difference that two scores
    can have would be found."""
    cases_needed: int | None
    """For the difference worth seeing; None where that is not known."""
    words: str


@dataclass(frozen=True)
class MethodResult:
    """Two methods, by all their trained models."""

    first: str
    second: str
    result: MethodClaim | NoClaim
    adjusted_p: float | None
    words: str


@dataclass(frozen=True)
class MetricComparison:
    """All that is said of one metric."""

    metric: str
    title: str
    column: Column
    better: Literal["higher", "lower"]
    unit: str
    """mm, px or voxel; empty for metrics without."""
    target: float | None
    """A difference worth seeing, in that unit; None where nobody said."""
    values: dict[str, Values]
    """Model → each case's score: the mean over the classes that count in the column, NaN where none does. A distance is 0
    where this model rightly marks nothing and another one marks something."""
    pairs: tuple[PairResult, ...]
    methods: tuple[MethodResult, ...]
    ranks: Ranks | None
    """None where no case has a score of every model."""
    rank_words: str

    @property
    def claims(self) -> tuple[str, ...]:
        """What may be said of the methods, pair by pair; once for all where nothing may, for one and the same reason."""
        reasons = {of.result.reason if isinstance(of.result, NoClaim) else None for of in self.methods}
        if len(self.methods) > 1 and len(reasons) == 1 and (reason := reasons.pop()) is not None:
            return (f"No claim about any of the {len(self.methods)} pairs of methods can be made: {reason}.",)
        return tuple(of.words for of in self.methods)


@dataclass(frozen=True)
class Comparison:
    """What `delineate.compare` returns: two or more trained models on the same cases.

    Example:
        ```python
        comparison = delineate.compare(["runs/unet", "runs/resenc"], out="comparison")
        dice = comparison.metrics[0]
        for pair in dice.pairs:
            print(pair.first, pair.second, pair.result.difference.mean, pair.adjusted_p)
        ```
    """

    models: tuple[Model, ...]
    cases: tuple[str, ...]
    groups: tuple[str, ...]
    """Of each case."""
    metrics: tuple[MetricComparison, ...]
    cautions: tuple[str, ...] = ()
    """What must be known of models, budgets and references before the figures, a sentence each."""

    @property
    def seeds(self) -> dict[str, int]:
        """Method (and way of training, where there are several) → how many trained models of it there are."""
        return {seed_group.label: len(seed_group.members) for seed_group in group_by_training(self.models)}


@dataclass(frozen=True)
class _Prepared:
    """A metric before its p values are adjusted."""

    metric: str
    kind: str
    reach: float
    """The largest difference that two scores can have."""
    values: dict[str, Values]
    pairs: dict[tuple[str, str], Paired]
    methods: dict[tuple[str, str], MethodClaim | NoClaim]


@dataclass(frozen=True)
class _Adjusted:
    """P values after Holm, by (metric, first, second)."""

    pairs: dict[Key, float | None]
    methods: dict[Key, float | None]

    @property
    def compared(self) -> int:
        """Comparisons of models that the correction is for."""
        return sum(p is not None for p in self.pairs.values())

    @property
    def claimed(self) -> int:
        """The same of methods."""
        return sum(p is not None for p in self.methods.values())


def compare_models(
    models: Sequence[Model], metrics: Sequence[str] | None = None, *, target: float | None = None
) -> Comparison:
    """Compare trained models case by case, and their methods where there are several seeds of each.

    Args:
        models: Two or more that can be compared, as `open_models` gives them.
        metrics: Names of columns of `scores.csv`. None: Dice and pooled HD95 where they were computed, else the first.
        target: A difference worth seeing, in the metric's unit. None: .01 for overlap, 1 mm or pixel for distances.

    Returns:
        For each metric: every pair of models, every pair of methods, and the ranks.

    Raises:
        DataError: A `target` that is not above 0; a metric that one of the evaluations lacks, or of which neither high nor low
            values are good; evaluations that keep no scores of cases.
    """
    if target is not None and not 0 < target < np.inf:
        raise DataError(f"--target {target:g}: a difference worth seeing is above 0")
    first = models[0].scores_file
    cases, groups = first.cases(), first.groups()
    seed_groups = group_by_training(models)
    prepared = [_prepare(models, seed_groups, metric, cases, groups) for metric in _chosen(models, listed(metrics))]
    adjusted = _adjust(prepared)
    finished = tuple(_finish(models, one, groups, adjusted, target) for one in prepared)
    cautions = _cautions(models, seed_groups, [one.column for one in finished])
    return Comparison(tuple(models), tuple(cases), tuple(groups), finished, cautions)


def _cautions(models: Sequence[Model], seed_groups: Sequence[SeedGroup], columns: Sequence[Column]) -> tuple[str, ...]:
    lines = [*seed_group_notes(seed_groups), *budget_notes(models)]
    if "present" in columns:
        lines += false_positive_notes(models)
    if not references_known(models):
        lines.append(
            "The references are known to be the same by their sizes in pixels only: evaluate again to be sure."
        )
    for model in models:
        lines += [f"{model.name}: {note}" for note in model.scores_file.content.get("notes") or ()]
    return tuple(lines)


def write_comparison_files(folder: Path, comparison: Comparison) -> None:
    """Write `comparison.json` (all results), `cases.csv` (each case's scores, a column per model) and `pairs.csv`."""
    output_folder(folder)
    write_text(folder / CASES_CSV, cases_csv(comparison))
    write_text(folder / PAIRS_CSV, pairs_csv(comparison))
    write_json(folder / _JSON_NAME, plain(_to_json(comparison)))


def cases_csv(comparison: Comparison) -> str:
    """A line per case: its group, then each metric of each model; empty where there is no score."""
    columns = [(f"{one.metric}:{name}", values) for one in comparison.metrics for name, values in one.values.items()]
    rows = [
        [case, group, *("" if np.isnan(values[at]) else f"{values[at]:.6f}" for _, values in columns)]
        for at, (case, group) in enumerate(zip(comparison.cases, comparison.groups, strict=True))
    ]
    return csv_text(["case", "group", *(name for name, _ in columns)], rows)


def pairs_csv(comparison: Comparison) -> str:
    """A line per metric and pair of models."""
    head = ["metric", "column", "first", "second", "difference", "low", "high", "n", "groups", "first_better"]
    head += [
        "second_better",
        "equal",
        "wilcoxon_p",
        "permutation_p",
        "holm_p",
        "rank_biserial",
        "d_z",
        "least_detectable",
    ]
    rows = []
    for one in comparison.metrics:
        for pair in one.pairs:
            of, gap = pair.result, pair.result.difference
            counts = [gap.n, gap.groups, of.first_better, of.second_better, of.equal]
            tests = [of.wilcoxon_p, of.permutation_p, pair.adjusted_p, of.rank_biserial, of.d_z, pair.least_detectable]
            cells = [_cell(gap.mean), _cell(gap.low), _cell(gap.high), *counts, *map(_cell, tests)]
            rows.append([one.metric, one.column, pair.first, pair.second, *cells])
    return csv_text(head, rows)


def _chosen(models: Sequence[Model], metrics: Sequence[str]) -> list[str]:
    shared = [
        name for name in models[0].scores_file.metrics if all(name in model.scores_file.metrics for model in models)
    ]
    if not shared:
        pooled = models[0].scores_file.origin.protocol
        raise DataError(
            f"{models[0].scores_file.folder} keeps no scores of cases (protocol {pooled} pools all pixels); evaluate with native"
        )
    if not metrics:
        return [name for name in _PREFERRED if name in shared] or shared[:1]
    for name in metrics:
        lacking = [model.scores_file.folder for model in models if name not in model.scores_file.metrics]
        if lacking:
            hint = did_you_mean(name, shared)
            raise DataError(f"{lacking[0]} has no metric '{name}'; {hint}, or evaluate again with --metrics {name}")
        if models[0].scores_file.metrics[name]["better"] == "zero":
            known = name.endswith("volume_difference")
            other = "absolute_volume_difference" if known else "a metric of which higher or lower values are better"
            raise DataError(f"'{name}' is best at zero, neither high nor low; compare {other} instead")
    return list(dict.fromkeys(metrics))


def _prepare(
    models: Sequence[Model], seed_groups: Sequence[SeedGroup], metric: str, cases: Sequence[str], groups: Sequence[str]
) -> _Prepared:
    about = models[0].scores_file.metrics[metric]
    better: Any = about["better"]
    bounds = score_bounds(about["kind"], max(row.diagonal for row in models[0].scores_file.rows))
    drawn = _own_groups(groups)
    tables = shared_tables([model.scores_file for model in models], metric, cases)
    values = {model.name: _mean_of_classes(table) for model, table in zip(models, tables, strict=True)}
    by_method = {
        seed_group.label: np.stack([values[model.name] for model in seed_group.members]) for seed_group in seed_groups
    }
    refused = {seed_group.label: seed_group.refused for seed_group in seed_groups}
    several = len({model.method for model in models}) < len(models)

    def claim(one: str, two: str) -> MethodClaim | NoClaim:
        reason = refused[one] or refused[two]
        if reason is not None:
            return NoClaim(reason)
        return _within(compare_methods(by_method[one], by_method[two], drawn), bounds)

    return _Prepared(
        metric,
        about["kind"],
        bounds[1] - bounds[0],
        values,
        {
            (one, two): compare_paired(values[one], values[two], drawn, better=better, bounds=bounds)
            for one, two in combinations(values, 2)
        },
        {(one, two): claim(one, two) for one, two in combinations(by_method, 2) if several},
    )


def _within(claim: MethodClaim | NoClaim, bounds: tuple[float, float]) -> MethodClaim | NoClaim:
    """A claim whose interval ends where differences of such scores end."""
    reach = bounds[1] - bounds[0]
    if isinstance(claim, NoClaim) or not np.isfinite(reach):
        return claim
    found = claim.difference
    low, high = (None if end is None else float(np.clip(end, -reach, reach)) for end in (found.low, found.high))
    return replace(claim, difference=replace(found, low=low, high=high))


def shared_tables(evaluations: Sequence[ScoresFile], metric: str, cases: Sequence[str]) -> list[Values]:
    """cases×classes of each evaluation, in the order of `cases`, as comparisons and leaderboards count them.

    A distance is 0 where an evaluation rightly marks nothing and another one marks something (`_rightly_empty`).
    """
    tables = [_in_order(one, metric, cases) for one in evaluations]
    return _rightly_empty(tables) if evaluations[0].metrics[metric]["kind"] == "distance" else tables


def _in_order(scores_file: ScoresFile, metric: str, cases: Sequence[str]) -> Values:
    place = {case: at for at, case in enumerate(scores_file.cases())}
    return np.asarray(scores_file.values(metric)[[place[case] for case in cases]])


def _rightly_empty(tables: Sequence[Values]) -> list[Values]:
    """Distances with 0 for a model that rightly marks nothing where another one marks something.

    On its own such a case has no distance; left out of a pair, it would be forgiven to the model that errs.
    """
    scored_by_one = ~np.isnan(np.stack(tables)).all(0)
    return [np.where(np.isnan(table) & scored_by_one, 0.0, table) for table in tables]


def _mean_of_classes(table: Values) -> Values:
    """Each case's mean over the classes that count; NaN where none does."""
    counted = ~np.isnan(table)
    sums, counts = np.where(counted, table, 0).sum(1), counted.sum(1)
    return np.asarray(np.divide(sums, counts, out=np.full(len(table), np.nan), where=counts > 0))


def _own_groups(groups: Sequence[str]) -> Sequence[str] | None:
    """None where each case is its own group."""
    return None if len(set(groups)) == len(groups) else groups


def _adjust(prepared: Sequence[_Prepared]) -> _Adjusted:
    """Holm over all pairs and metrics; claims about methods are a family of their own."""
    pairs = {(of.metric, *pair): result.permutation_p for of in prepared for pair, result in of.pairs.items()}
    claims = {
        (of.metric, *pair): claim.p if isinstance(claim, MethodClaim) else None
        for of in prepared
        for pair, claim in of.methods.items()
    }
    return _Adjusted(_holm(pairs), _holm(claims))


def _holm(p_values: Mapping[Key, float | None]) -> dict[Key, float | None]:
    adjusted = holm([np.nan if p is None else p for p in p_values.values()])
    return {key: None if np.isnan(p) else float(p) for key, p in zip(p_values, adjusted, strict=True)}


def _finish(
    models: Sequence[Model], of: _Prepared, groups: Sequence[str], adjusted: _Adjusted, target: float | None
) -> MetricComparison:
    scores_file = models[0].scores_file
    about = scores_file.metrics[of.metric]
    better: Any = about["better"]
    unit = scores_file.origin.length if about["unit"] == "length" else ""
    worth = target or _TARGETS.get(of.kind)
    said: dict[str, Any] = {"score": f"{about['title']}{f' in {unit}' if unit else ''}", "reach": of.reach}
    if worth is not None:
        said["target"] = worth
    whole = np.isfinite(np.stack(list(of.values.values()))).all(0).any()
    ranks = rank_models(of.values, _own_groups(groups), better=better) if whole else None
    pairs = []
    for (one, two), result in of.pairs.items():
        p, count = adjusted.pairs[of.metric, one, two], adjusted.compared
        words = paired_words(result, one, two, adjusted_p=p, comparisons=count, **said)
        least = least_detectable(result.sd, result.difference.groups) if result.sd else None
        least = least if least is not None and least <= of.reach else None
        pairs.append(PairResult(one, two, result, p, least, _needed(result, worth), words))
    claims = []
    for (one, two), claim in of.methods.items():
        p, count = adjusted.methods[of.metric, one, two], adjusted.claimed
        claims.append(
            MethodResult(
                one,
                two,
                claim,
                p,
                method_words(claim, one, two, better=better, adjusted_p=p, comparisons=count, **said),
            )
        )
    return MetricComparison(
        metric=of.metric,
        title=about["title"],
        column=scores_file.column_of(of.metric),
        better=better,
        unit=unit,
        target=worth,
        values=of.values,
        pairs=tuple(pairs),
        methods=tuple(claims),
        ranks=ranks,
        rank_words=rank_words(ranks) if ranks else "No case has a score of every model: there are no ranks.",
    )


def _needed(result: Paired, worth: float | None) -> int | None:
    """Cases needed to see a difference, if their groups are as large as these."""
    if not result.sd or worth is None:
        return None
    groups = groups_needed(result.sd, worth)
    return None if groups is None else round(groups * result.difference.n / result.difference.groups)


def _to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything but the scores of single cases, which `cases.csv` holds."""
    metrics = []
    for one in comparison.metrics:
        content = {name: value for name, value in vars(one).items() if name != "values"}
        pairs, methods = ([asdict(entry) for entry in entries] for entries in (one.pairs, one.methods))
        metrics.append(
            {**content, "pairs": pairs, "methods": methods, "ranks": asdict(one.ranks) if one.ranks else None}
        )
    models = [
        {
            "name": model.name,
            "method": model.method,
            "evaluation": str(model.scores_file.folder),
            **vars(model.scores_file.origin),
        }
        for model in comparison.models
    ]
    return {
        "format": 1,
        "cautions": list(comparison.cautions),
        "cases": len(comparison.cases),
        "groups": len(set(comparison.groups)),
        "models": models,
        "metrics": metrics,
    }


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
