"""A Pillow image gives what its file gives, in every mode, or a line says why it cannot."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.formats.from_pillow import pillow_mask, pillow_pixels
from delineate.data.formats.images import decode_image
from delineate.data.formats.registry import read_image, read_mask
from delineate.inference.image_input import as_pixels

RGB = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
GRAY16 = np.random.default_rng(1).integers(0, 65536, (8, 12)).astype(np.uint16)


def in_mode(mode: str) -> Image.Image:
    if mode.startswith("I;16"):
        return Image.fromarray(GRAY16)
    if mode == "I":
        return Image.fromarray(GRAY16.astype(np.int32))
    if mode == "PA":
        return Image.fromarray(RGB).convert("P").convert("PA")
    if mode == "RGBa":
        return Image.fromarray(RGB).convert("RGBA").convert("RGBa")
    if mode == "La":
        return Image.fromarray(RGB).convert("LA").convert("La")
    return Image.fromarray(RGB).convert("L" if mode == "F" else mode).convert(mode)


@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F", "LAB", "HSV"]),
    kind=st.sampled_from(["PNG", "TIFF", "JPEG", "BMP", "GIF"]),
    orientation=st.integers(1, 8),
    loaded=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_an_opened_image_is_its_file_or_refused(mode: str, kind: str, orientation: int, loaded: bool) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {} if kind in ("BMP", "GIF") else {"exif": exif}
    stream = io.BytesIO()
    try:
        in_mode(mode).save(stream, kind, **options)
        Image.open(io.BytesIO(stream.getvalue())).load()
    except (OSError, ValueError):
        return  # the format has no such mode, or Pillow cannot read what it wrote

    def of(image: Any) -> Any:
        try:
            return as_pixels(image)
        except DataError:
            return None

    def of_file() -> Any:
        try:
            return decode_image(stream.getvalue(), Path("a"))
        except DataError:
            return None

    with Image.open(io.BytesIO(stream.getvalue())) as image:
        if loaded:
            image.load()
        found, expected = of(image), of_file()
    if found is None:
        assert loaded or expected is None
        return
    if expected is None:
        assert loaded
        assert mode in ("LAB", "YCbCr")
        return
    assert found.dtype == expected.dtype
    seen = [each if each.ndim == 2 else each[..., :3] for each in (found, expected)]
    assert seen[0].shape == seen[1].shape
    assert np.abs(seen[0].astype(int) - seen[1]).max() <= (1 if kind == "JPEG" else 0)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV"]
)
def test_an_image_without_a_file_is_converted(mode: str) -> None:
    image = in_mode(mode)
    gray = mode in ("1", "L", "LA", "La")
    via = {"La": "LA"}.get(mode)
    expected = np.asarray((image.convert(via) if via else image).convert("L" if gray else "RGB"))
    found = as_pixels(image)
    assert np.array_equal(found if gray else found[..., :3], expected)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_sixteen_bits_stay(mode: str) -> None:
    order = ">" if mode.endswith("B") else "<"
    image = Image.frombytes(mode, (12, 8), GRAY16.astype(f"{order}u2").tobytes())
    assert np.array_equal(as_pixels(image), GRAY16)
    assert np.array_equal(pillow_mask(image), GRAY16)


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_modes_without_known_black_and_white_are_refused(mode: str) -> None:
    with pytest.raises(DataError, match=f"is a Pillow image of mode {mode}"):
        as_pixels(in_mode(mode))


def written(path: Path, array: Any, **options: Any) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


@pytest.mark.parametrize("loaded", [False, True])
def test_what_pillow_loses_of_a_tiff(tmp_path: Path, loaded: bool) -> None:
    color = np.dstack([GRAY16] * 3)
    files = [
        written(tmp_path / "rgb16.tif", color, photometric="rgb"),
        written(tmp_path / "white16.tif", GRAY16, photometric="miniswhite"),
        written(tmp_path / "white8.tif", RGB[..., 0], photometric="miniswhite"),
        written(tmp_path / "big.tif", GRAY16, byteorder=">"),
        written(tmp_path / "straight.tif", np.dstack([RGB, RGB[..., :1]]), extrasamples=["unassalpha"]),
    ]
    for path in files:
        with Image.open(path) as image:
            if loaded:
                image.load()
            if loaded and path.stem in ("rgb16", "white16"):
                with pytest.raises(DataError, match=rf"{path.name} has 16 bits, which Pillow does not keep"):
                    pillow_pixels(image)
            else:
                assert np.array_equal(pillow_pixels(image), read_image(path)), path.name
    with Image.open(written(tmp_path / "int.tif", GRAY16.astype(np.int32))) as image:
        if loaded:
            image.load()
            with pytest.raises(DataError, match="of mode I, whose black and white are not known"):
                pillow_pixels(image)
        else:
            assert np.array_equal(pillow_pixels(image), GRAY16)


def test_what_pillow_loses_of_a_png(tmp_path: Path, write: Any) -> None:
    path = write(tmp_path / "a.png", np.dstack([GRAY16] * 3))
    with Image.open(path) as image:
        assert np.array_equal(pillow_pixels(image), read_image(path))
    with Image.open(path) as image:
        image.load()
        with pytest.raises(DataError, match=r"a\.png has 16 bits, of which Pillow keeps 8"):
            pillow_pixels(image)


def test_pages_of_a_stack(tmp_path: Path) -> None:
    """The file is a stack; the page that was asked for, or copied, is a picture."""
    path = written(tmp_path / "a.tif", np.stack([RGB[..., 0], RGB[..., 1]]), photometric="minisblack")
    with Image.open(path) as image:
        with pytest.raises(DataError, match="2 pages"):
            as_pixels(image)
        image.load()
        with pytest.raises(DataError, match="2 pages"):
            as_pixels(image)
        assert np.array_equal(as_pixels(image.copy()), RGB[..., 0])
        image.seek(1)
        assert np.array_equal(as_pixels(image), RGB[..., 1])


def test_the_image_can_be_used_afterwards(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        as_pixels(image)
        assert np.array_equal(np.asarray(image), RGB)


def test_changed_pixels_are_those_that_count(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.paste((0, 0, 0), (0, 0, 4, 4))
        assert as_pixels(image)[:4, :4].max() == 0
    with Image.open(tmp_path / "a.png") as image:
        assert as_pixels(image.resize((3, 2))).shape == (2, 3, 3)


def test_masks_from_pillow(tmp_path: Path) -> None:
    indices = RGB[..., 0] % 3
    palette = Image.fromarray(indices)
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    exif = Image.Exif()
    exif[274] = 6
    palette.save(tmp_path / "p.png", exif=exif)
    expected = read_mask(tmp_path / "p.png")
    assert np.array_equal(expected, np.rot90(indices, -1))
    with Image.open(tmp_path / "p.png") as image:
        assert np.array_equal(pillow_mask(image), expected)
        image.load()
        assert np.array_equal(pillow_mask(image), expected)
    assert np.array_equal(pillow_mask(palette), indices)


@pytest.mark.parametrize("dtype", [">u2", "<u2", "u1"])
def test_arrays_of_either_byte_order(dtype: str) -> None:
    found = as_pixels((GRAY16 // 256).astype(dtype))
    assert found.dtype in (np.uint8, np.uint16)
    assert np.array_equal(found, GRAY16 // 256)
    turned = as_pixels(RGB[::-1, ::-1, ::-1])
    assert turned.flags.c_contiguous


@pytest.mark.parametrize(
    "array", [GRAY16.astype(np.int16), GRAY16 / 65535, GRAY16 > 9, GRAY16.astype(np.uint32), GRAY16 * 1j]
)
def test_other_arrays_are_refused(array: Any) -> None:
    with pytest.raises(DataError, match="uint8 or uint16, not"):
        as_pixels(array)
