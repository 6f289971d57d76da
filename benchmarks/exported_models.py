"""What exported files of each dense method are: size, nodes, parity and speed, in single and half precision and in 8 bits.

    python benchmarks/exported_models.py [METHOD ...] [--precision fp32] [--out rows.json]
    setsid sh -c 'echo -19 > /proc/$$/autogroup; exec python benchmarks/exported_models.py'     near-idle times on a busy machine

Whole graphs of each method's `tiny` preset with random weights, at 64×64 or the least size that the method takes: arithmetic is
compared, not marking. So 8 bits are calibrated and compared on noise; what they cost in Dice is measured on trained models
(`delineate export --precision int8`). Times are medians of one image on one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image

import delineate
from delineate.artefact.format import Artefact, save
from delineate.common.errors import DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.export import export as export_module
from delineate.inference.export.export import ExportResult
from delineate.inference.export.onnx_file import build
from delineate.methods import registry
from delineate.methods.testing.examples import randomize_norms, tiny

PRECISIONS = ("fp32", "int8", "fp16")
LEAST = 64


def noise(folder: Path, side: int, number: int = 24) -> Path:
    """A dataset of smooth noise, whose bright parts are the mask."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for seed in range(number):
        coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
        pixels = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
        Image.fromarray(pixels).save(folder / "images" / f"{seed}.png")
        Image.fromarray((pixels[..., 0] > 128).astype(np.uint8) * 255).save(folder / "masks" / f"{seed}.png")
    return folder


def measured(name: str, precisions: list[str], folder: Path) -> list[dict[str, Any]]:
    info = registry.method_class(name).info
    side = max(LEAST, info.min_size, info.export_least)
    model, data = folder / "model.safetensors", noise(folder / "data", side)
    save(model, Artefact(randomize_norms(tiny(name)).eval(), InputSpec(size=(side, side)), ClassTable()))
    rows: list[dict[str, Any]] = []
    for precision in precisions:
        about: dict[str, Any] = {"method": name, "precision": precision, "side": side}
        asked: dict[str, Any] = {"out": folder / f"{precision}.onnx", "precision": precision, "data": data, "cases": 16}
        if precision == "int8":
            asked |= {"calibration": data, "force": True}
        traced = folder / "fp32.onnx"
        again = precision == "int8" and traced.exists()
        # Tracing is most of the time, and 8 bits are made of the graph that was just traced.
        export_module.build = partial(_read, traced) if again else build  # type: ignore[attr-defined]
        try:
            made = delineate.export(model, **asked)
        except DelineateError as error:
            rows.append(about | {"refused": str(error).splitlines()[0].replace(str(folder), "")})
            continue
        assert isinstance(made, ExportResult)
        parity = made.parity
        row = about | {
            "nodes": made.facts.nodes,
            "megabytes": round(made.file_bytes / 1e6, 1),
            "difference": parity.largest_difference,
            "dice": parity.dice,
            "torch": round(parity.torch_milliseconds, 1),
            "onnxruntime": round(parity.onnxruntime_milliseconds, 1),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def _read(path: Path, *_: Any) -> Any:
    return onnx.load(path)


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = [
        "| method | precision | nodes | MB | difference | Dice with predict | torch, ms | onnxruntime, ms | times as fast |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        first = f"| `{row['method']}` | {row['precision']} |"
        if "refused" in row:
            lines.append(f"{first} {row['refused']} |" + " |" * 6)
            continue
        faster = row["torch"] / row["onnxruntime"]
        numbers = (row["nodes"], row["megabytes"], f"{row['difference']:.0e}", f"{row['dice']:.4f}", row["torch"])
        lines.append(f"{first} {' | '.join(map(str, numbers))} | {row['onnxruntime']} | {faster:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--precision", action="append", choices=PRECISIONS)
    parser.add_argument("--out", type=Path, help="also write the rows as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dense = [name for name in registry.names() if registry.method_class(name).kind == "dense"]
    rows: list[dict[str, Any]] = []
    for name in options.methods or dense:
        with tempfile.TemporaryDirectory() as folder:
            rows += measured(name, options.precision or list(PRECISIONS), Path(folder))
        if options.out is not None:
            options.out.write_text(json.dumps(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
