"""`delineate predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delineate.cli import options
from delineate.cli.made import part, taking
from delineate.cli.progress import progress
from delineate.requests.data import FolderOptions
from delineate.requests.predict import PredictOptions

if TYPE_CHECKING:
    from delineate.inference.results import PredictionResult

__all__ = ["predict", "print_predictions"]

_SHOWN = 20
"""Rows of the table on the console; all are in summary.csv."""


@taking(PredictOptions, FolderOptions)
def predict(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            help="A model.safetensors, a run folder, or an exported .onnx file; or a folder of runs, which predict together.",
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="Images or volumes, folders of them, or patterns like 'scans/**/*.png'."
        ),
    ],
    **given: Any,
) -> None:
    """Segment images with a trained model. Writes one mask per image, at its own size.

    Masks contain 0 and 255 for one foreground class, class indices for more.
    DICOM files are put together to series, also where they are given one by one
    (study/*.dcm). Volumes (NIfTI, MetaImage, NRRD, DICOM, TIFF stacks) are segmented
    slice by slice; their masks are label volumes (class indices) on the grid of the
    image. summary.csv lists all images;
    for volumes also milliliters. An image that cannot be read is reported and
    the others are processed; the exit code is then 1.

    \b
    delineate predict runs/condseg image.jpg --out masks
    delineate predict runs/condseg/model.safetensors scans/ --out masks --overlay
    delineate predict runs/condseg 'scans/**/*.png' --out masks --probabilities
    delineate predict runs/condseg polyps/ --split test --out masks
    delineate predict runs/hearts scans/case1.nii.gz --out masks --overlay
    delineate predict runs/seed0 scans/ --out masks --ensemble runs/seed1 --ensemble runs/seed2
    delineate predict benchmark/runs/unet scans/ --out masks --tta flips
    delineate predict runs/condseg scans/ --out masks --uncertainty --review review.csv
    """
    from delineate.common.errors import DataError
    from delineate.common.missing_paths import refuse_missing_inputs, refuse_missing_model

    folders = part(FolderOptions, given)
    if given["split"] is None and any(folders.values()):
        raise DataError("--images and --masks say what a data set's folders are; give --split with them")
    refuse_missing_model(model)
    refuse_missing_inputs(inputs)
    from delineate.api import predict as run

    asked = inputs if given["split"] is None else [options.source(Path(data), **folders) for data in inputs]
    with progress("predicting") as report:
        result = run(model, asked, **part(PredictOptions, given), progress=report)
    print_predictions(result)
    if result.failures:
        raise typer.Exit(1)


def print_predictions(result: PredictionResult) -> None:
    """The table of the first images, remarks, failures, and where the masks are."""
    from delineate.cli.console import make_console
    from delineate.cli.tables import print_table
    from delineate.data.core.findings import count as counted

    rows = []
    good = [file for file in result.files if file.error is None]
    for file in good[:_SHOWN]:
        size = "×".join(str(length) for length in (file.width, file.height, file.depth) if length)
        shares = [f"{value:.2f}" for value in file.percent]
        amounts = [f"{value:.2f}" for value in file.milliliters] or [""] * len(result.classes)
        rows.append([file.name, size, *shares, *(amounts if result.volumes else []), f"{file.milliseconds:.0f}"])
    console = make_console()
    if good:
        shares = [f"{name} %" for name in result.classes]
        amounts = [f"{name} mL" for name in result.classes] if result.volumes else []
        print_table(console, ("image", "size", *shares, *amounts, "ms"), rows)
    if len(good) > _SHOWN:
        console.print(f"… and {len(good) - _SHOWN} more in {result.folder / 'summary.csv'}")
    for file in result.outside[:_SHOWN]:
        assert file.drift is not None, "it was compared"
        typer.echo(f"outside training: {file.name}: {file.drift.reason}", err=True)
    if len(result.outside) > _SHOWN:
        typer.echo(f"… and {len(result.outside) - _SHOWN} more, in {result.folder / 'summary.csv'}", err=True)
    for text in result.notes:
        typer.echo(f"note: {text}", err=True)
    for text, count in result.remarks.items():
        typer.echo(f"note: {text} ({count} of {counted(len(good), 'image')})", err=True)
    for line in _by_cause(result):
        typer.echo(f"failed: {line}", err=True)
    rate = len(good) / result.seconds if result.seconds else 0.0
    console.print(f"{counted(len(good), 'mask')} in {result.folder} ({result.seconds:.1f} s, {rate:.1f} images/s)")
    if result.failures:
        have = "has" if len(result.failures) == 1 else "have"
        typer.echo(f"{len(result.failures)} of {counted(len(result.files), 'image')} {have} no mask", err=True)


def _by_cause(result: PredictionResult) -> list[str]:
    """A line for each cause, with three of the images that it befell."""
    from delineate.data.core.findings import some

    causes: dict[str, list[str]] = {}
    for file in result.failures:
        text = (file.error or "").replace(str(file.image), "{}")
        causes.setdefault(text, []).append(str(file.image))
    return [
        text.replace("{}", names[0])
        if len(names) == 1
        else f"{len(names)} images: {text.replace('{}', some(names, 3))}"
        for text, names in causes.items()
    ]
