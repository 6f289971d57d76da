"""A folder of predictions against the references: pairs by name, scores at native resolution, `scores.csv` and `scores.json`."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delineate.common.errors import DataError, DelineateError
from delineate.common.files import output_folder, write_json, write_text
from delineate.data.case import IGNORE, Case, ClassTable, Manifest
from delineate.data.pixels import case_mask
from delineate.evaluation.cases import Row, score_case
from delineate.evaluation.overlap import SCORES
from delineate.evaluation.predictions import PredictionList, mask_files, read_prediction
from delineate.evaluation.references import References, SplitChoice, case_name, open_references
from delineate.evaluation.table import POLICY, Summary, summarise

PROTOCOL = "native"
"""Masks are compared at the reference's own resolution."""
OPENINGS = "evaluations.jsonl"
"""Where each opening of a test split is noted, a line each."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a set of predictions."""

    rows: tuple[Row, ...]
    summary: Summary
    split: SplitChoice
    openings: int = 0
    """How often a test split has been opened with these predictions, this time included; 0 when it was not one."""

    def headline(self, score: str = "dice") -> float:
        """The mean to quote (see `Summary.headline`)."""
        return self.summary.headline(score)


def evaluate_folders(
    predictions: Path,
    references: Path,
    *,
    out: Path | None = None,
    split: SplitChoice | None = None,
    classes: ClassTable | None = None,
) -> Evaluation:
    """Score the masks in `predictions` against `references`, at native resolution.

    `references`: a folder of masks (a mask may end in `_mask`, `_mask_1` or `_segmentation`), a data set's folder, or a
    manifest.json; of the latter two the `split` (default: test where there is one, else all). Names are matched without
    suffix. `classes`: names of all classes, where neither predictions nor references tell. With `out`, scores are written.

    Raises `DataError`: a prediction without reference or the reverse, sizes that differ, values that are no class, a reference
    that has only ignored pixels.
    """
    listed = PredictionList.find(predictions)
    files = mask_files(predictions, listed)
    known = classes or (ClassTable(names=listed.class_names) if listed is not None else None)
    found = open_references(references, split, known)
    pairs = _pair(predictions, files, found, references)
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda pair: _score(found.manifest, *pair), pairs)
        rows = tuple(row for part in parts for row in part)
    if out is not None:
        output_folder(out)
    openings = _note_opening(predictions, references, out, len(pairs)) if found.split == "test" else 0
    evaluation = Evaluation(rows, summarise(rows), found.split, openings)
    if out is not None:
        write_scores(out, rows, evaluation.summary, split=found.split)
    return evaluation


def write_scores(folder: Path, rows: Sequence[Row], summary: Summary, *, split: SplitChoice = "val") -> None:
    """Write `scores.csv` (a line per case and class) and `scores.json` (the table, with protocol and policy)."""
    write_text(folder / "scores.csv", _csv(rows))
    content = {"format": 1, "protocol": PROTOCOL, "split": split, "policy": POLICY}
    write_json(folder / "scores.json", {**content, **summary.to_json()})


def _score(manifest: Manifest, prediction: Path, case: Case) -> list[Row]:
    reference = _reference(manifest, case)
    predicted = read_prediction(prediction, manifest.classes)
    if predicted.shape != reference.shape:
        raise DataError(
            f"{prediction} is {_size(predicted)} pixels but its reference {manifest.path(case.masks[0])} is "
            f"{_size(reference)}; predict on the original images, masks are scored at native size"
        )
    return score_case(case.id, predicted, reference, manifest.classes)


def _reference(manifest: Manifest, case: Case) -> NDArray[np.uint8]:
    reference = case_mask(manifest, case)
    assert reference is not None, "cases without masks were left out"
    if (reference == IGNORE).all():
        raise DataError(f"{manifest.path(case.masks[0])} has only ignored pixels (255): there is nothing to score")
    return reference


def _size(mask: NDArray[np.uint8]) -> str:
    return f"{mask.shape[1]}×{mask.shape[0]}"


def _pair(folder: Path, files: Sequence[Path], found: References, references: Path) -> list[tuple[Path, Case]]:
    """Predictions with their cases, in the cases' order."""
    wanted = {case.id: case for case in found.cases}
    given = _by_name(folder, files, wanted)
    strangers, bare = sorted(given.keys() - wanted.keys()), sorted(wanted.keys() - given.keys())
    what = f"split '{found.split}' of {references}" if found.manifest.layout != "masks" else str(references)
    if strangers:
        elsewhere = {case.id: case.split for case in found.manifest.cases}
        hint = next((f"; {name} is in split '{elsewhere[name]}'" for name in strangers if elsewhere.get(name)), "")
        raise DataError(f"{_some(strangers, 'prediction')} in {folder} without a reference in {what}{hint}")
    if bare:
        parent_hint = "; to score a split only, give the data set's folder" if found.manifest.layout == "masks" else ""
        raise DataError(f"{_some(bare, 'reference')} in {what} without a prediction in {folder}{parent_hint}")
    return [(given[name], case) for name, case in wanted.items()]


def _by_name(folder: Path, files: Sequence[Path], wanted: Mapping[str, Case]) -> dict[str, Path]:
    """Case id → prediction. A file is named by its stem; where that is not unique, by its path in the folder."""
    stems = Counter(file.stem for file in files)
    given: dict[str, Path] = {}
    for file in files:
        name = file.stem
        if stems[name] > 1:
            inner = file.relative_to(folder).with_suffix("")
            name = next((text for text in ("/".join(inner.parts), "_".join(inner.parts)) if text in wanted), str(inner))
        name = name if name in wanted or case_name(name) not in wanted else case_name(name)
        if name in given:
            raise DataError(f"{given[name]} and {file} are both predictions of '{name}'; keep one")
        given[name] = file
    return given


def _some(names: Sequence[str], what: str, most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({', '.join(names[:most])}{more})"


def _note_opening(predictions: Path, references: Path, out: Path | None, cases: int) -> int:
    """Add a line beside the predictions, and in the output folder; the number of openings noted beside the predictions."""
    listed = PredictionList.find(predictions)
    note = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "split": "test",
        "references": str(references),
        "predictions": str(predictions),
        "model": listed.model if listed is not None else None,
        "cases": cases,
    }
    for folder in {predictions.resolve(), *([out.resolve()] if out is not None else [])}:
        try:
            with (folder / OPENINGS).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(note, ensure_ascii=False) + "\n")
        except OSError as error:
            raise DelineateError(f"cannot note that the test split was opened in {folder}: {error.strerror}") from error
    return len((predictions / OPENINGS).read_text(encoding="utf-8").splitlines())


def _csv(rows: Iterable[Row]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "class", "present", "found", *SCORES, "tp", "fp", "fn"])
    for row in rows:
        scores = [f"{row.scores[name]:.6f}" for name in SCORES]
        writer.writerow([row.case, row.name, int(row.present), int(row.found), *scores, row.tp, row.fp, row.fn])
    return stream.getvalue()
