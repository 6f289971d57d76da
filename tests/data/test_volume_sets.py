"""Folders of volumes: checked, split and read as sets of pictures are, one line for each fault."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.doctor.check import check
from delineate.data.doctor.fingerprint import take_fingerprint
from delineate.data.doctor.fix import write_fixed
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data
from delineate.data.splits.folds import split_data
from delineate.data.splits.resplit import resplit
from delineate.report.pages.data_check import write_data_report
from small_volumes import write_volumes

nibabel = pytest.importorskip("nibabel")
Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def altered(path: Path, change: Change) -> None:
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(*change(np.asarray(image.dataobj), image.affine.copy())), path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_volumes(tmp_path_factory.mktemp("sound"), patients=8, depth=4)


def test_a_sound_set_is_ready(sound: Path, tmp_path: Path) -> None:
    report = check(sound)
    assert report.usable
    assert report.findings == []
    rows = dict(report.rows)
    assert (rows["layout"], rows["sizes"]) == ("volumes", "all 48×48")
    assert rows["slices"] == "32 across the axis feet-head, 4 in a volume"
    assert rows["voxels"] == "5 × 1 × 1 mm (slice × row × column, median)"
    with pytest.raises(DataError, match="--fix writes clean copies of pictures"):
        write_fixed(report, tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


FAULTS: dict[str, tuple[str, Change | None, str]] = {
    "not numbers": (
        "images",
        lambda voxels, affine: (np.where(voxels > 1000, voxels, np.nan).astype(np.float32), affine),
        r"case_00\.nii\.gz has voxels that are not numbers",
    ),
    "missing ones": (
        "images",
        lambda voxels, affine: (np.where(voxels > 1000, voxels, np.finfo(np.float32).min).astype(np.float32), affine),
        r"case_00\.nii\.gz has voxels that are not numbers",
    ),
    "elsewhere": (
        "masks",
        lambda voxels, affine: (voxels, affine + np.outer([9, 0, 0, 0], [0, 0, 0, 1])),
        r"lie up to 9 mm apart",
    ),
    "fewer slices": ("images", lambda voxels, affine: (voxels[..., 1:], affine), r"48×48×3 voxels but .*48×48×4"),
    "fractions": (
        "masks",
        lambda voxels, affine: (voxels.astype(np.float32) + 0.5, affine),
        r"is no label volume: it has 9216 voxels with fractions",
    ),
    "cut off": ("masks", None, r"case_00\.nii\.gz is damaged or truncated"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_a_line_and_the_others_are_read(fault: str, sound: Path, tmp_path: Path) -> None:
    folder, change, words = FAULTS[fault]
    shutil.copytree(sound, tmp_path / "set")
    path = tmp_path / "set" / folder / "case_00.nii.gz"
    if change is None:
        path.write_bytes(path.read_bytes()[:300])
    else:
        altered(path, change)
    report = check(tmp_path / "set")
    (line,) = [str(finding) for finding in report.findings if finding.severity == "error"]
    assert "\n" not in line
    with pytest.raises(DataError, match=words):
        raise DataError(line)
    assert report.manifest is not None
    assert [case.id for case in report.manifest.cases] == [f"case_{at:02d}" for at in range(1, 8)]
    if folder == "masks":
        with pytest.raises(DataError, match=words):
            open_data(tmp_path / "set", cache_folder=tmp_path / "cache")


def test_a_missing_package_is_one_line(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    assert [str(finding).count("pip install nibabel") for finding in check(sound).findings] == [1]


def test_notes_of_one_kind_are_one_line(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "set")
    for number, case in enumerate(sorted((tmp_path / "set" / "images").iterdir())[:5]):
        image = nibabel.load(case)
        if number < 3:
            moved = image.affine.copy()
            moved[0, 3] += 10 + number
            image.set_qform(moved, 1)
        else:
            image.set_sform(np.diag([-1.0, 1, 5, 1]), 0)
            image.set_qform(np.diag([-1.0, 1, 5, 1]), 0)
            nibabel.save(
                nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), None, image.header),
                tmp_path / "set/masks" / case.name,
            )
        nibabel.save(image, case)
    lines = [
        str(finding)
        for finding in check(tmp_path / "set").findings
        if "places" in str(finding) or "axes go" in str(finding)
    ]
    assert len(lines) == 2
    assert "up to 10 mm apart" in lines[0]
    assert lines[0].endswith("(2 more files are like this)")
    assert lines[1].endswith("(1 more file is like this)")


def test_a_volume_in_two_splits_and_one_of_a_single_value_are_told(sound: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sound, tmp_path / "set"))
    shutil.copy(root / "images" / "case_00.nii.gz", root / "images" / "case_07.nii.gz")
    altered(root / "images" / "case_01.nii.gz", lambda voxels, affine: (np.full_like(voxels, 7), affine))
    for split, numbers in {"train": range(6), "val": [6], "test": [7]}.items():
        (root / f"{split}.txt").write_text("".join(f"case_{at:02d}\n" for at in numbers))
    report = check(root)
    texts = [str(finding) for finding in report.findings]
    assert any("1 picture is in more than one split" in text and "case_00 (train) = case_07" in text for text in texts)
    assert report.constant == ["case_01"]
    page = write_data_report(report, tmp_path / "page.html").read_text()
    assert page.count("data:image") == 3
    manifest, _ = open_data(root, cache_folder=tmp_path / "cache")
    assert any("more than one split" in leak for leak in manifest.leaks or ())


def test_layouts_of_other_tools_are_read(sound: Path, tmp_path: Path) -> None:
    root = tmp_path / "Dataset007"
    for folder, name in (("imagesTr", "images"), ("labelsTr", "masks")):
        shutil.copytree(sound / name, root / folder)
    for path in list((root / "imagesTr").iterdir()):
        path.rename(path.with_name(path.name.replace(".nii.gz", "_0000.nii.gz")))
    shutil.copytree(sound / "images", root / "imagesTs")
    for path in list((root / "imagesTs").iterdir()):
        path.rename(path.with_name(f"t{path.name}"))
    (root / "dataset.json").write_text('{"labels": {"background": 0, "liver": 1, "spleen": 2, "kidney": 3}}')
    manifest, census = open_data(root, cache_folder=tmp_path / "cache")
    assert manifest.classes.names == ("background", "liver", "spleen", "kidney")
    assert (manifest.cases[0].id, manifest.cases[0].images) == ("case_00", ("imagesTr/case_00_0000.nii.gz",))
    assert manifest.notes == ("folders that are not used: imagesTs (images without masks; `predict` takes the folder)",)
    assert (
        open_data(DataSource(root, images="imagesTr", masks="labelsTr"), cache_folder=tmp_path)[0].cases
        == manifest.cases
    )
    lines = [f"imagesTr/case_{at:02d}_0000.nii.gz,labelsTr/case_{at:02d}.nii.gz\n" for at in range(8)]
    (root / "table.csv").write_text("image,mask\n" + "".join(lines))
    table, _ = open_data(root / "table.csv", cache_folder=tmp_path / "cache")
    assert {case.spacing for case in table.cases} == {(5.0, 1.0, 1.0)}
    assert census.axis == 2


def test_a_plan_is_made_from_slices(sound: Path, tmp_path: Path) -> None:
    manifest, census = open_data(sound, cache_folder=tmp_path / "cache")
    found = take_fingerprint(manifest, census, InputSpec(channels="gray", axis=2))
    assert (found.cases, found.sampled, found.median_size, found.spacing) == (6, 24, (48, 48), (5.0, 1.0, 1.0))
    pixels = sum(one.pixels.get(2, 0) for one in census.samples(manifest.split("train"), manifest.labels))
    assert found.class_share[2] == pytest.approx(pixels / (24 * 48 * 48), abs=1e-5)


def test_pictures_beside_volumes_are_what_is_named(sound: Path, make_pairs: Any) -> None:
    root = make_pairs([f"p{at}" for at in range(6)])
    shutil.copytree(sound / "images", root / "imagesTr")
    shutil.copytree(sound / "masks", root / "labelsTr")
    assert len(DataSource(root).manifest().cases) == 6
    named = DataSource(root, images="imagesTr", masks="labelsTr").manifest()
    assert (named.layout, len(named.cases)) == ("volumes", 8)


def test_folds_and_labeled_shares_keep_volumes_whole(sound: Path, tmp_path: Path) -> None:
    dealt = split_data(DataSource(sound), folds=2, test_fraction=0.25).manifest
    assert sorted(case.fold for case in dealt.cases if case.fold is not None) == [0, 0, 0, 1, 1, 1]
    dealt.save(tmp_path / "folds.json")
    assert len(open_data(tmp_path / "folds.json", fold=1, cache_folder=tmp_path / "cache")[0].split("val")) == 3
    shared = resplit(DataSource(sound), labeled=0.5).manifest
    shared.save(tmp_path / "few.json")
    manifest, census = open_data(tmp_path / "few.json", cache_folder=tmp_path / "cache")
    bare = [case for case in manifest.split("train") if not case.masks]
    assert len(bare) == 3
    samples = census.samples(bare, manifest.labels)
    cache = open_cache(manifest, samples, InputSpec(size=(16, 16)), Store.at(tmp_path), axis=census.axis)
    assert len(cache) == 12
    assert (np.asarray(cache.masks) == 255).all()
