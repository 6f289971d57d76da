"""Image and mask files of many kinds, and what is said of broken ones."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from delineate.common.errors import DataError
from delineate.data.formats.images import decode_image, decode_mask, write_mask
from delineate.data.formats.registry import read_image, read_mask, reads_volume

RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_lossless_rgb_is_read_exactly(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(RGB))
    assert np.array_equal(read_image(path), RGB)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif"])
def test_gray_is_read_exactly(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(RGB[..., 0]))
    found = read_image(path)
    assert np.array_equal(found if found.ndim == 2 else found[..., 1], RGB[..., 0])


def test_a_jpeg_reads_as_pillow_reads_it(tmp_path: Path) -> None:
    for mode in ("L", "RGB", "CMYK"):
        path = save(tmp_path / f"{mode}.jpg", Image.fromarray(RGB).convert(mode))
        expected = np.asarray(Image.open(path).convert("L" if mode == "L" else "RGB"))
        assert np.abs(read_image(path).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", Image.fromarray(RGB), exif=exif, quality=95)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    found = read_image(path)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_alpha_is_kept_for_color_and_dropped_for_gray(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, RGB[..., 0]])
    assert np.array_equal(read_image(save(tmp_path / "a.png", Image.fromarray(rgba))), rgba)
    assert np.array_equal(read_image(save(tmp_path / "b.png", Image.fromarray(rgba).convert("LA"))).ndim, 2)


def test_a_palette_image_becomes_rgb_and_a_palette_mask_its_indices(tmp_path: Path) -> None:
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    image = Image.fromarray(indices)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])  # Pascal VOC's first colors
    for suffix in ("png", "gif", "bmp", "tif"):
        path = save(tmp_path / f"a.{suffix}", image)
        assert np.array_equal(read_mask(path), indices)
        assert read_image(path).tolist() == [[[0, 0, 0], [128, 0, 0]], [[0, 128, 0], [128, 0, 0]]]


def test_a_gray_palette_mask_gives_its_gray_values(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([255, 255, 255, 0, 0, 0])  # white first: the index would turn the mask inside out
    assert read_mask(save(tmp_path / "a.png", image)).tolist() == [[255, 0]]


def test_one_bit_masks(tmp_path: Path) -> None:
    mask = RGB[..., 0] > 128
    for suffix in ("png", "bmp", "tif"):
        assert np.array_equal(read_mask(save(tmp_path / f"a.{suffix}", Image.fromarray(mask))) > 0, mask)


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bit_gray_masks_give_label_ids(tmp_path: Path, bits: int) -> None:
    labels = np.arange(8, dtype=np.uint8).reshape(2, 4) % 4
    rows = b"".join(b"\0" + bytes(_packed(row, bits)) for row in labels)
    path = tmp_path / "a.png"
    path.write_bytes(_png(width=4, height=2, bits=bits, rows=rows))
    assert np.array_equal(read_mask(path), labels)


def _packed(row: Any, bits: int) -> list[int]:
    per_byte = 8 // bits
    groups = [row[start : start + per_byte] for start in range(0, len(row), per_byte)]
    return [sum(int(value) << (8 - bits * (place + 1)) for place, value in enumerate(group)) for group in groups]


def _png(*, width: int, height: int, bits: int, rows: bytes) -> bytes:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path, write: Any, suffix: str, channels: int) -> None:
    array = np.random.default_rng(1).integers(0, 65536, (9, 7, channels), np.uint16)
    array = array[..., 0] if channels == 1 else array
    found = read_image(write(tmp_path / f"a{suffix}", array))
    assert found.dtype == np.uint16
    assert np.array_equal(found, array)


def test_an_rgb_mask_with_equal_channels_is_one_channel(tmp_path: Path) -> None:
    gray = np.repeat((RGB[..., :1] > 128) * np.uint8(255), 3, axis=2)
    assert np.array_equal(read_mask(save(tmp_path / "a.png", Image.fromarray(gray))), gray[..., 0])
    with pytest.raises(DataError, match=r"b\.png is a mask painted in colors"):
        read_mask(save(tmp_path / "b.png", Image.fromarray(RGB)))


def test_written_masks_are_read_back(tmp_path: Path) -> None:
    mask = RGB[..., 0]
    write_mask(tmp_path / "sub" / "m.png", mask)
    assert np.array_equal(read_mask(tmp_path / "sub" / "m.png"), mask)
    with pytest.raises(ValueError, match="uint8"):
        write_mask(tmp_path / "m.png", mask.astype(np.int64))  # type: ignore[arg-type]


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.fromarray(RGB), format="PNG")
    assert np.array_equal(read_image(path), RGB)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "gif"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, share: float) -> None:
    whole = save(tmp_path / f"whole.{suffix}", Image.fromarray(np.tile(RGB, (4, 4, 1)))).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: max(1, int(len(whole) * share))])
    with pytest.raises(DataError, match=rf"cut\.{suffix}"):
        read_image(path)


def test_a_flipped_bit_in_a_png_is_noticed(tmp_path: Path) -> None:
    content = bytearray(save(tmp_path / "a.png", Image.fromarray(RGB)).read_bytes())
    content[len(content) // 2] ^= 0x10
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        read_image(tmp_path / "a.png")


def test_what_is_not_an_image_is_named(tmp_path: Path) -> None:
    cases = {"empty.png": b"", "text.png": b"hello, I am text", "page.jpg": b"<html></html>"}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name.replace(".", r"\.")):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match=r"cannot read .*missing\.png"):
        read_image(tmp_path / "missing.png")


def test_the_size_is_checked_before_decoding(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + b"\0\0\0\0")
    with pytest.raises(DataError, match=r"huge\.png has 100000×100000 pixels.*--max-megapixels"):
        read_image(tmp_path / "huge.png")
    path = save(tmp_path / "a.png", Image.fromarray(RGB))
    with pytest.raises(DataError, match="above the limit"):
        read_image(path, max_pixels=RGB.shape[0] * RGB.shape[1] - 1)
    read_image(path, max_pixels=RGB.shape[0] * RGB.shape[1])


def test_stacks_and_volumes_are_named_as_such(tmp_path: Path) -> None:
    pages = [Image.fromarray(RGB[..., channel]) for channel in range(3)]
    stack = save(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    assert reads_volume(stack)
    with pytest.raises(DataError, match=r"a\.tif is a volume, and a picture is needed here"):
        read_image(stack)
    with pytest.raises(DataError, match=r"stack is a TIFF stack of 3 pages under another name: call it \.tif"):
        read_image(stack.rename(tmp_path / "stack"))
    animation = save(tmp_path / "a.gif", pages[0], save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="animation of 3 pages"):
        read_image(animation)
    (tmp_path / "v.nii.gz").write_bytes(b"\x1f\x8b")
    assert reads_volume(tmp_path / "v.nii.gz")
    with pytest.raises(DataError, match="volume"):
        read_image(tmp_path / "v.nii.gz")
    assert not reads_volume(save(tmp_path / "b.tif", pages[0]))


def test_a_tiff_that_pillow_refuses(tmp_path: Path) -> None:
    """Three samples declared as gray, as some endoscopy sets have them."""
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "TIFF")
    content = bytearray(stream.getvalue())
    place = content.find(struct.pack("<HHIH", 262, 3, 1, 2))
    content[place + 8 : place + 10] = struct.pack("<H", 1)
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(SyntaxError):
        TiffImageFile(io.BytesIO(bytes(content)))
    assert np.array_equal(read_image(path), RGB)


def test_opencv_is_the_same_for_plain_files(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(RGB))
    assert np.array_equal(read_image(path), cv2.imread(str(path))[..., ::-1])


def _encoded(kind: str, mode: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(stream, kind)
    return stream.getvalue()


@given(
    st.sampled_from(
        [("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("BMP", "P"), ("GIF", "P"), ("TIFF", "RGB"), ("TIFF", "P")]
    ),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(1, 3000),
)
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_give_an_image_or_a_data_error(
    kind: tuple[str, str], edits: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(_encoded(*kind))[:length]
    for place, value in edits:
        content[place % len(content)] = value
    for decode in (decode_image, decode_mask):
        with suppress(DataError):
            assert decode(bytes(content), Path("x.png"), max_pixels=10**6).size <= 4 * 10**6
