"""One page that sets several trained models side by side on the same cases: table, distribution of Dice, pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from delineate.common.errors import DelineateError
from delineate.data.case import ClassTable, Manifest
from delineate.data.images import read_image
from delineate.data.pixels import case_mask
from delineate.evaluation.predictions import PredictionList, mask_files, read_prediction
from delineate.inference.overlay import draw
from delineate.report.charts import Series, histogram, line_chart
from delineate.report.html import Html, element, join, number, table
from delineate.report.images import contour_legend, drawn, figure_of
from delineate.report.page import notice, page, section, write_page
from delineate.report.scores import SCORE_TITLES, Scores, legend
from delineate.report.source import RunRecord, read_run

HARD, TYPICAL, EASY, DISPUTED = 2, 2, 1, 2
"""How many cases of each kind are pictured."""


@dataclass(frozen=True)
class Entry:
    """One trained model in a comparison."""

    name: str
    run: Path
    """Its run folder."""
    predictions: Path
    """Folder that `predict` wrote."""
    evaluation: Path
    """Folder with `scores.json` and `scores.csv` of those predictions."""


def write_comparison(title: str, entries: list[Entry], out: Path) -> Path:
    """Write the page to `out` and return that path.

    Raises `DataError` when an evaluation cannot be read and `ArtefactError` when a `run` is no run folder. Pictures that
    cannot be drawn (images moved away) are replaced by a sentence.
    """
    models = [_Model(entry) for entry in entries]
    document = page(
        title,
        "comparison",
        element("p", _lead(models), class_="lead"),
        notice(_cautions(models), "How far this goes"),
        section("Scores", _score_table(models, out.parent), legend(), _class_table(models)),
        _paired(models),
        _distribution(models),
        _cases(models),
    )
    return write_page(out, document)


class _Model:
    """An entry with all that was read of it."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.name = entry.name
        self.scores = Scores.read(entry.evaluation)
        self.dice = self.scores.per_case()
        self.record: RunRecord = read_run(entry.run)

    @property
    def classes(self) -> ClassTable:
        return self.record.manifest.classes if self.record.manifest else ClassTable()

    @cached_property
    def _listed(self) -> dict[str, tuple[Path, Path]]:
        """Case id → (mask, image) as `predict` listed them."""
        listed = PredictionList.find(self.entry.predictions)
        if listed is None:
            return {}
        masks = mask_files(self.entry.predictions, listed)
        return {mask.stem: (mask, Path(file.image)) for mask, file in zip(masks, listed.files, strict=True)}

    def picture(self, case: str) -> Html:
        """The case's image with this model's prediction and, where the run's manifest knows it, the reference."""
        if case not in self._listed:
            return element("p", "no prediction is listed", class_="note")
        mask, image = self._listed[case]
        try:
            pixels, prediction = read_image(image), read_prediction(mask, self.classes)
            overlay = draw(pixels, prediction, _reference(self.record.manifest, case), self.classes, shorter=400)
        except DelineateError as error:
            return element("p", str(error), class_="note")
        return drawn(overlay, f"Contours of {self.name} on {case}", longest=480)


def _reference(manifest: Manifest | None, case: str) -> Any:
    known = {one.id: one for one in manifest.cases} if manifest else {}
    return case_mask(manifest, known[case]) if manifest and case in known else None


def _lead(models: list[_Model]) -> str:
    first = models[0].scores
    how = f"{first.split_words}, {first.protocol}, means over cases, column “{first.column}”"
    return f"{len(models)} trained model{'s' if len(models) > 1 else ''}: {how}."


def _cautions(models: list[_Model]) -> list[str]:
    """What a reader must know before comparing the figures."""
    lines = []
    methods = [model.record.summary.get("method") for model in models]
    if len(set(methods)) == len(methods) > 1:
        lines.append("One run (one seed) per method: this compares these trained models, not the methods.")
    for what, value in (
        ("sets of cases", lambda model: frozenset(model.dice)),
        ("protocols", lambda model: model.scores.protocol),
        ("splits", lambda model: model.scores.split),
        ("classes", lambda model: tuple(model.scores.classes)),
    ):
        if len({value(model) for model in models}) > 1:
            lines.append(f"The models were scored on different {what}: their figures cannot be compared directly.")
    budgets = {model.record.summary.get("images_seen") for model in models} - {None}
    if len(budgets) > 1:
        lines.append("The models saw different numbers of training images.")
    return lines


def _score_table(models: list[_Model], folder: Path) -> Html:
    head = ["Model", "n", *SCORE_TITLES.values(), "Parameters", "Images seen", "Training", "Report"]
    return table(head, [_score_row(model, folder) for model in models])


def _score_row(model: _Model, folder: Path) -> list[Any]:
    summary = model.record.summary
    values = [number(model.scores.headline(score)[0]) for score in SCORE_TITLES]
    parameters, images, minutes = (summary.get(key) for key in ("parameters", "images_seen", "minutes"))
    return [
        element("b", model.name),
        model.scores.headline()[1],
        element("b", values[0]),
        *values[1:],
        "–" if parameters is None else f"{parameters / 1e6:.2f} M",
        "–" if images is None else f"{images:,}".replace(",", "\u202f"),
        "–" if minutes is None else f"{minutes:.1f} min",
        _link(model.entry.run / "report.html", folder),
    ]


def _link(report: Path, folder: Path) -> Html | str:
    if not report.exists():
        return "–"
    return element("a", "run report", href=quote(Path(os.path.relpath(report, folder)).as_posix()))


def _class_table(models: list[_Model]) -> Html | None:
    """Dice per class, only where there are several."""
    names = models[0].scores.classes
    if len(names) < 2:
        return None
    rows = []
    for model in models:
        means = [model.scores.class_mean(name) for name in names]
        rows.append([model.name, *(join(number(mean), element("small", f"n {n}")) for mean, n in means)])
    return join(element("h3", "Dice per class"), table(["Model", *names], rows))


def _paired(models: list[_Model]) -> Html | None:
    """Differences case by case to the first model."""
    first, rows = models[0], []
    for model in models[1:]:
        shared = [case for case in first.dice if case in model.dice]
        if not shared:
            continue
        gaps = [model.dice[case] - first.dice[case] for case in shared]
        better, worse = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
        mean = f"{fmean(gaps):+.3f}".replace("-", "−")
        rows.append([f"{model.name} − {first.name}", len(shared), mean, better, worse, len(gaps) - better - worse])
    if not rows:
        return None
    head = ["Difference in Dice", "n", "Mean", "Cases better", "Cases worse", "Cases equal"]
    return section("Case by case", table(head, rows))


def _distribution(models: list[_Model]) -> Html:
    lines = [Series(model.name, list(enumerate(sorted(model.dice.values()), start=1))) for model in models]
    ranked = line_chart(
        lines, title="Dice of each model's cases, worst to best", x_label="place among the cases", y_limits=(0, 1)
    )
    charts = [
        histogram(list(model.dice.values()), title=f"Dice of {model.name}", x_label="Dice", colour=at)
        for at, model in enumerate(models)
    ]
    return section("How Dice is distributed", element("div", ranked, *charts, class_="grid"))


def _cases(models: list[_Model]) -> Html | None:
    chosen = choose_cases([model.dice for model in models])
    if not chosen:
        return None
    style = f"grid-template-columns: repeat({len(models)}, minmax(0, 26rem))"
    rows = []
    for case, why in chosen.items():
        figures = (
            figure_of(model.picture(case), element("b", f"Dice {model.dice[case]:.3f}"), model.name) for model in models
        )
        title = element("h3", case, element("small", f" · {why}", class_="lead"))
        rows += [title, element("div", *figures, class_="versus pictures", style=style)]
    names = list(models[0].classes.names)
    return section("The same cases side by side", contour_legend(names), *rows)


def choose_cases(dice: list[dict[str, float]]) -> dict[str, str]:
    """Case → why it is shown: hard, typical and easy by mean Dice over the models, and where the models differ most."""
    shared = sorted(set.intersection(*(set(one) for one in dice))) if dice else []
    by_mean = sorted(shared, key=lambda case: fmean(one[case] for one in dice))
    middle = max(0, len(by_mean) // 2 - TYPICAL // 2)
    spread = {case: max(one[case] for one in dice) - min(one[case] for one in dice) for case in shared}
    disputed = sorted((case for case in shared if spread[case] > 0), key=lambda case: -spread[case])
    chosen: dict[str, str] = {}
    for cases, why in (
        (by_mean[:HARD], "among the hardest by mean Dice"),
        (disputed[:DISPUTED], "the models differ most"),
        (by_mean[middle : middle + TYPICAL], "in the middle by mean Dice"),
        (by_mean[-EASY:], "among the easiest by mean Dice"),
    ):
        for case in cases:
            chosen.setdefault(case, why)
    return chosen
