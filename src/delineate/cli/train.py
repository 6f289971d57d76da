"""`delineate train`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.requests.data import DataOptions
from delineate.requests.train import TrainOptions

if TYPE_CHECKING:
    from delineate.engine.run import RunResult

__all__ = ["refuse_early", "rehearse", "start", "train"]


@taking(TrainOptions, DataOptions)
def train(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Folder of images and masks (see `delineate data check`), a CSV file, or a manifest.json.",
        ),
    ],
    dry_run: options.DryRun = False,
    **given: Any,
) -> None:
    """Train a method on images and masks. Writes a run folder with model, scores and report.

    \b
    delineate train polyps/ --method condseg --preset small --out runs/condseg
    delineate train polyps/ --method unet --size 256 --epochs 50 --out runs/unet --set method.encoder.name=resnet34
    delineate train polyps/ --method unet --size 256 --epochs 50 --out runs/unet --set method.encoder.name=resnet34 --resume
    delineate train polyps/ --method unet --preset tiny --out runs/unet --dry-run
    delineate train mine/ --method condseg --preset small --init runs/condseg --set engine.lr=1e-4 --out runs/fine-tuned
    delineate train polyps/ --method unet --preset small --strategy mean-teacher --set strategy.weight=1 --out runs/teacher
    delineate train polyps/ --method unet --preset small --strategy mean-teacher --labeled-cases 40 --out runs/40-labels
    delineate train slices/ --method alpnet --preset small --exclude-classes 1 --out runs/without-class-1

    Images are pictures, volumes, or DICOM studies with SEG, RTSTRUCT or label volumes.
    """
    refuse_early(data, given)
    if dry_run:
        rehearse(data, given)
        return
    from delineate.api import train as run

    start(run, data, given)


def refuse_early(data: Path, given: dict[str, Any]) -> None:
    """Typos and absent files, before anything heavy is loaded."""
    from delineate.common.missing_paths import refuse_missing
    from delineate.engine.typo_checks import refuse_typos

    refuse_typos(given["method"], given["preset"], given["settings"], given["strategy"])
    refuse_missing(data, given["init"])


def start(run: Callable[..., RunResult], data: Path, given: dict[str, Any]) -> None:
    """Train by one of the library's verbs and say how it went."""
    from delineate.cli.show import print_run

    print_run(run(options.source(data, **part(DataOptions, given)), **part(TrainOptions, given)))


def rehearse(data: Path, given: dict[str, Any]) -> None:
    """A dry run: say what training would take."""
    from delineate.api import estimate_training
    from delineate.cli.console import make_console
    from delineate.engine.reporting import ConsoleReporter

    cost = estimate_training(
        options.source(data, **part(DataOptions, given)),
        note=ConsoleReporter().note,
        **part(TrainOptions, given),
    )
    if cost.first_process:  # of several, one says it
        for line in cost.lines():
            make_console().print(line)
