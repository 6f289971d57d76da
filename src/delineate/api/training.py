"""`train`, with the page of its run, for methods of every kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.api.arguments import path
from delineate.common.errors import DelineateError
from delineate.requests.option import recipe_sections
from delineate.requests.signature import takes
from delineate.requests.train import TrainOptions

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource
    from delineate.engine.data_module import DataKind
    from delineate.engine.reporting import Reporter
    from delineate.engine.run import RunResult

__all__ = ["fewshot_train", "train"]


_GIB = 2**30


@takes(TrainOptions)
def train(
    data: Path | str | DataSource, *, reporter: Reporter | None = None, **options: Unpack[TrainOptions]
) -> RunResult:
    """Train a method on the images and masks in `data` and write the run folder `out`, its report included.

    The method's kind decides what a batch is: single images, or episodes for few-shot methods. The frozen episodes that the
    weights of a few-shot method were chosen and scored by are in `out/validation/episodes.json`.

        delineate.train("polyps/", method="condseg", preset="tiny", out="runs/first")

    Args:
        data: A folder, a table or a manifest, or a `DataSource` that says which folders, labels and groups are meant.
        reporter: Receives progress; by default a progress bar on stderr.

    Returns:
        Where everything lies and the Dice of the validation split.

    Raises:
        DelineateError: One line for whatever a user can mend, before anything is written.
        Interrupted: After Ctrl-C or SIGTERM, with the state saved for `resume=True`.
    """
    from delineate.engine.dense import DENSE
    from delineate.fewshot.training import EPISODIC

    return _train(data, options, reporter, (DENSE, EPISODIC))


@takes(TrainOptions)
def fewshot_train(
    data: Path | str | DataSource, *, reporter: Reporter | None = None, **options: Unpack[TrainOptions]
) -> RunResult:
    """`train` for few-shot methods alone.

    Args:
        data: Slices whose names tell volume and position, NIfTI volumes, or single images; otherwise as for `train`.
        reporter: Receives progress; by default a progress bar on stderr.

    Returns:
        As `train`.

    Raises:
        DelineateError: As `train`, for a method that is no few-shot method, for classes that are not there, and for fewer than
            50 slices left.
    """
    from delineate.fewshot.training import EPISODIC

    return _train(data, options, reporter, (EPISODIC,))


def _train(
    data: Path | str | DataSource, options: TrainOptions, reporter: Reporter | None, kinds: Sequence[DataKind]
) -> RunResult:
    """A run with its report."""
    from delineate.common.config import merge
    from delineate.data.layouts.source import as_source
    from delineate.engine.request import TrainRequest
    from delineate.engine.run import train as run
    from delineate.report.pages.run import write_run_report

    request = TrainRequest(
        data=as_source(data),
        method=options["method"],
        out=Path(options["out"]),
        preset=options["preset"],
        resume=options["resume"],
        fold=options["fold"],
        init=path(options["init"]),
        settings=options["settings"],
        options=merge(recipe_sections(TrainOptions, options), options["options"] or {}),
        max_pixels=options["max_pixels"],
        cache_folder=path(options["cache_dir"]),
        cache_limit_bytes=_bytes(options["cache_limit"]),
    )
    return run(request, reporter, kinds, report=write_run_report)


def _bytes(gib: float) -> int:
    if not 0 <= gib < math.inf:
        raise DelineateError(f"cache_limit is a number of GiB from 0 on, not {gib}")
    return round(gib * _GIB)
