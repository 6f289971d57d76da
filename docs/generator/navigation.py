"""The order of the pages: what `site.yaml` says, and those that it does not name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from generator.page import Page, SiteError

Entry = str | Mapping[str, Any]


def navigation(stated: Sequence[Entry], pages: Collection[Page]) -> list[Any]:
    """`stated` with a folder's name replaced by its pages, and with pages that it leaves out at the end of a section.

    Raises `SiteError` for a page that is named and is not there.
    """
    known = [page.path for page in pages]
    made = list(_expanded(stated, known))
    named = set(_named(made))
    for missing in sorted(named - set(known)):
        raise SiteError(f"docs/site.yaml names {missing}, which is no page")
    for path in sorted(set(known) - named):
        section = "How-to" if path.startswith("how-to/") else "Explanation"
        next(entry[section] for entry in made if section in entry).append(path)
    return made


def _expanded(entries: Sequence[Entry], known: Sequence[str]) -> Iterator[Any]:
    for entry in entries:
        if isinstance(entry, Mapping):
            ((title, inner),) = entry.items()
            if isinstance(inner, str) and inner.endswith(".md"):
                yield {title: inner}
            else:
                yield {title: list(_expanded([inner] if isinstance(inner, str) else inner, known))}
        elif entry.endswith(".md"):
            yield entry
        else:
            yield from (path for path in known if path.startswith(f"{entry}/"))


def _named(entries: Any) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, Mapping):
        for inner in entries.values():
            yield from _named(inner)
    else:
        for inner in entries:
            yield from _named(inner)
