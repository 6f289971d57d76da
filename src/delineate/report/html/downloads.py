"""Tables to download: CSV inside the page, as links that need no server."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from delineate.report.html.elements import Html, element

__all__ = ["downloads", "files_of"]

_LARGEST = 750_000
"""Bytes; larger tables are linked to where they lie beside the page."""


def downloads(tables: Mapping[str, bytes], words: Mapping[str, str]) -> Html:
    """A list of files with what is in them. `tables`: file name → content."""
    entries = (element("li", _link(name, content), f" – {words[name]}") for name, content in tables.items())
    return element("ul", *entries, class_="downloads")


def files_of(folder: Path, *names: str) -> dict[str, bytes]:
    """Those of the files that are there."""
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def _link(name: str, content: bytes) -> Html:
    if len(content) > _LARGEST:
        return element("a", f"{name} (beside this page)", href=quote(name))
    return element("a", name, href=f"data:text/csv;base64,{b64encode(content).decode()}", download=name)
