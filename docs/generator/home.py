"""The first page of the site: parts of the project's README, then the list of what there is to read."""

from __future__ import annotations

import os
import re

from generator.page import DOCS, ROOT, Page, SiteError
from generator.rewriting import change_links

README, CONTENTS = ROOT / "README.md", DOCS / "README.md"
WITHOUT_NAVIGATION = "---\nhide: [navigation]\n---\n\n"
SECTIONS = ("Start", "Your own images", "From Python", "How far to trust it")


def home_page() -> Page:
    """Raises `SiteError` where the README has no section of a name that is wanted."""
    introduction, *sections = re.split(r"^(?=## )", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    by_title = {section.partition("\n")[0].removeprefix("## "): section for section in sections}
    for title in SECTIONS:
        if title not in by_title:
            raise SiteError(f"README.md has no section '{title}', which docs/generator/home.py puts on the first page")
    text = "".join([WITHOUT_NAVIGATION, introduction, *(by_title[title] for title in SECTIONS)])
    contents = CONTENTS.read_text(encoding="utf-8").partition("\n")[2]
    return Page("index.md", f"{_without_tables(_seen_from_docs(text))}## What there is to read\n{contents}", CONTENTS)


def _seen_from_docs(text: str) -> str:
    return change_links(lambda target: target if "://" in target else os.path.relpath(ROOT / target, DOCS), text)


def _without_tables(text: str) -> str:
    """The README's lists of methods and commands have pages of their own here."""
    return "\n\n".join(part for part in text.split("\n\n") if not part.startswith("| "))
