"""The page of one evaluation: the headline, what can be concluded, all means with intervals, the cases behind them, the policy."""

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
from delineate.report.parts.conclusions import accesses_in_words, conclusions
from delineate.report.parts.confusion_table import confusion_table
from delineate.report.parts.coverage import coverage_part
from delineate.report.parts.distribution import distributions
from delineate.report.parts.fewshot_episodes import fewshot_part
from delineate.report.parts.overlays import Overlays
from delineate.report.parts.paper_protocol import protocol_part, score_titles
from delineate.report.parts.raters import raters_part
from delineate.report.parts.scores import (
    COLUMN_WORDS,
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
from delineate.report.parts.single_classes import single_classes
from delineate.report.parts.subgroups import subgroups_part

__all__ = ["write_evaluation_report"]

_REPORT = "report.html"
_CONTENTS = {
    CSV_NAME: "a line per case and class: outcome, every metric, counts of pixels",
    EPISODES_CSV: "a line per few-shot episode: support, scored slices, Dice",
    RATERS_CSV: "the same for each comparison with and among the raters",
}


def write_evaluation_report(folder: Path, references: Manifest | None = None) -> Path:
    """Write `report.html` into a folder that `evaluate` wrote, and return its path.

    `references`: the manifest that was scored against, for pictures; None: where the evaluation says they are. Raises
    `DataError` as `ScoresFile.read`.
    """
    scores_file = ScoresFile.read(folder)
    origin = scores_file.origin
    scored = Path(origin.predictions).name if origin.predictions else folder.resolve().name
    document = page(
        scored,
        "evaluation",
        notice(list(scores_file.content.get("notes") or ()), "Read this first"),
        element("p", f"{how_scored(scores_file)}.", class_="lead"),
        _headline(scores_file),
        section("What can be concluded", element("ul", *(element("li", line) for line in conclusions(scores_file)))),
        _part("Few-shot episodes", fewshot_part(scores_file)),
        _part("Scores by a paper's protocol", protocol_part(scores_file)),
        _part("All scores", join(score_tables(scores_file), notes(scores_file)) if scores_file.metrics else None),
        _part("Single classes", single_classes(scores_file)),
        section("Found and missed", outcome_table(scores_file)),
        _part("Confusion between classes", confusion_table(scores_file)),
        _part("Scores by size of the structure", sizes_part(scores_file)),
        _part("Several raters", raters_part(scores_file)),
        _part("Subgroups", subgroups_part(scores_file)),
        _part("If a person looks at the most doubtful", coverage_part(scores_file)),
        _part("Distribution of the scores", distributions(scores_file)),
        _part("Worst, median and best cases", ranked_pictures(scores_file, Overlays.find(scores_file, references))),
        _part("Cases", case_table(scores_file)),
        section("How this was scored", policy(scores_file)),
        section("Tables to download", downloads(files_of(folder, CSV_NAME, EPISODES_CSV, RATERS_CSV), _CONTENTS)),
    )
    return write_page(folder / _REPORT, document)


def _part(title: str, content: Html | None) -> Html | None:
    return None if content is None else section(title, content)


def _headline(scores_file: ScoresFile) -> Html:
    lines, value = _quoted(scores_file)
    if scores_file.origin.protocol != NATIVE:
        lines.append(f"protocol {scores_file.origin.protocol}")
    if scores_file.content.get("test_accesses"):
        lines.append(accesses_in_words(scores_file))
    score = element("div", element("strong", value), *(element("span", line) for line in lines), class_="score")
    return element("div", score, facts(_facts(scores_file)), class_="headline")


def _quoted(scores_file: ScoresFile) -> tuple[list[str], str]:
    """The lines beneath the one value to quote, and the value."""
    metric = headline_metric(scores_file)
    if metric is None:
        pooled = scores_file.content["protocol_scores"]
        name = "dice" if "dice" in pooled["macro"] else next(iter(pooled["macro"]))
        lines = [
            f"{score_titles(scores_file)[name]} of the pixels of all cases together",
            count(pooled["cases"], "case"),
        ]
        return lines, number(pooled["macro"][name])
    entry = scores_file.mean(metric)
    over = f" over the {scores_file.of}" if len(scores_file.classes) > 1 else ""
    column = scores_file.column_of(metric)
    lines = [f"mean {title_of(scores_file, metric)}{over}, column “{column}” ({COLUMN_WORDS[column]})"]
    lines.append(f"95 % interval {range_words(entry)}" if entry["low"] is not None else entry["how"])
    grouped = f" in {count(entry['groups'], 'group')}" if entry["groups"] < entry["n"] else ""
    return [*lines, f"n = {count(entry['n'], 'case')}{grouped}"], number(entry["mean"])


def _facts(scores_file: ScoresFile) -> dict[str, Any]:
    origin = scores_file.origin
    found: dict[str, Any] = {
        "Cases": count(scores_file.content["cases"], origin.level),
        "Groups": str(scores_file.content["groups"]),
        "Split": SPLITS.get(origin.split, origin.split),
        "Protocol": origin.protocol,
        scores_file.of.capitalize(): ", ".join(scores_file.classes),
    }
    if reason := (scores_file.content.get("labels") or {}).get("reason"):
        found["References read as"] = reason
    if read := scores_file.content.get("predictions_read"):
        found["Predictions read as"] = read
    if unscored := scores_file.content.get("unscored"):
        number = count(len(unscored), "case has", "cases have")
        found["Not scored"] = f"{number} only ignored pixels in the reference: {some(unscored)}"
    if origin.method:
        found["Method"] = origin.method if origin.seed is None else f"{origin.method}, seed {origin.seed}"
    return found
