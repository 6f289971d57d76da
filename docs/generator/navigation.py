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
    made = [_expanded(entry, known) for entry in stated]
    named = set(_named(made))
    for missing in sorted(named - set(known)):
        raise SiteError(f"docs/site.yaml names {missing}, which is no page")
    for path in sorted(set(known) - named):
        section = "How-to" if path.startswith("how-to/") else "Explanation"
        next(entry[section] for entry in made if section in entry).append(path)
    return made


def _expanded(entry: Entry, known: Sequence[str]) -> Any:
    if isinstance(entry, str):
        return entry if entry.endswith(".md") else [path for path in known if path.startswith(f"{entry}/")]
    ((title, inner),) = entry.items()
    if isinstance(inner, list):
        return {title: [_expanded(one, known) for one in inner]}
    return {title: _expanded(inner, known)}


def _named(entries: Any) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
    elif isinstance(entries, Mapping):
        for inner in entries.values():
            yield from _named(inner)
    else:
        for inner in entries:
            yield from _named(inner)
