"""Slides in DICOM: pixels, sizes and micrometers, in full and sparse tiles, as openslide reads them; faults in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from delineate.common.errors import DataError
from delineate.data.formats.dicom.address import DicomAddress
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.registry import open_image
from delineate.inference.inputs import find_inputs
from slides_made import dicom_slide, halved, tissue

IMAGE = tissue(300, 420)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dicom")
    forms: dict[str, dict[str, Any]] = {"raw": {}, "jpeg": {"packed": "jpeg"}, "j2k": {"packed": "j2k"}}
    forms["sparse"] = {"sparse": True, "absent": [(128, 256)]}
    return {name: dicom_slide(folder / name, IMAGE, **form) for name, form in forms.items()}


@pytest.mark.parametrize("name", ["raw", "jpeg", "j2k", "sparse"])
def test_a_folder_is_one_picture_in_three_sizes(slides: dict[str, Path], name: str) -> None:
    handle = open_image(slides[name])
    expected = IMAGE.copy()
    if name == "sparse":
        expected[128:256, 256:384] = 255
    assert [level.shape for level in handle.levels] == [(300, 420), (75, 105), (18, 26)]
    assert handle.microns == (0.5, 0.5)
    assert handle.levels[1].microns == (2, 2)
    assert (handle.block, handle.modality, handle.channels) == ((128, 128), "SM", ("red", "green", "blue"))
    pixels = handle.read()
    apart = np.abs(pixels.astype(int) - expected)
    assert apart.mean() < 6 if name == "jpeg" else not apart.any()
    assert np.array_equal(handle.window(100, -9, 170, 300), pixels[100:270, :291])
    small = np.abs(handle.levels[1].read().astype(int) - halved(IMAGE, 4))
    assert small.mean() < 8 if name == "jpeg" else not small.any()


@pytest.mark.parametrize("name", ["raw", "jpeg", "j2k"])
def test_pixels_are_as_openslide_reads_them(slides: dict[str, Path], name: str) -> None:
    other = pytest.importorskip("openslide").OpenSlide(slides[name] / "1.dcm")
    assert other.level_dimensions == ((420, 300), (105, 75), (26, 18))
    for level, handle in enumerate(open_image(slides[name]).levels):
        rows, columns = handle.shape
        expected = np.asarray(other.read_region((0, 0), level, (columns, rows)))[..., :3]
        assert np.abs(handle.read().astype(int) - expected).max() <= (2 if name == "jpeg" else 0), "colors are rounded"


def test_files_that_are_given_one_by_one_make_the_slide(slides: dict[str, Path]) -> None:
    (whole,) = find_inputs([slides["raw"]]).images
    (few,) = find_inputs([slides["raw"] / "1.dcm", slides["raw"] / "3.dcm"]).images
    address = DicomAddress.parse(whole.image)
    assert address is not None
    assert (address.kind, whole.name) == ("slide", "case_0001")
    assert [level.shape for level in open_image(few.image).levels] == [(300, 420), (18, 26)]
    assert open_image(slides["raw"] / "label.dcm").shape == (64, 64)


def test_files_that_are_no_sizes_of_it_are_told(tmp_path: Path) -> None:
    folder = dicom_slide(tmp_path / "a", IMAGE)
    twin = dcmread(folder / "2.dcm")
    twin.SOPInstanceUID = twin.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    twin.save_as(folder / "twin.dcm")
    wide = dcmread(folder / "1.dcm")
    wide.SOPInstanceUID, wide.TotalPixelMatrixRows = generate_uid(), 60
    wide.save_as(folder / "wide.dcm")
    handle = open_image(folder)
    assert len(handle.levels) == 3
    assert [note.partition(" left")[0] for note in handle.notes] == [
        "1 file of a size that is there already (other planes or channels?)",
        "1 file of another shape than the slide",
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"TotalPixelMatrixFocalPlanes": 3}, "3 focal planes"),
        ({"NumberOfOpticalPaths": 2}, "2 optical paths"),
        ({"ConcatenationUID": "1.2"}, "concatenation"),
        ({"NumberOfFrames": 11}, "has 11 tiles, and 4×3 are needed"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR pixels"),
        ({"TotalPixelMatrixRows": 2_000_000_000}, "cannot be"),
    ],
)
def test_what_is_not_read_is_one_line(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    folder = dicom_slide(tmp_path / "a", IMAGE, **changed)
    if words == "cannot be":
        assert any("2000000000" in line for line in scan(folder).faults)
        return
    with pytest.raises(DataError, match=words) as told:
        open_image(folder).read()
    assert "1.dcm" in str(told.value)


@pytest.mark.parametrize(("packed", "words"), [("raw", "truncated"), ("jpeg", "of its 12 tiles are there")])
def test_a_truncated_size_is_one_line(tmp_path: Path, packed: str, words: str) -> None:
    folder = dicom_slide(tmp_path / "a", IMAGE, packed=packed)
    content = (folder / "1.dcm").read_bytes()
    (folder / "1.dcm").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=words):
        open_image(folder).read()


def test_damaged_tiles_are_one_line(tmp_path: Path) -> None:
    folder = dicom_slide(tmp_path / "a", IMAGE, packed="jpeg")
    content = (folder / "1.dcm").read_bytes()
    at = content.index(b"\xff\xd8\xff", len(content) // 2)
    (folder / "1.dcm").write_bytes(content[:at] + bytes(400) + content[at + 400 :])
    with pytest.raises(DataError, match=r"1\.dcm, frame \d+: its pixels are damaged"):
        open_image(folder).read()
