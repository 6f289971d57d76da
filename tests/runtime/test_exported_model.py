"""Exported models as they are used: in Python, and by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import delineate
from delineate.common.errors import ArtefactError, DelineateError
from delineate.runtime import load
from delineate.runtime.cli import run


def test_it_segments_as_the_model_does(model: Path, exported: Path, pictures: Path) -> None:
    torch, onnx = delineate.load(model, "cpu"), load(exported, threads=1)
    assert onnx.classes == torch.classes
    for path in sorted(pictures.iterdir()):
        np.testing.assert_allclose(onnx.probabilities(path), torch.probabilities(path), atol=1e-5)
        expected = torch.probabilities(path)[..., 0] >= 0.5
        assert (onnx.predict(path) == expected).mean() > 0.999
    assert type(delineate.load(exported)) is type(onnx)


def test_a_threshold_of_ones_own(exported: Path, pictures: Path) -> None:
    path = pictures / "color.png"
    usual, found = load(exported), load(exported, threshold=0.3)
    assert (found.predict(path) == (usual.probabilities(path)[..., 0] >= 0.3)).all()
    with pytest.raises(DelineateError, match="--threshold 2: probabilities lie between 0 and 1"):
        load(exported, threshold=2)


def test_what_was_done_as_json(
    exported: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    images = [str(pictures / "color.png"), str(tmp_path / "broken.png")]
    assert run(["predict", str(exported), *images, "--out", str(tmp_path / "masks"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    good, bad = told["files"]
    assert good["mask"] == str(tmp_path / "masks" / "color.png")
    assert good["size"] == [71, 50]
    mask = np.asarray(Image.open(good["mask"]))
    assert good["percent"]["foreground"] == pytest.approx(100 * (mask == 255).mean())
    assert bad["mask"] is None
    assert "broken.png" in bad["error"]
    with pytest.raises(DelineateError, match="exists already; give another --out, or --overwrite"):
        run(["predict", str(exported), images[0], "--out", str(tmp_path / "masks")])


def test_what_a_model_is(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(exported), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == delineate.info(exported).to_json()
    assert run(["info", str(exported)]) == 0
    assert "foreground" in capsys.readouterr().out


def test_files_that_are_no_models(model: Path, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    for path, line in (
        (tmp_path / "none.onnx", "does not exist"),
        (tmp_path / "text.onnx", "truncated or not an ONNX file"),
        (tmp_path / "empty.onnx", "without Delineate's metadata"),
        (model, "truncated or not an ONNX file"),
    ):
        with pytest.raises(ArtefactError, match=line):
            load(path)
