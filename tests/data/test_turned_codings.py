"""Masks in which black is what is marked: never read the other way round in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from delineate.common.errors import DataError
from delineate.data.core.label_reading import Reading, read_by_evidence, read_by_table
from delineate.data.core.label_table import labels_of_text
from delineate.data.core.manifest import IGNORE
from delineate.data.core.mask_values import MaskValues, RawMask, frame_of, mask_values
from delineate.data.doctor.check import check
from delineate.data.formats.registry import read_raw_labels

Mask = NDArray[Any]


def disks(number: int, outside: int, *inside: int) -> list[Mask]:
    """Squares of the values inside of each other, at another place in each mask."""
    masks = []
    for at in range(number):
        mask = np.full((24, 24), outside, np.uint8)
        for depth, value in enumerate(inside):
            mask[2 + at % 5 + 3 * depth : 20 - 3 * depth, 3 + 3 * depth : 20 - 3 * depth] = value
        masks.append(mask)
    return masks


def values_of(masks: list[Mask], **raw: Any) -> list[MaskValues]:
    return [mask_values(RawMask(mask, **raw), f"{at}.png") for at, mask in enumerate(masks)]


def read(masks: list[Mask], **raw: Any) -> Reading:
    return read_by_evidence(values_of(masks, **raw))


@pytest.mark.parametrize(
    ("masks", "cure"),
    [
        (disks(6, 255, 0), "--labels 255=background,0=NAME; if 0 is, --labels 0=background,255=NAME"),
        (disks(6, 1, 0), "--labels 1=background,0=NAME"),
        (disks(6, 255, 128, 0), "--labels 255=background,0=NAME,128=NAME; if 0 is, --labels 0=background,128=NAME,255=NAME"),
    ],
    ids=["black on white", "0 in 1", "REFUGE: cup 0, disc 128, background 255"],
)  # fmt: skip
def test_a_set_whose_background_is_not_0_is_asked_about(masks: list[Mask], cure: str) -> None:
    with pytest.raises(DataError, match="the frame of 6 of 6 masks is filled by") as caught:
        read(masks)
    assert cure in str(caught.value)


def test_the_advice_is_understood() -> None:
    files = values_of(disks(6, 255, 128, 0))
    for text in ("255=background,0=cup,128=disc", "0=background,128=b,255=c"):
        read_by_table(labels_of_text(text, "--labels").classes, files)


def test_noise_does_not_hide_it() -> None:
    masks = disks(6, 255, 0)
    for mask in masks:
        mask[::5, ::5] = np.where(mask[::5, ::5] > 0, 250, 4)
    with pytest.raises(DataError, match="128-255=background,0-127=NAME; if 0 is, --labels 0-127=background"):
        read(masks)


def test_palettes_are_looked_through() -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[0] = 255  # index 0 shows white, index 1 black
    with pytest.raises(DataError, match="is filled by 255"):
        read(disks(6, 0, 1), palette=palette)


def test_a_bilevel_tiff_whose_white_is_0(tmp_path: Path) -> None:
    files = []
    for at, mask in enumerate(disks(4, 0, 1)):
        tifffile.imwrite(tmp_path / f"{at}.tif", mask > 0)  # this writes 1 as black
        files.append(mask_values(read_raw_labels(tmp_path / f"{at}.tif"), f"{at}.tif"))
    with pytest.raises(DataError, match="is 255 the background"):
        read_by_evidence(files)


def test_one_mask_among_many_is_told(make_pairs: Callable[..., Path], write: Callable[[Path, Any], Path]) -> None:
    found = read(disks(11, 0, 255) + disks(1, 255, 0))
    assert "11.png" in found.doubt
    assert found.doubt in found.rule.reason
    root = make_pairs([f"s{at}" for at in range(12)], size=24)
    write(root / "masks" / "s11.png", disks(1, 255, 0)[0])
    report = check(root)
    assert report.usable
    assert any("are black and white exchanged? (masks/s11.png)" in str(finding) for finding in report.findings)


@pytest.mark.parametrize(
    "masks",
    [
        disks(6, 0, 255),
        disks(2, 255, 0),  # too few to tell what is usual
        [np.full((24, 24), 255, np.uint8), *disks(5, 0, 255)],  # an object that fills the picture
        disks(6, 2, 1, 0),  # ids of a whole scene: 0 is one class of several
        [np.kron(np.eye(2, dtype=np.uint8) * 255, np.ones((12, 12), np.uint8))] * 4,  # both reach the frame
    ],
    ids=["usual", "two", "filled", "scene", "halves"],
)
def test_other_sets_are_read_as_before(masks: list[Mask]) -> None:
    assert read(masks).doubt == ""


def test_the_frame_of_a_mask() -> None:
    assert frame_of(disks(1, 7, 1)[0]) == 7
    assert frame_of(np.eye(24, dtype=np.uint8)) == 0  # two corners are no frame
    assert frame_of(np.ones((24, 24, 3), np.uint8)) is None
    assert frame_of(np.ones((2, 24), np.uint8)) is None


@pytest.mark.parametrize(("name", "words"), [("{}.png", "as soft edges leave it"), ("{}.jpg", "as JPEG leaves it")])
def test_too_soft_edges_are_called_so(name: str, words: str) -> None:
    masks = [cv2.resize(disks(1, 0, 255)[0], (256, 256), interpolation=cv2.INTER_NEAREST) for _ in range(6)]
    masks = [cv2.GaussianBlur(mask, (0, 0), 0.7 if at < 3 else 8) for at, mask in enumerate(masks)]
    files = [mask_values(RawMask(mask, lossy=".jpg" in name), name.format(at)) for at, mask in enumerate(masks)]
    with pytest.raises(DataError, match="--labels 0-127=background,128-255=NAME") as caught:
        read_by_evidence(files)
    assert words in str(caught.value)


def test_ignored_pixels_up_to_the_frame_are_told() -> None:
    found = read(disks(6, 255, 0, 1))
    assert found.rule.index_of(255) == IGNORE
    assert "--labels 255=background,0=NAME,1=NAME" in found.doubt
    few = [np.where(np.arange(24) < 2, 255, mask).astype(np.uint8) for mask in disks(6, 0, 1, 2)]
    assert read(few).doubt == ""
