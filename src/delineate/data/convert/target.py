"""What each form that data are converted to brings: what it cannot express, how a case is written, and files about the whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delineate.data.core.findings import count
from delineate.data.core.manifest import IGNORE, Case, Manifest, Split

__all__ = ["DataSet", "Target", "Told", "part_of"]


@dataclass(frozen=True)
class DataSet:
    """What is converted: cases whose files have been read once, and what was seen."""

    manifest: Manifest
    volumes: bool
    channels: frozenset[str]
    """Kinds of pictures: gray, RGB, RGBA."""
    floats: bool
    """Whether pictures have values of their own."""
    ignored: tuple[str, ...]
    """Ids of the cases with ignored pixels."""
    max_pixels: int
    out: Path
    """Where the result will be."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, the background first."""
        return self.manifest.classes.names

    @property
    def ignores(self) -> bool:
        """Whether the label rule has a value for pixels that are ignored, or some are."""
        rule = self.manifest.labels
        stated = IGNORE in (rule.values or {}).values() or any(index == IGNORE for _, _, index in rule.ranges)
        return stated or bool(self.ignored)


def part_of(case: Case) -> Split | None:
    """A case's split; one with a fold trains and validates in turn."""
    return case.split or (None if case.fold is None else "train")


@dataclass
class Told:
    """What the user should know of the result."""

    notes: list[str] = field(default_factory=list)


class Target(ABC):
    """A form of data sets. It is made, asked whether it can express the data, then given a folder and each case."""

    name: str

    def __init__(self, data: DataSet) -> None:
        self.data = data
        self.told = Told()

    @abstractmethod
    def check(self) -> Sequence[Case]:
        """The cases that will be written; a note is left of the others. Raises `DataError` for what the form cannot express."""

    def in_splits(self, cases: list[Case]) -> list[Case]:
        """The cases of splits and folds, where there are such; a note is left of the others."""
        used = [case for case in cases if part_of(case) is not None]
        if not used or len(used) == len(cases):
            return cases
        self.told.notes.append(f"{count(len(cases) - len(used), 'case')} in no split left out")
        return used

    @abstractmethod
    def write(self, case: Case, folder: Path) -> Any:
        """Write a case's files; what comes back is handed to `finish`. Called from several threads. Raises `DataError`."""

    @abstractmethod
    def finish(self, written: Sequence[tuple[Case, Any]], folder: Path) -> None:
        """Write what is about the whole."""
