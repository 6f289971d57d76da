"""Methods against methods: several seeds of each over the same cases, with the seeds' spread apart from the cases'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from delineate.evaluation.comparison.compare import MetricComparison
from delineate.evaluation.statistics.mixed import MethodClaim
from delineate.report.charts.forest import Estimate, forest
from delineate.report.html.elements import Html, element, fold, join, number, p_value, table

__all__ = ["claims", "seeds_words"]

_FEW = 2
"""More refusals are folded away."""


def claims(one: MetricComparison, title: str) -> Html | None:
    """Forest plot of the methods' differences, table of spreads; refusals in words; nothing where no method has several seeds."""
    if not one.methods:
        return None
    made = {of: of.result for of in one.methods if isinstance(of.result, MethodClaim)}
    rows = [
        Estimate.of(f"{of.first} − {of.second}", vars(claim.difference), p_value(of.adjusted_p), strong=True)
        for of, claim in made.items()
    ]
    chart = forest(
        {"": rows},
        title=f"Difference of methods in {title}",
        head=["p (Holm)"],
        first="First − second",
        rule=(0.0, "no difference"),
    )
    refused = [element("p", of.words, class_="note") for of in one.methods if of not in made]
    if len(refused) > _FEW:
        refused = [fold(f"{len(refused)} pairs of methods of which no claim can be made", *refused)]
    spread = element("p", "Standard deviations of each method's scores, in the unit of the score:", class_="note")
    return join(
        chart if rows else None,
        *([spread, _spreads(one)] if rows else []),
        *refused,
    )


def _spreads(one: MetricComparison) -> Html:
    found: dict[str, tuple[int, float, float]] = {}
    for of in one.methods:
        if isinstance(of.result, MethodClaim):
            claim = of.result
            for at, name in enumerate((of.first, of.second)):
                found.setdefault(name, (claim.seeds[at], claim.seed_sd[at], claim.case_sd[at]))
    rows: list[list[Any]] = [[name, seeds, number(seed), number(case)] for name, (seeds, seed, case) in found.items()]
    return table(["Method", "Seeds", "From seed to seed (sd of the mean)", "From case to case (sd)"], rows)


def seeds_words(seeds: Mapping[str, int]) -> str | None:
    """What one seed does not allow."""
    if max(seeds.values()) > 1:
        single = [method for method, count in seeds.items() if count == 1]
        return f"One seed only of {', '.join(single)}: no claim about that method can be made." if single else None
    return "One trained model (one seed) of each method: this compares these trained models, not the methods."
