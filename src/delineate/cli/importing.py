"""`delineate import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["import_checkpoint"]


def import_checkpoint(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="Name of the method; `delineate methods` lists them.")
    ],
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="AUTHORS_CHECKPOINT", help="State dict (.pth, .pt) that the authors' code saved, read weights-only."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The model.safetensors to write, or a folder for it.")],
) -> None:
    """Convert a checkpoint of the code of a method's authors into a model.safetensors.

    \b
    delineate import condseg stage2.pth --out condseg.safetensors
    delineate predict condseg.safetensors image.jpg --out masks
    """
    from delineate.common.errors import ArtefactError
    from delineate.engine.typo_checks import refuse_typos

    refuse_typos(method, "paper")
    if not checkpoint.is_file():
        what = "is a folder; give the file of weights (.pth, .pt) in it" if checkpoint.is_dir() else "does not exist"
        raise ArtefactError(f"checkpoint {checkpoint} {what}")
    from delineate.artefact.foreign import import_checkpoint as run

    result = run(method, checkpoint, out)
    typer.echo(f"{result.description}: {result.path}")
    if not result.complete:
        typer.echo("this is only a part of a model: start from it with `delineate train --init`; it cannot predict")
