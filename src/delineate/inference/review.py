"""The list of cases for a person to look at: least sure first, with the reason."""

from __future__ import annotations

from pathlib import Path

from delineate.common.csv_text import csv_text
from delineate.common.errors import DataError
from delineate.common.files import write_text
from delineate.inference.plan import Plan
from delineate.inference.results import (
    FileResult,
    PredictionResult,
    doubt_cells,
    doubt_head,
    shown_image,
    shown_text,
)

__all__ = ["checked_review", "write_review"]


def checked_review(path: Path | str, plan: Plan, overwrite: bool) -> Path:
    """Where the list goes. Raises `DataError` for a folder, a name that is not a CSV file's, a file that is there (unless
    `overwrite`), or one of the plan's."""
    path = Path(path)
    if path.is_dir():
        raise DataError(f"--review {path} is a folder; give a file, such as {path / 'review.csv'}")
    if path.suffix.lower() != ".csv":
        raise DataError(f"--review {path}: the list is a CSV file; give a name that ends with .csv")
    taken = {file.resolve() for item in plan.items for file in item.files} | plan.inputs
    if path.resolve() in taken:
        raise DataError(f"--review {path} is an image, or a mask that will be written; give another name")
    if path.exists() and not overwrite:
        raise DataError(f"--review {path} exists; give another name, or --overwrite")
    if not path.parent.is_dir() and path.parent.resolve() != plan.folder.resolve():
        raise DataError(f"--review: there is no folder {path.parent}; make it first")
    return path


def write_review(done: PredictionResult, path: Path) -> None:
    """Write the list: what has no mask or was not measured first, then by the expected Dice where the model tells it, else by
    confidence. Images are named as in `summary.csv`."""
    lines = [
        [at, shown_image(file, done.names), "" if file.written is None else file.written.mask, *_cells(file, done)]
        for at, file in enumerate(sorted(done.files, key=_order), start=1)
    ]
    write_text(path, csv_text(["rank", "image", "mask", *_columns(done), "reason"], lines))


def _columns(done: PredictionResult) -> list[str]:
    return doubt_head(done) or ["confidence", "entropy", "disagreement"]


def _order(file: FileResult) -> tuple[float, float]:
    if file.doubt is None:
        return (-2.0, 0) if file.error is not None else (-1.0, 0)
    sure, dice = file.doubt.confidence, file.doubt.expected_dice
    return (sure if dice is None else dice, sure)


def _cells(file: FileResult, done: PredictionResult) -> list[object]:
    shown = shown_text(file, done.names)
    if file.doubt is None:
        why = "not measured: the picture is read by windows" if file.error is None else f"no mask: {file.error}"
        return [*[""] * len(_columns(done)), shown(why)]
    outside = None if file.drift is None or file.drift.reason is None else f"outside training: {file.drift.reason}"
    reason = "; ".join(filter(None, (file.doubt.reason, outside, file.remark)))
    return [*doubt_cells(file.doubt, done), shown(reason)]
