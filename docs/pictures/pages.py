"""The tops of the pages that the verbs write, as Chromium shows them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

WIDTH, HEIGHT = 1200, 920
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def photograph(page: Path, out: Path, *, height: int = HEIGHT) -> None:
    """Write the upper part of an HTML page as a JPEG."""
    browser = next(found for name in BROWSERS if (found := shutil.which(name)))
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{height}"]
        command = [
            browser,
            *options,
            f"--user-data-dir={folder}/profile",
            f"--screenshot={picture}",
            page.resolve().as_uri(),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        Image.open(picture).convert("RGB").save(out, quality=80, optimize=True)
