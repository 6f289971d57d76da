"""PNG and JPEG files of unusual kinds: what is read is what was stored, or a line says what the file is."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.formats.images import decode_image, decode_mask
from delineate.data.formats.registry import read_image, read_mask

PATH = Path("x.png")
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Row, column, and steps of each pass of an interlaced PNG."""
COLORS = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(array: Any, *, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """H×W×C of 8 or 16 bits by hand: neither OpenCV nor Pillow writes 16-bit gray with alpha, or interlaced."""
    height, width, channels = array.shape
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = (array[row::down, column::across] for row, column, down, across in passes)
    lines = (line for part in parts if part.size for line in part)
    rows = b"".join(b"\0" + line.astype(array.dtype.newbyteorder(">")).tobytes() for line in lines)
    head = struct.pack(">IIBBBBB", width, height, 8 * array.dtype.itemsize, COLORS[channels], 0, 0, interlaced)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    channels=st.integers(1, 4),
    bits=st.sampled_from([8, 16]),
    interlaced=st.booleans(),
    meddling=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=150, deadline=None)
def test_a_png_is_read_as_it_is_stored(
    size: tuple[int, int], channels: int, bits: int, interlaced: bool, meddling: bool, seed: int
) -> None:
    """Whatever it says of gamma, significant bits and transparent colors; the alpha of gray is dropped."""
    dtype = np.dtype(f"u{bits // 8}")
    array = np.random.default_rng(seed).integers(0, 2**bits, (*size, channels)).astype(dtype)
    extra = b""
    if meddling:
        extra = chunk(b"gAMA", struct.pack(">I", 20000)) + chunk(b"sBIT", b"\4" * channels)
        if channels in (1, 3):
            extra += chunk(b"tRNS", array[0, 0].astype(">u2").tobytes())
    content = png(array, interlaced=interlaced, extra=extra)
    found = decode_image(content, PATH)
    assert found.dtype == dtype
    assert np.array_equal(found, array[..., 0] if channels < 3 else array)
    if channels < 3:
        assert np.array_equal(decode_mask(content, PATH), array[..., 0])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_mask_that_only_its_transparency_draws_is_called_what_it_is(tmp_path: Path, mode: str) -> None:
    shape = np.zeros((12, 10), np.uint8)
    shape[2:6, 2:8] = 255
    for one in (0, 255):
        bands = [Image.new("L", (10, 12), one)] * (len(mode) - 1)
        Image.merge(mode, [*bands, Image.fromarray(shape)]).save(tmp_path / "m.png")
        with pytest.raises(DataError, match=r"m\.png has one color throughout, and its shape in the alpha channel"):
            read_mask(tmp_path / "m.png")
    for alpha in (0, 255):
        bands = [Image.fromarray(shape)] * (len(mode) - 1)
        Image.merge(mode, [*bands, Image.new("L", (10, 12), alpha)]).save(tmp_path / "m.png")
        assert np.array_equal(read_mask(tmp_path / "m.png"), shape)
    Image.merge(mode, [*bands, Image.fromarray(255 - shape)]).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), shape)


def test_an_animated_png_is_refused() -> None:
    content = png(np.zeros((4, 4, 3), np.uint8), extra=chunk(b"acTL", struct.pack(">II", 3, 0)))
    with pytest.raises(DataError, match="an animation of 3 pages"):
        decode_image(content, PATH)
    single = png(np.full((4, 4, 3), 7, np.uint8), extra=chunk(b"acTL", struct.pack(">II", 1, 0)))
    assert decode_image(single, PATH).min() == 7


@pytest.mark.parametrize(
    ("marker", "precision", "said"),
    [(0xC1, 12, "is a JPEG of 12 bits"), (0xC3, 8, "is a JPEG without loss"), (0xC5, 8, "is a JPEG without loss")],
)
def test_a_jpeg_that_no_decoder_has_is_called_what_it_is(marker: int, precision: int, said: str) -> None:
    _, encoded = cv2.imencode(".jpg", np.zeros((16, 16), np.uint8))
    content = bytearray(encoded.tobytes())
    place = content.index(b"\xff\xc0")
    content[place + 1], content[place + 4] = marker, precision
    with pytest.raises(DataError, match=said):
        decode_image(bytes(content), Path("x.jpg"))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_kinds_of_jpeg(tmp_path: Path, mode: str, progressive: bool) -> None:
    array = np.kron(np.random.default_rng(3).integers(0, 256, (3, 4, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    image = Image.fromarray(array).convert(mode)
    image.save(tmp_path / "a.jpg", quality=100, progressive=progressive, subsampling=0)
    expected = np.asarray(image.convert("L" if mode == "L" else "RGB"))
    found = read_image(tmp_path / "a.jpg")
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 3
