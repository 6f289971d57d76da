"""The page that a server shows at `/`: the same source as the exported page, with the server as its back end."""

from __future__ import annotations

from delineate.common.versions import version
from delineate.page.linked import modules, plain
from delineate.report.html.elements import Html, element, join

__all__ = ["ENTRY", "page_files", "served_page"]

ENTRY = "main-server.js"
_STYLE = "style.css"
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' fill='none' stroke-width='3'%3E"
    "%3Cpath d='M16 4c7 0 11 5 11 11s-4 13-11 13S4 22 5 14 10 4 16 4z' stroke='%23ffb000'/%3E%3C/svg%3E"
)


def page_files() -> dict[str, str]:
    """Name → text of the files that the page loads."""
    return {name: plain(name) for name in (*modules(ENTRY), _STYLE)}


def served_page() -> str:
    """The document. Its scripts and style are beside it, under `page/`: the policy allows none in it."""
    link = '<link rel="{}" href="{}">'
    models, fewshot, formats, collect = (Html(part) for part in plain("server.html").split("<!-- PART -->\n"))
    parts = {
        "HEAD": join(Html(link.format("icon", _ICON)), Html(link.format("stylesheet", f"page/{_STYLE}"))),
        "TITLE": "Segment images",
        "LEAD": "",
        "MODELS": models,
        "FEWSHOT": fewshot,
        "FORMAT": formats,
        "COLLECT": collect,
        "KINDS": "PNG, JPEG, TIFF, DICOM, NIfTI and more; a folder or a zip of a DICOM series is one volume",
        "POSTPROCESSING": "",
        "VALUES": "",
        "CARD": Html('<div id="card"></div>'),
        "FOOTER": f"Made by Delineate {version()} (Apache-2.0). Research software: not a medical device, not for diagnosis.",
        "END": element("script", "", type="module", src=f"page/{ENTRY}"),
    }
    page = plain("index.html")
    for name, content in parts.items():
        page = page.replace(f"<!-- {name} -->", join(content))
    return page
