"""`delineate fewshot predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.cli.predict import print_predictions
from delineate.cli.progress import progress
from delineate.requests.data import FolderOptions
from delineate.requests.predict import FewshotPredictOptions

__all__ = ["predict"]


@taking(FewshotPredictOptions, FolderOptions)
def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A few-shot model.safetensors, or a run folder; or METHOD@PRESET:untrained (a method with its first weights).",
        ),
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY]...", help="More queries, for shell patterns.")
    ] = None,
    support: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of annotated images: images/ and masks/, or another known layout."),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Images to segment: files, folders, or patterns like 'scans/**/*.png'."),
    ] = None,
    **given: Any,
) -> None:
    """Segment images by a few annotated examples. Writes one mask per query, at its own size.

    The support masks show what to segment: 0 and 255 for one class, label ids
    for several. The output is that of `delineate predict`; support.json lists
    the support that was used.

    \b
    delineate fewshot predict runs/alpnet --support examples/ --query scans/ --out masks
    delineate fewshot predict runs/alpnet --support-image a.png --support-mask a_mask.png --query b.png --out masks
    delineate fewshot predict runs/alpnet --support examples/ --query 'scans/**/*.png' --out masks --overlay
    delineate fewshot predict alpnet@small:untrained --set method.width=null --support examples/ --query scans/ --out masks
    """
    from delineate.common.errors import DataError
    from delineate.common.missing_paths import refuse_missing, refuse_missing_inputs, refuse_missing_model
    from delineate.common.untrained_name import UNTRAINED, method_and_preset
    from delineate.engine.typo_checks import refuse_typos

    if support is None and any(part(FolderOptions, given).values()):
        raise DataError("--images, --masks and --unmarked say what the folders of --support hold; give it with them")
    if model.endswith(UNTRAINED):
        refuse_typos(*method_and_preset(model), given["settings"])
    else:
        refuse_missing_model(Path(model))
    refuse_missing(support, *given["support_images"], *given["support_masks"])
    refuse_missing_inputs([*(query or []), *(more or [])])
    from delineate.api import fewshot_predict as run

    folders = {**part(FolderOptions, given), "labels": given["labels"]}
    shown = None if support is None else options.source(support, **folders)
    queries = [*(query or []), *(more or [])]
    with progress("predicting") as report:
        result = run(model, queries, support=shown, **part(FewshotPredictOptions, given), progress=report)
    print_predictions(result)
    if result.failures:
        raise typer.Exit(1)
