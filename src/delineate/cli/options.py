"""What several verbs share beyond the options of their requests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from delineate.common.errors import RecipeError

if TYPE_CHECKING:
    from delineate.data.layouts.source import DataSource

__all__ = ["DryRun", "Slices", "check_seed", "finite", "source"]

Slices = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="Folder of images and masks: slices whose names tell volume and position, volumes, or single images; "
        "or a manifest.json.",
    ),
]

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Make only a few steps, say how long training takes and how much memory, and keep nothing."
    ),
]


def finite(value: float | None) -> float | None:
    """Callback of options that are numbers: bounds alone let NaN through."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a finite number")
    return value


def check_seed(value: int | None) -> int | None:
    """Raise `RecipeError` for a seed that no generator of random numbers takes."""
    if value is not None and value >= 2**63:
        raise RecipeError(f"--seed {value}: a seed is a whole number from 0 to 2^63 - 1; give a smaller one")
    return value


def source(data: Path, **said: str | None) -> DataSource:
    """The data set that its options (`delineate.requests.data`) describe."""
    from rich.console import Console

    from delineate.data.layouts.source import DataSource, as_source

    console = Console(stderr=True)
    return as_source(
        DataSource(data, **said),  # type: ignore[arg-type]
        lambda line: console.print(line, highlight=False, soft_wrap=True, markup=False),
    )
