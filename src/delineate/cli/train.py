"""`delineate train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


def train(
    data: Annotated[
        Path, typer.Argument(help="Folder of images and masks (see `delineate data check`), or a manifest.json.")
    ],
    method: Annotated[str, typer.Option(help="Name of a method; `delineate methods` lists them.")],
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    preset: Annotated[str, typer.Option(help="paper: the paper's settings; tiny: trains on two cores.")] = "paper",
    size: Annotated[int | None, typer.Option(help="Working size: images are brought to N×N pixels.", min=8)] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images, all stages together.", min=1)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps instead of epochs.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", min=0)] = None,
    fold: Annotated[
        int | None, typer.Option(help="Of a manifest with folds: the one that validates, from 0 on.", min=0)
    ] = None,
    device: Annotated[Device | None, typer.Option(help="Where to compute.", show_default="auto")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, exactly where it was.")
    ] = False,
    init: Annotated[Path | None, typer.Option(help="Start from another model's weights (fine-tuning).")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one setting.")
    ] = None,
    max_megapixels: Annotated[float, typer.Option(help="Refuse images larger than this.", min=0.001)] = 400,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Where decoded images are kept; default: the user's cache.")
    ] = None,
    cache_limit: Annotated[float, typer.Option(help="Most GiB that decoded images may take.", min=0)] = 20,
) -> None:
    """Train a method on a folder of images and masks; write a run folder with model, scores and report.

    \b
    delineate train polyps/ --method condseg --preset tiny --out runs/condseg
    delineate train polyps/ --method unet --size 256 --epochs 50 --out runs/unet --set method.encoder.name=resnet34
    delineate train polyps/ --method unet --size 256 --epochs 50 --out runs/unet --set method.encoder.name=resnet34 --resume
    delineate train mine/ --method condseg --preset tiny --init runs/condseg --set engine.lr=1e-4 --out runs/fine-tuned
    """
    from delineate.api import train as run
    from delineate.cli.show import print_run

    result = run(
        data,
        method=method,
        out=out,
        preset=preset,
        size=size,
        epochs=epochs,
        steps=steps,
        seed=seed,
        fold=fold,
        device=None if device is None else device.value,
        resume=resume,
        init=init,
        settings=set_ or [],
        max_pixels=round(max_megapixels * 1e6),
        cache_dir=cache_dir,
        cache_limit=cache_limit,
    )
    print_run(result)
