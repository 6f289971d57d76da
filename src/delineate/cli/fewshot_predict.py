"""`delineate fewshot predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delineate.cli.predict import Device, Precision, print_predictions


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A few-shot model.safetensors, or a run folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the masks.")],
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
    query: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Images to segment: files, folders, or patterns like 'scans/**/*.png'."),
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also write the images with contours, to overlays/.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also write 16-bit probability maps (65535 = 1), to probabilities/.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier predictions in --out.")] = False,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    precision: Annotated[
        Precision, typer.Option(help="Arithmetic; bf16 and 16 are faster where the device has them.")
    ] = Precision.full,
    batch_size: Annotated[
        int | None, typer.Option(help="Queries per forward pass.", min=1, show_default="by device")
    ] = None,
    max_megapixels: Annotated[float, typer.Option(help="Refuse images larger than this.", min=0.001)] = 400,
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
    from rich.console import Console
    from rich.progress import Progress

    from delineate.api import fewshot_predict as run

    errors = Console(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("predicting", total=None)
        result = run(
            model,
            [*(query or []), *(more or [])],
            out=out,
            support=support,
            support_images=support_image or [],
            support_masks=support_mask or [],
            device=device.value,
            precision=precision.value,
            overlay=overlay,
            probabilities=probabilities,
            overwrite=overwrite,
            batch_size=batch_size,
            max_pixels=round(max_megapixels * 1e6),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print_predictions(result)
    if result.failures:
        raise typer.Exit(1)
