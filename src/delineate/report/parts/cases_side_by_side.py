"""The same cases by all models: hard, disputed, typical and easy ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from delineate.report.html.elements import Html, element, join, number
from delineate.report.html.images import contour_legend, figure_of
from delineate.report.parts.case_gallery import volumes_note
from delineate.report.parts.overlays import Overlays

__all__ = ["choose_cases", "side_by_side"]

_HARD, _TYPICAL, _EASY, _DISPUTED = 2, 2, 1, 2
"""How many cases of each kind are pictured."""
_MOST = 6
"""Of more models, the first so many are pictured."""


def side_by_side(
    overlays: Mapping[str, Overlays], scores: Mapping[str, Mapping[str, float]], title: str, *, higher: bool = True
) -> Html | None:
    """Rows of pictures, a column per model; nothing where no model lists images. `scores`: model → case → score."""
    shown = list(overlays)[:_MOST]
    chosen = choose_cases([scores[name] for name in shown], title, higher=higher)
    chosen = {case: why for case, why in chosen.items() if any(case in overlays[name].files for name in shown)}
    if not chosen:
        return None
    style = f"grid-template-columns: repeat({len(shown)}, minmax(0, 26rem))"
    rows = []
    for case, why in chosen.items():
        figures = (
            figure_of(
                overlays[name].picture(case, name), element("b", f"{title} {number(scores[name].get(case))}"), name
            )
            for name in shown
        )
        heading = element("h3", case, element("small", f" · {why}", class_="lead"))
        rows += [element("div", heading, element("div", *figures, class_="versus pictures", style=style))]
    return join(contour_legend(overlays[shown[0]].names), volumes_note(overlays[shown[0]]), *rows)


def choose_cases(scores: Sequence[Mapping[str, float]], title: str = "Dice", *, higher: bool = True) -> dict[str, str]:
    """Case → why it is shown: hard, typical and easy by the mean over the models, and where the models differ most."""
    shared = sorted(set.intersection(*(set(one) for one in scores))) if scores else []
    by_mean = sorted(shared, key=lambda case: fmean(one[case] for one in scores) * (1 if higher else -1))
    middle = max(0, len(by_mean) // 2 - _TYPICAL // 2)
    spread = {case: max(one[case] for one in scores) - min(one[case] for one in scores) for case in shared}
    disputed = sorted((case for case in shared if spread[case] > 0), key=lambda case: -spread[case])
    chosen: dict[str, str] = {}
    for cases, why in (
        (by_mean[:_HARD], f"among the hardest by mean {title}"),
        (disputed[:_DISPUTED], "the models differ most"),
        (by_mean[middle : middle + _TYPICAL], f"in the middle by mean {title}"),
        (by_mean[-_EASY:], f"among the easiest by mean {title}"),
    ):
        for case in cases:
            chosen.setdefault(case, why)
    return chosen
