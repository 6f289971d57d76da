"""A page for each method and each way of training, made from its card."""

from __future__ import annotations

from collections.abc import Iterator

from delineate.methods import registry as methods
from generator.page import Page


def card_pages() -> Iterator[Page]:
    """Those of this package; other packages have their own documentation."""
    for name in methods.BUILT_IN:
        card = methods.folder(name) / "card.md"
        yield Page(f"methods/{name}.md", card.read_text(encoding="utf-8"), card)
