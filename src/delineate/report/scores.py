"""What `evaluate` and a run's end wrote: `scores.csv` (a row per case and class) and `scores.json` (their means)."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.report.html import Html, element, join, number, table

SCORE_TITLES = {"dice": "Dice", "iou": "IoU", "precision": "Precision", "recall": "Recall"}
PROTOCOLS = {"native": "native resolution"}
SPLITS = {"train": "training split", "val": "validation split", "test": "test split", "all": "all cases"}


@dataclass(frozen=True)
class Scores:
    """The scores of one evaluation, as read from its folder."""

    summary: dict[str, Any]
    """Content of `scores.json`."""
    rows: list[dict[str, str]] = field(default_factory=list)
    """Rows of `scores.csv`; empty when there is no such file."""

    @classmethod
    def read(cls, folder: Path) -> Scores:
        """Raises `DataError` naming the file when `scores.json` is absent or malformed."""
        path = folder / "scores.json"
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            classes = dict(summary["classes"])
            macro = {name: dict(columns) for name, columns in summary["macro"].items()}
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is not a table of scores: {error!r}") from error
        rows: list[dict[str, str]] = []
        if (folder / "scores.csv").exists():
            with (folder / "scores.csv").open(newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
        return cls({**summary, "classes": classes, "macro": macro}, rows)

    @property
    def column(self) -> str:
        """The column to quote: `all` with one foreground class, `present` with several."""
        return str(self.summary.get("headline", "all"))

    @property
    def protocol(self) -> str:
        """How the scores were made, in words."""
        name = str(self.summary.get("protocol", "native"))
        return PROTOCOLS.get(name, f"protocol {name}")

    @property
    def split(self) -> str:
        """Name of the split that was scored; "" where that was not stored."""
        return str(self.summary.get("split") or "")

    @property
    def split_words(self) -> str:
        return SPLITS.get(self.split, "cases")

    @property
    def classes(self) -> list[str]:
        return list(self.summary["classes"])

    def headline(self, score: str = "dice") -> tuple[float | None, int]:
        """Mean and n to quote, over cases and classes."""
        entry = self.summary["macro"].get(score, {}).get(self.column, {})
        return entry.get("mean"), int(entry.get("n", 0))

    def class_mean(self, name: str, score: str = "dice") -> tuple[float | None, int]:
        """Mean and n of one class in the headline's column."""
        entry = self.summary["classes"].get(name, {}).get(score, {}).get(self.column, {})
        return entry.get("mean"), int(entry.get("n", 0))

    def per_class(self, name: str, column: str | None = None) -> list[float]:
        """The Dice values of one class that its mean in `column` (default: the headline's) is made of."""
        column = column or self.column
        return [
            value
            for row in self.rows
            if row.get("class") == name and (column == "all" or _true(row.get("present")))
            if (value := _float(row.get("dice"))) is not None
        ]

    def per_case(self) -> dict[str, float]:
        """Case id → mean Dice over the classes that count in the headline's column."""
        values: dict[str, list[float]] = {}
        for row in self.rows:
            value = _float(row.get("dice"))
            if value is not None and (self.column == "all" or _true(row.get("present"))):
                values.setdefault(str(row.get("case")), []).append(value)
        return {case: sum(dice) / len(dice) for case, dice in values.items()}


def score_table(scores: Scores) -> Html:
    """Means per class and over the classes in the columns `all` and `present`, n beside each, the headline's column bold."""
    macro = scores.summary["macro"]
    names = [name for name in SCORE_TITLES if name in macro] + [name for name in macro if name not in SCORE_TITLES]
    head = ["Class", "Column", "n", *(SCORE_TITLES.get(name, name) for name in names)]
    rows = [
        _means_row(name, column, means, names, scores.column)
        for name, means in scores.summary["classes"].items()
        for column in ("all", "present")
    ]
    if len(scores.classes) > 1:
        rows += [_means_row("mean of classes", column, macro, names, scores.column) for column in ("all", "present")]
    return table(head, rows, numeric_from=2)


def outcome_table(scores: Scores) -> Html | None:
    """How often each class was found, missed, falsely marked, rightly absent; nothing when that was not stored."""
    outcomes = scores.summary.get("outcomes")
    if not isinstance(outcomes, dict) or not outcomes:
        return None
    kinds = {"found": "found", "missed": "missed", "false_positive": "false positive", "both_empty": "rightly empty"}
    rows = [[name, *(counts.get(kind, "–") for kind in kinds)] for name, counts in outcomes.items()]
    return table(["Class", *kinds.values()], rows, caption="Cases by what happened to the class")


def legend(columns: Sequence[str] = ("all", "present")) -> Html:
    """What the columns mean."""
    meaning = {
        "all": "every case; both masks empty counts 1, a miss or a false positive 0",
        "present": "only cases whose reference has the class",
    }
    words = (join(element("b", name), f": {meaning[name]}") for name in columns)
    return element("p", join(*(part for word in words for part in (word, ". "))), class_="note")


def _means_row(name: str, column: str, means: dict[str, Any], names: list[str], headline: str) -> list[Any]:
    entries = [means.get(score, {}).get(column, {}) for score in names]
    emphasis = (lambda text: element("b", text)) if column == headline else (lambda text: text)
    cells = [emphasis(number(entry.get("mean"))) for entry in entries]
    return [name, emphasis(column), entries[0].get("n", "–") if entries else "–", *cells]


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _true(text: str | None) -> bool:
    return (text or "").strip().lower() in ("1", "true", "yes")
