"""An exported file says what it is, without any package of ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import delineate
from delineate.artefact.format import Artefact, read_header, save
from delineate.artefact.onnx_metadata import read_metadata
from delineate.common.errors import ArtefactError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.model_card import model_card
from delineate.methods import registry

onnx = pytest.importorskip("onnx")


@pytest.fixture
def exported(tmp_path: Path, micro: str) -> Path:
    """A model's header in a file whose graph is of no matter."""
    model = tmp_path / "model.safetensors"
    save(
        model,
        Artefact(registry.build(micro, classes=1, in_channels=3, options={}), InputSpec(size=(8, 8)), ClassTable()),
    )
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [3]) for name in "xy"]
    made = onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:]))
    onnx.helper.set_model_props(made, {"delineate": read_header(model).to_json(), "note": "ä" * 300, "empty": ""})
    onnx.save(made, tmp_path / "made.onnx")
    return tmp_path / "made.onnx"


def test_metadata_are_those_that_onnx_reads(exported: Path) -> None:
    expected = {one.key: one.value for one in onnx.load(exported).metadata_props}
    assert read_metadata(exported) == expected
    found = delineate.info(exported)
    assert found.method == "micro"
    assert found.weights is None
    assert "# micro" in model_card(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_other_files_are_refused(exported: Path) -> None:
    content = exported.read_bytes()
    for damaged in (content[:-5], b"\xff" * 40, b"\x00\x01", b"PK\x03\x04 no such file"):
        exported.write_bytes(damaged)
        with pytest.raises(ArtefactError, match="truncated or not an ONNX file"):
            delineate.info(exported)
    made = onnx.load_from_string(content)
    del made.metadata_props[:]
    onnx.save(made, exported)
    with pytest.raises(ArtefactError, match="without Delineate's metadata"):
        delineate.info(exported)
