"""`train`, with the page of its run, for methods of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.api.arguments import path
from delineate.common.errors import DataError, DelineateError
from delineate.requests.option import recipe_sections
from delineate.requests.signature import takes
from delineate.requests.train import TrainOptions

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource
    from delineate.engine.data_module import DataKind
    from delineate.engine.dry_run import TrainingEstimate
    from delineate.engine.reporting import Reporter
    from delineate.engine.request import TrainRequest
    from delineate.engine.run import RunResult

__all__ = ["estimate_training", "fewshot_train", "train"]


_GIB = 2**30


@takes(TrainOptions)
def train(
    data: Path | str | DataSource, *, reporter: Reporter | None = None, **options: Unpack[TrainOptions]
) -> RunResult:
    """Train a method on the images and masks in `data` and write the run folder `out`, including its report.

    Dense methods train on single images, few-shot methods on episodes. For a few-shot method, the fixed episodes on which the
    weights were chosen and scored are in `out/validation/episodes.json`.

    Args:
        data: A dataset folder, a CSV table or a manifest.json; or a `DataSource`, which says more about it.
        reporter: Receives the progress (`delineate.engine.reporting.Reporter`); default: a progress bar on stderr.

    Returns:
        The paths of run folder and model, and the mean Dice of the validation split at native resolution.

    Raises:
        DelineateError: The data, the recipe or the device do not work. Nothing has been written.
        Diverged: Loss or weights became NaN or infinite. The last good checkpoint is kept.
        Interrupted: Ctrl-C or SIGTERM. The checkpoint is saved; `resume=True` continues.

    Example:
        ```python
        run = delineate.train("polyps/", method="unet", preset="tiny", size=256, epochs=50, out="runs/first")
        run.dice, run.model  # (0.87, Path("runs/first/model.safetensors"))
        run = delineate.train(
            "polyps/", method="unet", preset="tiny", out="runs/slow", settings=["engine.lr=3e-4", "engine.precision=bf16"]
        )
        ```
    """
    from delineate.engine.dense import DENSE
    from delineate.fewshot.training import EPISODIC

    return _train(data, options, reporter, (DENSE, EPISODIC))


@takes(TrainOptions)
def fewshot_train(
    data: Path | str | DataSource, *, reporter: Reporter | None = None, **options: Unpack[TrainOptions]
) -> RunResult:
    """Train a few-shot method; refuse other methods. Otherwise the same as `train`.

    Args:
        data: Slices whose names give volume and position, NIfTI volumes, or single images; otherwise as for `train`.
        reporter: Receives the progress; default: a progress bar on stderr.

    Returns:
        The same as `train`.

    Raises:
        DelineateError: As `train`; also for a method that is not a few-shot method, unknown classes, or fewer than 50 slices left
            to train on.
        Interrupted: As `train`.

    Example:
        ```python
        run = delineate.fewshot_train("slices/", method="alpnet", preset="tiny", episodes="superpixel", out="runs/alpnet")
        ```
    """
    from delineate.fewshot.training import EPISODIC

    return _train(data, options, reporter, (EPISODIC,))


@takes(TrainOptions)
def estimate_training(
    data: Path | str | DataSource, *, note: Callable[[str], None] | None = None, **options: Unpack[TrainOptions]
) -> TrainingEstimate:
    """Tell how long `train` with the same arguments would take and how much memory, from a few steps of each of its stages.

    The steps are made on the real data, and forgotten: nothing is written to `out`. Decoded images stay in the cache, where the
    training finds them.

    Args:
        data: As for `train`.
        note: Is told, line by line, what `train` says of data and plan.

    Returns:
        Seconds of every stage, and of all together; the most memory that was used so far.

    Raises:
        DelineateError: As `train` before its first step; also where memory does not suffice, with options that need less.

    Example:
        ```python
        cost = delineate.estimate_training("polyps/", method="unet", preset="small", out="runs/first")
        cost.seconds / 60, cost.peak_bytes / 2**30  # (38.0, 2.1)
        for line in cost.lines():
            print(line)
        ```
    """
    from delineate.engine.dense import DENSE
    from delineate.engine.dry_run import estimate_training as estimate
    from delineate.fewshot.training import EPISODIC

    return estimate(_request(data, options), note or (lambda _: None), (DENSE, EPISODIC))


def _train(
    data: Path | str | DataSource, options: TrainOptions, reporter: Reporter | None, kinds: Sequence[DataKind]
) -> RunResult:
    """A run with its report."""
    from delineate.engine.run import train as run
    from delineate.report.pages.run import write_run_report

    return run(_request(data, options), reporter, kinds, report=write_run_report)


def _request(data: Path | str | DataSource, options: TrainOptions) -> TrainRequest:
    from delineate.common.config import merge
    from delineate.data.layouts.source import as_source
    from delineate.data.splits.label_budget import parse_budget
    from delineate.engine.request import TrainRequest

    labels = parse_budget(
        options["labeled"], options["labeled_cases"], options["labeled_groups"], options["labeled_draw"]
    )
    if options["labeled_draw"] and (labels is None or labels.listed is not None):
        raise DataError(
            f"--labeled-draw {options['labeled_draw']}: nothing is drawn without --labeled SHARE, --labeled-cases or "
            "--labeled-groups; leave it out, or give one of them"
        )
    return TrainRequest(
        data=as_source(data),
        method=options["method"],
        out=Path(options["out"]),
        preset=options["preset"],
        resume=options["resume"],
        fold=options["fold"],
        labels=labels,
        init=path(options["init"]),
        settings=options["settings"],
        options=merge(recipe_sections(TrainOptions, options), options["options"] or {}),
        max_pixels=options["max_pixels"],
        cache_folder=path(options["cache_dir"]),
        cache_limit_bytes=_bytes(options["cache_limit"]),
    )


def _bytes(gib: float) -> int:
    if not 0 <= gib < math.inf:
        raise DelineateError(f"cache_limit is a number of GiB from 0 on, not {gib}")
    return round(gib * _GIB)
