"""Pairs of trained models: differences with intervals, tests, and what the comparison could have seen."""

from __future__ import annotations

from typing import Any

from delineate.evaluation.comparison.compare import MetricComparison, PairResult
from delineate.evaluation.statistics.interpretation import rounded
from delineate.report.charts.forest import Estimate, forest
from delineate.report.charts.scatter import scatter
from delineate.report.html.elements import Html, captioned, element, number, p_value, table

__all__ = [
    "differences",
    "matrix",
    "pair_table",
    "scatters",
    "verdict",
]

_ALPHA = 0.05
_SCATTERED = 6
"""So many pairs are drawn case by case, those with the largest differences."""


def differences(one: MetricComparison, title: str) -> Html:
    """Forest plot of first − second."""
    rows = [
        Estimate(
            f"{pair.first} − {pair.second}",
            gap.mean,
            gap.low,
            gap.high,
            (p_value(pair.adjusted_p), verdict(pair, one.better)),
        )
        for pair in one.pairs
        for gap in [pair.result.difference]
    ]
    good = "right" if one.better == "higher" else "left"
    return forest(
        {"": rows},
        title=f"Difference in {title}",
        head=["p (Holm)", "first is"],
        first="First − second",
        rule=(0.0, f"no difference; the first is better to the {good} of it"),
        note=" Intervals are not corrected for the number of comparisons, p is." if len(rows) > 1 else "",
    )


def matrix(one: MetricComparison) -> Html | None:
    """Each model (row) against each other (column): sign, word and p after Holm; nothing for two models."""
    names = list(one.values)
    if len(names) < 3:
        return None
    known = {(pair.first, pair.second): pair for pair in one.pairs}

    def cell(row: str, column: str) -> Html:
        pair = known.get((row, column)) or known.get((column, row))
        if pair is None:
            return element("td", "·", class_="same")
        word = verdict(pair, one.better, turned=pair.first != row)
        kind = word.rpartition(" ")[2] if word else "unclear"
        return element("td", word, element("small", p_value(pair.adjusted_p)), class_=f"cell {kind}")

    head = element("tr", element("th", "row is … than column"), *(element("th", name, scope="col") for name in names))
    rows = (element("tr", element("th", row, scope="row"), *(cell(row, column) for column in names)) for row in names)
    caption = captioned(f"Permutation test of the mean difference, p after Holm; told apart at p ≤ {_ALPHA:g}.")
    content = element("table", caption, element("thead", head), element("tbody", *rows))
    return element("div", content, class_="scroll matrix")


def pair_table(one: MetricComparison) -> Html:
    """Tests and effect sizes of each pair, and how many cases a difference worth seeing would take."""
    head = ["First − second", "Difference", "n", "First better", "Second better", "Equal", "Wilcoxon", "Permutation"]
    head += ["Permutation, Holm", "Rank-biserial", "d_z", "Least detectable", "Cases needed"]
    words = (
        "Least detectable: difference found with 80 % power at the 5 % level with these cases. Cases needed: for the difference "
        "worth seeing that the reading above names."
    )
    return table(head, [_row(pair) for pair in one.pairs], caption=words)


def scatters(one: MetricComparison, cases: tuple[str, ...], title: str, *, overlap: bool) -> list[Html]:
    """The pairs with the largest mean differences, case by case."""
    ordered = sorted(one.pairs, key=lambda pair: -abs(pair.result.difference.mean or 0))
    return [
        scatter(
            cases,
            one.values[pair.first],
            one.values[pair.second],
            names=(pair.first, pair.second),
            title=title,
            limits=(0.0, 1.0) if overlap else None,
            lower_is_better=one.better == "lower",
        )
        for pair in ordered[:_SCATTERED]
    ]


def verdict(pair: PairResult, better: str, *, turned: bool = False) -> str:
    """ "▲ better", "▼ worse" or "○ unclear" of the first (`turned`: of the second); empty where there is no test."""
    if pair.adjusted_p is None:
        return ""
    if pair.adjusted_p > _ALPHA:
        return "○ unclear"
    above = (pair.result.difference.mean or 0) > 0
    return "▲ better" if (above == (better == "higher")) != turned else "▼ worse"


def _row(pair: PairResult) -> list[Any]:
    result = pair.result
    tests = [p_value(p) for p in (result.wilcoxon_p, result.permutation_p, pair.adjusted_p)]
    needed = "–" if pair.cases_needed is None else f"about {rounded(pair.cases_needed)}"
    return [
        f"{pair.first} − {pair.second}",
        number(result.difference.mean),
        result.difference.n,
        result.first_better,
        result.second_better,
        result.equal,
        *tests,
        number(result.rank_biserial),
        number(result.d_z),
        number(pair.least_detectable),
        needed,
    ]
