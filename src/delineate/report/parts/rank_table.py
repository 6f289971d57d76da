"""Which model comes first, and how stable each place is."""

from __future__ import annotations

from typing import Any

from delineate.data.core.findings import count
from delineate.evaluation.statistics.ranks import Ranks
from delineate.report.html.elements import Html, element, join, number, table

__all__ = ["rank_table"]


def rank_table(ranks: Ranks, title: str) -> Html:
    """Models by rank: mean, mean rank within the cases, and how often each place was theirs in resamples of the groups."""
    order = sorted(range(len(ranks.names)), key=lambda at: (ranks.rank[at], ranks.names[at]))
    places = len(ranks.names) if ranks.frequencies is not None else 0
    rows: list[list[Any]] = []
    for at in order:
        shares = [] if ranks.frequencies is None else [float(share) for share in ranks.frequencies[at]]
        means = [number(float(ranks.mean[at])), f"{ranks.mean_rank[at]:.2f}"]
        rows.append([ranks.names[at], f"{ranks.rank[at]:g}", *means, *map(_share, shares)])
    head = ["Model", "Rank", f"Mean {title}", "Mean rank in a case", *(f"place {at + 1}" for at in range(places))]
    words = f"Ranks by the mean over {count(ranks.n, 'case')} that all models have a score for"
    if places:
        words += "; places: share of 10 000 resamples of the groups, each bar from 0 to 100 %"
    return element("div", table(head, rows, caption=f"{words}."), class_="ranks")


def _share(share: float) -> Html:
    """A share as words on a bar."""
    words = "0" if share == 0 else "< 1 %" if share < 0.005 else f"{100 * share:.0f} %"
    bar = element("i", style=f"width: {100 * share:.1f}%", aria_hidden="true")
    return join(element("span", bar, class_="bar"), words)
