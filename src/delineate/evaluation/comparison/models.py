"""The evaluations to compare: found, named, and checked to be of the same cases under the same protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from delineate.common.errors import DataError
from delineate.evaluation.comparison.training_record import TrainingRecord
from delineate.evaluation.inputs.pairing import some
from delineate.evaluation.results.case_scores import Row
from delineate.evaluation.results.scores_file import JSON_NAME, ScoresFile

__all__ = [
    "Model",
    "check_comparable",
    "open_models",
    "references_known",
]

_VALIDATION = "validation"
"""Where a run folder keeps the evaluation of its validation cases."""


@dataclass(frozen=True)
class Model:
    """One trained model's evaluation."""

    name: str
    scores_file: ScoresFile
    run: Path | None = None
    """Its run folder, where that was given."""

    @property
    def method(self) -> str:
        """The method that was trained. Unknown: the model's own name."""
        return self.scores_file.origin.method or self.name

    @cached_property
    def training(self) -> TrainingRecord | None:
        """How it was trained: as its scores tell, else its run folder; None where neither does."""
        told = TrainingRecord.read(self.scores_file.content.get("training"))
        return told if told is not None or self.run is None else TrainingRecord.of_run(self.run)


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
        differences = _differences(first.scores_file, other.scores_file)
        if differences:
            old = [model.name for model in (first, other) if model.scores_file.origin.references_sha256 is None]
            cure = f"; {' and '.join(old)}: written by an earlier version, evaluate again" if len(old) == 1 else ""
            raise DataError(f"{first.name} and {other.name} cannot be compared: {'; '.join(differences)}{cure}")


def _differences(first: ScoresFile, second: ScoresFile) -> list[str]:
    found = []
    facts: tuple[tuple[str, Callable[[ScoresFile], Any]], ...] = (
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
    if ours == theirs and (other := _other_references(first, second)) is not None:
        found.append(other)
    return found


def _other_references(first: ScoresFile, second: ScoresFile) -> str | None:
    """That the references are not the same, with the cases in which that shows; their content is known by its hash."""
    sizes = [{(row.case, row.name): _sizes(row) for row in one.rows} for one in (first, second)]
    cases = sorted({key[0] for key, size in sizes[0].items() if sizes[1].get(key, size) != size})
    hashes = (first.origin.references_sha256, second.origin.references_sha256)
    if cases or (None not in hashes and hashes[0] != hashes[1]):
        where = f": {some(cases, 'case', 3)} differ in size" if cases else ""
        return f"the reference masks have different content{where}"
    return None


def references_known(models: Sequence[Model]) -> bool:
    """Whether the references are known to be the same by their content; else only their sizes in pixels were compared."""
    return None not in {model.scores_file.origin.references_sha256 for model in models}


def _sizes(row: Row) -> tuple[int, int]:
    """Pixels of the class in the reference, and valid pixels."""
    return row.tp + row.fn, row.tp + row.fp + row.fn + row.tn


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
        return Model(name, ScoresFile.read(path))
    if (path / _VALIDATION / JSON_NAME).exists():
        return Model(name, ScoresFile.read(path / _VALIDATION), run=path)
    raise DataError(f"{path} holds no scores.json; give a finished run or a folder that `delineate evaluate` wrote")
