"""Properties: masks of any coding are read right or refused with a line, never read some other way in silence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from delineate.common.errors import DataError
from delineate.data.core import labels
from delineate.data.core.label_reading import Reading, read_by_evidence
from delineate.data.core.manifest import IGNORE
from delineate.data.core.mask_values import RawMask, mask_values
from delineate.data.formats.images import raw_mask
from delineate.data.formats.registry import read_mask

Mask = NDArray[Any]
seeds = st.integers(0, 2**32 - 1)
SIZE = 48


def blobs(rng: np.random.Generator, classes: int, size: int = SIZE) -> Mask:
    """Class indices with a region of each class, larger than a speck."""
    mask = np.zeros((size, size), np.uint8)
    for index in range(1, classes + 1):
        y, x = rng.integers(0, size - 16, 2)
        mask[y : y + rng.integers(5, 16), x : x + rng.integers(5, 16)] = index
    return mask


def decode(masks: list[Mask], suffix: str = ".png", options: list[int] | None = None) -> list[RawMask]:
    """Masks as their files are decoded."""
    files = [cv2.imencode(suffix, mask, options or [])[1].tobytes() for mask in masks]
    return [raw_mask(content, Path(f"{at:02}{suffix}")) for at, content in enumerate(files)]


def read(raw: list[RawMask]) -> tuple[Reading, list[Mask]]:
    """The reading of a set, and its masks as class indices."""
    reading = read_by_evidence([mask_values(one, f"{at:02}.png") for at, one in enumerate(raw)])
    coding = reading.rule.coding
    return reading, [labels.apply(reading.rule, one.as_coded(coding, Path("x")), Path("x")) for one in raw]


ids = st.lists(st.integers(1, 254), min_size=1, max_size=6, unique=True).map(sorted)


@given(ids, seeds, st.integers(1, 8))
def test_random_ids_keep_their_meaning(values: list[int], seed: int, files: int) -> None:
    """A pixel's class is the rank of its value, or the set is refused."""
    rng = np.random.default_rng(seed)
    truth = [blobs(rng, len(values)) for _ in range(files)]
    table = np.array([0, *values], np.uint8)
    seen = np.unique(np.concatenate([one.ravel() for one in truth]))
    assume(len(seen) > 1)
    try:
        reading, found = read(decode([table[one] for one in truth]))
    except DataError:
        assume(False)
    rank = {int(value): at for at, value in enumerate(seen)}
    assert reading.rule.threshold is None
    for one, mask in zip(truth, found, strict=True):
        assert np.array_equal(mask, np.vectorize(rank.get)(one))


@given(st.sampled_from([(255,), (1,), (1, 2, 3), (127, 255), (85, 170, 255)]), seeds, st.integers(2, 20))
def test_common_codings_are_not_refused(values: tuple[int, ...], seed: int, files: int) -> None:
    rng = np.random.default_rng(seed)
    truth = [blobs(rng, len(values)) for _ in range(files)]
    for at in range(files // 4):
        truth[at][:] = 0  # empty masks are fine anywhere
    assume(all(any((one == index).sum() > 8 for one in truth) for index in range(1, len(values) + 1)))
    table = np.array([0, *values], np.uint8)
    _, found = read(decode([table[one] for one in truth]))
    assert all(np.array_equal(one, mask) for one, mask in zip(truth, found, strict=True))


@given(st.integers(1, 254), seeds, st.integers(4, 30), st.floats(0, 0.5), st.integers(1, 3))
def test_strays_in_black_and_white_masks_are_refused(
    stray: int, seed: int, files: int, share: float, pixels: int
) -> None:
    """One value, a few pixels of it, in some of many masks: an error that names one of those masks."""
    rng = np.random.default_rng(seed)
    masks = [blobs(rng, 1) * np.uint8(255) for _ in range(files)]
    bad = rng.permutation(files)[: max(1, int(share * files))]
    for at in bad:
        masks[at].flat[:pixels] = stray
    with pytest.raises(DataError) as caught:
        read(decode(masks))
    assert any(f"{at:02}.png" in str(caught.value) for at in bad)


@given(
    st.permutations([(255,), (1,), (1, 2), (128,), (128, 255), (37, 90), (200,)]), seeds, st.integers(2, 20), st.data()
)
def test_two_codings_in_one_set_are_refused(
    codings: list[tuple[int, ...]], seed: int, files: int, data: st.DataObject
) -> None:
    """Masks of one coding beside masks of another: refused, unless their union is small ids, which mean what they say."""
    one, other = (np.array([0, *values], np.uint8) for values in codings[:2])
    assume(not set(one.tolist()) & set(other.tolist()) - {0} and set(codings[:2]) != {(1,), (1, 2)})
    few = data.draw(st.integers(1, files - 1))
    rng = np.random.default_rng(seed)
    masks = []
    for at in range(files):
        table = other if at < few else one
        masks.append(table[blobs(rng, len(table) - 1)])
    with pytest.raises(DataError):
        read(decode(masks))


@given(seeds, st.integers(30, 98), st.integers(2, 6), st.booleans())
def test_jpeg_masks_are_thresholded_as_they_were_drawn(seed: int, quality: int, files: int, color: bool) -> None:
    """Lossy noise is known from the values; some clean masks may be among them."""
    rng = np.random.default_rng(seed)
    truth = [blobs(rng, 1, 96) for _ in range(files)]
    white = [one * np.uint8(255) for one in truth]
    pictures = [np.dstack([one] * 3) if color else one for one in white]
    raw = decode(pictures, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])
    raw[0] = decode(white[:1])[0]
    reading, found = read(raw)
    for one, mask in zip(truth, found, strict=True):
        assert (one != mask).mean() < 0.01
    assert reading.rule.threshold == 128 or all(set(np.unique(one.pixels)) <= {0, 255} for one in raw)


@given(seeds, st.sampled_from([0.35, 0.5, 0.7, 1.5, 2.0, 3.3]), st.sampled_from([cv2.INTER_LINEAR, cv2.INTER_AREA]))
def test_resized_masks_are_thresholded_or_refused(seed: int, scale: float, kind: int) -> None:
    rng = np.random.default_rng(seed)
    truth = [blobs(rng, 1, 128) * np.uint8(255) for _ in range(4)]
    masks = [cv2.resize(one, None, fx=scale, fy=scale, interpolation=kind).astype(np.uint8) for one in truth]
    try:
        reading, found = read(decode(masks))
    except DataError:
        return
    assert len(reading.classes.names) == 2
    for one, mask in zip(masks, found, strict=True):
        assert np.array_equal(mask == 1, one >= 128)


@given(seeds, st.sampled_from([2, 3, 4, 5]))
@example(5671960, 5)  # its grays leave few gaps
def test_thin_lines_that_were_made_smaller_are_no_classes(seed: int, factor: int) -> None:
    """Areas of 2×2 pixels give exactly 0, 64, 128, 191 and 255, which look like levels of classes; of 4×4 sixteen values."""
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(4):
        line = np.zeros((96, 96), np.uint8)
        for ends in rng.integers(0, 96, (5, 2, 2)).tolist():
            cv2.line(line, ends[0], ends[1], 255, 2)
        masks.append(cv2.resize(line, (96 // factor, 96 // factor), interpolation=cv2.INTER_AREA).astype(np.uint8))
    try:
        reading, found = read(decode(masks))
    except DataError:
        return
    assert len(reading.classes.names) == 2
    assert all(np.array_equal(mask == 1, one >= 128) for one, mask in zip(masks, found, strict=True))


@given(seeds, st.integers(50, 95), st.sampled_from([(127, 255), (85, 170, 255)]))
def test_several_classes_with_noise_are_never_black_and_white(seed: int, quality: int, values: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(3):
        mask = np.zeros((128, 128), np.uint8)
        for place, value in enumerate(values):
            y, height, width = rng.integers([4, 12, 12], [80, 40, 40])
            mask[y : y + height, 4 + 42 * place : 4 + 42 * place + width] = value
        masks.append(mask)
    with pytest.raises(DataError):
        read(decode(masks, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]))


@given(seeds, st.integers(60, 255), st.integers(1, 3))
def test_instance_maps_are_not_black_and_white(seed: int, objects: int, side: int) -> None:
    """Many ids, thin coverage: refused, or told as so many label ids; never thresholded."""
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(3):
        mask = np.zeros((128, 128), np.uint8)
        places = rng.permutation(30 * 30)[:objects]
        for number, place in enumerate(places, 1):
            y, x = divmod(int(place), 30)
            mask[4 * y : 4 * y + side, 4 * x : 4 * x + side] = number
        masks.append(mask)
    try:
        reading, _ = read(decode(masks))
    except DataError:
        return
    assert reading.rule.threshold is None
    assert len(reading.classes.names) == objects + 1


@given(seeds, st.integers(2, 12), st.integers(0, 12))
def test_ignored_pixels_beside_ids(seed: int, files: int, lost: int) -> None:
    """255 in the very files that hold ids is ignored, also where further masks are ignored throughout."""
    rng = np.random.default_rng(seed)
    truth = [blobs(rng, 2) for _ in range(files)]
    for one in truth:
        one[:3] = IGNORE
        one[5:9, 5:9], one[12:16, 12:16] = 1, 2
    truth += [np.full((SIZE, SIZE), IGNORE, np.uint8)] * lost
    reading, found = read(decode(truth))
    assert all(np.array_equal(one, mask) for one, mask in zip(truth, found, strict=True))
    assert (f"{lost} mask" in reading.rule.reason) == bool(lost)


def indexed(mask: Mask, palette: list[int]) -> RawMask:
    image = Image.fromarray(mask)
    image.putpalette(palette)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return raw_mask(stream.getvalue(), Path("m.png"))


def voc() -> list[int]:
    """The palette of Pascal VOC, in which the colors of 7, 15 … look gray or nearly so."""
    palette = []
    for index in range(256):
        color = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                color[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        palette += color
    return palette


@given(st.lists(st.sampled_from([1, 2, 7, 15]), min_size=1, max_size=6), seeds)
def test_palette_files_are_read_alike_in_all_files(shown: list[int], seed: int) -> None:
    """Each file shows other classes; index 7 means class 7 also in a file that looks gray by itself."""
    rng = np.random.default_rng(seed)
    truth = [blobs(rng, 1) * np.uint8(value) for value in shown]
    raw = [indexed(one, voc()) for one in truth]
    for one, mask in zip(raw, truth, strict=True):
        assert np.array_equal(one.as_coded(None, Path("x")), mask), "alone too"
    try:
        reading, found = read(raw)
    except DataError:
        return  # 7 or 15 alone in a file and small ids alone in others could be two codings
    values = sorted({0, *shown})
    assert reading.rule.coding == "index"
    assert all(np.array_equal(np.array(values)[mask], one) for one, mask in zip(truth, found, strict=True))


@given(st.permutations([0, 1, 2]), seeds)
def test_gray_palettes_of_each_file_give_its_grays(order: list[int], seed: int) -> None:
    """Palettes in the order of appearance, as tools write them for gray pictures: the gray counts, not the index."""
    grays = np.array([0, 127, 255], np.uint8)
    rng = np.random.default_rng(seed)
    truth = [blobs(rng, 2) for _ in range(4)]
    for one in truth:
        one[:6, :6], one[8:14, 8:14], one[20:26, :6] = 0, 1, 2
    raw = [indexed(one, [value for gray in grays for value in (gray,) * 3]) for one in truth[:2]]
    place = np.argsort(order).astype(np.uint8)
    palette = [int(grays[index]) for index in order for _ in range(3)]
    raw += [indexed(place[one], palette) for one in truth[2:]]
    _, found = read(raw)
    assert all(np.array_equal(one, mask) for one, mask in zip(truth, found, strict=True))


def test_palettes_that_contradict_each_other_are_refused() -> None:
    mask = blobs(np.random.default_rng(0), 2)
    mask[:6, :6], mask[8:14, 8:14] = 1, 2
    red, green = [0, 0, 0, 255, 0, 0, 0, 255, 0], [0, 0, 0, 0, 255, 0, 255, 0, 0]
    with pytest.raises(
        DataError, match=r"palettes of the masks differ: index 1 is #ff0000 in 00\.png but #00ff00 in 01"
    ):
        read([indexed(mask, red), indexed(mask, green)])
    read([indexed(mask, red), indexed(mask, red)])
    own = [index for index in range(3) for _ in range(3)]
    _, found = read([indexed(mask, red), indexed(mask, own), RawMask(mask)])
    assert all(np.array_equal(one, mask) for one in found), "a palette that gives each index its own gray is none"


def test_written_names_are_in_the_file(tmp_path: Path) -> None:
    from delineate.data.formats.images import write_mask

    mask = blobs(np.random.default_rng(0), 2)
    write_mask(tmp_path / "m.png", mask, "0=background, 1=Zytoplasma Ä, 2=nucleus")
    assert np.array_equal(read_mask(tmp_path / "m.png"), mask)
    assert np.array_equal(cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_UNCHANGED), mask)
    with Image.open(tmp_path / "m.png") as image:
        image.load()
        assert image.info["labels"] == "0=background, 1=Zytoplasma Ä, 2=nucleus"
