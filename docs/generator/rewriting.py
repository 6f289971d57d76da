"""Links between files of the repository become links between pages of the site."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from generator.page import ROOT, Page, SiteError

FENCE = re.compile(r"^(`{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def outside_of_code(change: Callable[[str], str], text: str) -> str:
    """`text` with `change` made to all of it but its blocks of code."""
    done, start = [], 0
    for fence in FENCE.finditer(text):
        done += [change(text[start : fence.start()]), fence[0]]
        start = fence.end()
    return "".join([*done, change(text[start:])])


def change_links(change: Callable[[str], str], text: str) -> str:
    """`text` with `change` made to the target of every link and picture."""
    return outside_of_code(lambda part: LINK.sub(lambda found: f"]({change(found[1])})", part), text)


def with_links_of_the_site(pages: Iterable[Page], pictures: Iterable[Path]) -> list[Page]:
    """The pages with links as they are on the site. Raises `SiteError` for a link to a file that is no page and no picture."""
    pages = list(pages)
    places = {page.source: page.path for page in pages if page.source}
    places |= {page.instead_of: page.path for page in pages if page.instead_of}
    places |= {picture: str(picture.relative_to(ROOT / "docs")) for picture in pictures}
    return [_rewritten(page, places) for page in pages]


def _rewritten(page: Page, places: dict[Path, str]) -> Page:
    source = page.source
    if source is None:
        return replace(page, text=outside_of_code(_bars_in_code, page.text))

    def on_the_site(link: str) -> str:
        path, mark, anchor = link.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return link
        target = Path(os.path.normpath(source.parent / path))
        if target not in places:
            raise SiteError(f"{source.relative_to(ROOT)}: {link} is no page of the site")
        return f"{relative(places[target], page.path)}{mark}{anchor}"

    return replace(page, text=outside_of_code(_bars_in_code, change_links(on_the_site, page.text)))


def _bars_in_code(text: str) -> str:
    """Within code in a table a bar needs a backslash on a forge, and here it would be seen."""
    lines = text.splitlines(keepends=True)
    return "".join(CODE.sub(_without_backslash, line) if line.startswith("|") else line for line in lines)


def _without_backslash(code: re.Match[str]) -> str:
    return code[0].replace("\\|", "|")


def relative(target: str, page: str) -> str:
    """The link from `page` to `target`, both as places on the site."""
    return PurePosixPath(os.path.relpath(target, PurePosixPath(page).parent)).as_posix()
