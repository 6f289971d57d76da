"""Checks of a built site: every link, anchor and picture of every page leads somewhere, and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"a": "href"}
LOADED = {
    "img": "src",
    "script": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
}
NOT_LOADED = ("canonical", "prev", "next", "alternate", "edit")
"""Values of `rel` of a `link` that a browser does not fetch."""
ADDRESS_IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


@dataclass
class Found(HTMLParser):
    """What a page's HTML names."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    pictures_without_words: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "img" and not given.get("alt"):
            self.pictures_without_words.append(given.get("src", ""))
        if "href" in given and tag in LINKS:
            self.links.append(given["href"])
        if (where := LOADED.get(tag)) in given and given.get("rel") not in NOT_LOADED:
            self.loaded.append(given[where])


@dataclass(frozen=True)
class Checked:
    """A site's faults, a line each, and the addresses outside of it that its pages link to."""

    faults: list[str]
    outside: set[str]
    pages: int


def check_site(site: Path) -> Checked:
    """Read every page of a built site and follow what it names."""
    site = site.resolve()
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    faults: list[str] = []
    outside: set[str] = set()
    for path, page in pages.items():
        name = path.relative_to(site)
        faults += [f"{name}: a picture without words: {source}" for source in page.pictures_without_words]
        for address in page.loaded:
            if _is_outside(address):
                faults.append(f"{name}: loads {address}")
            elif not _target(site, path, address).is_file():
                faults.append(f"{name}: no such file: {address}")
        for address in page.links:
            if _is_outside(address):
                outside.add(address)
            elif fault := _fault(site, path, address, pages):
                faults.append(f"{name}: {fault}: {address}")
    faults += [
        f"{sheet.relative_to(site)}: loads {address}"
        for sheet in sorted(site.rglob("*.css"))
        for address in ADDRESS_IN_STYLE.findall(sheet.read_text(encoding="utf-8"))
    ]
    return Checked(faults, outside, len(pages))


def _read(path: Path) -> Found:
    found = Found()
    found.feed(path.read_text(encoding="utf-8"))
    return found


def _is_outside(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https", "mailto")


def _target(site: Path, page: Path, address: str) -> Path:
    path = unquote(urlsplit(address).path)
    if not path:
        return page
    return (site / path.lstrip("/") if path.startswith("/") else page.parent / path).resolve()


def _fault(site: Path, page: Path, address: str, pages: dict[Path, Found]) -> str:
    """Why a link leads nowhere; "" where it leads somewhere."""
    target = _target(site, page, address)
    if target.is_dir():
        target /= "index.html"
    if site not in target.parents or not target.is_file():
        return "no such page"
    anchor = unquote(urlsplit(address).fragment)
    return "no such heading" if anchor and target in pages and anchor not in pages[target].anchors else ""
