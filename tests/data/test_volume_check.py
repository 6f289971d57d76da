"""What `data check` says of volumes, for the set and for those that stand out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.data.doctor.check import CheckReport, check
from delineate.report.pages.data_check import write_data_report
from small_volumes import reorder, write_volumes

nibabel = pytest.importorskip("nibabel")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_volumes(tmp_path / "set", patients=7, depth=4)


def altered(root: Path, number: int, *, spacing: tuple[float, ...] | None = None, values: Any = None) -> None:
    """Change one case: the spacing of both files, or the voxels of its image."""
    for folder in ("images", "masks"):
        path = root / folder / f"case_{number:02d}.nii.gz"
        stored = nibabel.load(path)
        voxels = np.asarray(stored.dataobj)
        voxels = voxels if values is None or folder == "masks" else values(voxels)
        nibabel.save(nibabel.Nifti1Image(voxels, stored.affine if spacing is None else np.diag([*spacing, 1.0])), path)


def texts(report: CheckReport) -> list[str]:
    return [f"{finding.severity}: {finding}" for finding in report.findings]


def test_rows_tell_size_spacing_orientation_and_values(root: Path, tmp_path: Path) -> None:
    reorder(root, "case_01", (2, 0, 1), (0,))
    report = check(root)
    rows = dict(report.rows)
    assert rows["volume sizes"] == "48 × 48 × 4 voxels (right-left, back-front, feet-head)"
    assert rows["spacing"] == "1 × 1 × 5 mm in the same order; widest / narrowest 5"
    assert rows["orientation"] == "6 RAS, 1 SLA"
    assert rows["values"].startswith("all int16; ")
    assert texts(report) == [
        "note: volumes are stored in 2 orientations: 6 in RAS, SLA: case_01; all are seen in one, and masks are written in each "
        "file's own"
    ]
    page = write_data_report(report, tmp_path / "page.html").read_text()
    assert "7 volumes" in page
    assert page.count("48×48×4") == 7
    assert "SLA" in page


def test_a_spacing_far_from_the_others_is_told_with_figures(root: Path) -> None:
    altered(root, 3, spacing=(1, 1, 1.2))
    told = texts(check(root))
    assert any(
        "warning: 1 volume has a spacing far from the others' 1 × 1 × 5 mm: case_03 (1 × 1 × 1.2 mm)" in text
        for text in told
    )
    assert any("note: 1 volume shows far more or less than the others" in text for text in told)


def test_a_set_that_varies_throughout_has_no_exceptions(root: Path) -> None:
    for number in range(4):
        altered(root, number, spacing=(1, 1, 1.2))
    assert not any("far from" in text for text in texts(check(root)))


def test_slices_within_which_a_volume_is_coarse_are_told(root: Path) -> None:
    altered(root, 2, spacing=(4, 1, 1))
    told = texts(check(root))
    assert any(
        "slices are cut across the axis feet-head, but 1 volume has its widest spacing along another: case_02" in text
        for text in told
    )


def test_values_of_another_scale_and_shifted_ones_are_told(root: Path) -> None:
    for number in range(7):
        altered(root, number, values=lambda voxels: voxels - 1900)
    altered(root, 4, values=lambda voxels: voxels.astype(np.int32) + 1900)
    altered(root, 5, values=lambda voxels: voxels.astype(np.float32) * 100)
    told = texts(check(root))
    assert any(
        "1 volume has no values below -10, but 6 others go below -500" in text and "case_04" in text for text in told
    )
    assert any("1 volume has values of another scale than the others" in text and "case_05" in text for text in told)
    assert dict(check(root).rows)["values"].startswith("5 int16, 1 int32, 1 float32; ")


def test_a_channel_of_one_value_and_a_damaged_one_are_told(root: Path, tmp_path: Path) -> None:
    """The first channel is what pages show; the others are decoded, too."""
    lines = ["image_T1,image_T2,mask\n"]
    for number in range(7):
        stored = nibabel.load(root / "images" / f"case_{number:02d}.nii.gz")
        voxels = np.asarray(stored.dataobj) * (0 if number == 3 else 2)
        nibabel.save(nibabel.Nifti1Image(voxels, stored.affine), root / "images" / f"case_{number:02d}_T2.nii.gz")
        name = f"images/case_{number:02d}"
        lines.append(f"{name}.nii.gz,{name}_T2.nii.gz,masks/case_{number:02d}.nii.gz\n")
    (root / "table.csv").write_text("".join(lines))
    report = check(root / "table.csv")
    assert "warning: 1 volume has one value throughout T2: case_03; restore or remove them" in texts(report)
    assert "; T2: " in dict(report.rows)["values"]
    path = root / "images" / "case_05_T2.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])
    (line,) = [text for text in texts(check(root / "table.csv")) if text.startswith("error")]
    assert "case_05_T2.nii.gz is damaged or truncated" in line


def test_pictures_have_no_such_rows(make_pairs: Any) -> None:
    assert not {"orientation", "values", "volume sizes"} & dict(check(make_pairs(["a", "b", "c", "d"])).rows).keys()
