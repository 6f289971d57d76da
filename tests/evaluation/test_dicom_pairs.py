"""DICOM masks are paired by the images that they refer to, and their classes by labels, whatever files are called and numbered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import pydicom

import delineate
from delineate.common.errors import DataError
from dicom_results import balls, write_fractions, write_rtstruct, write_seg
from scanner import noise, write_series

SHAPE = (14, 11, 7)
CASES = 3


def mask(at: int) -> NDArray[np.uint8]:
    return np.roll(balls(SHAPE), at, 0)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("series")
    return [write_series(folder / f"s{at}", noise(SHAPE, seed=at)) for at in range(CASES)]


def write(file: Path, values: NDArray[np.uint8], series: Path, kind: str = "binary") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return write_rtstruct(file, values, series) if kind == "rtstruct" else write_seg(file, values, series, kind)  # type: ignore[arg-type]


def dice(predictions: Path, references: Path, out: Path) -> tuple[list[float], list[str]]:
    """Of all classes and cases, and what was noted."""
    done = delineate.evaluate(predictions, references, out=out, metrics=["dice"])
    return [row.scores["dice"] for row in done.rows], list(done.notes)


@pytest.mark.parametrize("kind", ["binary", "labelmap", "rtstruct"])
@pytest.mark.parametrize("deep", [False, True])
def test_names_need_not_agree(tmp_path: Path, series: list[Path], kind: str, deep: bool) -> None:
    for at in range(CASES):
        write(tmp_path / "masks" / f"case_000{CASES - at}.seg.dcm", mask(at), series[at])
        name = f"p{at}/1.dcm" if deep else f"IM{at}"
        write(tmp_path / "references" / name, mask(at), series[at], kind)
    found, notes = dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")
    assert found == [1.0] * 9
    (told,) = [note for note in notes if "paired" in note]
    assert "by the DICOM images that they refer to" in told
    assert told.endswith(("names of files do not agree.", "names of files contradict."))
    assert told in json.loads((tmp_path / "out" / "scores.json").read_text())["notes"]


def test_names_that_contradict_the_images_are_not_followed(tmp_path: Path, series: list[Path]) -> None:
    for at in range(CASES):
        write(tmp_path / "masks" / f"case_{(at + 1) % CASES}.seg.dcm", mask(at), series[at])
        write(tmp_path / "references" / f"case_{at}.seg.dcm", mask(at), series[at])
    found, notes = dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")
    assert found == [1.0] * 9
    assert any("which names of files contradict." in note for note in notes)


def test_names_that_agree_are_followed_without_a_word(tmp_path: Path, series: list[Path]) -> None:
    for at in range(CASES):
        write(tmp_path / "masks" / f"a_{at}.seg.dcm", mask(at), series[at])
        write(tmp_path / "references" / f"a_{at}.seg.dcm", mask(at), series[at])
    found, notes = dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")
    assert found == [1.0] * 9
    assert not [note for note in notes if "paired" in note]


def test_predictions_of_a_set_numbered_otherwise(tmp_path: Path, series: list[Path]) -> None:
    """`predict` numbers what it was given, a data set its own cases."""
    for at in range(CASES):
        shutil.copytree(series[at], tmp_path / "set" / f"p{at}" / "ct")
        write(tmp_path / "set" / f"p{at}" / "seg.dcm", mask(at), tmp_path / "set" / f"p{at}" / "ct", "labelmap")
        write(tmp_path / "masks" / f"case_000{CASES - at}.seg.dcm", mask(at), series[at])
    found, _ = dice(tmp_path / "masks", tmp_path / "set", tmp_path / "out")
    assert found == [1.0] * 9


def test_two_predictions_of_one_series_are_refused(tmp_path: Path, series: list[Path]) -> None:
    for at in range(CASES):
        write(tmp_path / "references" / f"{at}.seg.dcm", mask(at), series[at])
    for name, at in (("x", 0), ("y", 0), ("z", 1)):
        write(tmp_path / "masks" / f"{name}.seg.dcm", mask(at), series[at])
    with pytest.raises(
        DataError, match=r"x\.seg\.dcm and .*y\.seg\.dcm are both predictions of the same images \('0'\); keep one"
    ):
        dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")


def test_a_prediction_of_other_images_is_refused(tmp_path: Path, series: list[Path]) -> None:
    for at in range(2):
        write(tmp_path / "references" / f"{at}.seg.dcm", mask(at), series[at])
    for name, at in (("x", 0), ("y", 2)):
        write(tmp_path / "masks" / f"{name}.seg.dcm", mask(at), series[at])
    with pytest.raises(DataError, match=r"y\.seg\.dcm: of images that no reference is of"):
        dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")


def test_two_references_of_one_series_are_told_apart_by_name_alone(tmp_path: Path, series: list[Path]) -> None:
    for name in ("left", "right"):
        write(tmp_path / "references" / f"{name}.seg.dcm", mask(0), series[0])
        write(tmp_path / "masks" / f"{name}.seg.dcm", mask(0), series[0])
    assert dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")[0] == [1.0] * 6
    (tmp_path / "masks" / "left.seg.dcm").rename(tmp_path / "masks" / "other.seg.dcm")
    with pytest.raises(DataError, match=r"is of the images of several references \(left, right\)"):
        dice(tmp_path / "masks", tmp_path / "references", tmp_path / "again")


def renumbered(file: Path, numbers: dict[int, int]) -> None:
    dataset = pydicom.dcmread(file)
    for item in dataset.SegmentSequence:
        item.SegmentNumber = numbers[item.SegmentNumber]
    for group in dataset.PerFrameFunctionalGroupsSequence:
        item = group.SegmentIdentificationSequence[0]
        item.ReferencedSegmentNumber = numbers[item.ReferencedSegmentNumber]
    dataset.save_as(file)


def labeled(file: Path, *labels: str) -> None:
    dataset = pydicom.dcmread(file)
    for item, label in zip(dataset.SegmentSequence, labels, strict=False):
        item.SegmentLabel = label
    dataset.save_as(file)


@pytest.mark.parametrize("side", ["masks", "references"])
def test_classes_are_matched_by_label(tmp_path: Path, series: list[Path], side: str) -> None:
    for at in range(CASES):
        for folder in ("masks", "references"):
            write(tmp_path / folder / f"a_{at}.seg.dcm", mask(at), series[at])
    renumbered(tmp_path / side / "a_1.seg.dcm", {1: 3, 2: 1, 3: 2})
    assert dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")[0] == [1.0] * 9


def test_labels_that_differ_are_told_or_refused(tmp_path: Path, series: list[Path]) -> None:
    for folder in ("masks", "references"):
        write(tmp_path / folder / "a.seg.dcm", mask(0), series[0])
    labeled(tmp_path / "masks" / "a.seg.dcm", "Leber", "Niere", "Ding")
    found, notes = dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")
    assert found == [1.0] * 3
    assert (
        "The prediction of case_0001 has other labels than the references' (Leber, Niere, Ding), taken by their numbers."
        in notes
    )
    labeled(tmp_path / "masks" / "a.seg.dcm", "liver", "Niere", "thing")
    with pytest.raises(DataError, match="has the labels Niere, which no reference has"):
        dice(tmp_path / "masks", tmp_path / "references", tmp_path / "again")


def test_fractions_are_told_and_thresholded(tmp_path: Path, series: list[Path]) -> None:
    for folder, most in (("masks", 200), ("references", 255)):
        (tmp_path / folder).mkdir()
        write_fractions(tmp_path / folder / "a.seg.dcm", series[0], most)
    found, notes = dice(tmp_path / "masks", tmp_path / "references", tmp_path / "out")
    assert found == [1.0]
    rule = "a voxel is a segment's where it has at least half of that."
    assert f"The prediction of case_0001 holds fractions (PROBABILITY, up to 200): {rule}" in notes
    assert f"The reference of case_0001 holds fractions (PROBABILITY, up to 255): {rule}" in notes
