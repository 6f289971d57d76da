"""Masks that are the same in all cases: a warning alone, and a stop where other masks are at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.doctor.check import check
from delineate.data.layouts.discover import discover, recognize

Write = Callable[[Path, Any], Path]
SIZE = 48


def eyes(root: Path, write: Write, **folders: str) -> Path:
    """A retinal set: `folders` name the folder of each kind of masks, `field` and `vessels`."""
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:SIZE, :SIZE]
    for number in range(6):
        write(root / "images" / f"{number}.png", rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8))
        field = np.hypot(ys - 23.5 - number % 2, xs - 23.5) < 21
        vessels = np.abs(ys - 10 - 4 * number + 4 * np.sin(xs / 5)) < 2
        for kind, mask in (("field", field), ("vessels", vessels)):
            if kind in folders:
                write(root / folders[kind] / f"{number}.png", mask.astype(np.uint8) * 255)
    return root


def test_a_field_of_view_alone_is_a_warning(tmp_path: Path, write: Write) -> None:
    root = eyes(tmp_path, write, field="masks")
    warnings = [str(finding) for finding in recognize(root).findings if finding.severity == "warning"]
    assert warnings == [
        "the masks in masks are nearly the same in all cases; "
        "look whether they mark what is to be found, or a camera's field of view"
    ]
    assert check(root).usable
    assert discover(root).notes == tuple(warnings)


@pytest.mark.parametrize("other", ["vessels", "1st_manual", "2nd_manual", "gt"])
def test_with_other_masks_at_hand_it_stops_and_names_both(other: str, tmp_path: Path, write: Write) -> None:
    root = eyes(tmp_path, write, field="masks", vessels=other)
    with pytest.raises(
        DataError, match=rf"nearly the same in all cases, .*--masks {other} or --masks masks$"
    ) as caught:
        discover(root)
    assert "\n" not in str(caught.value)
    assert not check(root).usable
    assert discover(root, masks=other).cases[0].masks == (f"{other}/0.png",)
    assert discover(root, masks="masks").cases[0].masks == ("masks/0.png",)  # meant, so only a warning


@pytest.mark.parametrize(
    "folders", [{"field": "mask", "vessels": "1st_manual"}, {"field": "mask", "vessels": "manual1"}]
)
def test_names_that_are_equally_good_stop_before_a_pixel_is_read(
    folders: dict[str, str], tmp_path: Path, write: Write
) -> None:
    root = eyes(tmp_path, write, **folders)
    with pytest.raises(
        DataError, match=rf"{folders['vessels']} and mask both hold masks .*--masks {folders['vessels']}$"
    ):
        discover(root)


@pytest.mark.parametrize(
    "folders", [{"vessels": "masks"}, {"vessels": "masks", "field": "fov"}, {"vessels": "labels", "field": "mask"}]
)
def test_masks_that_differ_are_taken_as_their_names_say(folders: dict[str, str], tmp_path: Path, write: Write) -> None:
    root = eyes(tmp_path, write, **folders)
    match = recognize(root)
    assert not [finding for finding in match.findings if finding.severity != "note"]
    assert match.cases[0].masks == (f"{folders['vessels']}/0.png",)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_in_another_folder_are_no_masks(suffix: str, tmp_path: Path, write: Write) -> None:
    """Thumbnails and enhanced copies pair with the images, too; nobody is advised to train on them."""
    root = eyes(tmp_path, write, field="masks")
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        write(root / "enhanced" / f"{number}{suffix}", image)
    assert [finding.severity for finding in recognize(root).findings] == ["note", "warning"]


def test_jpeg_masks_in_another_folder_are_masks(tmp_path: Path, write: Write) -> None:
    root = eyes(tmp_path, write, field="masks")
    for number in range(6):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[4 + number : 20 + number, 8:30] = 255
        write(root / "vessels" / f"{number}.jpg", mask)
    with pytest.raises(DataError, match=r"nearly the same in all cases, .*--masks vessels or --masks masks$"):
        discover(root)
