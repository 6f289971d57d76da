"""DICOM files that are given one by one, as `study/*.dcm` gives them, are put together to series as a folder's are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from delineate.artefact.format import Artefact
from delineate.cli.root import app
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.registry import open_image
from delineate.inference.files import predict_files
from delineate.inference.inputs import expand
from delineate.inference.predictor import Predictor
from micro_method import brightness
from scanner import noise, oblique, patient, save, set_pixels, uid, write_enhanced, write_series

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
SHAPE = (12, 10, 8)
VOXELS = noise(SHAPE)


def predictor() -> Predictor:
    return Predictor(Artefact(brightness(1, 1), InputSpec(size=(12, 10), channels="gray"), ClassTable()), "cpu")


def slices_of(folder: Path) -> list[Path]:
    """Files in the order of their slices."""
    return sorted(folder.iterdir(), key=lambda file: float(pydicom.dcmread(file).InstanceNumber))


def test_a_pattern_and_a_list_give_the_series_of_the_folder(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "study", VOXELS, suffix=".dcm")
    files = sorted(folder.iterdir())
    whole = expand([folder])
    assert expand([f"{folder}/*.dcm"]) == expand(files) == expand([*files[3:], *files[:5]]) == whole
    done = predict_files(predictor(), files, tmp_path / "out")
    assert [file.depth for file in done.files] == [SHAPE[2]]
    expected = predict_files(predictor(), [folder], tmp_path / "other")
    read = [open_image(each.folder / "case_0001.seg.dcm").read() for each in (done, expected)]
    assert np.array_equal(*read)


def test_series_and_orientations_are_told_apart(tmp_path: Path) -> None:
    for name, direction in (("a", np.eye(3)), ("b", oblique())):

        def change(image: Any, at: int, name: str = name) -> None:
            image.SOPInstanceUID = uid(name, at)

        write_series(tmp_path / "s", VOXELS, suffix=f".{name}.dcm", direction=direction, series="one", change=change)
    write_series(tmp_path / "s", VOXELS[:, :, :5], suffix=".c.dcm", series="two")
    enhanced = write_enhanced(tmp_path / "s" / "e.dcm", VOXELS)
    picture = patient("us", "US", "UltrasoundImageStorage")
    set_pixels(picture, np.zeros((12, 10), np.uint8))
    save(picture, tmp_path / "s" / "p.dcm", "us")
    notes: list[str] = []
    found = expand([f"{tmp_path}/s/*.dcm"], notes)
    assert sorted(found) == sorted(expand([tmp_path / "s"]))
    assert sorted(open_image(path).shape for path in found) == sorted([SHAPE, SHAPE, SHAPE, (12, 10, 5), (12, 10)])
    assert expand([enhanced])[0].name.startswith("e.dcm#series-")
    assert notes == []


def test_some_slices_are_a_series_of_these_and_told(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "study", VOXELS)
    files = slices_of(folder)
    notes: list[str] = []
    (path,) = expand(files[2:6], notes)
    address = DicomAddress.parse(path)
    assert address is not None
    assert address.slices == ((2, 5),)
    assert DicomAddress.parse(str(path)) == address
    image = open_image(path)
    assert np.array_equal(image.read(), VOXELS[:, :, 2:6])
    assert image.notes == ("4 of 8 slices",)
    assert notes == [f"4 of the 8 slices of {expand([folder])[0]} were given"]
    assert np.allclose(image.geometry.origin, (-90, -70, 20))
    done = predict_files(predictor(), files[2:6], tmp_path / "out", check=True)
    assert not done.failures
    mask = open_image(tmp_path / "out" / "case_0001.seg.dcm")
    assert mask.drawn(image.geometry, path).shape == (12, 10, 4)
    assert np.array_equal(open_image(expand(files[::2])[0]).read(), VOXELS[:, :, ::2])


def test_slices_missing_from_a_list_are_a_gap(tmp_path: Path) -> None:
    files = slices_of(write_series(tmp_path / "study", VOXELS))
    done = predict_files(predictor(), [*files[:3], *files[4:]], tmp_path / "out")
    (failure,) = done.failures
    assert "slices are 2.5 mm apart, but 5 mm after 20.00 mm; 1 slice may be missing" in str(failure.error)
    assert not (tmp_path / "out" / "case_0001.seg.dcm").exists()


def test_one_file_is_one_slice(tmp_path: Path) -> None:
    files = slices_of(write_series(tmp_path / "study", VOXELS))
    (path,) = expand([files[3]])
    assert path.name.startswith(f"{files[3].name}#series-")
    assert open_image(path).shape == (12, 10, 1)


def test_slices_of_two_stacks_that_only_together_are_told_apart(tmp_path: Path) -> None:
    """Each list makes a volume; the folder parts its slices otherwise."""

    def at_time(when: str) -> Any:
        def change(image: Any, at: int) -> None:
            image.TriggerTime, image.SOPInstanceUID = when, uid(when, at)

        return change

    for when in ("0", "50"):
        write_series(tmp_path / "s", VOXELS, series="one", suffix=f".{when}", change=at_time(when))
    first = [file for file in slices_of(tmp_path / "s") if file.name.endswith(".0")]
    second = [file for file in slices_of(tmp_path / "s") if file.name.endswith(".50")]
    assert len(expand([*first, *second])) == 2
    (path,) = expand(first)
    assert open_image(path).shape == SHAPE
    with pytest.raises(DataError, match=r"are slices of several stacks there; give the folder"):
        expand([*first[:4], *second[4:]])


def test_masks_in_a_list_are_left_out_and_scouts_too(tmp_path: Path) -> None:
    from dicom_results import balls, write_seg

    folder = write_series(tmp_path / "study", VOXELS, suffix=".dcm")
    write_seg(tmp_path / "study" / "mask.dcm", balls(SHAPE), folder)
    notes: list[str] = []
    (path,) = expand([f"{folder}/*.dcm"], notes)
    assert path.name.startswith("study#series-")
    assert notes == [f"1 DICOM file without an image left out: {folder}/mask.dcm is a segmentation, no image"]
    with pytest.raises(DataError, match=r"mask\.dcm is a segmentation, no image"):
        expand([folder / "mask.dcm", str(shutil.copy(folder / "mask.dcm", tmp_path / "again.dcm"))])


def twice(folder: Path, change: Any = None) -> tuple[Path, Path]:
    """One slice again, in another file."""
    file = slices_of(folder)[3]
    copy = file.with_name("copy.dcm")
    dataset = pydicom.dcmread(file)
    if change is not None:
        change(dataset)
    dataset.save_as(copy)
    return copy, file


def test_equal_copies_are_used_once(tmp_path: Path) -> None:
    def other_header(dataset: Any) -> None:
        dataset.StudyDescription = "sent again"

    folder = write_series(tmp_path / "study", VOXELS)
    twice(folder, other_header)
    (path,) = expand([f"{folder}/*"])
    image = open_image(path)
    assert np.array_equal(image.read(), VOXELS)
    assert image.notes == ("1 copies of slices are left out",)


@pytest.mark.parametrize("what", ["pixels", "place", "truncated"])
def test_different_files_of_one_instance_are_refused(tmp_path: Path, what: str) -> None:
    def change(dataset: Any) -> None:
        if what == "pixels":
            set_pixels(dataset, dataset.pixel_array + np.int16(1))
        elif what == "place":
            dataset.ImagePositionPatient = [0, 0, 99]
        else:
            dataset.PixelData = dataset.PixelData[:100]

    folder = write_series(tmp_path / "study", VOXELS)
    copy, file = twice(folder, change)
    names = sorted(str(each) for each in (copy, file))
    for given in ([folder], [f"{folder}/*"], slices_of(folder)[:5]):
        (path,) = expand(given)
        with pytest.raises(DataError, match="have the same instance UID, but other pixels or places") as caught:
            open_image(path)
        assert f"{names[0]} and {names[1]} have the same" in str(caught.value)


def test_a_file_is_no_data_set(tmp_path: Path) -> None:
    file = slices_of(write_series(tmp_path / "study", VOXELS))[0]
    result = CliRunner().invoke(app, ["data", "split", str(file), "--out", str(tmp_path / "split.json")])
    assert (
        "is a DICOM file; give the folder that holds its series and their masks" in f"{result.output}{result.exception}"
    )
