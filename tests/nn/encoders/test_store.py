"""The local store of encoder weights: what is added is what training starts from, and nothing of where it came from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

import delineate
from delineate.cli import main
from delineate.common.errors import DelineateError
from delineate.nn.encoders.encoder import Encoder
from delineate.nn.encoders.options import EncoderOptions
from delineate.nn.encoders.sources import check_pretrained, expected_normalization, normalization_remarks
from delineate.nn.encoders.store import RECORD, TENSORS, weights_folder
from delineate.nn.normalize import ChannelStatistics

ENCODER = "resnet10t"


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return timm.create_model(ENCODER).state_dict()


@pytest.fixture
def private(tmp_path: Path) -> Path:
    folder = tmp_path / "jane_doe"
    folder.mkdir()
    return folder


@pytest.fixture
def file(private: Path, weights: dict[str, Tensor]) -> Path:
    torch.save({"state_dict": {f"module.{key}": value for key, value in weights.items()}}, private / "mine.pth")
    return private / "mine.pth"


def add(file: Path, **changes: Any) -> Any:
    return delineate.add_weights(file, **{"encoder": ENCODER, "license": "cc-by-4.0", "name": "mine"} | changes)


def test_training_starts_from_what_was_added(file: Path, weights: dict[str, Tensor], private: Path) -> None:
    record = add(file, mean="0.1,0.2,0.3", std=[0.4, 0.5, 0.6])
    file.unlink()
    encoder = Encoder(ENCODER, levels=3)
    origin = encoder.load_pretrained("mine")
    for key, value in encoder.network.state_dict().items():
        assert torch.equal(value, weights[key]), key
    assert origin is not None
    assert (origin.source, origin.name, origin.encoder, origin.license) == ("store", "mine", ENCODER, "cc-by-4.0")
    assert origin.sha256 == record.sha256
    assert origin.mean == (0.1, 0.2, 0.3)
    options = EncoderOptions(name=ENCODER, pretrained="mine")
    check_pretrained(options)
    stated = ChannelStatistics(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    assert expected_normalization(options) == stated
    assert normalization_remarks(options, stated) == []
    assert options.model_dump(mode="json", context={"portable": True})["pretrained"] == "mine"
    texts = [
        json.dumps(record.to_json()),
        json.dumps(origin.to_json()),
        (weights_folder() / "mine" / RECORD).read_text(),
    ]
    assert not [text for text in texts if private.name in text or file.name in text]
    assert delineate.list_weights() == delineate.list_weights("mine") == [record]


def test_what_is_removed_is_gone(file: Path) -> None:
    record = add(file)
    assert delineate.remove_weights("mine") == record
    assert delineate.list_weights() == []
    assert not (weights_folder() / "mine").exists()
    with pytest.raises(DelineateError, match="no weights 'mine' in the store"):
        delineate.remove_weights("mine")
    assert add(file).name == "mine"


def test_statistics_nobody_stated_are_said_to_be_assumed(file: Path) -> None:
    assert add(file).statistics_from == "assumed"
    options = EncoderOptions(name=ENCODER, pretrained="mine")
    (remark,) = normalization_remarks(options, expected_normalization(options))
    assert "nothing told which mean and std" in remark


def test_config_beside_the_file_is_read(file: Path) -> None:
    described = {"architecture": ENCODER, "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    file.with_name("config.json").write_text(json.dumps(described))
    record = add(file)
    assert record.statistics_from == "config.json"
    assert record.statistics.std == (0.25,) * 3
    file.with_name("config.json").write_text(json.dumps({"architecture": "resnet18"}))
    with pytest.raises(DelineateError, match=r"weights of 'resnet18'.* use --encoder resnet18"):
        add(file, name="other")


def test_a_vision_transformer_s_file_fits_its_encoder(private: Path) -> None:
    """timm puts it into another module to get its feature maps."""
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224")
    save_file(network.state_dict(), private / "vit.safetensors")
    add(private / "vit.safetensors", encoder="vit_tiny_patch16_224", name="vit")
    encoder = Encoder("vit_tiny_patch16_224", levels=1)
    encoder.load_pretrained("vit")
    expected = network.patch_embed.proj.weight
    assert torch.equal(encoder.network.state_dict()["model.patch_embed.proj.weight"], expected)


def without(weights: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if name != key}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: without(w, "layer1.0.conv1.weight"), "missing layer1.0.conv1.weight"),
        (lambda w: w | {"layer1.0.conv1.weight": torch.zeros(3, 3)}, "layer1.0.conv1.weight is 3×3, not 64×"),
        (lambda w: w | {"layer1.1.conv1.weight": torch.zeros(3)}, "layer1.1.conv1.weight is left over"),
        (lambda w: w | {"layer1.0.conv1.weight": w["layer1.0.conv1.weight"] * torch.nan}, "values that are not finite"),
        (lambda w: {"a": 1}, "does not hold a state dict"),
        (lambda w: {"a": print}, "not a torch file of plain tensors"),
    ],
)
def test_files_that_do_not_fit(change: Any, said: str, private: Path, weights: dict[str, Tensor]) -> None:
    torch.save(change(dict(weights)), private / "mine.pth")
    with pytest.raises(DelineateError, match=said) as error:
        add(private / "mine.pth")
    assert "\n" not in str(error.value)
    assert not weights_folder().exists() or not list(weights_folder().iterdir())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "true"}, "a word of the setting itself"),
        ({"name": "../x"}, "use letters"),
        ({"name": "x.pth"}, "looks like a file"),
        ({"license": "  "}, "--license is empty"),
        ({"mean": "0.5"}, "belong together"),
        ({"mean": "0.5,a", "std": "1,1"}, "expected numbers"),
        ({"mean": "128", "std": "1"}, "divide values of 8-bit images by 255"),
        ({"encoder": "resnet10"}, "unknown encoder"),
    ],
)
def test_options_that_cannot_be(changes: dict[str, Any], said: str, file: Path) -> None:
    with pytest.raises(DelineateError, match=said):
        add(file, **changes)


def test_names_stay_whose_they_are(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(file)
    with pytest.raises(DelineateError, match="in the store already"):
        add(file)
    with pytest.raises(DelineateError, match=r"use --set method\.encoder\.name=resnet10t"):
        check_pretrained(EncoderOptions(name="resnet18", pretrained="mine"))
    with pytest.raises(DelineateError, match="did you mean 'mine'"):
        check_pretrained(EncoderOptions(name=ENCODER, pretrained="mines"))
    with pytest.raises(DelineateError, match="no weights 'yours' in the store"):
        delineate.list_weights("yours")
    monkeypatch.chdir(tmp_path)
    Path("mine").touch()
    with pytest.raises(DelineateError, match=r"write \./mine for the file"):
        check_pretrained(EncoderOptions(name=ENCODER, pretrained="mine"))


def test_a_store_that_was_changed(file: Path) -> None:
    add(file)
    place = weights_folder() / "mine"
    (place / TENSORS).write_bytes(b"x" + (place / TENSORS).read_bytes()[1:])
    with pytest.raises(DelineateError, match="was changed since it was added"):
        Encoder(ENCODER, levels=1).load_pretrained("mine")
    (place / RECORD).write_text("{}")
    with pytest.raises(DelineateError, match="is damaged"):
        check_pretrained(EncoderOptions(name=ENCODER, pretrained="mine"))


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["delineate", "weights", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_verbs(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "list") == 0
    assert "the store is empty" in capsys.readouterr().out
    assert run(monkeypatch, "add", str(file), "--encoder", ENCODER, "--license", "our own") == 0
    assert "--set method.encoder.pretrained=mine" in capsys.readouterr().out
    assert run(monkeypatch, "list") == 0
    assert "our own" in capsys.readouterr().out
    assert run(monkeypatch, "show", "mine", "--json") == 0
    assert json.loads(capsys.readouterr().out)["encoder"] == ENCODER
    assert run(monkeypatch, "add", str(file.with_name("gone.pth")), "--encoder", ENCODER, "--license", "x") == 2
    said = capsys.readouterr().err
    assert "gone.pth does not exist" in said
    assert said.count("\n") == 1
