"""One object for each class, as many archives export masks: joined where classes differ, refused where they overlap or are there
twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import pydicom

from delineate.api import evaluate
from delineate.common.errors import DataError
from delineate.data.cases.volumes import volume_mask
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.check import check
from delineate.data.formats.canonical import Canonical
from delineate.data.formats.dicom_masks.address import MaskAddress
from delineate.data.formats.dicom_masks.segmentation import write_segmentation
from delineate.data.formats.dicom_masks.sources import read_sources
from delineate.data.formats.dicom_masks.structure_set import write_structure_set
from delineate.data.formats.registry import open_image
from delineate.data.layouts.source import DataSource
from dicom_results import MADE_BY, NAMES, balls, opened, segments, write_seg
from scanner import noise, oblique, write_series

SHAPE = (14, 11, 7)


def write_one(file: Path, mask: NDArray[Any], series: Path, name: str, kind: str = "binary") -> Path:
    """An object of one class: where `mask` is not 0."""
    image = opened(series)
    assert image.geometry is not None
    sources = read_sources([(frame.path, frame.index) for frame in image.frames])
    planes = np.ascontiguousarray(image.as_frames((mask != 0).astype(np.uint8)))
    file.parent.mkdir(parents=True, exist_ok=True)
    if kind == "rtstruct":
        write_structure_set(file, planes, sources, image.geometry, segments((name,)), MADE_BY)
    else:
        write_segmentation(file, planes, sources, segments((name,)), MADE_BY, kind=kind, distance=2.5)  # type: ignore[arg-type]
    return file


def write_set(root: Path) -> Path:
    """Three series; the classes of the first two are in objects of their own, of all kinds, and numbered 1 in each."""
    for at in range(3):

        def own(image: Any, _: int, at: int = at) -> None:
            image.PatientID = f"X{at}"

        turned = {"direction": oblique()} if at else {}
        series = write_series(root / f"p{at}" / "ct", noise(SHAPE, seed=at), change=own, **turned)
        if at == 2:
            write_seg(root / "p2" / "all.dcm", balls(SHAPE), series)
            continue
        for number, kind in enumerate(("rtstruct", "labelmap", "binary"), 1):
            write_one(root / f"p{at}" / f"{3 - number}.dcm", balls(SHAPE) == number, series, NAMES[number - 1], kind)
    return root


def errors(root: Path, **options: Any) -> list[str]:
    return [str(one) for one in check(DataSource(root, **options)).findings if one.severity == "error"]


def test_objects_of_different_classes_are_one_mask(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    report = check(root)
    assert report.usable, report.findings
    told = [one.text for one in report.findings]
    assert (
        "2 series have their classes in several files, which are joined: p0/0.dcm + p0/1.dcm + p0/2.dcm, "
        in "".join(told)
    )
    manifest = report.manifest
    assert manifest is not None
    assert sorted(manifest.classes.names[1:]) == sorted(NAMES)
    assert_truth(manifest)
    manifest.save(tmp_path / "manifest.json")
    shutil.move(root, tmp_path / "moved")
    again = Manifest.load(tmp_path / "manifest.json").model_copy(update={"root": str(tmp_path / "moved")})
    assert_truth(again)
    (tmp_path / "moved" / "p0" / "2.dcm").write_bytes((tmp_path / "moved" / "p1" / "2.dcm").read_bytes())
    with pytest.raises(DataError, match=r"has changed|of a series that is not"):
        volume_mask(again, again.cases[0])


def assert_truth(manifest: Manifest) -> None:
    index = [0, *(manifest.classes.names.index(name) for name in NAMES)]
    for case in manifest.cases:
        turn = Canonical(open_image(manifest.path(case.images[0]))).turn
        assert np.array_equal(volume_mask(manifest, case), turn.apply(np.array(index, np.uint8)[balls(SHAPE)])), case


def test_background_is_left_out_of_joined_masks(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    names = {name: at for at, name in enumerate(check(root).manifest.classes.names)}  # type: ignore[union-attr]
    table = ",".join(f"{at}={'background' if name == 'thing' else name}" for name, at in names.items() if at)
    manifest = check(DataSource(root, labels=table)).manifest
    assert manifest is not None
    assert "thing" not in manifest.classes.names
    for case in manifest.cases:
        assert set(np.unique(volume_mask(manifest, case))) == {0, 1, 2}


def test_overlap_of_classes_is_refused_with_names_and_place(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    mask = np.zeros(SHAPE, np.uint8)
    mask[np.nonzero(balls(SHAPE) == 1)] = 1
    x, y, z = np.argwhere(mask)[0]
    mask[:] = 0
    mask[x, y, z] = 1
    write_one(root / "p0" / "extra.dcm", mask, root / "p0" / "ct", "cyst")
    line = errors(root)[0]
    assert "'cyst' (" in line
    assert f"overlap in 1 voxel, the first is ({x}, {y}, {z}) at {-90 + 0.8 * x:.1f}, " in line
    assert "extra.dcm" in line
    assert "2.dcm" in line
    assert "\n" not in line


def test_a_class_in_two_objects_is_refused(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    write_one(root / "p1" / "second_reader.dcm", balls(SHAPE) == 2, root / "p1" / "ct", "Left_Kidney")
    (line,) = errors(root)
    assert line.startswith("p1/1.dcm and p1/second_reader.dcm both hold the class 'left kidney' of p1/ct#series-")
    assert "say which are meant: --masks with" in line
    assert not errors(root, masks="[0-9a]*.dcm")


def test_left_and_right_of_one_label_are_one_class(tmp_path: Path) -> None:
    series = write_series(tmp_path / "ct", noise(SHAPE))
    for number, side in enumerate(("left kidney", "right kidney"), 1):
        file = write_one(tmp_path / f"{number}.dcm", balls(SHAPE) == number, series, side)
        dataset = pydicom.dcmread(file)
        dataset.SegmentSequence[0].SegmentLabel = "kidney"
        dataset.save_as(file)
    manifest = check(tmp_path).manifest
    assert manifest is not None
    assert manifest.classes.names == ("background", "kidney")
    turn = Canonical(open_image(manifest.path(manifest.cases[0].images[0]))).turn
    truth = np.isin(balls(SHAPE), (1, 2))
    assert np.array_equal(volume_mask(manifest, manifest.cases[0]), turn.apply(truth.astype(np.uint8)))


def test_labels_that_tell_nothing_need_codes(tmp_path: Path) -> None:
    series = write_series(tmp_path / "ct", noise(SHAPE))
    for number in (1, 2):
        file = write_one(tmp_path / f"{number}.dcm", balls(SHAPE) == number, series, NAMES[number - 1])
        dataset = pydicom.dcmread(file)
        dataset.SegmentSequence[0].SegmentLabel = "Segment_1"
        dataset.save_as(file)
    (line,) = [line for line in errors(tmp_path) if "both hold" in line]
    assert line.endswith("or tell classes with --codes")
    (tmp_path / "codes.yaml").write_text("liver: {type: [10200004, SCT, L]}\nkidney: {type: [64033007, SCT, K]}")
    manifest = check(DataSource(tmp_path, codes=str(tmp_path / "codes.yaml"))).manifest
    assert manifest is not None
    assert manifest.classes.names == ("background", "liver", "kidney")


@pytest.mark.parametrize("kind", ["binary", "labelmap", "rtstruct"])
def test_both_sides_of_an_evaluation_are_joined(tmp_path: Path, kind: str) -> None:
    series = write_series(tmp_path / "ct", noise(SHAPE), direction=oblique())
    whole = write_seg(tmp_path / "whole" / "a.dcm", balls(SHAPE), series)
    for number, name in enumerate(NAMES, 1):
        write_one(tmp_path / "apart" / f"{name}.dcm", balls(SHAPE) == number, series, name, kind)
    for at, (predictions, references) in enumerate((("apart", "whole"), ("whole", "apart"))):
        scored = evaluate(tmp_path / predictions, tmp_path / references, metrics=["dice"], out=tmp_path / f"s{at}")
        assert [row.scores["dice"] for row in scored.rows] == [1.0] * 3
    assert whole.exists()
    write_one(tmp_path / "apart" / "again.dcm", balls(SHAPE) == 1, series, "liver", kind)
    with pytest.raises(DataError, match=r"again\.dcm and .*liver\.dcm both hold the class 'liver' of the same images"):
        evaluate(tmp_path / "apart", tmp_path / "whole", metrics=["dice"], out=tmp_path / "s3")


def test_addresses_of_several_files() -> None:
    address = MaskAddress(
        Path("a/li#+ver.dcm"), "0123456789", {1: 2}, Path("ct"), ((Path("b/tu:m@r.dcm"), {1: 3, 4: 5}),)
    )
    assert MaskAddress.parse(str(address)) == address
    assert [file.name for file in address.files] == ["li#+ver.dcm", "tu:m@r.dcm"]
    other = address.becoming({3: 1})
    assert (other.values, other.more[0][1]) == ({0: 0}, {1: 1})
