"""Chromium without a window: what a page becomes in it, what its scripts complain of and what it asks others for."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking", "--enable-logging=stderr"),
)
"""No name is ever looked up, so a page that asks others for something gets no answer and leaves a trace."""


@dataclass(frozen=True)
class Opened:
    """A page after its scripts have run: its HTML, the lines of its console, and the addresses it asked for."""

    html: str
    console: list[str]
    asked: list[str]


def open_page(page: Path | str, folder: Path, *, width: int = 1200, milliseconds: int = 2000) -> Opened:
    """Open a file or an address. `folder` takes the browser's own files. The test is skipped where no browser is."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    log = folder / "net.json"
    address = page.resolve().as_uri() if isinstance(page, Path) else page
    own = (f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", f"--window-size={width},900")
    command = [program, *OPTIONS, *own, f"--virtual-time-budget={milliseconds}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    messages = done.stderr.decode(errors="replace").splitlines()
    console = [line.partition("CONSOLE")[2] for line in messages if ":CONSOLE" in line]
    return Opened(done.stdout.decode(), console, _asked(json.loads(log.read_text(encoding="utf-8"))))


def _asked(log: dict) -> list[str]:
    """Addresses outside this machine's files that the page asked for; not what the browser asks for itself."""
    asked = set()
    for event in log["events"]:
        request = event.get("params", {})
        if "url" in request and request.get("initiator", "not an origin") != "not an origin":
            asked.add(request["url"])
    return sorted(url for url in asked if not url.startswith(("file:", "data:", "blob:", "chrome:", "about:")))
