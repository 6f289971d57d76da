"""Masks that other software made of a benchmark's scored cases: they are scored by the same ruler and stand in the same table.

Nothing is known of how they were made. So they are one candidate each, without seeds, costs or claims about a method.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError, DelineateError
from delineate.common.files import read_json, sha256, write_json
from delineate.data.core.findings import some
from delineate.data.core.manifest import ClassTable
from delineate.evaluation.inputs.dicom_masks import file_of
from delineate.evaluation.inputs.prediction_list import PREDICTIONS_FILE
from delineate.evaluation.inputs.predictions import mask_files
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.studies.jobs import slug

__all__ = ["ELSEWHERE", "Foreign", "foreign_notes", "foreign_scores_folder", "parse_foreign", "score_foreign"]

ELSEWHERE = "made elsewhere"
"""What tables say of such a candidate."""
_NOTE = "elsewhere.json"
"""Beside the scores: which files were scored."""


@dataclass(frozen=True)
class Foreign:
    """A folder of masks, and what it is called in the table."""

    name: str
    folder: Path


def parse_foreign(given: Sequence[str], taken: Collection[str]) -> tuple[Foreign, ...]:
    """Texts "NAME=FOLDER" → the folders.

    Args:
        given: The texts.
        taken: Names of the benchmark's own candidates.

    Returns:
        A candidate for each.

    Raises:
        DataError: A text that is none, a name that is there twice, a folder that is not there or that `predict` wrote.
    """
    found: list[Foreign] = []
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not name.strip() or not path.strip():
            raise DataError(f"--predictions {text}: write NAME=FOLDER, such as nnunet=nnunet_masks/")
        one = Foreign(name.strip(), Path(path.strip()))
        if slug(one.name) in {slug(name) for name in [*taken, *(other.name for other in found)]}:
            raise DataError(
                f"--predictions {text}: another candidate is called '{one.name}'; give it a name of its own"
            )
        if not one.folder.is_dir():
            raise DataError(f"--predictions {text}: there is no folder {one.folder}")
        if (one.folder / PREDICTIONS_FILE).exists():
            raise DataError(
                f"--predictions {text}: the masks in {one.folder} were made by Delineate ({PREDICTIONS_FILE}); a benchmark trains "
                "its own models, and `delineate compare` sets evaluations of any two side by side"
            )
        found.append(one)
    return tuple(found)


def foreign_scores_folder(folder: Path, foreign: Foreign) -> Path:
    """Where the scores of a candidate lie in the benchmark's folder."""
    return folder / "scores" / f"{slug(foreign.name)}-elsewhere"


def score_foreign(
    foreign: Foreign, out: Path, references: Path, options: EvaluationOptions, classes: ClassTable
) -> ScoresFile:
    """Score a folder, or read its scores where the masks and the classes are those that were scored before.

    Args:
        foreign: The folder. Masks are matched with cases by name.
        out: Folder for the scores.
        references: Manifest of the scored cases.
        options: As those of the other candidates.
        classes: As theirs, with regions.

    Returns:
        The scores.

    Raises:
        DataError: Naming the candidate: a case without a mask, a mask without a case, masks that do not fit their references.
    """
    digest = _digest(foreign)
    known = {"folder": str(foreign.folder.resolve()), "masks_sha256": digest, "classes": list(classes.structures)}
    try:
        if read_json(out / _NOTE) == known:
            return ScoresFile.read(out)
    except (OSError, ValueError, DelineateError):
        pass  # not scored yet, or damaged since
    asked = EvaluationOptions(
        split="all", metrics=options.metrics, stack=options.stack, spacing=options.spacing, classes=classes
    )
    (out / _NOTE).unlink(missing_ok=True)
    try:
        evaluate_folders(foreign.folder, references, asked, out=out)
    except DataError as error:
        raise DataError(f"--predictions {foreign.name}: {error}") from error
    write_json(out / _NOTE, known)
    return ScoresFile.read(out)


def foreign_notes(foreign: Sequence[Foreign]) -> list[str]:
    """What must be known of masks that were made elsewhere."""
    if not foreign:
        return []
    names = some([one.name for one in foreign])
    was = "was" if len(foreign) == 1 else "were"
    return [
        f"{names} {was} {ELSEWHERE}: that the test cases had no part in the training or in any choice is taken on trust."
    ]


def _digest(foreign: Foreign) -> str:
    """Over the names and contents of the masks."""
    try:
        files = mask_files(foreign.folder, None)
    except DataError as error:
        raise DataError(f"--predictions {foreign.name}: {error}") from error
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(f"{path.relative_to(foreign.folder).as_posix()} {sha256(file_of(path))}\n".encode())
    return found.hexdigest()
