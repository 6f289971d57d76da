"""Pages of evaluations and comparisons picture volumes, whoever made the masks, and say what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from delineate import api
from delineate.data.core.manifest import ClassTable, LabelRule
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import read_geometry
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.pages.evaluation import write_evaluation_report
from delineate.report.parts.overlays import Overlays
from delineate.report.parts.volume_pictures import volume_picture
from scanner import write_series
from small_volumes import reorder

nibabel = pytest.importorskip("nibabel")
SAID = "axial, coronal and sagittal plane, and the worst slices"


@pytest.fixture
def data(make_volumes: Callable[..., Path], tmp_path: Path) -> Path:
    return make_volumes(tmp_path / "data", patients=4, depth=5)


def predicted(data: Path, folder: Path) -> Path:
    """The references without their first rows."""
    folder.mkdir()
    for path in (data / "masks").glob("*.nii.gz"):
        image = nibabel.load(path)
        voxels = np.asarray(image.dataobj).astype(np.uint8)
        voxels[:20] = 0
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine), folder / path.name)
    return folder


def scored(masks: Path, data: Path, out: Path) -> str:
    api.evaluate(masks, data, split="all", metrics="dice", out=out)
    return (out / "report.html").read_text(encoding="utf-8")


def test_masks_of_other_software_are_pictured(data: Path, tmp_path: Path) -> None:
    reorder(data, "case_01", (2, 0, 1), (1,))
    masks = predicted(data, tmp_path / "theirs")
    page = scored(masks, data, tmp_path / "scores")
    assert page.count(SAID) == 4
    assert "The images are not at hand" not in page
    assert "Millimeters are equal in all directions" in page

    bare = scored(masks, data / "masks", tmp_path / "bare")
    assert bare.count(SAID) == 4
    assert "The images are not at hand: contours are on black." in bare

    api.compare(
        [f"a={tmp_path / 'scores'}", f"b={scored_again(data, tmp_path)}"], metrics="dice", out=tmp_path / "both"
    )
    both = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    assert both.count(SAID) >= 4


def scored_again(data: Path, tmp_path: Path) -> Path:
    scored(data / "masks", data, tmp_path / "perfect")
    return tmp_path / "perfect"


def test_what_is_gone_is_said(data: Path, tmp_path: Path) -> None:
    masks = predicted(data, tmp_path / "theirs")
    scored(masks, data, tmp_path / "scores")
    overlays = Overlays.find(ScoresFile.read(tmp_path / "scores"))
    assert overlays.volumes
    (data / "images" / "case_00.nii.gz").write_bytes(b"damaged")
    assert "<img" not in overlays.picture("case_00")
    assert "case_00" in overlays.picture("case_00")
    assert "<img" in overlays.picture("case_01")
    shutil.rmtree(masks)
    write_evaluation_report(tmp_path / "scores", None)
    assert SAID not in (tmp_path / "scores" / "report.html").read_text(encoding="utf-8")


def test_ct_in_dicom_is_pictured_within_a_window_of_soft_tissue(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    values = np.full((20, 18, 6), 40, np.int16)
    values[:6], values[-6:] = -1000, 1500
    (image,) = scan(write_series(tmp_path / "ct", values, spacing=(1, 1, 1))).addresses
    mask = tmp_path / "mask.nii.gz"
    write_volume_image(mask, np.zeros(values.shape, np.uint8), read_geometry(image))
    table = ClassTable(labels=LabelRule(values={0: 0, 1: 1}))
    picture = volume_picture(image, mask, LabelRule(values={0: 0, 1: 1}), table, None, None)
    for gray in (0, 128, 255):
        assert (picture == gray).all(-1).mean() > 0.1
