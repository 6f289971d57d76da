"""`delineate demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder to create.")] = Path("demo"),
) -> None:
    """Train, predict and score on synthetic phantom images; takes a few minutes on two CPU cores.

    Trains a ConDSeg and a U-Net from random weights, and a U-Net with a pretrained encoder where its weights are installed;
    predicts the test images, scores them, and writes overlays and reports.

    \b
    delineate demo --out demo
    """
    from delineate.api import demo as run
    from delineate.cli.show import print_demo

    print_demo(run(out))
