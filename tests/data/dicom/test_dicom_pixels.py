"""Pixels of all kinds: what volumes measure, and pictures as a viewer shows them; every way of packing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.data.formats.dicom.scan import scan
from delineate.data.formats.registry import open_image
from delineate.data.formats.testing import _check_parts, _check_pixels
from scanner import noise, patient, save, set_pixels, write_series

pydicom = pytest.importorskip("pydicom")
RAMP = np.arange(0, 4096, 8, dtype=np.uint16).reshape(16, 32)


def picture(
    path: Path, pixels: np.ndarray, photometric: str = "MONOCHROME2", modality: str = "DX", **tags: Any
) -> np.ndarray:
    image = patient(path, modality, "DigitalXRayImageStorageForPresentation")
    set_pixels(image, pixels, photometric)
    for tag, value in tags.items():
        setattr(image, tag, value)
    handle = open_image(save(image, path, path))
    _check_pixels(handle)
    _check_parts(handle)
    return handle.read()


def test_a_window_is_what_a_picture_is_seen_through(tmp_path: Path) -> None:
    seen = picture(tmp_path / "a.dcm", RAMP, BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=1024)
    wanted = np.clip((RAMP - 2047.5) / 1023 + 0.5, 0, 1)
    np.testing.assert_allclose(seen / 65535, wanted, atol=1e-4)
    exact = picture(
        tmp_path / "b.dcm", RAMP, WindowCenter=[2048, 9], WindowWidth=[1024, 9], VOILUTFunction="LINEAR_EXACT"
    )
    np.testing.assert_allclose(exact / 65535, np.clip((RAMP - 2048.0) / 1024 + 0.5, 0, 1), atol=1e-4)


def test_without_a_window_all_bits_are_shown_and_monochrome1_is_inverted(tmp_path: Path) -> None:
    plain = picture(tmp_path / "a.dcm", RAMP, BitsStored=12, HighBit=11)
    np.testing.assert_allclose(plain / 65535, RAMP / 4095, atol=1e-4)
    inverted = picture(tmp_path / "b.dcm", RAMP, "MONOCHROME1", BitsStored=12, HighBit=11)
    np.testing.assert_allclose(inverted / 65535, 1 - RAMP / 4095, atol=1e-4)
    narrow = picture(tmp_path / "c.dcm", (RAMP // 16).astype(np.uint8), "MONOCHROME1")
    assert np.array_equal(narrow, 255 - (RAMP // 16).astype(np.uint8))


def test_a_table_of_values_is_applied(tmp_path: Path) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 16], (65535 * (np.arange(256) / 255) ** 2).astype("<u2").tobytes()
    seen = picture(tmp_path / "a.dcm", (RAMP // 16).astype(np.uint8), BitsStored=8, VOILUTSequence=[table])
    np.testing.assert_allclose(seen / 255, ((RAMP // 16) / 255) ** 2, atol=0.003)


def test_palettes_and_colors_become_rgb(tmp_path: Path) -> None:
    indices = (RAMP // 16).astype(np.uint8)
    channels = {
        name: (np.arange(256, dtype=np.uint16)[:: 1 if name != "Blue" else -1] << 8)
        for name in ("Red", "Green", "Blue")
    }
    tags: dict[str, Any] = {}
    for name, values in channels.items():
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = values.astype("<u2").tobytes()
    seen = picture(tmp_path / "a.dcm", indices, "PALETTE COLOR", modality="US", **tags)
    assert np.array_equal(seen, np.stack([indices, indices, 255 - indices], -1))
    colors = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    assert np.array_equal(picture(tmp_path / "b.dcm", colors, "RGB", modality="XC"), colors)
    gray = np.stack([indices, np.full_like(indices, 128), np.full_like(indices, 128)], -1)
    assert np.array_equal(picture(tmp_path / "c.dcm", gray, "YBR_FULL", modality="US"), np.stack([indices] * 3, -1))


@pytest.mark.parametrize(("modality", "outside"), [("CT", -1024), ("MR", 100)])
def test_padding_is_air_or_the_least_value(tmp_path: Path, modality: str, outside: int) -> None:
    voxels = np.abs(noise((8, 7, 4))) + 100
    voxels[0], voxels[1, 0] = -2000, 100

    def pad(image: Any, at: int) -> None:
        image.PixelPaddingValue = -2000

    wanted = voxels.copy()
    wanted[0] = outside
    assert np.array_equal(
        open_image(write_series(tmp_path / "a", voxels, modality=modality, change=pad)).read(), wanted
    )


def test_padding_of_unsigned_numbers_has_a_type_that_holds_air(tmp_path: Path) -> None:
    voxels = (np.abs(noise((8, 7, 4))) + 100).astype(np.uint16)
    voxels[0] = 65000

    def pad(image: Any, at: int) -> None:
        image.PixelPaddingValue = 65000

    read = open_image(write_series(tmp_path / "a", voxels, change=pad)).read()
    assert (read[0] == -1024).all()
    assert np.array_equal(read[1:], voxels[1:])


def test_few_bits_of_signed_numbers(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(-2048, 2047, (8, 7, 4)).astype(np.int16)

    def twelve(image: Any, at: int) -> None:
        image.BitsStored, image.HighBit = 12, 11
        image.PixelData = (voxels[:, :, at].T.astype(np.int32) & 0xFFF).astype("<u2").tobytes()

    handle = open_image(write_series(tmp_path / "a", voxels, change=twelve))
    assert handle.dtype == np.int16
    assert np.array_equal(handle.read(), voxels)


def test_a_loop_is_frames_as_they_are_seen(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (5, 12, 10, 3), np.uint8)
    image = patient("loop", "US", "UltrasoundMultiFrameImageStorage")
    set_pixels(image, frames, "RGB")
    handle = open_image(save(image, tmp_path / "loop.dcm", "loop"))
    assert handle.shape == (12, 10, 5)
    assert np.array_equal(handle.slice(2, 3), frames[3])
    assert np.array_equal(handle.as_frames(handle.read()), frames)
    _check_parts(handle)
    assert handle.notes == ("frames without positions: no sizes in mm",)


def test_the_region_of_an_ultrasound_loop_tells_the_size_of_pixels(tmp_path: Path) -> None:
    image = patient("region", "US", "UltrasoundMultiFrameImageStorage")
    set_pixels(image, np.zeros((3, 12, 10), np.uint8))
    region = pydicom.Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.03
    image.SequenceOfUltrasoundRegions = [region]
    handle = open_image(save(image, tmp_path / "loop.dcm", "region"))
    assert handle.geometry.millimeters is None
    assert handle.notes == ("frames without positions: pixels are 0.3×0.2 mm (its ultrasound region)",)


@pytest.mark.parametrize(
    "syntax",
    ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless", "JPEGLosslessSV1", "DeflatedExplicitVRLittleEndian"],
)
def test_every_way_of_packing_without_loss(tmp_path: Path, syntax: str) -> None:
    import pydicom.uid

    wanted = getattr(pydicom.uid, syntax)
    voxels = noise((40, 32, 3)) + 600

    def pack(image: Any, at: int) -> None:
        if syntax == "JPEGLosslessSV1":
            from pydicom.encaps import encapsulate

            codecs = pytest.importorskip("imagecodecs")
            image.PixelData = encapsulate(
                [codecs.ljpeg_encode(np.ascontiguousarray(voxels[:, :, at].T).astype(np.uint16))]
            )
            image["PixelData"].VR = "OB"
        elif syntax != "DeflatedExplicitVRLittleEndian":
            image.compress(wanted)
        image.file_meta.TransferSyntaxUID = wanted

    folder = write_series(tmp_path / "a", voxels, change=pack)
    assert np.array_equal(open_image(folder).read(), voxels)
    assert len(scan(folder).series) == 1
