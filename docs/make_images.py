"""Makes the pictures of `docs/images` from phantoms.

    XDG_STATE_HOME=$(mktemp -d) delineate demo --out DEMO    (so that pages know of no earlier opening of the test images)
    python docs/make_images.py DEMO

The second trains a small few-shot model (a few minutes on two cores) and needs Chromium for the pictures of pages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import delineate
from pictures.augmented import draw_augmented
from pictures.few_shot import draw_few_shot
from pictures.model_page import photograph_model_page
from pictures.outlines import METHODS, draw_outlines
from pictures.pages import photograph
from pictures.served_page import photograph_served_page

OUT = Path(__file__).with_name("images")


def main(demo: Path) -> None:
    draw_outlines(demo, OUT / "outlines.jpg", OUT / "methods")
    draw_augmented(OUT / "augmented.jpg")
    draw_few_shot(OUT / "methods" / "alpnet.jpg")
    photograph(demo / "unet" / "report.html", OUT / "report.jpg", height=1150)
    photograph(demo / "unet-test" / "evaluation" / "report.html", OUT / "evaluation.jpg")
    photograph_model_page(demo / "unet", tested(demo)[:4], OUT / "model-page.jpg")
    photograph_served_page(
        {name: demo / name for name in ("unet", "condseg")}, tested(demo)[:5], OUT / "served-page.jpg"
    )
    with TemporaryDirectory() as folder:
        photograph(compared(demo, Path(folder) / "comparison"), OUT / "comparison.jpg")
        photograph(checked(demo, Path(folder)), OUT / "data-check.jpg")


def tested(demo: Path) -> list[Path]:
    """The demo's test images."""
    names = (demo / "phantoms" / "test.txt").read_text(encoding="utf-8").split()
    return [demo / "phantoms" / "images" / f"{name}.png" for name in names]


def compared(demo: Path, out: Path) -> Path:
    delineate.compare([f"{name}={demo / f'{name}-test' / 'evaluation'}" for name in METHODS], out=out)
    return out / "report.html"


def checked(demo: Path, folder: Path) -> Path:
    """The data check of phantoms with faults: a training image that is a test image too, and one without a mask."""
    data = shutil.copytree(demo / "phantoms", folder / "lesions")
    names = sorted(path.name for path in (data / "images").iterdir())
    tests = [f"{name}.png" for name in (data / "test.txt").read_text(encoding="utf-8").split()]
    trained = next(name for name in names if name not in tests)
    for kind in ("images", "masks"):
        shutil.copy(data / kind / trained, data / kind / tests[0])
    (data / "masks" / tests[1]).unlink()
    page = folder / "check.html"
    command = [sys.executable, "-m", "delineate", "data", "check", data.name, "--report", page.name]
    subprocess.run(command, cwd=folder, check=False, capture_output=True)  # it ends with 2, since the data have faults
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]))
