"""`delineate train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options


def train(
    data: Annotated[
        Path,
        typer.Argument(help="Folder of images and masks (see `delineate data check`), a CSV file, or a manifest.json."),
    ],
    method: Annotated[str, typer.Option(help="Name of a method; `delineate methods` lists them.")],
    out: options.RunFolder,
    preset: options.Preset = "paper",
    strategy: options.StrategyName = None,
    size: options.Size = None,
    epochs: options.Epochs = None,
    steps: options.Steps = None,
    seed: options.Seed = None,
    fold: options.Fold = None,
    images: options.DataImages = None,
    masks: options.DataMasks = None,
    labels: options.DataLabels = None,
    group_by: options.GroupBy = None,
    join: options.JoinCopies = options.Join.near,
    device: options.TrainDevice = None,
    resume: options.Resume = False,
    init: options.Init = None,
    set_: options.Settings = None,
    max_megapixels: options.MaxMegapixels = 400,
    cache_dir: options.CacheDir = None,
    cache_limit: options.CacheLimit = 20,
) -> None:
    """Train a method on a folder of images and masks; write a run folder with model, scores and report.

    \b
    delineate train polyps/ --method condseg --preset tiny --out runs/condseg
    delineate train polyps/ --method unet --size 256 --epochs 50 --out runs/unet --set method.encoder.name=resnet34
    delineate train polyps/ --method unet --size 256 --epochs 50 --out runs/unet --set method.encoder.name=resnet34 --resume
    delineate train mine/ --method condseg --preset tiny --init runs/condseg --set engine.lr=1e-4 --out runs/fine-tuned
    """
    from delineate.common.absent import refuse_absent
    from delineate.engine.early import refuse_typos

    refuse_typos(method, preset, set_ or [], strategy)
    refuse_absent(data, init)
    from delineate.api import train as run
    from delineate.cli.show import print_run

    result = run(
        options.source(data, images, masks, labels, group_by, join),
        method=method,
        out=out,
        preset=preset,
        strategy=strategy,
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
