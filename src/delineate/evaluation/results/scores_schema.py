"""The shape of `scores.json`: checked when it is read back, so that a damaged or changed file is named and not met half-way."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from delineate.common.config import first_fault
from delineate.evaluation.results.summary import Of

__all__ = ["Kind", "Means", "schema_fault"]

Kind = Literal["overlap", "distance", "amount", "relative"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Interval(_Part):
    mean: float | None
    low: float | None = None
    high: float | None = None
    n: int


class _Metric(_Part):
    title: str
    kind: Kind
    better: str
    unit: str


Means = dict[str, dict[str, _Interval]]
"""Metric → column → interval."""


class _Scores(_Part):
    headline: str
    metrics: dict[str, _Metric]
    classes: dict[str, Means]
    macro: Means
    micro: dict[str, dict[str, Any]]
    outcomes: dict[str, dict[str, int]]
    notes: list[str] | None = None
    protocol: str = ""
    protocol_words: str = ""
    split: str = ""
    level: str = ""
    length: str = ""
    grouping: str = ""
    references_sha256: str | None = None
    predictions: str | None = None
    method: str | None = None
    seed: int | None = None
    model_sha256: str | None = None
    of: Of = "classes"
    class_names: list[str] | None = None
    regions: dict[str, list[str]] | None = None
    by_class: dict[str, Means] | None = None
    confidence: dict[str, float] | None = None
    expected_dice: dict[str, float] | None = None


def schema_fault(content: Any) -> str:
    """What is wrong with the content of a `scores.json`; '' where nothing is."""
    try:
        read = _Scores.model_validate(content)
    except ValidationError as error:
        return first_fault(error)
    tables = {"macro": read.macro, **{f"classes.{name}": table for name, table in read.classes.items()}}
    missing = next(
        (f"{where}.{name}" for where, table in tables.items() for name in read.metrics if name not in table), ""
    )
    return f"{missing}: is missing" if missing else ""
