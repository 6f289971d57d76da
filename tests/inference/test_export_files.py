"""`delineate export`: the file, what it says of itself, what was measured, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import delineate
from delineate.artefact.format import Artefact, read_header, save
from delineate.common.errors import DelineateError
from delineate.common.files import sha256
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.export import export as module
from delineate.inference.export.contract import FACTS, HEADER, ExportFacts, read_facts
from delineate.inference.export.export import ExportResult
from delineate.inference.export.graph_input import graph_feed, graph_image
from delineate.inference.export.quantize import Loss, loss_of
from delineate.inference.model_card import model_card
from delineate.methods import registry
from delineate.methods.testing.examples import randomize_norms, tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save(path, Artefact(randomize_norms(tiny("unet")).eval(), InputSpec(size=(64, 64)), ClassTable()))
    return path


def data_set(folder: Path, number: int = 4) -> Path:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for seed in range(number):
        pixels = np.random.default_rng(seed).integers(0, 256, (50 + seed, 71, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{seed}.png")
        Image.fromarray((pixels[..., 0] > 99).astype(np.uint8) * 255).save(folder / "masks" / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    folder = tmp_path_factory.mktemp("made")
    return delineate.export(model, out=folder / "made.onnx", data=data_set(folder / "data"), cases=2)


def test_a_file_says_what_it_is_and_what_was_measured(model: Path, made: ExportResult) -> None:
    out = made.path
    assert made.parity.real
    assert made.parity.images == "2 images of data"
    assert made.parity.network_difference <= 1e-5
    assert made.parity.dice >= 0.9999
    assert len(made.parity.sizes) == 8
    report = json.loads((out.parent / "made.parity.json").read_text())
    assert report["sha256"] == sha256(out)
    assert report["parity"]["dice"] == made.parity.dice
    metadata = {one.key: one.value for one in onnx.load(out).metadata_props}
    assert json.loads(metadata[HEADER]) == json.loads(read_header(model).to_json())
    facts = read_facts(metadata, out)
    assert (facts.numbers, facts.channels, facts.threshold) == ("uint8", ("red", "green", "blue"), 0.5)
    assert facts.model_sha256 == sha256(model)
    assert any("Dice of masks" in line for line in made.lines)
    with pytest.raises(DelineateError, match="is there already"):
        delineate.export(model, out=out)


def test_info_tells_what_was_measured_of_a_file_and_of_those_beside_a_model(
    model: Path, made: ExportResult, tmp_path: Path
) -> None:
    assert any("Dice of masks" in line for line in delineate.info(made.path).exported)
    for path in (model, made.report):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "other.parity.json").write_text('{"sha256": "0", "lines": ["of another model"]}')
    (tmp_path / "damaged.parity.json").write_text("{")
    about = delineate.info(tmp_path / "model.safetensors")
    assert about.exported[0].startswith("made.onnx: ")
    assert "of another model" not in about.exported
    assert "## Exported files" in model_card(about)
    assert "## Exported files" not in model_card(delineate.info(model))


def test_an_ending_in_capitals_and_a_report_before_its_file(
    model: Path, made: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stops an export, there is no file without a report."""
    monkeypatch.setattr(module, "build", lambda *_: onnx.load(made.path))
    seen = []
    written = module.write_json
    monkeypatch.setattr(
        module,
        "write_json",
        lambda path, content: (seen.append((tmp_path / "made.ONNX").exists()), written(path, content)),
    )
    result = delineate.export(model, out=tmp_path / "made.ONNX", cases=1)
    assert seen == [False]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["made.ONNX", "made.parity.json"]
    assert json.loads(result.report.read_text())["sha256"] == sha256(result.path)


def test_a_file_that_differs_is_not_kept(
    model: Path, made: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = onnx.load(made.path)
    for weights in spoiled.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT and len(weights.dims) == 4:
            values = onnx.numpy_helper.to_array(weights) * np.float32(1.02)
            weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    monkeypatch.setattr(module, "build", lambda *_: spoiled)
    with pytest.raises(
        DelineateError, match=r"is not kept: probabilities differ from torch's by .*allowed: 1e-04"
    ) as error:
        delineate.export(model, out=tmp_path / "made.onnx", cases=1, opset=18)
    assert len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused_before_tracing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "build", lambda *_: pytest.fail("traced"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "own.parity.json").write_text("mine")
    (tmp_path / "folder.parity.json").mkdir()
    for out, line in (
        ("file/made.onnx", "part of that path is a file"),
        ("file/new/made.onnx", "part of that path is a file"),
        ("own.onnx", "no report of an export of Delineate"),
        ("folder.onnx", "is a folder"),
    ):
        with pytest.raises(DelineateError, match=line):
            delineate.export(model, out=tmp_path / out, overwrite=True)
    assert (tmp_path / "own.parity.json").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(DelineateError, match="ends with"):
        delineate.export(model, out=tmp_path / "new" / "made.pt")
    assert not (tmp_path / "new").exists()


def test_a_loss_on_no_pixels_is_refused() -> None:
    mask = np.full((8, 8), 255, np.uint8)
    sample = SimpleNamespace(name="a", labeled=True)

    class Part(list[Any]):
        samples = (sample,)
        image = staticmethod(lambda _: mask)
        mask = staticmethod(lambda _: mask)

    calibration = SimpleNamespace(path="data", val=Part([(SimpleNamespace(group="a"), sample)]))
    with pytest.raises(DelineateError, match="data: no validation mask has a pixel that counts"):
        loss_of(None, None, calibration, 1, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["--out", "made.pt"], "give the name of a file that ends with .onnx"),
        (["--out", "made.onnx", "--opset", "11"], "--opset 11: graphs are written for opsets 18 to 23"),
        (["--out", "made.onnx", "--cases", "0"], "--cases: give 1 or more"),
        (["--out", "made.onnx", "--data", "nowhere"], "there is no folder nowhere"),
        (["--out", "made.onnx", "--precision", "int8"], "--precision int8 needs --calibration: a dataset with masks"),
    ],
)
def test_wrong_requests_are_one_line(model: Path, tmp_path: Path, asked: list[str], line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "delineate", "export", str(model), *asked], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused(
    model: Path, tmp_path: Path, volume_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DelineateError, match="volume, and the model was trained on pictures"):
        delineate.export(model, out=tmp_path / "made.onnx", data=volume_folder)
    with monkeypatch.context() as declared:
        declared.setattr(
            registry.method_class("unet"), "info", replace(registry.method_class("unet").info, exportable=False)
        )
        with pytest.raises(DelineateError, match="method 'unet' cannot be exported"):
            delineate.export(model, out=tmp_path / "made.onnx")
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else known(name))
    with pytest.raises(DelineateError, match="export to ONNX needs onnxscript: pip install onnxscript"):
        delineate.export(model, out=tmp_path / "made.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.more
def test_half_precision_and_the_network_alone(model: Path, tmp_path: Path) -> None:
    half = delineate.export(model, out=tmp_path / "half.onnx", precision="fp16", cases=2)
    assert half.path.stat().st_size < 0.6 * model.stat().st_size
    assert 1e-6 < half.parity.network_difference <= 5e-3
    alone = delineate.export(model, out=tmp_path / "network.onnx", graph="network", cases=2)
    assert alone.facts.numbers == "float32"
    assert alone.facts.height == (64, 4096)
    assert alone.parity.dice >= 0.9999


@pytest.mark.more
def test_eight_bits_say_what_they_cost(model: Path, tmp_path: Path) -> None:
    """An untrained network: what it marks is not the masks, so that little can be lost; calibration cannot be left out."""
    data = data_set(tmp_path / "data", 12)
    made = delineate.export(model, out=tmp_path / "eight.onnx", precision="int8", calibration=data, cases=2, force=True)
    assert made.path.stat().st_size < 0.4 * model.stat().st_size
    assert made.loss is not None
    assert made.loss.cases >= 1
    assert made.loss.calibration_images >= 6
    assert made.parity.tolerance is None
    nodes = onnx.load(made.path).graph.node
    kinds = {node.op_type for node in nodes}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    inside = {output for node in nodes if node.op_type == "Conv" for output in node.output}
    after = [node.op_type for node in nodes if node.op_type == "QuantizeLinear" and node.input[0] in inside]
    assert after, "what follows a layer is quantized, its ReLU has become a part of it"
    assert any("8 bits cost" in line for line in made.lines)


def test_a_loss_is_refused_unless_it_is_forced(
    model: Path, made: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "build", lambda *_: onnx.load(made.path))
    monkeypatch.setattr(module, "quantized", lambda given, *_: (given, 3))
    lost = Loss(cases=9, calibration_images=3, dice_before=0.8, dice_after=0.7, low=0.05, high=0.2)
    monkeypatch.setattr(module, "loss_of", lambda *_: lost)
    asked = {"precision": "int8", "calibration": data_set(tmp_path / "data"), "cases": 1}
    with pytest.raises(
        DelineateError, match=r"is not kept: 8 bits cost 0.1000 of Dice \(95 % interval 0.0500 to 0.2000\)"
    ):
        delineate.export(model, out=tmp_path / "made.onnx", **asked)
    assert not (tmp_path / "made.onnx").exists()
    kept = delineate.export(model, out=tmp_path / "made.onnx", force=True, **asked)
    assert json.loads(kept.report.read_text())["loss"]["dice_after"] == 0.7


def test_calibration_data_of_another_kind(model: Path, tmp_path: Path, volume_folder: Path) -> None:
    with pytest.raises(DelineateError, match="holds volumes, and the model was trained on pictures"):
        delineate.export(model, out=tmp_path / "made.onnx", precision="int8", calibration=volume_folder)


def test_a_calibration_method_without_8_bits_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DelineateError, match="--calibration-method and --force are for --precision int8, not fp32"):
        delineate.export(model, out=tmp_path / "made.onnx", calibration_method="percentile")


def test_metadata_of_others_and_of_newer_versions() -> None:
    with pytest.raises(DelineateError, match=r"other.onnx is an ONNX file without Delineate's metadata"):
        read_facts({"author": "somebody"}, Path("other.onnx"))
    with pytest.raises(DelineateError, match=r"newer.onnx has export format 99"):
        read_facts({HEADER: "{}", FACTS: '{"format": 99}'}, Path("newer.onnx"))


def test_images_for_a_graph() -> None:
    facts = ExportFacts(
        opset=20,
        numbers="uint16",
        channels=("red", "green", "blue"),
        batch=(1, 8),
        height=(1, 99),
        width=(1, 99),
        nodes=1,
        model_sha256="",
        versions={},
    )
    gray = np.full((4, 5), 255, np.uint8)
    assert (graph_image(gray, facts) == 65535).all()
    assert (graph_image(gray, facts.model_copy(update={"own_values": True})) == 255).all()
    assert graph_image(np.zeros((4, 5, 4), np.uint16), facts).shape == (1, 4, 5, 3)
    eight = facts.model_copy(update={"numbers": "uint8"})
    for image, line in (
        (np.zeros((4, 5), np.uint16), "takes images of uint8, not of uint16"),
        (np.zeros((4, 5, 2), np.uint8), "takes 3 channels"),
        (np.zeros((4, 100), np.uint8), "100 pixels wide"),
    ):
        with pytest.raises(DelineateError, match=line):
            graph_image(image, eight)


def test_a_spacing_that_is_needed_and_not_known_is_said(made: ExportResult) -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    assert list(graph_feed(pixels, None, made.facts)) == ["image"]
    needed = made.facts.model_copy(update={"spacing": True})
    assert graph_feed(pixels, (0.5, 2), needed)["spacing"].tolist() == [0.5, 2]
    with pytest.raises(DelineateError, match="needs the spacing of the image's pixels in mm, and it is not known"):
        graph_feed(pixels, None, needed)
