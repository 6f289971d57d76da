"""Pixels packed by run lengths: as pydicom reads them; damaged ones are one line, and nothing else is printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.dicom.codecs import _decode_rle
from delineate.data.formats.dicom.pixels import _add_decoder
from delineate.data.formats.registry import open_image
from dicom_results import balls, opened, write_seg
from scanner import noise, write_series

pytest.importorskip("rle")
pydicom = pytest.importorskip("pydicom")
RLE = "1.2.840.10008.1.2.5"
FILES = sorted(
    path
    for path in (Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm")
    if getattr(pydicom.dcmread(path, force=True, stop_before_pixels=True).file_meta, "TransferSyntaxUID", "") == RLE
)


class Runner:
    """What pydicom tells a decoder."""

    rows, columns, samples_per_pixel, bits_allocated, transfer_syntax = 2, 3, 1, 16, RLE

    def set_option(self, name: str, value: int) -> None:
        assert (name, value) == ("planar_configuration", 1)


def packed(*segments: bytes) -> bytes:
    starts = np.zeros(16, "<u4")
    starts[0], at = len(segments), 64
    for number, segment in enumerate(segments, 1):
        starts[number], at = at, at + len(segment)
    return starts.tobytes() + b"".join(segments)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_same_as_pydicoms_own_decoder(path: Path) -> None:
    own = pydicom.pixels.pixel_array(path, index=0, decoding_plugin="pydicom", raw=True)
    _add_decoder()
    found = pydicom.pixels.pixel_array(path, index=0, decoding_plugin="delineate", raw=True)
    assert np.array_equal(own, found)


def test_a_segment_may_end_with_a_byte_that_makes_its_length_even() -> None:
    high, low = b"\xfb\x01\0\0"[:3], b"\x05abcdef\0"
    assert bytes(_decode_rle(packed(high, low), Runner())) == b"a\x01b\x01c\x01d\x01e\x01f\x01"


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        packed(b"\xfb\x01"),
        packed(b"\xfb\x01", b"\xfa\x01"),
        packed(b"\xfb\x01", b"\xfc\x01"),
        packed(b"\xfb\x01", b""),
        packed(b"\xfb\x01", b"\x05ab"),
        packed(b"\xfb\x01", b"\xfb\x01", b"\xfb\x01"),
        (2).to_bytes(4, "little") + (9999).to_bytes(4, "little") * 15 + b"\xfb\x01",
    ],
)
def test_damaged_segments_are_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"segment|frame|number of pixels"):
        _decode_rle(damaged, Runner())


@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_one_line_and_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = next(file for file in FILES if file.stem == "MR_small_RLE")
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    said = []
    for turn in range(120):
        content = bytearray(sound)
        for place in rng.integers(len(content) - 6000, len(content), 4):
            content[place] = int(rng.integers(256))
        target = tmp_path / f"{turn}.dcm"
        target.write_bytes(content)
        try:
            open_image(target).read()
        except DataError as error:
            said.append(str(error))
    assert len(said) > 20
    assert all("its pixels are damaged" in line or "truncated" in line for line in said)
    assert capfd.readouterr() == ("", "")


def test_label_maps_are_unpacked_by_the_same_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series, mask = write_series(tmp_path / "ct", noise((12, 10, 6))), balls((12, 10, 6))
    made = write_seg(tmp_path / "m.seg.dcm", mask, series, "labelmap")
    used = []

    def noted(content: bytes, runner: object) -> bytearray:
        used.append(len(content))
        return _decode_rle(content, runner)

    monkeypatch.setattr("delineate.data.formats.dicom.codecs._decode_rle", noted)
    from delineate.data.formats.dicom_masks.objects import open_object

    assert np.array_equal(open_object(made).drawn(opened(series).geometry, series), mask)
    assert used
