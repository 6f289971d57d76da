"""The page of an exported model, with pictures dropped on it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import delineate

WIDTH, HEIGHT = 1200, 900
FINISHED = "document.querySelectorAll('#list .done').length == document.querySelectorAll('#list button').length"


def photograph_model_page(model: Path, pictures: list[Path], out: Path) -> None:
    """Export a model as a page, segment the pictures in Chromium and write what the page shows as a JPEG."""
    sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
    tab = import_module("devtools").tab  # the tests' browser: it can choose files

    with TemporaryDirectory() as folder:
        page, picture = Path(folder) / "model.html", Path(folder) / "page.png"
        delineate.export(model, format="html", out=page)
        with tab(Path(folder)) as opened:
            opened.open(page)
            opened.wait("document.body.matches('.ready')")
            opened.choose("#files", *pictures)
            opened.wait(f"document.querySelector('#list button') && {FINISHED}", seconds=300)
            opened.photograph(picture, width=WIDTH, height=HEIGHT)
        Image.open(picture).convert("RGB").save(out, quality=80, optimize=True)
