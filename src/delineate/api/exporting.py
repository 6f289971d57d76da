"""A trained model as a file that other software runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.requests.export import ExportOptions
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.inference.export.export import ExportResult

__all__ = ["export"]


@takes(ExportOptions)
def export(
    model: Path | str,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[ExportOptions],
) -> ExportResult:
    """Write a trained model as a file that needs neither Delineate nor torch.

    The file takes an image as its own file has it and gives probabilities and mask at the image's own size. It is compared with the
    model before it is kept.

    Args:
        model: A `model.safetensors` of a dense method, or a run folder.
        progress: Called with (images compared, images in all).

    Returns:
        The file, and what was measured of it.

    Raises:
        DelineateError: The model cannot be exported, packages are missing, `out` cannot be written, or the file gave other masks
            than the model. Nothing has been written.

    Example:
        ```python
        made = delineate.export("runs/first", out="polyps.onnx")
        print(made.parity.dice, made.facts.nodes)
        ```
    """
    from delineate.data.layouts.source import as_source
    from delineate.inference.export.export import export_onnx

    data, calibration = options["data"], options["calibration"]
    return export_onnx(
        Path(model),
        Path(options["out"]),
        graph=options["graph"],
        precision=options["precision"],
        opset=options["opset"],
        data=None if data is None else as_source(data),
        cases=options["cases"],
        calibration=None if calibration is None else as_source(calibration),
        force=options["force"],
        overwrite=options["overwrite"],
        progress=progress,
    )
