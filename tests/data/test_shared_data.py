"""The data room on real data sets, where they are at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.data.doctor.check import check
from delineate.data.formats.registry import read_image
from delineate.data.loading.open_data import open_data

pytestmark = pytest.mark.data

EXPECTED = {
    "ACDC-slices": (588, 396, 100, 92, 4),
    "BUSI": (780, 546, 78, 156, 2),
    "CHASE_DB1": (28, 18, 2, 8, 2),
    "DSB2018": (664, 530, 67, 67, 2),
    "Kvasir-SEG": (1000, 800, 100, 100, 2),
    "Montgomery-CXR": (138, 98, 13, 27, 2),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_sets_with_lists(shared_data: Path, name: str) -> None:
    manifest, census = open_data(shared_data / name)
    splits = Counter(case.split for case in manifest.cases)
    found = (len(manifest.cases), splits["train"], splits["val"], splits["test"], len(manifest.classes.names))
    assert found == EXPECTED[name]
    assert len(census.empty) == {"BUSI": 133, "ACDC-slices": 20}.get(name, 0)


def test_groups_of_acdc_are_its_patients(shared_data: Path) -> None:
    manifest, _ = open_data(shared_data / "ACDC-slices")
    assert {case.group for case in manifest.cases} == {case.id[:10] for case in manifest.cases}


@pytest.mark.slow
def test_duplicates_across_the_splits_of_isic_2017(shared_data: Path) -> None:
    report = check(shared_data / "ISIC2017")
    assert report.usable
    assert any(finding.severity == "warning" and finding.text.startswith("4 pictures") for finding in report.findings)
    assert len([members for members in report.duplicates.exact if len({case.split for case in members}) > 1]) == 4
    # Two photographs of one lesion with different zoom (seen by eye).
    assert {"test_0214", "train_1114"} in [{pair.first, pair.second} for pair in report.duplicates.across()]


def test_duplicates_and_empty_masks_of_busi(shared_data: Path) -> None:
    report = check(shared_data / "BUSI")
    assert dict(report.rows)["empty masks"].startswith("133 (")
    assert [{case.id for case in members} for members in report.duplicates.exact] == [{"benign_433", "malignant_145"}]
    assert len(report.duplicates.near) > 200
    assert len(report.duplicates.across()) > 90


def test_pictures_of_one_kind_are_no_duplicates(shared_data: Path) -> None:
    for name in ("Montgomery-CXR", "CHASE_DB1"):
        assert check(shared_data / name).duplicates.near == ()


def test_volumes_are_a_data_set_like_others(shared_data: Path, tmp_path: Path) -> None:
    manifest, census = open_data(shared_data / "MSD-Hippocampus", cache_folder=tmp_path)
    assert [len(manifest.split(name)) for name in ("train", "val", "test")] == [54, 6, 12]
    assert (census.axis, manifest.leaks) == (2, ())


def test_jpeg_noised_masks(shared_data: Path) -> None:
    manifest, _ = open_data(shared_data / "IO-samples" / "kvasir_native")
    assert manifest.labels.threshold == 128
    assert "gray pixels" in manifest.labels.reason


def test_odd_tiffs(shared_data: Path) -> None:
    samples = shared_data / "IO-samples"
    assert read_image(samples / "odd_tif" / "lgg_12.tif").shape == (256, 256, 3)
    assert read_image(samples / "stardist_tif" / "img2d.tif").dtype == "uint16"
    with pytest.raises(DataError, match="is a volume, and a picture is needed here"):
        read_image(samples / "stardist_tif" / "img3d.tif")
