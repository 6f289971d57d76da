"""A model as a folder that hubs take: configuration, weights, a card with front matter, and an ONNX file where one can be made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delineate.artefact.header import MODEL_FILE, locate
from delineate.common.errors import DelineateError
from delineate.common.files import new_folder, read_json, write_json, write_text
from delineate.common.versions import version
from delineate.inference.export.container import check_folder
from delineate.inference.export.export import ExportResult
from delineate.inference.model_card import model_card
from delineate.inference.model_info import ModelInfo, read_info, without_folders

__all__ = ["ONNX_NAMES", "HubResult", "export_hub", "hub_config"]

ONNX_NAMES = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_quantized.onnx"}
"""Precision → the file's name in `onnx/`, as transformers.js looks for it."""
_USE = """

## Use

```bash
delineate info {name}
delineate predict {name} image.png --out masks
```
"""
_ONNX = """
What is in `onnx/` needs neither Delineate nor PyTorch: {use}. `{report}` has what was measured:

{lines}
"""


@dataclass(frozen=True)
class HubResult:
    """A folder for a hub."""

    folder: Path
    files: tuple[str, ...]
    onnx: ExportResult | None = None
    """What was measured of the ONNX file, as it was made; None: there is none."""
    without_onnx: str = ""
    """Why there is none."""

    @property
    def lines(self) -> list[str]:
        """For people."""
        first = f"{self.folder}: {', '.join(self.files)}"
        return [first, *(self.onnx.parity.lines if self.onnx else [f"onnx/ is left out: {self.without_onnx}"])]


def export_hub(
    model: Path,
    out: Path,
    make_onnx: Callable[[Path], ExportResult],
    *,
    precision: str = "fp32",
    needed: bool = False,
    license: str | None = None,
) -> HubResult:
    """Write the folder `out`, which must be absent or empty.

    `make_onnx` writes an ONNX file to a path. Where that fails, the folder has none and says why; where it is `needed`, nothing is
    written. Raises `DelineateError`.
    """
    check_folder(out)
    source, info = locate(model), read_info(model)
    onnx, reason = None, ""
    with new_folder(out) as folder:
        try:
            (folder / "onnx").mkdir()
            onnx = make_onnx(folder / "onnx" / ONNX_NAMES[precision])
            report = onnx.report
            write_json(report, without_folders(read_json(report)))
        except DelineateError as error:
            if needed:
                raise
            reason = str(error)
            shutil.rmtree(folder / "onnx")
        shutil.copyfile(source, folder / MODEL_FILE)
        write_json(folder / "config.json", hub_config(info))
        write_text(folder / "README.md", model_card(info, license=license, hub=True).rstrip() + _use(out, onnx))
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return HubResult(out, tuple(files), onnx, reason)


def hub_config(info: ModelInfo) -> dict[str, Any]:
    """`config.json`: what tools of hubs look for, and all that a reader of the weights needs besides."""
    content = info.to_json()
    names = [one["name"] for one in info.classes]
    return {
        "library_name": "delineate",
        "library_version": version(),
        "architectures": [info.method],
        "model_type": info.method,
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
        "num_channels": info.header.in_channels,
        "image_size": list(info.header.input.size),
        "options": content["model"]["options"],
        **{key: content[key] for key in ("classes", "regions", "input", "output")},
    }


def _use(out: Path, onnx: ExportResult | None) -> str:
    text = _USE.format(name=out.resolve().name)
    if onnx is None:
        return text
    lines = "\n".join(f"- {without_folders(line)}" for line in onnx.parity.lines)
    return text + _ONNX.format(use=onnx.use, report=onnx.report.name, lines=lines)
