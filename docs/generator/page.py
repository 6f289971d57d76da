"""A page of the site, and the folders that pages come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


class SiteError(Exception):
    """The site cannot be built as it is written: one line that says which page, and what is wrong with it."""


@dataclass(frozen=True)
class Page:
    """One page, in Markdown."""

    path: str
    """Its place on the site, as "how-to/own-data.md"."""
    text: str
    source: Path | None = None
    """The file that it is made from, to which its links are relative; None: it is made of several, with links of the site."""
    instead_of: Path | None = None
    """A file that is no page by itself: links to it lead here."""
