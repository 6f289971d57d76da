"""Folders and files that results are written to: never those of the inputs, never those of another kind of result."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from delineate.common.errors import DelineateError

__all__ = ["check_new", "check_result_file", "check_results_folder"]

_MARKS = {
    "recipe.yaml": "a training run",
    "plan.json": "a plan or a benchmark",
    "comparison.json": "a comparison",
    "scores.json": "an evaluation",
    "predictions.json": "predictions",
}
"""File → what a folder is that holds it. Their pages have equal names and would replace each other."""


def check_results_folder(out: Path, own: str, inputs: Iterable[Path]) -> None:
    """Raise `DelineateError` when `out` is one of the inputs (by whatever path), or holds results of another kind.

    `own`: the file by which a folder is known to hold results of this kind.
    """
    place = out.resolve()
    for given in inputs:
        if place == given.resolve():
            raise DelineateError(f"--out {out} is an input folder ({given}); use another one")
    for name, kind in _MARKS.items():
        if name != own and (out / name).is_file() and not (out / own).is_file():
            raise DelineateError(f"--out {out} holds {kind} ({name}); give another folder")


def check_new(out: Path, own: str, overwrite: bool) -> None:
    """Raise `DelineateError` when `out` holds earlier results of this kind, unless they may be replaced; `own` as above."""
    if (out / own).exists() and not overwrite:
        raise DelineateError(
            f"{out} holds {_MARKS[own]} already ({own}); give another --out, or --overwrite to replace it"
        )


def check_result_file(path: Path, signs: Iterable[str], kind: str) -> None:
    """Raise `DelineateError` when `path` exists and is something else than an earlier result of this kind.

    `signs`: texts that such a file has.
    """
    if path.is_dir():
        raise DelineateError(f"{path} is a folder; give the name of a file for the {kind}")
    if not path.exists():
        return
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        content = ""
    if not all(sign in content for sign in signs):
        raise DelineateError(f"{path} is there already, and no {kind} of Delineate; give another name")
