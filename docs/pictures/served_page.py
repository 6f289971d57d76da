"""The page of `delineate serve`, with pictures dropped on it."""

from __future__ import annotations

import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import delineate
from delineate.inference.model_info import read_info
from delineate.serve.models import ServedModel
from delineate.serve.server import Serving, Settings

WIDTH, HEIGHT = 1200, 900


def photograph_served_page(models: dict[str, Path], pictures: list[Path], out: Path) -> None:
    """Serve models, segment the pictures in Chromium and write what the page shows as a JPEG."""
    sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
    tab = import_module("devtools").tab  # the tests' browser: it can choose files

    served = [ServedModel(name, delineate.load(path, "cpu"), read_info(path)) for name, path in models.items()]
    serving = Serving(served, Settings(port=0))
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    while not serving.service.ready:
        time.sleep(0.1)
    with TemporaryDirectory() as folder, tab(Path(folder), local=True) as opened:
        opened.open(f"http://127.0.0.1:{serving.port}/")
        opened.wait("document.body.matches('.ready') && document.body.dataset.model")
        opened.choose("#files", *pictures)
        opened.wait(f"document.querySelectorAll('#list .done').length == {len(pictures)}", seconds=300)
        picture = Path(folder) / "page.png"
        opened.photograph(picture, width=WIDTH, height=HEIGHT)
        Image.open(picture).convert("RGB").save(out, quality=80, optimize=True)
    serving.stop()
    thread.join()
