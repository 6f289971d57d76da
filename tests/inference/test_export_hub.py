"""`delineate export --format hub`: a folder that hubs and their tools read, and that Delineate reads again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import delineate
from delineate.artefact.format import Artefact, save
from delineate.cli import main
from delineate.common.errors import ArtefactError, DelineateError
from delineate.common.files import sha256, write_json
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.export.export import report_path
from delineate.inference.export.hub import export_hub
from delineate.methods import registry

pytestmark = pytest.mark.usefixtures("micro")
PRIVATE = "/home/jane_doe/set"


@pytest.fixture
def model(tmp_path: Path, micro: str) -> Path:
    artefact = Artefact(
        registry.build(micro, classes=3, in_channels=3, options={}),
        InputSpec(size=(16, 24)),
        ClassTable(names=("background", "liver", "lesion")),
        provenance={"data": f"{PRIVATE}/livers"},
    )
    save(tmp_path / "model.safetensors", artefact)
    return tmp_path / "model.safetensors"


def made(out: Path) -> Any:
    """What the exporter gives, without its minute: a file and its report, which name the data's folder."""
    out.write_bytes(b"onnx")
    write_json(report_path(out), {"parity": {"images": f"2 images of {PRIVATE}"}})
    parity = SimpleNamespace(lines=[f"2 images of {PRIVATE}: Dice of masks 1.0"])
    return SimpleNamespace(path=out, report=report_path(out), use=f"`{out.name}` takes an image", parity=parity)


def test_a_folder_for_a_hub(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "livers-micro"
    result = export_hub(model, out, made, license="cc-by-4.0")
    assert result.files == (
        "README.md",
        "config.json",
        "model.safetensors",
        "onnx/model.onnx",
        "onnx/model.parity.json",
    )
    assert sha256(out / "model.safetensors") == sha256(model)
    assert delineate.info(out).method == "micro"
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["micro"]
    assert config["id2label"] == {"0": "background", "1": "liver", "2": "lesion"}
    assert config["image_size"] == [16, 24]
    assert config["input"]["fit"] == "stretch"
    _, front, card = (out / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-4.0"
    assert "delineate predict livers-micro image.png" in card
    assert "- 2 images of set: Dice of masks 1.0" in card
    assert not [
        path
        for path in out.rglob("*")
        if path.is_file() and path.suffix != ".safetensors" and b"jane" in path.read_bytes()
    ]


def test_without_an_onnx_file_the_folder_says_why(model: Path, tmp_path: Path) -> None:
    def refuse(out: Path) -> Any:
        raise ArtefactError("method 'micro' cannot be exported")

    result = export_hub(model, tmp_path / "hub", refuse)
    assert result.files == ("README.md", "config.json", "model.safetensors")
    assert result.lines[1] == "onnx/ is left out: method 'micro' cannot be exported"
    with pytest.raises(ArtefactError, match="cannot be exported"):
        export_hub(model, tmp_path / "int8", refuse, precision="int8", needed=True)
    assert not (tmp_path / "int8").exists()
    with pytest.raises(DelineateError, match="is there already"):
        export_hub(model, tmp_path / "hub", made)


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["delineate", "export", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--license", "mit", "--out", "x.onnx"], "--license says nothing to --format onnx"),
        (["--format", "hub", "--overwrite"], "--overwrite says nothing to --format hub; give another --out"),
        (["--format", "container", "--precision", "fp16"], "--precision says nothing to --format container"),
        (["--format", "container", "--cases", "3"], "--cases says nothing to --format container"),
    ],
)
def test_options_of_other_formats(
    words: list[str], said: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(model.parent)
    assert run(monkeypatch, str(model), "--out", "x", *words) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert not Path("x").exists()


def test_the_verb_makes_a_container(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(model.parent)
    assert run(monkeypatch, str(model), "--format", "container", "--out", "box", "--license", "mit") == 0
    assert "docker build --tag box ." in capsys.readouterr().out
    assert Path("box/model/model.safetensors").read_bytes() == model.read_bytes()
