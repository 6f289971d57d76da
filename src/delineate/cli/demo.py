"""`delineate demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder to create.")] = Path("demo"),
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="Then serve the models and some test images as a page; a demo that is there is taken."
        ),
    ] = False,
    port: Annotated[int, typer.Option(help="Of the page, with --serve; 0: a free one.", min=0, max=65535)] = 8000,
) -> None:
    """Train, predict and score on synthetic phantom images; takes a few minutes on two CPU cores.

    Trains a ConDSeg and a U-Net from random weights, and a U-Net with a pretrained encoder where its weights are installed;
    predicts the test images, scores them, and writes overlays and reports.

    \b
    delineate demo --out demo
    delineate demo --out demo --serve
    """
    from delineate.api import demo as run
    from delineate.api.demonstration import served_demo
    from delineate.api.serving import check_packages, serve_models
    from delineate.cli.show import print_demo

    if serve:
        check_packages()  # before minutes of training
        from delineate.serve.server import Settings, check_address

        check_address(Settings(port=port))
    made = served_demo(out) if serve else None
    if made is None:
        print_demo(run(out))
        made = served_demo(out) if serve else None
    if made is not None:
        models, samples = made
        serve_models(models, told=lambda line: typer.echo(line, err=True), port=port, samples=samples)
