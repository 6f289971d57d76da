"""`demo`: all of it on drawn images, in minutes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from delineate.api.scores import evaluate
from delineate.api.training import train
from delineate.common.errors import DelineateError
from delineate.common.files import output_folder
from delineate.common.names import did_you_mean

if TYPE_CHECKING:
    from delineate.engine.reporting import Reporter

__all__ = ["DemoResult", "DemoRow", "demo", "served_demo"]


_PRETRAINED = "unet-pretrained"
_RUNS = {"condseg": ("condseg", "tiny"), "unet": ("unet", "tiny"), _PRETRAINED: ("unet", "small")}
"""Name of a run → method and preset: two from random weights, one with an encoder that has learned from ImageNet."""
_REPORT = "report.html"
"""Written last: where it is, the demo is whole."""
_SAMPLES = 6
_EPOCHS = dict.fromkeys(_RUNS, 16)
"""Equal, so that all see the same number of images."""


@dataclass(frozen=True)
class DemoRow:
    """One run's result in the demo."""

    method: str
    """Name of the run: that of its method, and "unet-pretrained"."""
    dice: float
    iou: float
    minutes: float


@dataclass(frozen=True)
class DemoResult:
    """What the demo made."""

    rows: tuple[DemoRow, ...]
    cases: int
    report: Path
    left_out: str | None = None
    """Which run is missing, and why."""


def demo(
    out: Path | str = "demo", *, epochs: Mapping[str, int] | None = None, reporter: Reporter | None = None
) -> DemoResult:
    """Draw phantom images, train a ConDSeg and two U-Nets on them, and write a page that compares their test predictions.

    One of the U-Nets starts from an encoder with pretrained weights, where the package with these (extra `encoders`) is installed;
    it is left out, and that is said, where it is not. Takes a few minutes on two CPU cores and downloads nothing.

    Args:
        out: Folder to create; it must be absent or empty.
        epochs: Name of a run ("condseg", "unet", "unet-pretrained") → epochs. Default: all three, 16 epochs each.
        reporter: Receives the progress of each run; default: a progress bar on stderr.

    Returns:
        Test scores of each run, the path of the page, and what was left out.

    Raises:
        DelineateError: `out` is not empty, or a run of `epochs` is unknown.

    Example:
        ```python
        made = delineate.demo("demo", epochs={"unet": 4})
        made.report  # Path("demo/report.html")
        ```
    """
    from delineate.data.cases.phantom import write_phantoms
    from delineate.inference.files import predict_files
    from delineate.inference.predictor import load
    from delineate.report.pages.comparison_of_runs import ComparedRun, write_comparison

    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DelineateError(f"{folder} is not empty; give another --out or remove it")
    wanted = dict(epochs or _EPOCHS)
    if unknown := next((name for name in wanted if name not in _RUNS), None):
        raise DelineateError(f"epochs: the demo has no run '{unknown}': {did_you_mean(unknown, _RUNS)}")
    left_out = None
    if not epochs and (left_out := _missing_weights()):
        del wanted[_PRETRAINED]
    data = write_phantoms(folder / "phantoms", count=160, size=128, seed=0)
    rows, entries = [], []
    for name, count in wanted.items():
        method, preset = _RUNS[name]
        run = folder / name
        result = train(
            data,
            method=method,
            preset=preset,
            size=96,
            epochs=count,
            seed=0,
            out=run,
            cache_dir=folder / "cache",
            reporter=reporter,
        )
        test_images = [
            data / "images" / f"{stem}.png" for stem in (data / "test.txt").read_text(encoding="utf-8").split()
        ]
        predicted = folder / f"{name}-test"
        predict_files(load(run), test_images, predicted, overlay=True)
        evaluation = evaluate(predicted, data, out=predicted / "evaluation")
        rows.append(DemoRow(name, evaluation.headline("dice"), evaluation.headline("iou"), result.minutes))
        entries.append(ComparedRun(name, run, predicted, predicted / "evaluation"))
    shutil.rmtree(folder / "cache", ignore_errors=True)
    report = write_comparison("Demo: small networks on phantom images", entries, folder / _REPORT)
    return DemoResult(tuple(rows), len(test_images), report, left_out)


def served_demo(out: Path) -> tuple[dict[str, Path], Path] | None:
    """What a server shows of a demo: its models by name, and a folder with some of its test images, which is made here.

    None where the demo is not whole, or not there. Raises `DelineateError` where the folder of images cannot be written.
    """
    if not (out / _REPORT).is_file():
        return None
    models = {name: out / name for name in _RUNS if (out / name / "model.safetensors").is_file()}
    samples = output_folder(out / "samples")
    for stem in (out / "phantoms" / "test.txt").read_text(encoding="utf-8").split()[:_SAMPLES]:
        shutil.copyfile(out / "phantoms" / "images" / f"{stem}.png", samples / f"{stem}.png")
    return models, samples


def _missing_weights() -> str | None:
    """Why the pretrained run cannot be trained; None: it can."""
    from delineate.engine.recipe import resolve
    from delineate.nn.encoders.options import EncoderOptions
    from delineate.nn.encoders.sources import check_pretrained

    try:
        check_pretrained(EncoderOptions.model_validate(resolve("unet", "small", {}).method["encoder"]))
    except DelineateError as error:
        return f"left out {_PRETRAINED}: {error}"
    return None
