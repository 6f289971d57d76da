"""`delineate fewshot evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.progress import progress


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A run folder or model file; copy-support-mask or nearest-colour (baselines that learn nothing); or "
            "METHOD@PRESET:untrained.",
        ),
    ],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The data set that the episodes were frozen on.")],
    episodes: Annotated[Path, typer.Option(metavar="FILE", help="Episodes that `delineate fewshot episodes` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for scores.csv, scores.json, episodes.csv and report.html.")],
    classes: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Of the classes in FILE, these only; repeat it or separate by commas."),
    ] = None,
    setting: Annotated[
        int, typer.Option(help="2: refuse classes of which training has seen a slice.", min=1, max=2)
    ] = 1,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Metrics of masks, with commas.", show_default=options.shown(options.FEWSHOT_METRICS)
        ),
    ] = None,
    images: options.DataImages = None,
    masks: options.DataMasks = None,
    labels: options.DataLabels = None,
    device: options.PredictDevice = options.Device.auto,
    precision: options.PredictPrecision = options.Precision.full,
    batch_size: options.BatchSize = None,
    seed: Annotated[
        int, typer.Option(help="Of an untrained method's weights.", min=0, callback=options.check_seed)
    ] = 0,
    overwrite: options.Replace = False,
) -> None:
    """Score a few-shot model on frozen episodes: Dice of each query volume's voxels, means with 95 % intervals.

    The protocol's name stands in every table. Folders written here can be
    given to `delineate compare`, if their episodes are the same.

    \b
    delineate fewshot evaluate runs/alpnet slices/ --episodes chunk3.json --out scores/alpnet
    delineate fewshot evaluate runs/without-rv slices/ --episodes chunk3.json --classes RV --setting 2 --out scores/rv
    delineate fewshot evaluate copy-support-mask slices/ --episodes chunk3.json --out scores/copy
    delineate fewshot evaluate alpnet@tiny:untrained slices/ --episodes chunk3.json --out scores/untrained
    """
    import json

    from delineate.common.absent import refuse_absent

    refuse_absent(data, episodes)
    from delineate.api import fewshot_evaluate as run
    from delineate.cli.evaluate import print_evaluation
    from delineate.cli.show import names_of

    with progress("episodes") as report:
        evaluation = run(
            model,
            options.source(data, images, masks, labels),
            episodes=episodes,
            out=out,
            classes=names_of(classes),
            setting=setting,
            metrics=metrics,
            device=device.value,
            precision=precision.value,
            batch_size=batch_size,
            seed=seed,
            overwrite=overwrite,
            progress=report,
        )
    about = json.loads((out / "scores.json").read_text(encoding="utf-8"))["fewshot"]
    settings = ", ".join(f"{name}: setting {which}" for name, which in about["settings"].items())
    print_evaluation(evaluation, out)
    typer.echo(f"{about['candidate']}: {about['training']}; {settings}")
