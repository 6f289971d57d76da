"""`delineate export --format html`: a model as one page that runs in a browser, from a file, and sends nothing anywhere.

The page carries all that it needs: its scripts and style, ONNX Runtime for browsers, the model, its card. Its content security
policy allows the two scripts and the style that are in it, by their hashes, and no request at all.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import tempfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from delineate.common.errors import ArtefactError, DelineateError
from delineate.common.files import output_folder, read_json, write_text
from delineate.common.output_checks import check_result_file
from delineate.common.versions import version
from delineate.inference.export.contract import Precision
from delineate.inference.export.export import ExportResult, report_path
from delineate.inference.model_card import title_of
from delineate.inference.model_info import ModelInfo, read_info, without_folders
from delineate.page.card import card
from delineate.page.linked import linked, plain
from delineate.page.model_facts import check_for_page, model_facts
from delineate.report.html.elements import Html, element, fold, join

__all__ = ["MOST_BYTES", "HtmlResult", "build_page", "export_html"]

MOST_BYTES = 64_000_000
"""Of the graph that a page carries: 16 million weights in single precision."""
_SIGN = '<meta name="generator" content="Delineate'
_WIDTHS = {"fp32": 4, "fp16": 2, "int8": 1}
"""Bytes of a weight."""
_LEAD = "Runs in this browser. Pictures stay on this computer: the page sends nothing and works without a network."
_KINDS = {
    "uint8": "PNG, JPEG, TIFF, BMP or WebP with 8 bits per channel",
    "uint16": "PNG or TIFF with 16 bits per channel; those of 8 bits are scaled",
    "float32": "TIFF of floats; other pictures are taken by their numbers",
}


@dataclass(frozen=True)
class HtmlResult:
    """A page that runs a model.

    Example:
        ```python
        made = delineate.export("runs/first", format="html", out="polyps.html")
        print(made.path, made.onnx.parity.dice)
        ```
    """

    path: Path
    onnx: ExportResult
    """What was measured of the graph in it; its own file has gone."""

    @property
    def lines(self) -> list[str]:
        """For people."""
        size = self.path.stat().st_size / 1e6
        first = f"{self.path}: {size:.1f} MB, {self.onnx.facts.precision}; open it in a browser"
        lost = [] if self.onnx.loss is None else [self.onnx.loss.words]
        return [first, *self.onnx.parity.lines, *lost]


def export_html(
    model: Path,
    out: Path,
    make_onnx: Callable[[Path], ExportResult],
    *,
    precision: Precision = "fp32",
    license: str | None = None,
    overwrite: bool = False,
) -> HtmlResult:
    """Write the page.

    Args:
        model: A model file, or a run folder.
        out: The file to write, `.html`.
        make_onnx: Writes an ONNX file to a path, and measures it.
        precision: Of the network in it.
        license: Of the model's weights, for the card.
        overwrite: Whether an earlier page may be replaced.

    Returns:
        The page, and what was measured.

    Raises:
        DelineateError: The model cannot be in a page, or `out` cannot be written. Nothing has been written.
    """
    _check_target(out, overwrite)
    info = read_info(model)
    check_for_page(info)
    _check_size(
        info, 2 * MOST_BYTES, (info.weights or 0) * _WIDTHS[precision], precision
    )  # some are not for prediction
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{out.stem}.onnx"
        try:
            made = make_onnx(file)
        except DelineateError as error:
            raise type(error)(str(error).replace(str(file), str(out))) from error
        graph, report = file.read_bytes(), without_folders(read_json(report_path(file)))
    _check_size(info, MOST_BYTES, len(graph), precision)
    write_text(out, build_page(graph, info, made, report, license))
    return HtmlResult(out, made)


def build_page(
    graph: bytes, info: ModelInfo, made: ExportResult, report: dict[str, Any], license: str | None = None
) -> str:
    """The page's HTML.

    Args:
        graph: The ONNX file.
        info: Of the model.
        made: What was measured of the graph.
        report: The same as plain data, which the page keeps.
        license: Of the model's weights.

    Returns:
        A document without anything to load.
    """
    facts = model_facts(info, made.facts)
    script, style = linked("main-wasm.js"), plain("style.css")
    parts = {
        "HEAD": join(
            element("meta", http_equiv="Content-Security-Policy", content=_policy(script, style)),
            Html(f'{_SIGN} {version()}">'),
            element("style", Html(style)),
        ),
        "TITLE": title_of(info),
        "LEAD": _LEAD,
        "MODELS": "",
        "FEWSHOT": "",
        "FORMAT": "",
        "COLLECT": "",
        "KINDS": _KINDS[made.facts.numbers],
        "POSTPROCESSING": _postprocessing(info, facts),
        "VALUES": f"Masks are PNG files as delineate predict writes them: {facts['labels']}.",
        "CARD": join(
            element("div", card(info, [without_folders(line) for line in made.parity.lines], license), id="card"),
            _licenses(),
        ),
        "FOOTER": f"Made by Delineate {version()} (Apache-2.0). Research software: not a medical device, not for diagnosis.",
        "END": join(
            _runtime(),
            _data("model", graph),
            _json("facts", facts),
            _json("report", report),
            element("script", Html(script), type="module"),
        ),
    }
    page = plain("index.html")
    for name, content in parts.items():
        page = page.replace(f"<!-- {name} -->", join(content))
    return page


def _policy(script: str, style: str) -> str:
    """Nothing but what is in the page; the worker is made from a text of it, and inherits all this."""
    allowed = {
        "default-src": "'none'",
        "script-src": f"'{_hash(script)}' 'wasm-unsafe-eval'",
        "style-src": f"'{_hash(style)}'",
        "worker-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _runtime() -> Html:
    """What runs any model; packing it takes two seconds."""
    folder = files("delineate.page").joinpath("runtime")
    program, wasm, notices = (
        lzma.decompress(folder.joinpath(f"{name}.xz").read_bytes()) for name in ("ort.js", "ort.wasm", "notices.txt")
    )
    worker = program + plain("worker.js").encode()
    return join(_data("worker", worker), _data("wasm", wasm), _data("notices", notices))


def _data(name: str, content: bytes) -> Html:
    """Bytes in a script element that is none, which browsers neither run nor show."""
    text = b64encode(gzip.compress(content, 6, mtime=0)).decode()
    return join(element("script", Html(text), type="application/gzip;base64", id=f"data-{name}"), "\n")


def _json(name: str, content: Any) -> Html:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return join(element("script", Html(text), type="application/json", id=name), "\n")


def _postprocessing(info: ModelInfo, facts: dict[str, Any]) -> str:
    chosen = info.header.postprocessing
    return "" if chosen is None or not facts["postprocessing"] else f"Masks are post-processed: {chosen.words}."


def _licenses() -> Html:
    """Of the software in the page. The notices are long, and unpacked when they are asked for."""
    folder = files("delineate.page").joinpath("runtime")
    about = json.loads(folder.joinpath("version.json").read_text(encoding="utf-8"))
    own = "The page's scripts are part of Delineate: Apache License 2.0."
    theirs = f"{about['name']} {about['version']} runs the model, under this license ({about['license']}):"
    text = element("pre", folder.joinpath("LICENSE.txt").read_text(encoding="utf-8"))
    notices = fold("Notices of what is compiled into it", element("pre", id="notices"))
    return fold("Licenses of the software", element("div", element("p", own), element("p", theirs), text, notices))


def _check_target(out: Path, overwrite: bool) -> None:
    if out.is_dir() or out.suffix != ".html":
        raise DelineateError(f"--out {out}: give the name of a file that ends with .html")
    check_result_file(out, [_SIGN], "page")
    if out.exists() and not overwrite:
        raise DelineateError(f"--out {out} is there already; give another name, or --overwrite to replace it")
    output_folder(next(folder for folder in out.absolute().parents if folder.exists()))


def _check_size(info: ModelInfo, most: int, size: int, precision: Precision) -> None:
    if size <= most:
        return
    smaller = [
        f"--precision {name} makes about {size * width / _WIDTHS[precision] / 1e6:.0f} MB"
        for name, width in _WIDTHS.items()
        if width < _WIDTHS[precision] and size * width / _WIDTHS[precision] <= MOST_BYTES
    ]
    cure = " or ".join(smaller) or "train a smaller preset"
    raise ArtefactError(
        f"the model has {size / 1e6:.0f} MB at {precision} ({(info.weights or 0) / 1e6:.1f} M weights), and a page carries at most "
        f"{MOST_BYTES / 1e6:.0f} MB; {cure}"
    )
