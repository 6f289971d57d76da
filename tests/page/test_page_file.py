"""`delineate export --format html`: what the page is made of, and what is refused."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import lzma
import re
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import delineate
from delineate.artefact.format import Artefact, save
from delineate.artefact.postprocessing import Postprocessing, StructureRule
from delineate.common.errors import DelineateError
from delineate.common.files import write_json
from delineate.data.core.channel_rules import ChannelRule
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import Region
from delineate.inference.export.contract import ExportFacts
from delineate.inference.export.export import report_path
from delineate.inference.model_info import read_info
from delineate.nn.output import Output
from delineate.page import html_file
from delineate.page.html_file import export_html
from delineate.page.linked import linked, modules, plain, source
from delineate.page.model_facts import check_for_page, model_facts
from micro_method import Micro, MicroOptions

pytestmark = pytest.mark.usefixtures("micro")
GRAPH = b"the graph"
ENTRY = "main-wasm.js"
TOP = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
FACTS = ExportFacts(
    opset=20,
    numbers="uint8",
    channels=("red", "green", "blue"),
    batch=(1, 9),
    height=(1, 99),
    width=(1, 99),
    threshold=0.5,
    nodes=1,
    model_sha256="0",
    versions={},
)


def saved(folder: Path, spec: InputSpec | None = None, table: ClassTable | None = None, **about: Any) -> Path:
    spec, table = spec or InputSpec(size=(16, 24)), table or ClassTable()
    method = Micro(MicroOptions(), classes=table.outputs, in_channels=spec.in_channels)
    method.output = Output.of(table)
    path = folder / "model.safetensors"
    save(path, Artefact(method, spec, table, **about))
    return path


def made(out: Path) -> Any:
    """What the exporter gives, without its minute."""
    out.write_bytes(GRAPH)
    write_json(report_path(out), {"parity": {"images": "2 images of /home/jane_doe/set"}})
    parity = SimpleNamespace(lines=["file against predict on 2 images of /home/jane_doe/set: Dice 1"])
    return SimpleNamespace(path=out, parity=parity, facts=FACTS, loss=None)


def data(page: str, name: str) -> bytes:
    (text,) = re.findall(f'<script type="application/gzip;base64" id="data-{name}">(.*?)</script>', page)
    return gzip.decompress(base64.b64decode(text))


def test_the_source_is_small_and_can_be_joined() -> None:
    scripts, documents = modules(ENTRY), ("index.html", "style.css")
    used = {
        "a file": [*scripts, "worker.js", *documents],
        "of a server": [*modules("main-server.js"), "server.html", *documents],
    }
    names = {file.name for file in files("delineate.page").joinpath("source").iterdir()}
    assert names == {name for page in used.values() for name in page}
    sizes = {page: sum(len(plain(name).encode()) for name in found) for page, found in used.items()}
    assert sizes["a file"] <= 90_000, sizes
    script = linked(ENTRY)
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)
    top = [name for file in scripts for name in TOP.findall(source(file))]
    assert sorted(top) == sorted(set(top))
    for name in used["a file"] + used["of a server"]:  # what is imported is there, under the name that it has there
        for given, other in re.findall(r'^import \{ ([^}]*) \} from "\./(.*?)";$', source(name), re.MULTILINE):
            assert set(given.split(", ")) <= set(
                re.findall(r"^export (?:async )?\w+ (\w+)", source(other), re.MULTILINE)
            )


def test_the_runtime_is_what_was_pinned() -> None:
    folder = files("delineate.page").joinpath("runtime")
    about = json.loads(folder.joinpath("version.json").read_text())
    unpacked = lzma.decompress(folder.joinpath("ort.wasm.xz").read_bytes())
    assert hashlib.sha256(unpacked).hexdigest() == about["sha256"]["ort-wasm-simd-threaded.wasm"]
    assert f'"{about["version"]}"' in lzma.decompress(folder.joinpath("ort.js.xz").read_bytes()).decode()
    assert folder.joinpath("LICENSE.txt").read_text().startswith("MIT License")


def test_a_page_carries_all_and_allows_only_that(tmp_path: Path) -> None:
    table = ClassTable(names=("background", "</script><b>liver", "lesion"), colors=("#000000", "#123456", "#abcdef"))
    model = saved(tmp_path, table=table, provenance={"data": "/home/jane_doe/<i>livers"})
    result = export_html(model, tmp_path / "model.html", made, license="cc-by-4.0")
    page = result.path.read_text(encoding="utf-8")
    assert list(tmp_path.glob("*.html")) == [result.path]
    assert data(page, "model") == GRAPH
    assert data(page, "wasm").startswith(b"\0asm")
    assert data(page, "worker").decode().endswith(plain("worker.js"))
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="(.*?)">', page)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    for name, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} &#x27;sha256-{digest}&#x27;" in policy
    assert policy.startswith("default-src &#x27;none&#x27;; ")
    assert not {"unsafe-inline", "connect-src", "http", "*"} & set(re.split(r"[ ;]+|&#x27;", policy))
    assert not re.search(r'(?:src|href)="|style="|url\(', page.partition("<!-- END -->")[0].replace(script, ""))
    assert "jane_doe" not in page
    assert "<b>liver" not in page
    assert "<!-- " not in page
    (facts,) = re.findall(r'<script type="application/json" id="facts">(.*?)</script>', page)
    assert [one["name"] for one in json.loads(facts)["classes"]] == ["background", "</script><b>liver", "lesion"]
    assert json.loads(facts)["classes"][2]["rgb"] == [0xAB, 0xCD, 0xEF]
    assert "cc-by-4.0" in page
    assert "MIT License" in page
    assert result.lines[0].startswith(f"{result.path}: ")


def test_what_scripts_know_of_a_model(tmp_path: Path) -> None:
    binary = model_facts(read_info(saved(tmp_path)), FACTS)
    assert (binary["values"], binary["palette"], binary["painted"]) == ([0, 255], None, [(0, 1)])
    assert binary["labels"] == "0=background, 255=foreground"
    names = ("background", "rim", "core")
    regions = (Region(name="all", classes=(1, 2), paints=1), Region(name="core", classes=(2,), paints=2))
    rules = (StructureRule(name="all", largest=True), StructureRule(name="core", min_size=4, fill_holes=True))
    chosen = Postprocessing(dimensions=2, rules=rules)
    nested = saved(tmp_path, table=ClassTable(names=names, regions=regions), postprocessing=chosen)
    known = model_facts(read_info(nested), FACTS)
    assert (known["values"], known["outputs"], known["painted"]) == ([0, 1, 2], 2, [(0, 1), (1, 2)])
    first, second = known["postprocessing"]
    assert (first["classes"], first["beneath"], first["largest"]) == ([1, 2], 0, True)
    assert (second["classes"], second["beneath"], second["minSize"], second["fillHoles"]) == ([2], 1, 4, True)
    rivals = model_facts(
        read_info(saved(tmp_path, table=ClassTable(names=names))), FACTS.model_copy(update={"threshold": None})
    )
    assert (rivals["threshold"], rivals["outputs"], rivals["painted"]) == (None, 3, [])


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"axis": 2, "channels": "gray", "intensity": "percentile"}, "segments slices of volumes"),
        ({"fit": "letterbox", "spacing": (1.0, 1.0)}, "needs the size of pixels in mm"),
        (
            {"channels": ("t1", "t2"), "intensity": (ChannelRule(rule="range"), ChannelRule(rule="range"))},
            "takes the channels",
        ),
    ],
)
def test_models_that_need_more_than_a_picture_are_refused(spec: dict[str, Any], why: str, tmp_path: Path) -> None:
    model = saved(tmp_path, InputSpec(size=(16, 24), **spec))
    with pytest.raises(DelineateError, match=why) as error:
        delineate.export(model, format="html", out=tmp_path / "model.html")
    assert len(str(error.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == [model]


def test_few_shot_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DelineateError, match="segments by annotated examples"):
        check_for_page(read_info(saved(tmp_path, provenance={"episodes": {}})))


def test_sizes_in_square_millimeters_are_refused(tmp_path: Path) -> None:
    rules = (StructureRule(name="foreground", min_size=4),)
    model = saved(tmp_path, postprocessing=Postprocessing(dimensions=2, unit="mm", rules=rules))
    with pytest.raises(DelineateError, match="mm²"):
        check_for_page(read_info(model))


def test_a_model_that_is_too_large_is_told_what_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = saved(tmp_path), tmp_path / "model.html"
    monkeypatch.setattr(html_file, "MOST_BYTES", 100)
    monkeypatch.setattr(f"{__name__}.GRAPH", bytes(150))
    with pytest.raises(DelineateError, match=r"MB at fp32 .* a page carries at most .*--precision fp16 .*int8"):
        export_html(model, out, made)
    monkeypatch.setattr(html_file, "MOST_BYTES", 20)
    with pytest.raises(DelineateError, match="smaller preset"):
        export_html(model, out, lambda _: pytest.fail("traced"))
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("model.htm", "ends with .html"),
        ("mine.html", "no page of Delineate"),
        ("earlier.html", "is there already; give another name, or --overwrite"),
        ("mine.html/new.html", "part of that path is a file"),
    ],
)
def test_targets_that_cannot_be_written(name: str, line: str, tmp_path: Path) -> None:
    model = saved(tmp_path)
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    export_html(model, tmp_path / "earlier.html", made)
    with pytest.raises(DelineateError, match=line):
        export_html(model, tmp_path / name, lambda _: pytest.fail("traced"))
    assert (tmp_path / "mine.html").read_text() == "<p>mine</p>"


def test_an_earlier_page_can_be_replaced_and_faults_name_the_page(tmp_path: Path) -> None:
    model, out = saved(tmp_path), tmp_path / "model.html"
    export_html(model, out, made)

    def fail(file: Path) -> Any:
        raise DelineateError(f"{file} is not kept: it differs")

    with pytest.raises(DelineateError, match=rf"^{re.escape(str(out))} is not kept"):
        export_html(model, out, fail, overwrite=True)
    export_html(model, out, made, overwrite=True)
    with pytest.raises(DelineateError, match="--graph says nothing to --format html"):
        delineate.export(model, format="html", graph="network", out=out)
