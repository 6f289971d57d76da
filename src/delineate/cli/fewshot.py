"""`delineate fewshot`: train on episodes, then segment what a few annotated images show."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import fewshot_episodes, fewshot_evaluate, fewshot_predict, options
from delineate.cli.verb import Verb

app = typer.Typer(no_args_is_help=True, help="Few-shot segmentation: train on episodes, segment by a few examples.")
app.command("predict", cls=Verb)(fewshot_predict.predict)
app.command("episodes", cls=Verb)(fewshot_episodes.episodes)
app.command("evaluate", cls=Verb)(fewshot_evaluate.evaluate)


class Episodes(StrEnum):
    """Where the foregrounds of training come from."""

    superpixel = "superpixel"
    supervoxel = "supervoxel"
    labels = "labels"


@app.command(cls=Verb)
def train(
    data: options.Slices,
    method: Annotated[str, typer.Option(help="Name of a few-shot method; `delineate methods` lists them.")],
    out: options.RunFolder,
    preset: options.Preset = "paper",
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
    axis: options.Axis = None,
    fold: options.Fold = None,
    images: options.DataImages = None,
    masks: options.DataMasks = None,
    labels: options.DataLabels = None,
    group_by: options.GroupBy = None,
    join: options.JoinCopies = options.Join.near,
    size: options.Size = None,
    epochs: options.Epochs = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.TrainDevice = None,
    resume: options.Resume = False,
    init: options.Init = None,
    set_: options.Settings = None,
    max_megapixels: options.MaxMegapixels = 400,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Where decoded slices and their regions are kept; default: the user's cache.")
    ] = None,
    cache_limit: options.CacheLimit = 20,
) -> None:
    """Train a few-shot method on episodes; write a run folder with model, scores and report.

    \b
    delineate fewshot train slices/ --method alpnet --preset tiny --out runs/alpnet
    delineate fewshot train slices/ --method alpnet --preset tiny --exclude-classes 1 --out runs/without-class-1
    delineate fewshot train volumes/ --method panet --preset tiny --episodes supervoxel --out runs/panet
    delineate fewshot train slices/ --method alpnet --preset tiny --out runs/alpnet --resume
    """
    from delineate.common.absent import refuse_absent
    from delineate.engine.early import refuse_typos

    refuse_typos(method, preset, set_ or [])
    refuse_absent(data, init)
    from delineate.api import fewshot_train as run
    from delineate.cli.show import names_of, print_run

    result = run(
        options.source(data, images, masks, labels, group_by, join),
        method=method,
        out=out,
        preset=preset,
        episodes=None if episodes is None else episodes.value,
        shots=shots,
        exclude_classes=names_of(exclude_classes),
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
