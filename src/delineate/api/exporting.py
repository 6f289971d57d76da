"""A trained model as a file that other software runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from delineate.common.errors import DelineateError
from delineate.requests.export import ExportOptions
from delineate.requests.option import fields_of
from delineate.requests.signature import takes

if TYPE_CHECKING:
    from delineate.fewshot.export.export import FewShotExportResult
    from delineate.inference.export.container import ContainerResult
    from delineate.inference.export.export import ExportResult
    from delineate.inference.export.hub import HubResult
    from delineate.page.html_file import HtmlResult

__all__ = ["export"]


@takes(ExportOptions)
def export(
    model: Path | str,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[ExportOptions],
) -> ExportResult | FewShotExportResult | HtmlResult | HubResult | ContainerResult:
    """Write a trained model as an ONNX file, as a page that runs it in a browser, or as a folder for a hub or a container.

    The file takes an image as its own file has it and gives probabilities and mask at the image's own size. It is compared with the
    model before it is kept.

    Args:
        model: A `model.safetensors`, or a run folder. Of a few-shot method two files are made: NAME.condition.onnx looks at the
            support, NAME.forward.onnx segments.
        progress: Called with (images compared, images in all).

    Returns:
        The file, and what was measured of it; or the folder.

    Raises:
        DelineateError: The model cannot be exported, packages are missing, `out` cannot be written, or the file gave other masks
            than the model. Nothing has been written.

    Example:
        ```python
        made = delineate.export("runs/first", out="polyps.onnx")
        print(made.parity.dice, made.facts.nodes)
        delineate.export("runs/first", format="html", out="polyps.html")
        delineate.export("runs/first", format="hub", license="cc-by-4.0", out="polyps-unet")
        ```
    """
    from delineate.data.layouts.source import as_source

    _check_options(options)
    out, license = Path(options["out"]), options["license"]
    if options["format"] == "container":
        from delineate.inference.export.container import export_container

        return export_container(Path(model), out, license=license)
    from delineate.artefact.header import read_header
    from delineate.fewshot.export.export import export_fewshot
    from delineate.inference.export.export import export_onnx
    from delineate.methods.registry import method_class

    episodic = method_class(read_header(Path(model)).method).kind == "episodic"
    data, calibration, precision = options["data"], options["calibration"], options["precision"]
    make_onnx = partial(
        export_fewshot if episodic else export_onnx,
        Path(model),
        graph=options["graph"],
        precision=precision,
        opset=options["opset"],
        data=None if data is None else as_source(data),
        cases=options["cases"],
        calibration=None if calibration is None else as_source(calibration),
        calibration_method=options["calibration_method"],
        force=options["force"],
        overwrite=options["overwrite"],
        progress=progress,
    )
    if options["format"] == "hub":
        from delineate.inference.export.hub import export_hub

        return export_hub(Path(model), out, make_onnx, precision=precision, needed=precision != "fp32", license=license)
    if options["format"] == "html":
        from delineate.page.html_file import export_html

        return export_html(
            Path(model), out, make_onnx, precision=precision, license=license, overwrite=options["overwrite"]
        )
    return make_onnx(out)


def _check_options(options: ExportOptions) -> None:
    """Raise `DelineateError` for an option that says nothing to the format."""
    kind = options["format"]
    strange = {"onnx": ["license"], "html": ["graph"]}.get(kind, ["overwrite"])
    if kind == "hub":
        strange.append("graph")
    if kind == "container":
        strange += ["graph", "precision", "data", "opset", "cases", "calibration", "calibration_method", "force"]
    for field in fields_of(ExportOptions):
        if field.name in strange and options[field.name] != field.option.default:  # type: ignore[literal-required]
            why = "; give another --out" if field.name == "overwrite" else ""
            raise DelineateError(f"{field.flag} says nothing to --format {kind}{why}")
