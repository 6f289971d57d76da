"""The page of one evaluation: the headline and its reading, all means with intervals, the cases behind them, the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from delineate.data.core.findings import count, some
from delineate.data.core.manifest import Manifest
from delineate.evaluation.results.further_tables import EPISODES_CSV, RATERS_CSV
from delineate.evaluation.results.protocols import NATIVE
from delineate.evaluation.results.scores_file import CSV_NAME, ScoresFile
from delineate.report.html.document import notice, page, section, write_page
from delineate.report.html.downloads import downloads, files_of
from delineate.report.html.elements import Html, element, facts, join, number
from delineate.report.parts.case_gallery import case_table, ranked_pictures
from delineate.report.parts.conclusions import accesses_in_words, reading
from delineate.report.parts.confusion_table import confusion_table
from delineate.report.parts.distribution import distributions
from delineate.report.parts.fewshot_episodes import fewshot_part
from delineate.report.parts.overlays import Overlays
from delineate.report.parts.paper_protocol import protocol_part, score_titles
from delineate.report.parts.raters import raters_part
from delineate.report.parts.scores import (
    SPLITS,
    headline_metric,
    how_scored,
    notes,
    outcome_table,
    policy,
    range_words,
    score_tables,
    title_of,
)
from delineate.report.parts.scores_by_size import sizes_part
from delineate.report.parts.subgroups import subgroups_part

REPORT = "report.html"
CONTENTS = {
    CSV_NAME: "a line per case and class: outcome, every metric, counts of pixels",
    EPISODES_CSV: "a line per few-shot episode: support, scored slices, Dice",
    RATERS_CSV: "the same for each comparison with and among the raters",
}


def write_evaluation_report(folder: Path, references: Manifest | None = None) -> Path:
    """Write `report.html` into a folder that `evaluate` wrote, and return its path.

    `references`: the manifest that was scored against, for pictures; None: where the evaluation says they are. Raises
    `DataError` as `ScoresFile.read`.
    """
    stored = ScoresFile.read(folder)
    origin = stored.origin
    scored = Path(origin.predictions).name if origin.predictions else folder.resolve().name
    document = page(
        scored,
        "evaluation",
        notice(list(stored.content.get("notes") or ()), "Before the figures"),
        element("p", f"{how_scored(stored)}.", class_="lead"),
        _headline(stored),
        section("What this allows to be said", element("ul", *(element("li", line) for line in reading(stored)))),
        _part("Few-shot episodes", fewshot_part(stored)),
        _part("Scores by a paper's protocol", protocol_part(stored)),
        _part("All scores", join(score_tables(stored), notes(stored)) if stored.metrics else None),
        section("Found and missed", outcome_table(stored)),
        _part("Which class was taken for which", confusion_table(stored)),
        _part("Scores and the size of structures", sizes_part(stored)),
        _part("Several raters", raters_part(stored)),
        _part("Subgroups", subgroups_part(stored)),
        _part("How the scores are spread", distributions(stored)),
        _part("Worst, median and best cases", ranked_pictures(stored, Overlays.find(stored, references))),
        _part("Cases", case_table(stored)),
        section("How this was scored", policy(stored)),
        section("Tables to take along", downloads(files_of(folder, CSV_NAME, EPISODES_CSV, RATERS_CSV), CONTENTS)),
    )
    return write_page(folder / REPORT, document)


def _part(title: str, content: Html | None) -> Html | None:
    return None if content is None else section(title, content)


def _headline(stored: ScoresFile) -> Html:
    lines, value = _quoted(stored)
    if stored.origin.protocol != NATIVE:
        lines.append(f"protocol {stored.origin.protocol}")
    if stored.content.get("test_accesses"):
        lines.append(accesses_in_words(stored))
    score = element("div", element("strong", value), *(element("span", line) for line in lines), class_="score")
    return element("div", score, facts(_facts(stored)), class_="headline")


def _quoted(stored: ScoresFile) -> tuple[list[str], str]:
    """The lines beneath the one value to quote, and the value."""
    metric = headline_metric(stored)
    if metric is None:
        pooled = stored.content["protocol_scores"]
        name = "dice" if "dice" in pooled["macro"] else next(iter(pooled["macro"]))
        lines = [f"{score_titles(stored)[name]} of the pixels of all cases together", count(pooled["cases"], "case")]
        return lines, number(pooled["macro"][name])
    entry = stored.mean(metric)
    over = " over the classes" if len(stored.classes) > 1 else ""
    lines = [f"mean {title_of(stored, metric)}{over}, column “{stored.column_of(metric)}”"]
    lines.append(f"95 % interval {range_words(entry)}" if entry["low"] is not None else entry["how"])
    grouped = f" in {count(entry['groups'], 'group')}" if entry["groups"] < entry["n"] else ""
    return [*lines, f"n = {count(entry['n'], 'case')}{grouped}"], number(entry["mean"])


def _facts(stored: ScoresFile) -> dict[str, Any]:
    origin = stored.origin
    found: dict[str, Any] = {
        "Cases": count(stored.content["cases"], origin.level),
        "Groups": str(stored.content["groups"]),
        "Split": SPLITS.get(origin.split, origin.split),
        "Protocol": origin.protocol,
        "Classes": ", ".join(stored.classes),
    }
    if reason := (stored.content.get("labels") or {}).get("reason"):
        found["References read as"] = reason
    if read := stored.content.get("predictions_read"):
        found["Predictions read as"] = read
    if unscored := stored.content.get("unscored"):
        number = count(len(unscored), "case has", "cases have")
        found["Not scored"] = f"{number} only ignored pixels in the reference: {some(unscored)}"
    if origin.method:
        found["Method"] = origin.method if origin.seed is None else f"{origin.method}, seed {origin.seed}"
    return found
