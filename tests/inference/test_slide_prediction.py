"""Slides of scanners and of DICOM are predicted from file to file: the mask is that of the same picture in a TIFF file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.registry import open_image, read_mask
from delineate.inference import streaming
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from delineate.inference.streamed_outputs import behind
from micro_method import brightness
from slides_made import dicom_slide, tissue, write_svs

IMAGE = tissue(520, 700)
TAGS = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER", "photometric": "rgb", "metadata": None}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Predictor:
    monkeypatch.setattr(streaming, "LARGE", 1)
    return Predictor(Artefact(brightness(), InputSpec(size=(64, 64), fit="patch"), ClassTable()), "cpu")


def test_masks_are_those_of_the_same_picture(model: Predictor, tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    write_svs(tmp_path / "a.svs", IMAGE)
    dicom_slide(tmp_path / "dicom", IMAGE)
    tifffile.imwrite(tmp_path / "plain.tif", IMAGE, tile=(64, 64), **TAGS)
    given = [tmp_path / name for name in ("a.svs", "dicom", "plain.tif")]
    result = predict_files(model, given, tmp_path / "out", mpp=1.0, format="geojson", overlay=True)
    assert not result.failures
    masks = [tifffile.imread(tmp_path / "out" / f"{name}.tif", key=0) for name in ("a", "case_0001", "plain")]
    assert masks[0].shape == (260, 350)
    assert 0 < masks[0].mean() < 255
    assert np.array_equal(masks[0], masks[2])
    assert np.array_equal(masks[1], masks[2])
    outlines = [json.loads((tmp_path / f"out/outlines/{name}.geojson").read_text()) for name in ("a", "plain")]
    assert outlines[0] == outlines[1]
    assert {path.name for path in (tmp_path / "out/overlays").iterdir()} == {"a.png", "case_0001.png", "plain.png"}


def test_how_sure_the_model_is_is_summed_over_the_rows(
    model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(2):
        tifffile.imwrite(tmp_path / f"p{at}.tif", tissue(300, 260, at), tile=(64, 64), photometric="rgb", metadata=None)
    given = [tmp_path / "p0.tif", tmp_path / "p1.tif"]
    streamed = predict_files(model, given, tmp_path / "streamed", review=tmp_path / "a.csv", background="keep")
    monkeypatch.setattr(streaming, "LARGE", 1 << 40)
    memory = predict_files(model, given, tmp_path / "memory", review=tmp_path / "b.csv")
    for one, other in zip(streamed.files, memory.files, strict=True):
        assert one.doubt is not None
        assert other.doubt is not None
        assert one.doubt.confidence == pytest.approx(other.doubt.confidence, abs=1e-6)
        assert one.doubt.entropy == pytest.approx(other.doubt.entropy, abs=1e-6)
    order = [
        [line.split(",")[:2] for line in (tmp_path / name).read_text().splitlines()] for name in ("a.csv", "b.csv")
    ]
    assert order[0] == order[1]


def test_what_the_writer_raises_reaches_the_reader() -> None:
    done: list[int] = []

    def work(one: int) -> None:
        if one == 3:
            raise OSError("full")
        done.append(one)

    def give() -> None:
        with behind(work) as write:
            for one in range(9):
                write(one)

    with pytest.raises(OSError, match="full"):
        give()
    assert done[:3] == [0, 1, 2]


@pytest.mark.parametrize("large", [True, False])
def test_labels_in_ome_zarr_lie_beside_the_mask(
    model: Predictor, tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "LARGE", 1 if large else 1 << 40)
    picture = pytest.importorskip("zarr").create_group(tmp_path / "in" / "a.zarr")
    picture.create_array("0", data=IMAGE, chunks=(100, 100, 3))
    axes = [{"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}, {"name": "c"}]
    about = {"axes": axes, "datasets": [{"path": "0"}]}
    picture.attrs["ome"] = {"multiscales": [about]}
    for _ in range(2):
        result = predict_files(model, [tmp_path / "in"], tmp_path / "out", format="ome-zarr", overwrite=True)
        assert not result.failures
    (mask,) = (tmp_path / "out").glob("a.*")
    labels = open_image(tmp_path / "out/labels/a.ome.zarr")
    assert np.array_equal(labels.read(), read_mask(mask) // 255)
    assert labels.microns == (1, 1)
    predict_files(model, [tmp_path / "in/a.zarr"], tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out/labels").exists(), "it was an earlier output"
    (tmp_path / "in/a.zarr/0/c/1/1/0").write_bytes(b"123")
    result = predict_files(model, [tmp_path / "in"], tmp_path / "other", format="ome-zarr")
    assert "a chunk of its pixels is damaged" in str(result.failures[0].error)
    assert not [path for path in (tmp_path / "other").rglob("*") if "a." in path.name]


def test_a_missing_package_is_told_first(model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    tifffile.imwrite(tmp_path / "plain.tif", IMAGE, tile=(64, 64), **TAGS)
    with pytest.raises(DataError, match=r'needs zarr: pip install "delineate-seg\[zarr\]"'):
        predict_files(model, [tmp_path / "plain.tif"], tmp_path / "out", format="ome-zarr")
    assert not (tmp_path / "out").exists()


def test_a_damaged_slide_leaves_no_file(model: Predictor, tmp_path: Path) -> None:
    folder = dicom_slide(tmp_path / "dicom", IMAGE)
    (folder / "1.dcm").write_bytes((folder / "1.dcm").read_bytes()[:-400_000])
    result = predict_files(model, [folder], tmp_path / "out", format="geojson")
    assert "truncated" in str(result.failures[0].error)
    assert not list((tmp_path / "out").rglob("*.tif"))
    assert not list((tmp_path / "out").rglob("*.geojson"))


def test_no_dicom_mask_of_a_slide(model: Predictor, tmp_path: Path) -> None:
    folder = dicom_slide(tmp_path / "dicom", IMAGE)
    with pytest.raises(DataError, match="which TIFF allows and dicom-seg does not"):
        predict_files(model, [folder], tmp_path / "out", format="dicom-seg")
