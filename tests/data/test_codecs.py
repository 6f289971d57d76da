"""WebP, JPEG 2000, AVIF and Netpbm: the numbers that files hold, what loss means for masks, and what is refused by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from delineate.common.errors import DataError
from delineate.data.formats import codecs, pnm
from delineate.data.formats.headers import read_header
from delineate.data.formats.images import decode_image, decode_mask, raw_mask
from delineate.data.formats.registry import image_suffix, open_image, read_image, reads_image

GRAY = (np.arange(40 * 48).reshape(40, 48) % 251).astype(np.uint8)
COLOR = np.stack([GRAY, GRAY[::-1], GRAY // 2], -1)
CLASSES = np.kron(np.arange(12, dtype=np.uint8).reshape(3, 4) % 3, np.ones((16, 16), np.uint8))
NAME = Path("a.x")

needs = {
    name: pytest.mark.skipif(not features.check(name), reason=f"this Pillow has no {name}")
    for name in ("webp", "jpg_2000")
}
try:
    from PIL import AvifImagePlugin

    HAS_AVIF = AvifImagePlugin.SUPPORTED
except ImportError:
    HAS_AVIF = False
needs["avif"] = pytest.mark.skipif(not HAS_AVIF, reason="this Pillow has no AVIF")


def saved(array: Any, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        pytest.param(lambda: saved(COLOR, "WEBP", lossless=True), COLOR, marks=needs["webp"]),
        pytest.param(lambda: saved(COLOR, "JPEG2000"), COLOR, marks=needs["jpg_2000"]),
        pytest.param(lambda: saved(GRAY, "JPEG2000", no_jp2=True), GRAY, marks=needs["jpg_2000"]),
        pytest.param(
            lambda: saved(GRAY.astype(np.uint16) * 257, "JPEG2000"),
            GRAY.astype(np.uint16) * 257,
            marks=needs["jpg_2000"],
        ),
    ],
)
def test_without_loss_nothing_changes(content: Any, wanted: np.ndarray) -> None:
    found = decode_image(content(), NAME)
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


@needs["jpg_2000"]
def test_jpeg_2000_of_16_bit_colors_keeps_all_of_them() -> None:
    deep = COLOR.astype(np.uint16) * 200
    content = cv2.imencode(".jp2", deep[..., ::-1], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
    assert np.array_equal(decode_image(content, NAME), deep)


@needs["avif"]
def test_avif_of_gray_is_gray_and_near_the_picture() -> None:
    smooth = cv2.GaussianBlur(GRAY, (0, 0), 3)
    found = decode_image(saved(smooth, "AVIF", quality=95), NAME)
    assert found.shape == smooth.shape
    assert np.abs(found.astype(int) - smooth).max() < 12


@pytest.mark.parametrize(
    ("kind", "options", "lossy"),
    [
        pytest.param("WEBP", {"lossless": True}, False, marks=needs["webp"]),
        pytest.param("WEBP", {"quality": 80}, True, marks=needs["webp"]),
        pytest.param("JPEG2000", {}, False, marks=needs["jpg_2000"]),
        pytest.param("JPEG2000", {"irreversible": True}, True, marks=needs["jpg_2000"]),
        pytest.param("AVIF", {}, True, marks=needs["avif"]),
    ],
)
def test_loss_is_told_by_the_file(kind: str, options: Any, lossy: bool) -> None:
    header = read_header(saved(COLOR, kind, **options))
    assert header is not None
    assert (header.height, header.width, header.lossy) == (40, 48, lossy)


@needs["webp"]
def test_masks_keep_their_values_or_are_known_to_have_lost_them() -> None:
    lossless = saved(np.stack([CLASSES] * 3, -1), "WEBP", lossless=True)
    assert np.array_equal(decode_mask(lossless, NAME), CLASSES)
    lossy = raw_mask(saved(np.stack([CLASSES * 100] * 3, -1), "WEBP", quality=60), NAME)
    assert lossy.lossy
    assert not lossy.colored


@needs["webp"]
def test_webp_is_turned_and_animations_are_refused() -> None:
    exif = Image.Exif()
    exif[274] = 6
    assert decode_image(saved(COLOR, "WEBP", lossless=True, exif=exif), NAME).shape == (48, 40, 3)
    frames = [Image.fromarray(COLOR), Image.fromarray(COLOR[::-1].copy())]
    stream = io.BytesIO()
    frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="an animation of 2 pages"):
        decode_image(stream.getvalue(), NAME)


@needs["webp"]
def test_the_size_is_known_before_anything_is_decoded() -> None:
    with pytest.raises(DataError, match="above the limit"):
        decode_image(saved(COLOR, "WEBP"), NAME, max_pixels=100)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("WEBP", marks=needs["webp"]),
        pytest.param("JPEG2000", marks=needs["jpg_2000"]),
        pytest.param("AVIF", marks=needs["avif"]),
    ],
)
def test_cut_off_files_are_damaged(kind: str) -> None:
    content = saved(COLOR, kind)
    for end in (20, len(content) // 2):
        with pytest.raises(DataError, match=r"damaged or truncated|not an image"):
            decode_image(content[:end], NAME)


def test_a_pillow_without_the_codec_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs.features, "check", lambda name: False)
    content = b"\0\0\0\x1cftypavif\0\0\0\0" + bytes(40)
    with pytest.raises(
        DataError, match=r"a\.x is stored as AVIF, which the Pillow that is installed cannot read: install"
    ):
        decode_image(content, NAME)


def test_pictures_of_phones_are_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    assert image_suffix(path)
    assert not reads_image(path)
    with pytest.raises(
        DataError, match=r"a\.heic is a HEIC picture, as phones save them, which is not readable: convert it"
    ):
        open_image(path)
    with pytest.raises(DataError, match="is a HEIC picture"):
        open_image(path.rename(tmp_path / "a.jpg"))


@given(
    kind=st.sampled_from(["P1", "P2", "P3", "P4", "P5", "P6"]),
    most=st.sampled_from([1, 2, 100, 255, 4095, 65535]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 20)),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_netpbm_keeps_the_numbers(kind: str, most: int, size: tuple[int, int], seed: int) -> None:
    most = 1 if kind in ("P1", "P4") else most
    shape = (*size, 3) if kind in ("P3", "P6") else size
    numbers = np.random.default_rng(seed).integers(0, most + 1, shape)
    head = f"{kind}\n# a comment\n{size[1]} {size[0]}\n" + ("" if most == 1 and kind in ("P1", "P4") else f"{most}\n")
    stored = 1 - numbers if kind in ("P1", "P4") else numbers
    if kind == "P4":
        body = np.packbits(stored.astype(np.uint8), axis=1).tobytes()
    elif kind in ("P5", "P6"):
        body = stored.astype(">u2" if most > 255 else np.uint8).tobytes()
    else:
        body = " ".join(map(str, stored.ravel())).encode()
    content = head.encode() + body
    assert np.array_equal(pnm.read_numbers(content, pnm.read_stated(content)), numbers)
    if kind != "P1" and most == 255:
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), numbers)
    if shape == size and most > 1:
        assert np.array_equal(decode_mask(content, NAME), numbers)


def test_netpbm_that_is_not_whole_or_holds_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 4 4 3\n" + bytes([0, 1, 2, 3] * 4))
    assert np.array_equal(read_image(path)[0], [0, 85, 170, 255]), "images are stretched, as 2-bit PNGs are"
    for content, words in (
        (b"P5 4 4 255\n" + bytes(15), "damaged or truncated"),
        (b"P5 4 4 2\n" + bytes([3] * 16), "above its own limit"),
        (b"P2 2 2 9\n1 2 3", "4 numbers are promised, and 3 are there"),
        (b"P5 4 4 255\n" + bytes(16) + b"P5 4 4 255\n" + bytes(16), "holds several pictures"),
        (b"P5 4 4 70000\n" + bytes(64), "70000 for white"),
        (b"P5 99999 99999 255\n", "above the limit"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            read_image(path)
