"""A model's temperatures are in force wherever its probabilities are made; nothing else reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

import delineate
from calibration_record import record
from delineate.artefact.format import Artefact, load, read_header, save
from delineate.common.errors import ArtefactError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.export.contract import IMAGE, MASK, PROBABILITIES
from delineate.inference.export.export import graph_inputs
from delineate.inference.export.graph import WholeGraph
from delineate.inference.export.onnx_file import build
from delineate.inference.export.parity import open_session
from delineate.inference.export.tiled_file import build_tiled
from delineate.inference.export.tiles import TiledGraph
from delineate.inference.features import FeatureReader
from delineate.inference.model_card import model_card
from delineate.inference.model_info import read_info
from delineate.inference.predictor import Predictor
from delineate.inference.segment import Worker
from micro_method import Micro, MicroOptions

pytestmark = pytest.mark.usefixtures("micro")
FOUR = ClassTable(names=("background", "a", "b", "c"))


def model(temperatures: Sequence[float] | None, classes: int = 4, seed: int = 0, **spec: object) -> Artefact:
    torch.manual_seed(seed)
    method = Micro(MicroOptions(), classes=classes, in_channels=3).eval()
    table = FOUR if classes == 4 else ClassTable()
    found = None if temperatures is None else record(*temperatures)
    return Artefact(method, InputSpec(size=(32, 32), **spec), table, temperature=2.0, calibration=found)


def noise(height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def by_hand(artefact: Artefact, image: np.ndarray, temperatures: Sequence[float]) -> Tensor:
    """Of an image of the network's size."""
    with torch.inference_mode():
        logits = artefact.method(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    scaled = logits / torch.tensor(temperatures)[:, None, None]
    return (scaled.sigmoid() if artefact.method.output.independent else scaled.softmax(1))[0]


@pytest.mark.parametrize(
    ("classes", "given", "in_force"),
    [
        (1, None, [2.0]),
        (1, [], [2.0]),
        (1, [0.5], [0.5]),
        (4, [3.0], [3.0] * 4),
        (4, [0.5, 1.0, 3.0, 2.0], [0.5, 1.0, 3.0, 2.0]),
    ],
)
def test_probabilities_are_made_with_them(classes: int, given: list[float] | None, in_force: list[float]) -> None:
    artefact, image = model(given, classes), noise()
    expected = by_hand(artefact, image, in_force).permute(1, 2, 0).numpy()
    predictor = Predictor(artefact, "cpu")
    assert np.allclose(predictor.probabilities(image), expected, atol=1e-5)
    with torch.inference_mode():
        logits = artefact.method(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)
    assert np.allclose(predictor.artefact.probabilities(logits)[0].permute(1, 2, 0), expected, atol=1e-5)
    ready = Worker(predictor).prepare(image)
    (read,) = FeatureReader(predictor, "pooled").read([ready])
    assert np.allclose(read.probabilities.transpose(1, 2, 0), expected, atol=1e-5)


def test_tiles_views_and_members_have_their_own(tmp_path: Path) -> None:
    image, four = noise(50, 70), [0.5, 1.0, 3.0, 2.0]
    tiled = Predictor(model(four, fit="patch"), "cpu").probabilities(image)
    assert np.allclose(tiled.sum(2), 1, atol=1e-5)
    assert np.abs(tiled - Predictor(model([1.0], fit="patch"), "cpu").probabilities(image)).max() > 0.01
    members = [model(four), model([3.0], seed=1), model(None, seed=2)]
    alone = [Predictor(one, "cpu").probabilities(image) for one in members]
    files = [tmp_path / f"{at}.safetensors" for at in range(3)]
    for file, one in zip(files, members, strict=True):
        save(file, one)
    together = delineate.load(files[0], "cpu", ensemble=files[1:])
    assert any(note.startswith("2 members of 3 are calibrated") for note in together.notes)
    assert not any("calibrated" in note for note in delineate.load(files[0], "cpu", ensemble=[files[1]]).notes)
    assert np.allclose(together.probabilities(image), np.mean(alone, axis=0), atol=1e-5)
    views = Predictor(members[0], "cpu", tta="flips").probabilities(image)
    mirrored = Predictor(members[0], "cpu").probabilities(np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
    assert np.abs(views - alone[0]).max() > 1e-4
    assert np.abs(mirrored - alone[0]).max() > 1e-4


@pytest.mark.parametrize("fit", ["stretch", pytest.param("patch", marks=pytest.mark.more)])
def test_an_exported_file_has_them_inside(fit: str) -> None:
    predictor = Predictor(model([0.5, 1.0, 3.0, 2.0], fit=fit), "cpu")
    image = noise(40, 56)
    if fit == "patch":
        built = build_tiled(TiledGraph(predictor).eval(), graph_inputs(predictor.spec)[0], 20)
    else:
        built = build(WholeGraph(predictor).eval(), graph_inputs(predictor.spec), (PROBABILITIES, MASK), 20)
    found, _ = open_session(built.SerializeToString()).run(None, {IMAGE: image[None]})
    expected = predictor.probabilities(image).transpose(2, 0, 1)
    assert np.quantile(np.abs(found[0] - expected), 0.95) <= 1e-5
    assert np.abs(found[0] - expected).max() <= 0.02, "a gray level may be rounded otherwise"
    plain = Predictor(model([1.0], fit=fit), "cpu").probabilities(image).transpose(2, 0, 1)
    assert np.abs(found[0] - plain).max() > 0.03


def test_files_keep_them_and_refuse_what_contradicts_the_model(tmp_path: Path) -> None:
    given = model([0.5, 1.0, 3.0, 2.0])
    save(tmp_path / "model.safetensors", given)
    assert load(tmp_path).calibration == given.calibration
    header = read_header(tmp_path)
    assert (header.format, header.temperatures) == (5, (0.5, 1.0, 3.0, 2.0))
    save(tmp_path / "plain.safetensors", replace(given, calibration=None))
    plain = read_header(tmp_path / "plain.safetensors")
    assert (plain.format, plain.temperatures) == (1, (2.0,)), "older versions still read it"
    assert "calibration" not in plain.to_json()
    with pytest.raises(ArtefactError, match="3 temperatures for 4 channels"):
        save(tmp_path / "bad.safetensors", replace(given, calibration=record(1.0, 2.0, 3.0)))
    with pytest.raises(ValueError, match="a calibration of probabilities in a file of format 4"):
        type(header).model_validate_json(header.to_json().replace('"format":5', '"format":4'))
    with pytest.raises(ValueError, match="greater than 0"):
        record(0.0)


def test_what_info_and_card_say(tmp_path: Path) -> None:
    save(tmp_path / "model.safetensors", model([1.5]))
    info = read_info(tmp_path)
    assert info.to_json()["output"]["temperatures"] == [1.5]
    card = model_card(info)
    assert "temperature 1.5" in card
    assert "without and with these temperatures, cross-validated, 8 validation cases of 8 groups: NLL" in card
    assert "ECE 0.2000 [0.1000, 0.3000] → 0.2000 [0.1000, 0.3000]" in card
    save(tmp_path / "model.safetensors", model(None))
    assert "Calibration: none" in model_card(read_info(tmp_path))


def test_calibrated_output_of_a_model_without_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), noise())
    files = {}
    for name, given in {"plain": None, "none better": [], "good": [1.5]}.items():
        files[name] = tmp_path / name / "model.safetensors"
        files[name].parent.mkdir()
        save(files[name], model(given))
    few = model([])
    save(tmp_path / "few.safetensors", replace(few, calibration=record(figures=None, folds=0)))
    asked = {"inputs": [tmp_path / "a.png"], "calibrated": True, "device": "cpu"}
    for name in ("good", "none better"):
        delineate.predict(files[name], out=tmp_path / f"out {name}", **asked)
    for path, more, words in [
        (files["plain"], {}, "plain.model.safetensors is not calibrated.*run `delineate calibrate`"),
        (files["good"], {"ensemble": [files["plain"]]}, "plain.model.safetensors is not calibrated"),
        (tmp_path / "few.safetensors", {}, "were too few to calibrate"),
    ]:
        with pytest.raises(ArtefactError, match=words) as caught:
            delineate.predict(path, out=tmp_path / "refused", **asked, **more)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "refused").exists()
