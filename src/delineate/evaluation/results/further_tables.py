"""The further tables of an evaluation: raters, subgroups, a paper's protocol; as they are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from delineate.data.core.manifest import ClassTable, Manifest
from delineate.evaluation.inputs.raters import Raters
from delineate.evaluation.inputs.subgroups import Subgroups
from delineate.evaluation.metrics.metric import MetricInfo
from delineate.evaluation.results.case_scores import Row
from delineate.evaluation.results.protocols import PaperProtocol
from delineate.evaluation.results.scores_file import rows_csv
from delineate.evaluation.results.scoring import Roles, ScoredUnit
from delineate.evaluation.results.summary import Summary, summarize

__all__ = [
    "EPISODES_CSV",
    "RATERS_CSV",
    "by_class",
    "gather",
    "instance_manifest",
    "protocol_entries",
    "raters_csv",
    "raters_json",
    "regions_json",
    "subgroups_json",
]

RATERS_CSV = "raters.csv"
EPISODES_CSV = "episodes.csv"
"""A line for each few-shot episode."""


def gather(scored: Sequence[ScoredUnit]) -> dict[Roles, list[Row]]:
    """The rows of all units for each comparison with and among raters."""
    rows: dict[Roles, list[Row]] = {}
    for one in scored:
        for roles, members in one.raters.items():
            rows.setdefault(roles, []).extend(members)
    return rows


def by_class(scored: Sequence[ScoredUnit]) -> Summary | None:
    """Overlap of the single classes where regions were scored; None where classes were."""
    rows = [row for one in scored for row in one.by_class]
    return summarize(rows) if rows else None


def regions_json(classes: ClassTable, single: Summary) -> dict[str, Any]:
    """What the regions are made of, and for each single class its means (metric → column → interval)."""
    means = {
        name: {metric: {column: asdict(one) for column, one in of.items()} for metric, of in metrics.items()}
        for name, metrics in single.classes.items()
    }
    return {"class_names": list(classes.names), "regions": classes.regions_by_name, "by_class": means}


def raters_csv(rows: Mapping[Roles, Sequence[Row]]) -> str:
    """As `scores.csv`, with three columns before it that say who was scored against whom."""
    return rows_csv(
        [
            (dict(zip(("kind", "prediction", "reference"), roles, strict=True)), row)
            for roles, of in rows.items()
            for row in of
        ]
    )


def raters_json(raters: Raters, summaries: Mapping[Roles, Summary]) -> dict[str, Any]:
    """Names and rule, and for each comparison its means (metric → column → interval) over the classes."""
    return {
        "names": list(raters.names),
        "rule": raters.describe(),
        "tables": [
            {"kind": kind, "prediction": first, "reference": second, "means": _plain(summary)}
            for (kind, first, second), summary in summaries.items()
        ],
    }


def subgroups_json(subgroups: Subgroups, rows: Sequence[Row], metrics: Sequence[MetricInfo]) -> dict[str, Any]:
    """For each attribute and level its cases, groups and means over the classes; and what so many looks mean."""

    def level(name: str, cases: Sequence[str]) -> dict[str, Any]:
        chosen = set(cases)
        summary = summarize([row for row in rows if row.case in chosen], metrics)
        return {"level": name, "cases": summary.cases, "groups": summary.groups, "means": _plain(summary)}

    return {
        "warning": subgroups.warning(),
        "notes": list(subgroups.notes),
        "attributes": [
            {
                "name": attribute.name,
                "cut": attribute.cut,
                "levels": [level(name, cases) for name, cases in attribute.levels.items()],
            }
            for attribute in subgroups.attributes
        ],
    }


def protocol_entries(protocol: PaperProtocol) -> tuple[MetricInfo, ...]:
    """A protocol's scores as metrics of a table: every case counts, with the value that lineage gives it."""
    return tuple(
        MetricInfo(
            name=name,
            title=title,
            kind="amount",
            better="lower" if name.startswith("hd") else "higher",
            unit="length" if name.startswith("hd") else "",
            family="protocol",
        )
        for name, title in protocol.scores.items()
    )


def instance_manifest(folder: Path) -> Manifest:
    """What stands for the data set where only a folder of instance maps is given: one class, the union of the objects."""
    return Manifest(root=str(folder), layout="instance maps", split_origin="")


def _plain(summary: Summary) -> dict[str, dict[str, Any]]:
    return {
        metric: {column: asdict(interval) for column, interval in columns.items()}
        for metric, columns in summary.macro.items()
    }
