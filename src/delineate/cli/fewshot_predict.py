"""`delineate fewshot predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli import options
from delineate.cli.predict import print_predictions
from delineate.cli.progress import progress


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A few-shot model.safetensors, or a run folder.")],
    out: options.MaskFolder,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY]...", help="Further queries, as a shell's pattern gives them.")
    ] = None,
    support: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of annotated images: images/ and masks/, or another known layout."),
    ] = None,
    support_image: Annotated[
        list[Path] | None, typer.Option(metavar="IMG", help="An annotated image; repeat it for more shots.")
    ] = None,
    support_mask: Annotated[
        list[Path] | None, typer.Option(metavar="MASK", help="Its mask; as many as images, in the same order.")
    ] = None,
    images: options.DataImages = None,
    masks: options.DataMasks = None,
    labels: options.DataLabels = None,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Images to segment: files, folders, or patterns like 'scans/**/*.png'."),
    ] = None,
    overlay: options.Overlay = False,
    probabilities: options.Probabilities = False,
    overwrite: options.Overwrite = False,
    device: options.PredictDevice = options.Device.auto,
    precision: options.PredictPrecision = options.Precision.full,
    batch_size: options.BatchSize = None,
    max_megapixels: options.MaxMegapixels = 400,
    axis: options.PredictAxis = None,
) -> None:
    """Segment images as a few annotated ones show: a PNG mask of each query's exact size.

    The support's masks say what to look for: 0 and 255 for one class, label
    ids for several. Masks, names and tables are written as `delineate predict`
    writes them; support.json says which support was used.

    \b
    delineate fewshot predict runs/alpnet --support examples/ --query scans/ --out masks
    delineate fewshot predict runs/alpnet --support-image a.png --support-mask a_mask.png --query b.png --out masks
    delineate fewshot predict runs/alpnet --support examples/ --query 'scans/**/*.png' --out masks --overlay
    """
    from delineate.common.absent import refuse_absent, refuse_absent_inputs, refuse_absent_model

    refuse_absent_model(model)
    refuse_absent(support, *(support_image or []), *(support_mask or []))
    refuse_absent_inputs([*(query or []), *(more or [])])
    from delineate.api import fewshot_predict as run

    with progress("predicting") as report:
        result = run(
            model,
            [*(query or []), *(more or [])],
            out=out,
            support=None if support is None else options.source(support, images, masks, labels),
            support_images=support_image or [],
            support_masks=support_mask or [],
            labels=labels,
            device=device.value,
            precision=precision.value,
            overlay=overlay,
            probabilities=probabilities,
            overwrite=overwrite,
            batch_size=batch_size,
            max_pixels=round(max_megapixels * 1e6),
            axis=axis,
            progress=report,
        )
    print_predictions(result)
    if result.failures:
        raise typer.Exit(1)
