"""Models, outputs and panels that are not finite: refused, or told image by image, never drawn as an empty mask."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from delineate.artefact.format import Artefact, load, save
from delineate.cli.root import app
from delineate.common.errors import ArtefactError, NotFiniteError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.files import predict_files
from delineate.inference.panels import NOT_FINITE, render
from delineate.inference.predictor import Predictor
from delineate.methods.contract import Panel
from micro_method import brightness

NAMES = ("background", "a", "b")


def artefact(classes: int = 1, fit: str = "stretch") -> Artefact:
    table = ClassTable() if classes == 1 else ClassTable(names=NAMES)
    return Artefact(brightness(classes), InputSpec(size=(16, 16), fit=fit), table)  # type: ignore[arg-type]


class Overflowing(torch.nn.Module):
    """Not finite for images that have a white pixel."""

    def __init__(self, network: torch.nn.Module, value: float) -> None:
        super().__init__()
        self.network, self.value = network, value

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits = self.network(image)
        white = (image > 0.99).flatten(1).any(1)
        logits[white, :, 0, 0] = self.value
        return logits


def spoiled(predictor: Predictor, value: float) -> Predictor:
    predictor.__dict__["network"] = Overflowing(predictor.method.deploy().eval(), value)
    return predictor


def pictures(folder: Path, white: list[bool]) -> Path:
    folder.mkdir()
    for at, one in enumerate(white):
        image = np.full((20, 24, 3), 90, np.uint8)
        image[4:12, 4:12] = 255 if one else 120
        cv2.imwrite(str(folder / f"{at}.png"), image)
    return folder


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("part", ["weight", "running_var"])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(
    micro: str, tmp_path: Path, part: str, value: float
) -> None:
    good, bad = artefact(), artefact()
    save(tmp_path / "good.safetensors", good)
    state = bad.method.state_dict()
    name = next(key for key in state if key.endswith(part))
    state[name].view(-1)[0] = value
    with pytest.raises(ArtefactError, match=f"not written: 1 of its .* not finite.*{name}"):
        save(tmp_path / "bad.safetensors", bad)
    assert not (tmp_path / "bad.safetensors").exists()

    from safetensors import safe_open

    with safe_open(tmp_path / "good.safetensors", framework="pt") as stream:
        about = stream.metadata()
    tensors = load_file(tmp_path / "good.safetensors")
    tensors[name].view(-1)[0] = value
    save_file(tensors, tmp_path / "by-hand.safetensors", metadata=about)
    with pytest.raises(ArtefactError, match=f"cannot be used: 1 of its .* not finite.*{name}"):
        load(tmp_path / "by-hand.safetensors")


def test_predict_refuses_such_a_model_in_one_line(micro: str, tmp_path: Path) -> None:
    from safetensors import safe_open

    save(tmp_path / "model.safetensors", artefact())
    with safe_open(tmp_path / "model.safetensors", framework="pt") as stream:
        about = stream.metadata()
    tensors = {name: value * math.nan for name, value in load_file(tmp_path / "model.safetensors").items()}
    save_file(tensors, tmp_path / "model.safetensors", metadata=about)
    images = pictures(tmp_path / "images", [False])
    result = CliRunner().invoke(
        app, ["predict", str(tmp_path / "model.safetensors"), str(images), "--out", str(tmp_path / "o")]
    )
    assert isinstance(result.exception, ArtefactError) or result.exit_code == 2
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("fit", ["stretch", "patch"])
def test_an_output_that_is_not_finite_is_no_mask(micro: str, classes: int, fit: str, value: float) -> None:
    predictor = spoiled(Predictor(artefact(classes, fit), "cpu"), value)
    dark, white = np.full((20, 24, 3), 90, np.uint8), np.full((20, 24, 3), 255, np.uint8)
    assert predictor.predict(dark).shape == (20, 24)
    for ask in (predictor.predict, predictor.probabilities):
        with pytest.raises(NotFiniteError, match="output is not finite"):
            ask(white)


@pytest.mark.parametrize("fit", ["stretch", "patch"])
def test_only_the_images_that_it_befell_have_no_mask(micro: str, tmp_path: Path, fit: str) -> None:
    white = [False, True, True, False, True, True]
    images, out = pictures(tmp_path / "images", white), tmp_path / "out"
    result = predict_files(spoiled(Predictor(artefact(fit=fit), "cpu"), math.nan), [images], out, batch_size=4)
    assert [file.error is not None for file in result.files] == white
    assert sorted(path.name for path in out.glob("*.png")) == ["0.png", "3.png"]
    assert all("not finite" in (file.error or "") and str(file.image) in (file.error or "") for file in result.failures)
    listed = json.loads((out / "predictions.json").read_text())["files"]
    assert [each["mask"] for each in listed] == ["0.png", "3.png"]
    with (out / "summary.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [bool(row["error"]) for row in rows] == white
    assert all(row["foreground %"] == "" for row in rows if row["error"])


def test_one_cause_is_told_once_with_three_names(micro: str, tmp_path: Path) -> None:
    from delineate.cli.predict import _by_cause

    images = pictures(tmp_path / "images", [True] * 5 + [False])
    (images / "x.png").write_bytes(b"no picture")
    result = predict_files(spoiled(Predictor(artefact(), "cpu"), math.nan), [images], tmp_path / "out")
    lines = _by_cause(result)
    assert len(lines) == 2
    assert lines[0].startswith("5 images: ")
    assert lines[0].count(".png") == 3
    assert "and 2 more" in lines[0]


@pytest.mark.parametrize("kind", ["mask", "heat", "image"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_panels_show_what_is_not_finite(kind: str, value: float) -> None:
    tensor = torch.rand(1, 3 if kind == "image" else 1, 4, 4)
    if kind == "mask":
        tensor = tensor[:, 0]
    tensor[..., 1, 2] = value
    picture = render(Panel(kind, tensor))  # type: ignore[arg-type]
    assert tuple(picture[1, 2]) == NOT_FINITE
    assert (picture == NOT_FINITE).all(-1).sum() == 1
