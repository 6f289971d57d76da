"""A run on DICOM series with segmentations and structure sets: trained, stopped, gone on with, predicted as DICOM, evaluated."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

from delineate.api import evaluate
from delineate.data.core.manifest import Manifest
from delineate.data.formats.registry import open_image
from delineate.engine.reporting import Silent
from delineate.engine.run import train
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from dicom_results import balls, write_rtstruct, write_seg
from scanner import PLANTED, write_series
from train_request import train_request

SHAPE = (32, 32, 4)
KINDS = ("binary", "labelmap", "rtstruct", "binary", "labelmap", "rtstruct")
SMALL = ["method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=4"]


def truth(at: int) -> np.ndarray:
    return np.roll(balls(SHAPE), 2 * at, 0)


def write_set(root: Path) -> Path:
    for at, kind in enumerate(KINDS):

        def change(image: Any, _: int, at: int = at) -> None:
            image.PatientID = f"PID-90210-X{at}"

        series = write_series(root / f"p{at}" / "ct", (300 * truth(at).astype(np.int16)), change=change)
        (root / f"p{at}" / "results").mkdir()
        file = root / f"p{at}" / "results" / "IM01"
        write_rtstruct(file, truth(at), series) if kind == "rtstruct" else write_seg(file, truth(at), series, kind)  # type: ignore[arg-type]
    return root


def test_a_run_from_scanner_files_to_scores(tmp_path: Path, recorder: Any) -> None:
    class Killed(BaseException):
        pass

    def kill(step: int) -> None:
        if step == 2:
            raise Killed

    data = write_set(tmp_path / "set")

    def ask(**changes: Any) -> Any:
        about: dict[str, Any] = {"method": "unet", "preset": "tiny", "size": 32, "steps": 4, "device": "cpu"} | changes
        settings = [*SMALL, "engine.save_minutes=0.00001"]
        return train_request(
            data=data, out=tmp_path / "run", settings=settings, cache_folder=tmp_path / "cache", **about
        )

    with pytest.raises(Killed):
        train(ask(), recorder(kill))
    train(ask(resume=True), Silent())
    manifest = Manifest.load(tmp_path / "run" / "manifest.json")
    assert manifest.classes.names == ("background", "liver", "left kidney", "thing")
    assert len({case.group for case in manifest.cases}) == 6
    (case,) = manifest.split("test")
    image = manifest.path(case.images[0])
    predict_files(load(tmp_path / "run", device="cpu"), [image], tmp_path / "masks", names="keep")
    (mask,) = (tmp_path / "masks").glob("*.seg.dcm")
    mask.rename(tmp_path / "masks" / f"{case.id}.seg.dcm")
    references = tmp_path / "run" / "manifest.json"
    scored = evaluate(tmp_path / "masks", references, split="test", metrics=["dice"], out=tmp_path / "scores")
    predicted = open_image(tmp_path / "masks" / f"{case.id}.seg.dcm")
    at = int(re.search(r"p(\d)", case.images[0])[1])  # type: ignore[index]
    drawn = predicted.drawn(open_image(image).geometry, image)  # type: ignore[attr-defined]
    for index, name in enumerate(manifest.classes.names[1:], start=1):
        both = ((drawn == index) & (truth(at) == index)).sum()
        size = (drawn == index).sum() + (truth(at) == index).sum()
        (row,) = [row for row in scored.rows if row.name == name]
        assert row.scores["dice"] == pytest.approx(2 * both / size)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    told = [path for path in files for word in PLANTED if word.encode() in path.read_bytes()]
    assert not told
