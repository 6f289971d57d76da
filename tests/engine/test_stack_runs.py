"""A run on TIFF stacks without distances: trained, validated and scored as volumes, in voxels; masks are stacks again."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.api import evaluate
from delineate.common.errors import DataError, RecipeError
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.check import check
from delineate.data.formats.registry import open_image, write_mask
from delineate.engine.reporting import Silent
from delineate.engine.run import train
from delineate.inference.files import predict_files
from delineate.inference.predictor import load
from delineate.report.pages.run import write_run_report
from small_volumes import slice_pixels
from train_request import train_request

tifffile = pytest.importorskip("tifffile")
DEPTH = 5
SMALL = ["method.encoder.name=resnet10t", "method.decoder_channels=[16, 16, 8, 8, 8]", "engine.batch_size=4"]


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of five pages, 40×48, and masks of one structure."""
    folder = tmp_path_factory.mktemp("stacks")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for patient in range(5):
        pairs = [slice_pixels(patient, index, DEPTH) for index in range(DEPTH)]
        images, labels = (np.stack([pair[which] for pair in pairs])[:, :40] for which in (0, 1))
        tifffile.imwrite(folder / "images" / f"cell_{patient}.tif", images, photometric="minisblack", metadata=None)
        mask = (labels == 1).astype(np.uint8) * 255
        tifffile.imwrite(folder / "masks" / f"cell_{patient}.tif", mask, photometric="minisblack", compression="zlib")
    return folder


@pytest.fixture(scope="module")
def run(stacks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A finished run, and what it said."""
    home, said, reporter = tmp_path_factory.mktemp("run"), list[str](), Silent()
    reporter.note = said.append  # type: ignore[method-assign]
    about = {"method": "unet", "preset": "tiny", "size": 32, "steps": 3, "device": "cpu"}
    train(train_request(data=stacks, out=home / "run", settings=SMALL, cache_folder=home / "cache", **about), reporter)
    return home / "run", said


def test_a_run_on_stacks(stacks: Path, run: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, said = run
    assert f"slices: {3 * DEPTH} train, {DEPTH} val, across the axis planes (data.axis=2)" in said
    model = load(folder, device="cpu")
    assert (model.spec.axis, model.spec.trained_spacing) == (2, None)
    manifest = Manifest.load(folder / "manifest.json")
    (case,) = manifest.split("val")
    image, mask = manifest.path(case.images[0]), folder / "validation" / "masks" / f"{case.id}.tif"
    stored = json.loads((folder / "validation" / "scores.json").read_text())
    assert (stored["level"], stored["length"]) == ("volume", "voxel")
    result = predict_files(model, [image], tmp_path / "masks", overlay=True)
    again = tmp_path / "masks" / mask.name
    assert np.array_equal(open_image(again).read(), open_image(mask).read())
    assert [(file.width, file.height, file.depth, file.milliliters) for file in result.files] == [(48, 40, DEPTH, ())]
    assert "nothing tells what its 5 pages are" in str(result.files[0].remark)
    about = {"split": "val", "metrics": ["dice", "hd95_pooled"], "out": tmp_path / "scores"}
    scored = evaluate(tmp_path / "masks", folder / "manifest.json", **about)
    assert scored.rows[0].scores["dice"] == pytest.approx(stored["classes"]["foreground"]["dice"]["all"]["mean"])
    write_run_report(folder)
    assert f"validation/masks/{case.id}.nii.gz" not in (folder / "report.html").read_text()


def test_overlays_show_pages_as_they_are(run: tuple[Path, list[str]], stacks: Path, tmp_path: Path) -> None:
    image = stacks / "images" / "cell_0.tif"
    predict_files(load(run[0], device="cpu"), [image], tmp_path, overlay=True)
    sheet = cv2.imread(str(tmp_path / "overlays" / "cell_0.png"), cv2.IMREAD_GRAYSCALE)
    columns = round(sheet.shape[1] / 240)  # pages are shown five times as large
    assert sheet.shape[1] == columns * 240 + (columns - 1) * 4
    tile = cv2.resize(sheet[:200, :240], (48, 40), interpolation=cv2.INTER_AREA).astype(float)
    likeness = [np.corrcoef(tile.ravel(), page.ravel())[0, 1] for page in tifffile.imread(image).astype(float)]
    assert max(likeness) > 0.8


def test_a_volume_in_the_patient_is_no_reference_of_a_stack(stacks: Path, tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    from delineate.data.core.geometry import Geometry

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    mask = np.moveaxis(tifffile.imread(stacks / "masks" / "cell_0.tif"), 0, 2) // 255
    write_mask(tmp_path / "a" / "x.tif", mask, like=Geometry.of_stack((40, 48, DEPTH), None))
    grid = Geometry((40, 48, DEPTH), (0.0, 0.0, 0.0), np.eye(3), (1.0, 1.0, 1.0))
    write_mask(tmp_path / "b" / "x.nii.gz", mask, like=grid)
    with pytest.raises(DataError, match=r"x\.tif does not tell where in the patient its voxels lie"):
        evaluate(tmp_path / "a", tmp_path / "b", out=tmp_path / "scores")


def test_stacks_are_not_resampled_to_millimeters(stacks: Path, tmp_path: Path) -> None:
    settings = [*SMALL, "input.fit=letterbox", "input.spacing=[0.5, 0.5]"]
    request = train_request(data=stacks, out=tmp_path / "run", method="unet", preset="tiny", size=32, settings=settings)
    with pytest.raises(RecipeError, match="'cell_0' does not tell how large its pixels are"):
        train(request, Silent())


def test_the_check_tells_what_is_not_known(stacks: Path) -> None:
    report = check(stacks)
    assert report.usable
    rows = dict(report.rows)
    assert rows["spacing"] == "not told by the files: lengths are in voxels"
    assert rows["voxels"] == "of unknown size"
    assert rows["volume sizes"] == f"40 × 48 × {DEPTH} voxels (rows, columns, planes)"
