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

if TYPE_CHECKING:
    from delineate.engine.reporting import Reporter

__all__ = ["DemoResult", "DemoRow", "demo"]


_DEMO_METHODS = {"condseg": 16, "unet": 16}
"""Method → epochs. Equal, so that both see the same number of images."""


@dataclass(frozen=True)
class DemoRow:
    """One method's result in the demo."""

    method: str
    dice: float
    iou: float
    minutes: float


@dataclass(frozen=True)
class DemoResult:
    """What the demo made."""

    rows: tuple[DemoRow, ...]
    cases: int
    report: Path


def demo(
    out: Path | str = "demo", *, epochs: Mapping[str, int] | None = None, reporter: Reporter | None = None
) -> DemoResult:
    """Draw phantom images, train a tiny ConDSeg and a tiny U-Net on them, and write a page that compares their test predictions.

    Takes a few minutes on two CPU cores and downloads nothing.

    Args:
        out: Folder to create; it must be absent or empty.
        epochs: Method name → epochs. Default: ConDSeg and U-Net, 16 epochs each.
        reporter: Receives the progress of each run; default: a progress bar on stderr.

    Returns:
        Test scores of each method and the path of the page.

    Raises:
        DelineateError: `out` is not empty.

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
    data = write_phantoms(folder / "phantoms", count=160, size=128, seed=0)
    rows, entries = [], []
    for method, count in (epochs or _DEMO_METHODS).items():
        run = folder / method
        result = train(
            data,
            method=method,
            preset="tiny",
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
        predicted = folder / f"{method}-test"
        predict_files(load(run), test_images, predicted, overlay=True)
        evaluation = evaluate(predicted, data, out=predicted / "evaluation")
        rows.append(DemoRow(method, evaluation.headline("dice"), evaluation.headline("iou"), result.minutes))
        entries.append(ComparedRun(method, run, predicted, predicted / "evaluation"))
    shutil.rmtree(folder / "cache", ignore_errors=True)
    report = write_comparison("Demo: tiny networks on phantom images", entries, folder / "report.html")
    return DemoResult(tuple(rows), len(test_images), report)
