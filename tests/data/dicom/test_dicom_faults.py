"""What is wrong with DICOM files and series is told in one line, with file, tag or position; nothing wrong is read in silence."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.dicom import numbers, pixels
from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.registry import open_image
from mutated import outcome, outcomes
from scanner import noise, patient, save, set_pixels, write_enhanced, write_series

pytest.importorskip("pydicom")
VOXELS = noise()
SOURCE = Path(__file__).parents[3] / "src" / "delineate"


def refused(place: Path, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        open_image(place).read()
    assert "\n" not in str(caught.value)
    assert place.name in str(caught.value)


def test_a_gap_is_told_with_its_place(tmp_path: Path) -> None:
    refused(
        write_series(tmp_path / "a", VOXELS, skip=(3,)),
        r"slices are 2\.5 mm apart, but 5 mm after 20\.00 mm; 1 slice may be missing",
    )


def test_two_slices_at_one_place(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS)
    write_series(
        tmp_path / "a", VOXELS[:, :, 2:4] + 1, origin=(-90, -70, 20), suffix=".2", change=_same_series(tmp_path)
    )
    refused(tmp_path / "a", r"2 of 9 slices lie at the place of another \(20\.00 mm, 22\.50 mm; .*\), and no tag tells")


def test_copies_of_slices_are_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS)
    for file in list((tmp_path / "a").iterdir())[:3]:
        (tmp_path / "a" / f"copy{file.name}").write_bytes(file.read_bytes())
    handle = open_image(tmp_path / "a")
    assert np.array_equal(handle.read(), VOXELS)
    assert handle.notes == ("3 copies of slices are left out",)


@pytest.mark.parametrize("tag", ["AcquisitionNumber", "EchoTime", "TemporalPositionIdentifier"])
def test_two_acquisitions_of_one_series_are_two_stacks(tmp_path: Path, tag: str) -> None:
    for number in (1, 2):

        def mark(image: Any, at: int, number: int = number) -> None:
            setattr(image, tag, number)
            image.ContentTime = f"1200{10 * number + at:02d}"

        write_series(tmp_path / "s", number * VOXELS, series="one", suffix=f".{number}", change=_renamed(mark, number))
    found = scan(tmp_path / "s").series
    assert [len(series.frames) for _, series in found] == [7, 7]
    notes = [series.notes for _, series in found]
    assert notes == [(f"one of 2 stacks of its series, parted by {tag} ({value})",) for value in (1, 2)]
    sums = {int(open_image(Path(str(address))).read().sum()) for address, _ in found}
    assert sums == {int(VOXELS.sum()), 2 * int(VOXELS.sum())}


def test_other_sizes_and_directions_are_other_stacks(tmp_path: Path) -> None:
    write_series(tmp_path / "s", VOXELS, series="one")
    write_series(tmp_path / "s", VOXELS[:5, :5], series="one", suffix=".s", change=_renamed(None, 2))
    write_series(
        tmp_path / "s", VOXELS, series="one", suffix=".t", direction=np.eye(3)[:, [1, 2, 0]], change=_renamed(None, 3)
    )
    shapes = sorted(series.geometry.shape for _, series in scan(tmp_path / "s").series)
    assert shapes == [(5, 5, 7), (11, 9, 7), (11, 9, 7)]


def test_a_tilted_gantry_is_told_and_read(tmp_path: Path) -> None:
    step = np.array([0.0, 2.5 * np.sin(np.radians(12)), 2.5 * np.cos(np.radians(12))])
    handle = open_image(write_series(tmp_path / "a", VOXELS, step=step))
    assert handle.notes == ("slices are tilted by 12.0° (gantry tilt); masks are written on the tilted grid",)
    np.testing.assert_allclose(
        handle.geometry.positions([[0, 0, 6]])[0], np.array([-90, -70, 15]) + 6 * step, atol=1e-3
    )
    assert np.array_equal(handle.read(), VOXELS)


def test_a_slice_that_is_shifted(tmp_path: Path) -> None:
    def shift(image: Any, at: int) -> None:
        if at == 4:
            image.ImagePositionPatient = [-80, -70, image.ImagePositionPatient[2]]

    refused(
        write_series(tmp_path / "a", VOXELS, change=shift),
        r"slices do not lie on one line: that at 25\.00 mm is 10 mm off",
    )


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("PixelSpacing", b"nan\\0.7", r"PixelSpacing \(0028,0030\) is nan, which cannot be"),
        ("PixelSpacing", b"0\\0.7 ", r"PixelSpacing \(0028,0030\) is 0, which cannot be"),
        ("PixelSpacing", b"0.7 ", r"PixelSpacing \(0028,0030\) has 1 values, not 2"),
        ("PixelSpacing", b"-0.8\\0.8 ", r"is -0\.8, which cannot be"),
        ("RescaleSlope", b"1e400 ", r"RescaleSlope \(0028,1053\) is 1e400, which cannot be"),
        ("RescaleSlope", b"0 ", r"RescaleSlope \(0028,1053\) is 0, which makes all pixels equal"),
        ("RescaleIntercept", b"Pimpernel ", r"RescaleIntercept \(0028,1052\) is no number"),
        ("ImagePositionPatient", b"1\\inf\\3 ", r"ImagePositionPatient \(0020,0032\) is inf, which cannot be"),
        (
            "ImageOrientationPatient",
            b"1\\0\\0\\1\\0\\0 ",
            r"ImageOrientationPatient \(0020,0037\) has directions that are not",
        ),
        ("Rows", b"\0\0", r"Rows \(0028,0010\) is 0, which cannot be"),
    ],
)
@pytest.mark.parametrize("frames", ["single", "enhanced"])
def test_numbers_that_cannot_be(tmp_path: Path, tag: str, value: bytes, words: str, frames: str) -> None:
    def spoil(image: Any, at: int) -> None:
        if at == 0:
            for holder in _holders(image, tag):
                _set_raw(holder, tag, value)

    if frames == "single":
        write_series(tmp_path / "a", VOXELS[:, :, :1], change=spoil)
        refused(next((tmp_path / "a").iterdir()), words)
    else:
        refused(write_enhanced(tmp_path / "a.dcm", VOXELS, change=spoil), words)
    assert "Pimpernel" not in words or "Pimpernel" not in scan(tmp_path).faults[0]


def test_headers_are_read_through_one_function() -> None:
    """No other module takes a number that a header holds as text: pydicom does not look whether it can be."""
    from pydicom.datadict import DicomDictionary

    guarded = {entry[4] for entry in DicomDictionary.values() if entry[0] in ("DS", "IS")} | set(numbers.RANGES)
    found = []
    for file in sorted((SOURCE / "data" / "formats" / "dicom").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else ""
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                name = str(node.slice.value)
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("get", "get_item"):
                name = next((str(one.value) for one in node.args if isinstance(one, ast.Constant)), "")
            if name and name in guarded and file.name != "numbers.py":
                found.append(f"{file.name}:{node.lineno} {name}")
    assert not found


def test_truncated_pixels(tmp_path: Path) -> None:
    file = next(write_series(tmp_path / "a", VOXELS[:, :, :1]).iterdir())
    file.write_bytes(file.read_bytes()[:-60])
    refused(file, "is truncated: its pixels end too early")


def test_files_that_are_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"")
    refused(tmp_path / "a.dcm", "is empty")
    (tmp_path / "b.dcm").write_bytes(b"GIF89a" + bytes(500))
    refused(tmp_path / "b.dcm", "is no DICOM file, or damaged in its first bytes")
    (tmp_path / "c.dcm").write_bytes(b"\x30\x80" + bytes.fromhex("06092a864886f70d010703") + bytes(500))
    refused(tmp_path / "c.dcm", r"is encrypted \(a secure DICOM file\)")
    report = patient("sr", "SR", "BasicTextSRStorage")
    refused(save(report, tmp_path / "d.dcm", "sr"), r"holds no image \(no Rows")


def test_a_deflated_file_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    image = patient("big", "OT", "SecondaryCaptureImageStorage")
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    set_pixels(image, np.zeros((2000, 1000), np.uint16))
    file = save(image, tmp_path / "a.dcm", "big")
    assert open_image(file).read().shape == (2000, 1000)
    monkeypatch.setattr("delineate.data.formats.dicom.files._MOST_DEFLATED", 1 << 20)
    refused(file, "unpacks to more than 1 MB")


def test_without_pydicom_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from delineate.data.formats.dicom import package

    file = next(write_series(tmp_path / "a", VOXELS[:, :, :1]).iterdir())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    package.pydicom.cache_clear()
    with pytest.raises(DataError, match="DICOM files need pydicom: pip install pydicom"):
        open_image(file)
    monkeypatch.undo()
    package.pydicom.cache_clear()


def test_without_a_decoder_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imagecodecs")
    from mutated import lossless

    (tmp_path / "a.dcm").write_bytes(lossless())
    assert open_image(tmp_path / "a.dcm").read().max() > 0
    _forget_decoders()
    with monkeypatch.context() as patch:
        patch.setattr("delineate.data.formats.dicom.codecs.find_spec", lambda name: None)
        refused(tmp_path / "a.dcm", r"has pixels packed as JPEG Lossless.*: pip install imagecodecs")
    _forget_decoders()
    assert open_image(tmp_path / "a.dcm").read().max() > 0


@pytest.mark.filterwarnings("ignore")
def test_every_test_file_of_pydicom_is_read_or_refused() -> None:
    import pydicom

    pytest.importorskip("imagecodecs")
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    found = {file: outcome(file) for file in sorted(folder.rglob("*.dcm"))}
    assert set(found.values()) <= {"read", "refused", "no image"}
    refused = {file.name for file, said in found.items() if said == "refused"}
    assert refused == {"MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"}
    assert sum(said == "read" for said in found.values()) >= 50


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_by_the_hundred(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    assert set(outcomes(150, tmp_path, seed=3)) <= {"read", "refused", "no image"}


def _forget_decoders() -> None:
    from pydicom.pixels import get_decoder

    from delineate.data.formats.dicom.codecs import DECODER_DEPENDENCIES

    for syntax in DECODER_DEPENDENCIES:
        get_decoder(syntax).remove_plugin("delineate")
    pixels._add_decoder.cache_clear()


def _same_series(tmp_path: Path) -> Any:
    from scanner import uid

    def change(image: Any, at: int) -> None:
        image.SeriesInstanceUID = uid("series", str(tmp_path / "a"))

    return _renamed(change, 2)


def _renamed(change: Any, number: int) -> Any:
    """Instances of their own: a second acquisition is no copy of the first."""
    from scanner import uid

    def changed(image: Any, at: int) -> None:
        if change is not None:
            change(image, at)
        image.SOPInstanceUID = uid(number, at)

    return changed


def _holders(image: Any, tag: str) -> list[Any]:
    found = [image] if tag in image else []
    for group in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in image.get(group, []):
            for inner in item:
                found += [one for one in inner.value if tag in one]
    return found


def _set_raw(dataset: Any, keyword: str, value: bytes) -> None:
    """The bytes of a tag as they are: pydicom would check a number."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    tag = Tag(tag_for_keyword(keyword))
    dataset._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
