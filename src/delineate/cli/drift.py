"""`delineate drift`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli.made import taking
from delineate.requests.drift import DriftOptions

__all__ = ["drift"]


@taking(DriftOptions)
def drift(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    **given: Any,
) -> None:
    """Measure the images that a model was trained on, so that predict tells which others lie outside.

    A run does this at its end; this command is for runs of earlier versions.
    Brightness, contrast, colors, spectrum, noise and sizes of the training
    images are summarized, and how far from them the validation cases lie gives
    the threshold (20 of them are needed). No single image is in the summary, which is stored in the
    model; its weights stay as they are.

    \b
    delineate drift runs/polyps
    delineate predict runs/polyps scans/ --out masks --drift on
    """
    from delineate.common.missing_paths import refuse_missing_model

    refuse_missing_model(run)
    from delineate.api import drift as measure
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table
    from delineate.data.core.image_statistics import statistic_of

    found = measure(run, **given)
    rows = []
    for name, values in found.to_table()["statistics"].items():
        known = statistic_of(name)
        if known is not None:
            rows.append([known.what, *map(known.shown, values)])
    console = make_console()
    print_table(console, ("statistic", "5 %", "median", "95 %"), rows, title="of the training images")
    console.print(f"training images: {found.words}", soft_wrap=True)
