"""An evaluation on disk: `scores.csv` (a line per case and class) and `scores.json` (the table and how it was made)."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np

from delineate.common.csv_text import csv_text
from delineate.common.csv_text import plain_cell as plain_text
from delineate.common.errors import DataError
from delineate.common.files import read_json, write_json, write_text
from delineate.evaluation.metrics.masks import Outcome
from delineate.evaluation.metrics.registry import RESERVED_COLUMNS
from delineate.evaluation.results.case_scores import Row
from delineate.evaluation.results.scores_schema import schema_fault
from delineate.evaluation.results.summary import (
    COLUMNS,
    POLICY,
    Column,
    Summary,
    Values,
    column_values,
    headline_column,
)

__all__ = [
    "CSV_NAME",
    "JSON_NAME",
    "Origin",
    "ScoresFile",
    "plain",
    "rows_csv",
    "write_scores",
]

_FORMAT = 2
_EARLIER_KEYS = {"openings": "test_accesses", "openings_in_all": "test_accesses_in_all"}
"""Names that keys had in evaluations of earlier versions."""
CSV_NAME, JSON_NAME = "scores.csv", "scores.json"
_KEYS = ("classes", "macro", "micro", "metrics", "headline", "outcomes")
_BEFORE = RESERVED_COLUMNS.index("tp")


@dataclass(frozen=True)
class Origin:
    """How an evaluation was made: what must agree before two can be compared, and whose predictions they are."""

    protocol: str = "native"
    protocol_words: str = "protocol native (masks at native resolution)"
    split: str = "val"
    level: str = "image"
    """What a case is: `image` or `volume`."""
    length: str = "px"
    """Unit of lengths: mm, px or voxel."""
    grouping: str = "each case is its own group"
    references_sha256: str | None = None
    """Hash over the reference masks in the order of their names; None where it was not taken."""
    predictions: str | None = None
    """The folder that was scored, as it was given."""
    method: str | None = None
    seed: int | None = None
    model_sha256: str | None = None


def write_scores(
    folder: Path, rows: Sequence[Row], summary: Summary, origin: Origin, extra: Mapping[str, Any] | None = None
) -> None:
    """Write both files, each atomically. `extra`: further entries of `scores.json` (subgroups, raters)."""
    write_text(folder / CSV_NAME, _scores_csv(rows))
    content = {"format": _FORMAT, **vars(origin), "policy": POLICY, **summary.to_json(origin.length), **(extra or {})}
    write_json(folder / JSON_NAME, plain(content))


def _scores_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV; a metric that is not scored in a row leaves its cell empty."""
    return rows_csv([({}, row) for row in rows])


def rows_csv(rows: Sequence[tuple[Mapping[str, str], Row]]) -> str:
    """The same with further columns before, equal in all rows."""
    before, scores = (list(rows[0][0]), list(rows[0][1].scores)) if rows else ([], [])
    lines = []
    for further, row in rows:
        cells = ["" if math.isnan(row.scores[name]) else f"{row.scores[name]:.6f}" for name in scores]
        about = (row.case, row.group, row.name, row.outcome, int(row.present), int(row.found))
        counts = (row.tp, row.fp, row.fn, row.tn, f"{row.diagonal:.6f}")
        lines.append([*further.values(), *about, *cells, *counts])
    return csv_text([*before, *RESERVED_COLUMNS[:_BEFORE], *scores, *RESERVED_COLUMNS[_BEFORE:]], lines)


@dataclass(frozen=True)
class ScoresFile:
    """An evaluation that was read back from its folder.

    Example:
        ```python
        scores = ScoresFile.read(Path("scores"))
        scores.mean("dice")["mean"], scores.column_of("dice")
        scores.values("dice").shape  # (cases, classes)
        ```
    """

    folder: Path
    content: dict[str, Any]
    """All of `scores.json`."""
    rows: tuple[Row, ...]

    @classmethod
    def read(cls, folder: Path) -> ScoresFile:
        """Read `scores.csv` and `scores.json`, also those of earlier versions.

        Args:
            folder: As `evaluate` wrote it.

        Returns:
            The evaluation.

        Raises:
            DataError: Naming the file that is absent, malformed or of another format.
        """
        path = folder / JSON_NAME
        try:
            content = read_json(path)
            version, classes = content["format"], list(content.get("classes", ()))
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}; give a folder that `evaluate` wrote") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is not a table of scores; evaluate again") from error
        content = {_EARLIER_KEYS.get(key, key): value for key, value in content.items()}
        if version != _FORMAT:
            raise DataError(f"{path} has format {version}, this version reads format {_FORMAT}; evaluate again")
        missing = [key for key in _KEYS if key not in content]
        if missing:
            raise DataError(f"{path} is not a table of scores: it lacks {', '.join(missing)}; evaluate again")
        if fault := schema_fault(content):
            raise DataError(f"{path} is damaged: {fault}; evaluate again")
        return cls(folder, content, tuple(_rows(folder / CSV_NAME, classes)))

    @property
    def origin(self) -> Origin:
        return Origin(**{name: self.content[name] for name in Origin.__dataclass_fields__ if name in self.content})

    @property
    def classes(self) -> list[str]:
        return list(self.content["classes"])

    @property
    def of(self) -> str:
        """What `classes` are: "classes", or "regions"."""
        return str(self.content.get("of", "classes"))

    @property
    def metrics(self) -> dict[str, dict[str, str]]:
        """Metric name → its title, kind, better and unit."""
        return dict(self.content["metrics"])

    def column_of(self, metric: str) -> Column:
        """The column of a metric to quote. Raises `KeyError` for one that was not computed."""
        columns = COLUMNS[self.metrics[metric]["kind"]]  # type: ignore[index]
        return self.headline if self.headline in columns else columns[0]

    @cached_property
    def headline(self) -> Column:
        """The column of overlap scores to quote. By the rows where there are any: earlier versions quoted `all` always."""
        if not self.rows:
            stored: Column = self.content["headline"]
            return stored
        present = Counter(row.name for row in self.rows if row.present)
        return headline_column([present[name] for name in self.classes], len(self.cases()))

    def mean(self, metric: str, column: Column | None = None, of: str | None = None) -> dict[str, Any]:
        """A mean with its interval.

        Args:
            metric: Name of a metric.
            column: Which cases count. None: the quoted column.
            of: Name of a class. None: the mean of the classes' means.

        Returns:
            `mean`, `low`, `high`, `n` (cases), `groups` and `how` the interval was made.
        """
        table = self.content["macro"] if of is None else self.content["classes"][of]
        found: dict[str, Any] = table[metric][column or self.column_of(metric)]
        return found

    def outcomes(self) -> dict[str, Counter[str]]:
        """Class → outcome → cases. Counted from the rows where there are any: earlier versions knew fewer outcomes."""
        counted = {name: Counter(counts) for name, counts in self.content["outcomes"].items()}
        if self.rows:
            counted = {name: Counter(row.outcome for row in self.rows if row.name == name) for name in self.classes}
        return counted

    def cases(self) -> list[str]:
        """Case ids in the order of the file."""
        return list(dict.fromkeys(row.case for row in self.rows))

    def groups(self) -> list[str]:
        """The group of each case, in the order of `cases`."""
        return list({row.case: row.cluster for row in self.rows}.values())

    def values(self, metric: str, column: Column | None = None) -> Values:
        """The score of each case.

        Args:
            metric: Name of a metric.
            column: Which cases count. None: the quoted column.

        Returns:
            Shape (cases, classes), in the order of `cases()` and `classes`; NaN where the case does not count in the column.
        """
        column = column or self.column_of(metric)
        by_class = [[row for row in self.rows if row.name == name] for name in self.classes]
        if not by_class:  # no case could be scored
            return np.empty((0, 0))
        return np.stack([column_values(rows, metric, column) for rows in by_class], axis=1)


def _rows(path: Path, classes: Sequence[str]) -> Iterable[Row]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = [_unescaped(line) for line in csv.DictReader(stream)]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; evaluate again") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is damaged ({error}); evaluate again") from error
    for number, line in enumerate(lines, start=2):
        try:
            yield _row(line, classes)
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path} line {number} is damaged ({error}); evaluate again") from error


def _unescaped(line: Mapping[str | None, Any]) -> dict[str, str]:
    """A line as it was before it was written; what is beyond the columns has no name and goes."""
    return {key: plain_text(text) for key, text in line.items() if key is not None and text is not None}


def _row(line: Mapping[str, str], classes: Sequence[str]) -> Row:
    if line["outcome"] not in get_args(Outcome):
        raise ValueError(f"outcome {line['outcome']!r}")
    outcome: Outcome = line["outcome"]  # type: ignore[assignment]
    if outcome == "found" and line["tp"] == "0" and int(line["fp"]) and int(line["fn"]):
        outcome = "not_touched"  # written by an earlier version, which called this found
    return Row(
        case=line["case"],
        label=classes.index(line["class"]) + 1,
        name=line["class"],
        outcome=outcome,
        scores={name: float(text or "nan") for name, text in line.items() if name not in RESERVED_COLUMNS},
        tp=int(line["tp"]),
        fp=int(line["fp"]),
        fn=int(line["fn"]),
        tn=int(line["tn"]),
        diagonal=float(line["diagonal"]),
        group=line["group"],
    )


def plain(value: Any) -> Any:
    """The same content as JSON knows it: arrays as lists, NaN and infinity as null."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
