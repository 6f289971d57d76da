"""Scores between segmentations, structure sets and NIfTI: by place in the patient, the same whatever holds the masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import delineate
from delineate.common.errors import DataError
from delineate.data.formats.registry import write_mask
from dicom_results import balls, opened, write_rtstruct, write_seg
from scanner import noise, oblique, write_series

SHAPE = (14, 11, 7)


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of one mask each: the reference and a prediction, which marks other slices, in each format."""
    folder = tmp_path_factory.mktemp("masks")
    series = write_series(folder / "ct", noise(SHAPE), direction=oblique())
    reference = balls(SHAPE)
    reference[:, :, [1, 2]] = 0
    predicted = balls(SHAPE)
    predicted[:, :, [4, 5]] = 0
    grid = opened(series).geometry
    for name, mask in (("reference", reference), ("predicted", predicted)):
        for kind in ("seg", "labelmap", "rtstruct", "nifti"):
            (folder / kind / name).mkdir(parents=True)
        write_seg(folder / "seg" / name / "case_0001.seg.dcm", mask, series)
        write_seg(folder / "labelmap" / name / "case_0001.seg.dcm", mask, series, "labelmap")
        write_rtstruct(folder / "rtstruct" / name / "case_0001.rtstruct.dcm", mask, series)
        write_mask(folder / "nifti" / name / "case_0001.nii.gz", mask, like=grid)
    return {kind: folder / kind for kind in ("seg", "labelmap", "rtstruct", "nifti")}


def scores(masks: dict[str, Path], one: str, other: str, out: Path) -> list[float]:
    done = delineate.evaluate(masks[one] / "predicted", masks[other] / "reference", out=out, metrics=["dice"])
    assert [row.label for row in done.rows] == [1, 2, 3]
    assert all(row.tp and row.fp and row.fn for row in done.rows)
    return [value for row in done.rows for value in (row.tp, row.fp, row.fn, row.scores["dice"])]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("seg", "nifti"),
        ("nifti", "seg"),
        ("rtstruct", "nifti"),
        ("seg", "rtstruct"),
        ("rtstruct", "seg"),
        ("labelmap", "seg"),
    ],
)
def test_scores_are_those_of_nifti(tmp_path: Path, masks: dict[str, Path], one: str, other: str) -> None:
    expected = scores(masks, "nifti", "nifti", tmp_path / "a")
    found = scores(masks, one, other, tmp_path / "b")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_two_structure_sets_have_no_grid(tmp_path: Path, masks: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="have no grid in common"):
        scores(masks, "rtstruct", "rtstruct", tmp_path / "out")
