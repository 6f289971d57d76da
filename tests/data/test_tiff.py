"""TIFF files of every make: what is read is what was stored, or a line says what the file is."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.formats import tiff
from delineate.data.formats.headers import read_header
from delineate.data.formats.images import decode_image, decode_mask
from delineate.data.formats.registry import read_image, reads_volume

PATH = Path("x.tif")
FULL = {1: 1, 2: 3, 4: 15, 8: 255, 16: 65535}


def written(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def repacked(content: bytes, compression: str) -> bytes:
    """Packed as tifffile cannot: by Pillow's libtiff."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.save(stream, "TIFF", compression=compression)
    return stream.getvalue()


def numbers(seed: int, shape: tuple[int, ...], bits: int) -> Any:
    dtype = np.uint8 if bits <= 8 else np.uint16
    return np.random.default_rng(seed).integers(0, FULL[bits] + 1, shape).astype(dtype)


LAYOUTS = st.fixed_dictionaries(
    {
        "byteorder": st.sampled_from("<>"),
        "bigtiff": st.booleans(),
        "compression": st.sampled_from([None, "zlib", "lzma"]),
        "rowsperstrip": st.sampled_from([None, 1, 5]),
        "tile": st.sampled_from([None, (16, 16), (32, 16)]),
    }
)


def layout(options: dict[str, Any]) -> dict[str, Any]:
    """Without what tifffile does not take together."""
    kept = {name: value for name, value in options.items() if value is not None}
    if "tile" in kept:
        kept.pop("rowsperstrip", None)
    return kept


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    bits=st.sampled_from([8, 16]),
    kind=st.sampled_from(["minisblack", "miniswhite", "rgb"]),
    samples=st.integers(1, 5),
    planar=st.sampled_from(["contig", "separate"]),
    extra=st.sampled_from(["unspecified", "assocalpha", "unassalpha"]),
    predictor=st.booleans(),
    options=LAYOUTS,
)
@settings(max_examples=300, deadline=None)
def test_every_layout_gives_all_channels_as_stored_or_is_refused_truthfully(
    seed: int,
    size: tuple[int, int],
    bits: int,
    kind: str,
    samples: int,
    planar: str,
    extra: str,
    predictor: bool,
    options: dict[str, Any],
) -> None:
    pure = 3 if kind == "rgb" else 1
    samples = max(samples, pure)
    array = numbers(seed, (*size, samples), bits)
    stored = array if planar == "contig" else np.moveaxis(array, 2, 0)
    chosen = layout(options)
    if samples == 1:
        stored = array[..., 0]
    else:
        chosen |= {"planarconfig": planar, "extrasamples": [extra] * (samples - pure)}
    if predictor and chosen.get("compression") == "zlib":
        chosen["predictor"] = True
    content = written(stored, photometric=kind, metadata=None, **chosen)
    expected = FULL[bits] - array if kind == "miniswhite" else array
    alpha = samples == pure + 1 and (kind == "rgb" or extra != "unspecified")
    if not (samples == pure or alpha or (pure, samples, extra) == (1, 3, "unspecified")):
        with pytest.raises(DataError, match=f"is a TIFF of {samples} channels"):
            decode_image(content, PATH)
        return
    found = decode_image(content, PATH)
    if samples == 1:
        assert np.array_equal(found, expected[..., 0])
    elif kind != "rgb" and samples == 2:
        if extra == "unassalpha":
            assert np.array_equal(found, expected[..., 0])
    elif extra == "assocalpha" and samples == 4:
        assert np.array_equal(found[..., 3], array[..., 3])
        assert np.array_equal(found[array[..., 3] == FULL[bits]], array[array[..., 3] == FULL[bits]])
    else:
        assert np.array_equal(found, expected)
    assert found.dtype == array.dtype


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 30), st.integers(1, 70)),
    channels=st.sampled_from([1, 3, 4]),
    bits=st.sampled_from([8, 16]),
    compression=st.sampled_from([1, 5, 32946, 32773]),
)
@settings(max_examples=80, deadline=None)
def test_what_opencv_writes_comes_back(
    seed: int, size: tuple[int, int], channels: int, bits: int, compression: int
) -> None:
    """LZW with predictor, deflate, PackBits, and none."""
    array = numbers(seed, (*size, channels), bits)
    stored = array[..., 0] if channels == 1 else array
    code = {1: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[channels]
    bgr = stored if code is None else cv2.cvtColor(stored, code)
    _, content = cv2.imencode(".tif", bgr, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    found = decode_image(content.tobytes(), PATH)
    assert found.dtype == array.dtype
    assert np.array_equal(found, stored)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_packed_strips_of_a_large_picture(compression: str) -> None:
    array = numbers(1, (700, 333, 3), 8) // 64
    content = repacked(written(array, photometric="rgb"), compression)
    assert np.array_equal(decode_image(content, PATH), array)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("white", [False, True])
def test_faxes_are_one_bit_masks(compression: str, white: bool) -> None:
    mask = np.kron(numbers(2, (5, 4), 1), np.ones((8, 9), np.uint8)) > 0
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "TIFF", compression=compression, tiffinfo={262: 0 if white else 1})
    with Image.open(io.BytesIO(stream.getvalue())) as image:
        expected = np.asarray(image.convert("L"))
    assert np.array_equal(decode_mask(stream.getvalue(), PATH), expected)


def test_jpeg_inside_of_a_tiff() -> None:
    array = np.kron(numbers(3, (5, 6, 3), 8), np.ones((16, 16, 1), np.uint8))
    content = repacked(written(array, photometric="rgb"), "jpeg")
    assert np.abs(decode_image(content, PATH).astype(int) - array).mean() < 12


def by_hand(rows: Any, bits: int, *, order: str = "<", **entries: Any) -> bytes:
    """Rows of numbers H×N of any bits as an uncompressed TIFF. `entries`: further tags, as `t262=0`."""
    each = [np.packbits((np.asarray(row)[:, None] >> np.arange(bits - 1, -1, -1) & 1).astype(np.uint8)) for row in rows]
    body = b"".join(one.tobytes() for one in each)
    found = {
        256: len(rows[0]),
        257: len(rows),
        258: bits,
        259: 1,
        262: 1,
        273: 8,
        277: 1,
        278: len(rows),
        279: len(body),
    }
    found |= {int(name[1:]): value for name, value in entries.items()}
    packed, behind = b"", 8 + len(body)
    for tag, value in sorted(found.items()):
        values = [value] if isinstance(value, int) else list(value)
        if len(values) == 1:
            packed += struct.pack(f"{order}HHII", tag, 4, 1, values[0])
            continue
        packed += struct.pack(f"{order}HHII", tag, 4, len(values), behind)
        body += struct.pack(f"{order}{len(values)}I", *values)
        behind = 8 + len(body)
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, behind)
    return start + body + struct.pack(f"{order}H", len(found)) + packed + bytes(4)


@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.integers(1, 15),
    size=st.tuples(st.integers(1, 6), st.integers(1, 19)),
    white=st.booleans(),
    order=st.sampled_from("<>"),
)
@settings(max_examples=150, deadline=None)
def test_numbers_of_one_to_fifteen_bits(seed: int, bits: int, size: tuple[int, int], white: bool, order: str) -> None:
    """In images those of fewer than 8 are stretched to 0…255; in masks all stay, but 1 bit is 0 and 255."""
    array = np.random.default_rng(seed).integers(0, 2**bits, size)
    content = by_hand(array, bits, order=order, t262=0 if white else 1)
    shown = 2**bits - 1 - array if white else array
    assert np.array_equal(decode_image(content, PATH), shown if bits >= 8 else shown * 255 // (2**bits - 1))
    assert np.array_equal(decode_mask(content, PATH), shown * 255 if bits == 1 else shown)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("eight", [False, True], ids=["16-bit colors", "8-bit colors"])
def test_palettes(bits: int, gray: bool, eight: bool) -> None:
    """Indices in masks, unless the palette is gray; some writers give its colors in 8 bits."""
    number = min(2**bits, 7)
    indices = np.arange(12).reshape(3, 4) % number
    colors = np.random.default_rng(5).permutation(255)[: 3 * number].reshape(number, 3) + 1
    colors[:, 1:] = colors[:, :1] if gray else colors[:, 1:]
    table = np.zeros((2**bits, 3), int)
    table[:number] = colors if eight else colors * 257
    content = by_hand(indices, bits, t262=3, t320=table.T.ravel().tolist())
    assert np.array_equal(decode_image(content, PATH), colors[indices])
    assert np.array_equal(decode_mask(content, PATH), colors[:, 0][indices] if gray else indices)


def test_bits_from_low_to_high() -> None:
    mask = numbers(6, (4, 21), 1)
    content = by_hand(mask, 1)
    size = 4 * 3
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in content[8 : 8 + size])
    reversed_ = by_hand(mask, 1, t266=2)
    assert np.array_equal(decode_mask(reversed_[:8] + turned + reversed_[8 + size :], PATH), mask * 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
def test_the_orientation_is_obeyed_once(orientation: int, compression: str | None) -> None:
    array = np.kron(numbers(7, (2, 3), 8), np.ones((16, 16), np.uint8))
    tag = (274, 3, 1, orientation, True)
    content = written(array, compression=compression if compression != "jpeg" else None, extratags=[tag])
    if compression == "jpeg":
        with Image.open(io.BytesIO(written(array))) as image:
            stream = io.BytesIO()
            image.save(stream, "TIFF", compression="jpeg", quality=100, tiffinfo={274: orientation})
        content = stream.getvalue()
    wanted = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.T,
        6: np.rot90(array, -1),
        7: np.rot90(array, 2).T,
        8: np.rot90(array, 1),
    }[orientation]
    for decode in (decode_image, decode_mask):
        found = decode(content, PATH)
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).max() <= (3 if compression == "jpeg" else 0)


def test_labels_of_signed_numbers_are_read() -> None:
    mask = np.zeros((9, 7), np.int16)
    mask[2:5, 2:6], mask[7, 1] = 2, 300
    assert np.array_equal(decode_mask(written(mask), PATH), mask)
    mask[0, 0] = -1
    with pytest.raises(DataError, match="labels are 0…65535"):
        decode_mask(written(mask), PATH)
    assert np.array_equal(decode_image(written(mask), PATH), mask), "an image has the file's own values"


@pytest.mark.parametrize("dtype", [np.int8, np.uint32, np.int32, np.float16, np.float32, np.float64])
def test_other_numbers_are_own_values_and_labels_where_whole(dtype: Any) -> None:
    array = numbers(8, (6, 7), 4).astype(dtype)
    for order in "<>":
        content = written(array, byteorder=order)
        image = decode_image(content, PATH)
        assert image.dtype == np.float32
        assert np.array_equal(image, array)
        mask = decode_mask(content, PATH)
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, array)


@pytest.mark.parametrize(
    ("value", "words", "image_words"),
    [
        (0.5, "pixels with fractions, such as 0.5", ""),
        (-1.0, "labels are 0…65535", ""),
        (70000.0, "labels are 0…65535", ""),
        (np.nan, "not numbers", "pixels that are not numbers"),
        (np.inf, "not numbers", "pixels that are not numbers"),
        (1e300, "labels are 0…65535", "pixels that are not numbers"),
    ],
)
def test_numbers_that_are_no_labels(value: float, words: str, image_words: str) -> None:
    array = np.zeros((6, 7))
    array[2, 3] = value
    with pytest.raises(DataError, match=words):
        decode_mask(written(array), PATH)
    if image_words:
        with pytest.raises(DataError, match=image_words):
            decode_image(written(array), PATH)
    else:
        assert decode_image(written(array), PATH)[2, 3] == np.float32(value)


PREDICTOR = 317
"""The number of the tag, which OpenCV takes as an option."""


@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_floats_with_predictors(predictor: int) -> None:
    array = np.kron(numbers(9, (4, 3), 8), np.ones((4, 5), np.uint8)).astype(np.float32)
    flags = [cv2.IMWRITE_TIFF_COMPRESSION, 5, PREDICTOR, predictor]
    _, content = cv2.imencode(".tif", array, flags)
    header = read_header(content.tobytes())
    assert header is not None
    assert header.directory is not None
    assert np.array_equal(tiff.read_values(content.tobytes(), header.directory)[0], array)


PLANES = numbers(10, (6, 5, 7), 8)


@pytest.mark.parametrize(
    "description",
    ["ImageJ=1.53t\nimages=6\nslices=6\n", "ImageJ=1.53t\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n"],
)
def test_stacks_behind_one_directory_are_stacks(tmp_path: Path, description: str) -> None:
    single = written(PLANES[0], description=description, metadata=None)
    stack = tmp_path / "a.tif"
    stack.write_bytes(single + PLANES[1:].tobytes())
    assert reads_volume(stack)
    with pytest.raises(DataError, match=r"a\.tif (is a volume|holds 2 volumes)"):
        read_image(stack)
    stack.write_bytes(single)  # a page that was saved alone and kept the description
    assert np.array_equal(read_image(stack), PLANES[0])


def test_other_stacks_behind_one_directory(tmp_path: Path) -> None:
    stack = tmp_path / "a.tif"
    tifffile.imwrite(stack, PLANES, truncate=True, photometric="minisblack")
    assert reads_volume(stack)
    tifffile.imwrite(stack, PLANES, volumetric=True, photometric="minisblack", tile=(6, 16, 16))
    assert reads_volume(stack)
    metamorph = by_hand(np.concatenate(PLANES), 8, t257=5, t278=5, t279=35, t33629=range(12))
    stack.write_bytes(metamorph)
    assert reads_volume(stack)


def test_a_small_copy_beside_the_picture_is_no_second_page(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(PLANES[0], metadata=None)
        writer.write(PLANES[0, ::2, ::2], metadata=None, subfiletype=1)
    assert np.array_equal(read_image(path), PLANES[0])
    with tifffile.TiffWriter(path) as writer:
        writer.write(PLANES[0, ::2, ::2], metadata=None, subfiletype=1)
        writer.write(PLANES[0], metadata=None)
    with pytest.raises(DataError, match="2 pages that are not alike"):
        read_image(path)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"t262": 8}, "is a TIFF of CIELab colors, which is not readable"),
        ({"t262": 32803}, "is a TIFF of raw colors of a camera"),
        ({"t259": 34712}, "is a TIFF packed with JPEG 2000, which is not readable"),
        ({"t259": 50000}, "is a TIFF packed with Zstandard"),
        ({"t259": 7, "t339": 1, "t338": 0}, "is a TIFF packed with JPEG, in a form that is not readable"),
        ({"t259": 65000}, "is a TIFF packed with method 65000"),
        ({"t258": [8, 16], "t277": 2}, "is a TIFF of 8, 16 bits"),
        ({"t258": 24}, "is a TIFF of 24 bits"),
    ],
)
def test_what_cannot_be_read_is_called_what_it_is(entries: dict[str, Any], said: str) -> None:
    content = by_hand(numbers(11, (4, 6), 8), 8, **entries)
    for decode in (decode_image, decode_mask):
        with pytest.raises(DataError) as caught:
            decode(content, PATH)
        assert said in str(caught.value)
        assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_missing_strips_are_noticed(compression: str | None, share: float) -> None:
    """Whatever is cut out of the middle: the directory stays whole."""
    array = numbers(12, (60, 50), 8)
    content = written(array, rowsperstrip=10, metadata=None, compression=compression)
    directory = int.from_bytes(content[4:8], "little")
    with pytest.raises(DataError, match="damaged or truncated"):
        decode_image(content[: directory + 300 + int((len(content) - directory - 300) * share)], PATH)


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=8), st.sampled_from([1, 5, 32773, 8]))
@settings(max_examples=200, deadline=None)
def test_damaged_directories_give_a_picture_or_a_line(edits: list[tuple[int, int]], compression: int) -> None:
    _, encoded = cv2.imencode(".tif", PLANES[0], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    content = bytearray(encoded.tobytes())
    for place, value in edits:
        content[place % len(content)] = value
    for decode in (decode_image, decode_mask):
        with suppress(DataError):
            assert decode(bytes(content), PATH, max_pixels=10**6).size <= 4 * 10**6
