"""The evaluations to compare: found, named, and checked to be of the same cases under the same protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.evaluation.pairing import some
from delineate.evaluation.stored import JSON_NAME, Stored

VALIDATION = "validation"
"""Where a run folder keeps the evaluation of its validation cases."""


@dataclass(frozen=True)
class Model:
    """One trained model's evaluation."""

    name: str
    stored: Stored
    run: Path | None = None
    """Its run folder, where that was given."""

    @property
    def method(self) -> str:
        """What the model is a training of; models of the same method differ in their seeds. Unknown: its own name."""
        return self.stored.origin.method or self.name


def open_models(given: Sequence[str]) -> list[Model]:
    """Each a run folder (its validation scores), a folder that `evaluate` wrote, or `NAME=FOLDER`.

    Raises `DataError`: fewer than two, a folder that is neither, one that is given twice, two of the same name, or evaluations
    that cannot be compared (see `check_comparable`).
    """
    if len(given) < 2:
        raise DataError("nothing to compare; give two or more run folders or folders that `delineate evaluate` wrote")
    named = [_split_name(text) for text in given]
    places = Counter(path.resolve() for _, path in named)
    twice = next((path for path, count in places.items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{twice} is given twice; a comparison needs different evaluations")
    names = _names(named)
    models = [_open(name, path) for name, (_, path) in zip(names, named, strict=True)]
    check_comparable(models)
    return models


def check_comparable(models: Sequence[Model]) -> None:
    """Raises `DataError` listing all ways in which the first model that does not fit differs from the first model."""
    first = models[0]
    for other in models[1:]:
        differences = _differences(first.stored, other.stored)
        if differences:
            raise DataError(f"{first.name} and {other.name} cannot be compared: {'; '.join(differences)}")


def _differences(first: Stored, second: Stored) -> list[str]:
    found = []
    facts: tuple[tuple[str, Callable[[Stored], Any]], ...] = (
        ("protocols", lambda one: one.origin.protocol_words),
        ("levels", lambda one: one.origin.level),
        ("units of length", lambda one: one.origin.length),
        ("splits", lambda one: one.origin.split),
        ("classes", lambda one: ", ".join(one.classes)),
        ("groups", lambda one: one.origin.grouping),
    )
    for what, of in facts:
        ours, theirs = of(first), of(second)
        if ours != theirs:
            found.append(f"different {what} ({ours} and {theirs})")
    ours, theirs = set(first.cases()), set(second.cases())
    for only, where in ((ours - theirs, first), (theirs - ours, second)):
        if only:
            found.append(f"{some(sorted(only), 'case', 3)} only in {where.folder}")
    hashes = (first.origin.references_sha256, second.origin.references_sha256)
    if ours == theirs and None not in hashes and hashes[0] != hashes[1]:
        found.append("the reference masks have different content")
    return found


def _split_name(text: str) -> tuple[str | None, Path]:
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and name and not Path(text).exists() else (None, Path(text))


def _names(named: Sequence[tuple[str | None, Path]]) -> list[str]:
    """The names given, or the shortest ends of the paths that differ."""
    for depth in range(1, 8):
        names = [name or "/".join(path.resolve().parts[-depth:]) for name, path in named]
        if len(set(names)) == len(names):
            return names
    twice = next(name for name, count in Counter(names).items() if count > 1)
    raise DataError(f"two evaluations are called '{twice}'; give them names: first={named[0][1]}")


def _open(name: str, path: Path) -> Model:
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; give a run folder or one that `delineate evaluate` wrote")
    if (path / JSON_NAME).exists():
        return Model(name, Stored.read(path))
    if (path / VALIDATION / JSON_NAME).exists():
        return Model(name, Stored.read(path / VALIDATION), run=path)
    raise DataError(f"{path} holds no scores.json; give a finished run or a folder that `delineate evaluate` wrote")
