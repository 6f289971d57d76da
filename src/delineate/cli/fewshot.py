"""`delineate fewshot`: train on episodes, then segment what a few annotated images show."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import fewshot_episodes, fewshot_evaluate, fewshot_predict
from delineate.cli.train import Device

app = typer.Typer(no_args_is_help=True, help="Few-shot segmentation: train on episodes, segment by a few examples.")
app.command("predict")(fewshot_predict.predict)
app.command("episodes")(fewshot_episodes.episodes)
app.command("evaluate")(fewshot_evaluate.evaluate)


class Episodes(StrEnum):
    """Where the foregrounds of training come from."""

    superpixel = "superpixel"
    supervoxel = "supervoxel"
    labels = "labels"


@app.command()
def train(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder of images and masks: slices whose names tell volume and position, NIfTI volumes, or single images; "
            "or a manifest.json."
        ),
    ],
    method: Annotated[str, typer.Option(help="Name of a few-shot method; `delineate methods` lists them.")],
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    preset: Annotated[str, typer.Option(help="paper: the paper's settings; tiny: trains on two cores.")] = "paper",
    episodes: Annotated[
        Episodes | None,
        typer.Option(
            help="superpixel: a region of a slice, without labels; supervoxel: a region through neighbouring slices, without "
            "labels; labels: a class of the training masks.",
            show_default="the preset's",
        ),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(help="Support images of an episode.", min=1, show_default="the preset's")
    ] = None,
    exclude_classes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="Leave out every training slice that holds any of these classes (name or index); repeat it or separate by commas.",
        ),
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="How slice names tell volume and position, with the groups `volume` and `slice`; none: single images.",
            show_default="auto",
        ),
    ] = None,
    axis: Annotated[
        int | None,
        typer.Option(
            help="Of NIfTI volumes: the axis across slices, 0 to 2.", min=0, max=2, show_default="the coarsest"
        ),
    ] = None,
    fold: Annotated[
        int | None, typer.Option(help="Of a manifest with folds: the one that validates, from 0 on.", min=0)
    ] = None,
    size: Annotated[int | None, typer.Option(help="Working size: slices are brought to N×N pixels.", min=8)] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training slices.", min=1)] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps instead of epochs.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", min=0)] = None,
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
        Path | None, typer.Option(help="Where decoded slices and their regions are kept; default: the user's cache.")
    ] = None,
    cache_limit: Annotated[float, typer.Option(help="Most GiB that the cache may take.", min=0)] = 20,
) -> None:
    """Train a few-shot method on episodes; write a run folder with model, scores and report.

    \b
    delineate fewshot train slices/ --method alpnet --preset tiny --out runs/alpnet
    delineate fewshot train slices/ --method alpnet --preset tiny --exclude-classes 1 --out runs/without-class-1
    delineate fewshot train volumes/ --method panet --preset tiny --episodes supervoxel --out runs/panet
    delineate fewshot train slices/ --method alpnet --preset tiny --out runs/alpnet --resume
    """
    from delineate.api import fewshot_train as run
    from delineate.cli.show import print_run

    names = [name.strip() for text in exclude_classes or [] for name in text.split(",") if name.strip()]
    result = run(
        data,
        method=method,
        out=out,
        preset=preset,
        episodes=None if episodes is None else episodes.value,
        shots=shots,
        exclude_classes=names,
        stack=stack,
        axis=axis,
        fold=fold,
        size=size,
        epochs=epochs,
        steps=steps,
        seed=seed,
        device=None if device is None else device.value,
        resume=resume,
        init=init,
        settings=set_ or [],
        max_pixels=round(max_megapixels * 1e6),
        cache_dir=cache_dir,
        cache_limit=cache_limit,
    )
    print_run(result)
