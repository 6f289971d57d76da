"""`delineate export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli.made import taking
from delineate.cli.progress import progress
from delineate.requests.export import ExportOptions

__all__ = ["export"]


@taking(ExportOptions)
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model.safetensors, or a run folder.")],
    **given: Any,
) -> None:
    """Write a trained model as one file that needs neither Delineate nor torch.

    The file takes an image as its own file has it: any size, 8 or 16 bits as in
    training. Preprocessing, network and the way back to the image's own size are
    inside. It is compared with predict before it is kept, and what was measured
    stands beside it. docs/exported-files.md says what the file promises.
    A few-shot model becomes two files: one for the support, one for the images.
    --format html makes a page that runs it in a browser, from a file, without a
    network: docs/how-to/model-page.md.
    --format hub and container make folders of it: docs/how-to/hub-and-container.md.

    \b
    delineate export runs/polyps --out polyps.onnx
    delineate export runs/polyps --out polyps.onnx --data more_polyps/ --cases 20
    delineate export runs/polyps --out small.onnx --precision int8 --calibration polyps/
    delineate export runs/polyps --format html --out polyps.html
    delineate export runs/polyps --format hub --license cc-by-4.0 --out polyps-unet
    delineate export runs/liver --format container --out liver-algorithm
    """
    from delineate.common.missing_paths import refuse_missing, refuse_missing_model

    refuse_missing_model(model)
    refuse_missing(given["data"], given["calibration"])
    from delineate.api import export as run

    with progress("comparing") as report:
        result = run(model, **given, progress=report)
    for line in result.lines:
        typer.echo(line)
