"""Pages that are written by hand: those of `docs/`, the cards of methods and strategies, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from generator.home import CONTENTS, home_page
from generator.page import DOCS, ROOT, Page

REFERENCE = DOCS / "reference.md"
OPTIONS = DOCS / "reference" / "options.md"
"""All options on one page; the site has them on the pages of methods."""


def written_pages() -> Iterator[Page]:
    """All of them."""
    for path in sorted(DOCS.rglob("*.md")):
        if path not in (CONTENTS, REFERENCE, OPTIONS):
            yield _page(path.relative_to(DOCS).as_posix(), path)
    yield _page("reference/index.md", REFERENCE)
    yield home_page()
    yield _page("changes.md", ROOT / "CHANGELOG.md")
    yield _page("security.md", ROOT / "SECURITY.md")
    license_text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    yield Page("license.md", f"# License\n\n```text\n{license_text}```\n", ROOT / "LICENSE")


def pictures() -> list[Path]:
    """Every picture that a page may show."""
    return sorted(path for path in (DOCS / "images").rglob("*") if path.suffix in (".jpg", ".png", ".svg"))


def _page(place: str, path: Path) -> Page:
    return Page(place, path.read_text(encoding="utf-8"), path)
