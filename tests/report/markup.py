"""Checks of a page: well-formed, self-contained, without scripts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"img", "meta", "br", "hr"}
LOADING = {"src", "href", "srcset", "poster", "data", "action", "background"}


class _Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"script in {tag} {name}"
            if name in LOADING:
                self.links.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def check_document(document: str, *, whole: bool = True) -> _Checker:
    """Raise `AssertionError` unless every element is closed in order and nothing is loaded or run from anywhere."""
    checker = _Checker()
    checker.feed(document)
    checker.close()
    assert checker.open == []
    assert "script" not in checker.tags
    assert all(link.startswith("data:image/") or "://" not in link for link in checker.links), checker.links
    assert not re.search(r"url\(|@import|https?://", document)
    if whole:
        assert document.startswith("<!DOCTYPE html>")
        assert checker.tags.count("html") == checker.tags.count("title") == 1 or "svg" in checker.tags
    return checker


def text_of(document: str) -> str:
    """What a reader sees."""
    return "".join(check_document(document).words)
