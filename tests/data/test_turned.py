"""EXIF's orientation: obeyed alike in all formats, in images and masks; and said where it may tear the two apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from delineate.data.doctor.check import check
from delineate.data.doctor.fix import write_fixed
from delineate.data.formats.headers import stated_orientation
from delineate.data.formats.orientation import exif_orientation, turned
from delineate.data.formats.registry import read_image, read_mask
from delineate.data.loading.open_data import open_data

GRAY = (np.arange(6, dtype=np.uint8).reshape(2, 3) * 40) + 10
UPRIGHT = {
    1: GRAY,
    2: GRAY[:, ::-1],
    3: GRAY[::-1, ::-1],
    4: GRAY[::-1],
    5: GRAY.T,
    6: np.rot90(GRAY, -1),
    7: np.rot90(GRAY, 2).T,
    8: np.rot90(GRAY, 1),
}


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[274] = orientation
    return found


def saved(path: Path, image: Image.Image, orientation: int, **options: Any) -> Path:
    image.save(path, exif=exif(orientation), **options)
    return path


def enlarged(array: Any) -> Any:
    return np.kron(array, np.ones((16, 16), np.uint8))


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        ("jpg", "L"),
        ("jpg", "RGB"),
        ("jpg", "CMYK"),
        ("png", "1"),
        ("png", "L"),
        ("png", "LA"),
        ("png", "P"),
        ("png", "RGB"),
        ("png", "RGBA"),
        ("png", "I;16"),
        ("tif", "L"),
        ("tif", "RGB"),
        ("tif", "P"),
        ("tif", "I;16"),
    ],
)
def test_all_formats_and_modes_are_turned_alike(tmp_path: Path, suffix: str, mode: str, orientation: int) -> None:
    stored, wanted = enlarged(GRAY), enlarged(UPRIGHT[orientation])
    if mode == "1":
        stored, wanted = (stored > 100) * np.uint8(255), (wanted > 100) * np.uint8(255)
    if mode == "P":
        image = Image.fromarray(stored)
        image.putpalette([value for at in range(256) for value in (at, at, at)])
    elif mode == "I;16":
        image = Image.fromarray(stored.astype(np.uint16))
    else:
        image = Image.fromarray(stored).convert(mode)
    path = saved(tmp_path / f"a.{suffix}", image, orientation, **({"quality": 100} if suffix == "jpg" else {}))
    assert stated_orientation(path.read_bytes()) == orientation
    found = read_image(path)
    mask = read_mask(path)
    assert found.shape[:2] == mask.shape == wanted.shape
    one = found if found.ndim == 2 else found[..., 0]
    for values in (one, mask):
        assert np.abs(values.astype(int) - wanted).max() <= (4 if suffix == "jpg" else 0)


def test_orientation_after_the_pixels_of_a_png(tmp_path: Path) -> None:
    content = saved(tmp_path / "a.png", Image.fromarray(GRAY), 6).read_bytes()
    place = content.index(b"eXIf") - 4
    length = 12 + int.from_bytes(content[place : place + 4])
    chunk, end = content[place : place + length], content.index(b"IEND") - 4
    rest = content[:place] + content[place + length :]
    end = rest.index(b"IEND") - 4
    (tmp_path / "b.png").write_bytes(rest[:end] + chunk + rest[end:])
    assert np.array_equal(read_image(tmp_path / "b.png"), UPRIGHT[6])


@pytest.mark.parametrize(
    "block", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"Exif\0\0", b"\0" * 40, b"MM\0*\0\0\0\x08\0\x01\x01\x12"]
)
def test_damaged_exif_is_upright(block: bytes) -> None:
    assert exif_orientation(block) == 1


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_upright(tmp_path: Path, value: int) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(GRAY), value)
    assert np.array_equal(read_image(path), GRAY)


def test_turning_is_undone_by_its_inverse() -> None:
    inverse = {6: 8, 8: 6}
    for orientation in range(1, 9):
        there = turned(GRAY, orientation)
        assert np.array_equal(there, UPRIGHT[orientation])
        assert np.array_equal(turned(there, inverse.get(orientation, orientation)), GRAY)


def data_set(root: Path, orientations: list[int], size: tuple[int, int], mask_of: Any = None) -> Path:
    """Images with orientations; masks without, drawn on the pictures as shown."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for number, orientation in enumerate(orientations):
        image = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        saved(root / "images" / f"c{number:02d}.jpg", Image.fromarray(image), orientation, quality=95)
        mask = np.zeros(size[::-1] if orientation >= 5 else size, np.uint8)
        mask[4:10, 4:10] = 255
        if mask_of is None:
            cv2.imwrite(str(root / "masks" / f"c{number:02d}.png"), mask)
        else:
            saved(
                root / "masks" / f"c{number:02d}.png",
                Image.fromarray(mask.T if orientation >= 5 else mask),
                mask_of(orientation),
            )
    return root


def said_of(root: Path) -> list[tuple[str, str]]:
    return [(one.severity, str(one)) for one in check(root).findings if "EXIF" in str(one)]


@pytest.mark.parametrize("orientation", [2, 3, 4, 6])
def test_a_half_turn_is_said(tmp_path: Path, orientation: int) -> None:
    ((severity, text),) = said_of(data_set(tmp_path, [orientation] * 12, (32, 32)))
    assert severity == "warning"
    assert "12 cases whose image and mask have different EXIF orientations" in text
    assert "images/c00.jpg" in text


def test_other_cases_show_how_masks_were_drawn(tmp_path: Path) -> None:
    ((severity, text),) = said_of(data_set(tmp_path, [3, 3, 6, 8, 6, 1, 1, 1, 1, 1, 1, 1], (32, 20)))
    assert severity == "note"
    assert "of 3 other cases the masks fit the pictures as turned" in text


def test_nothing_is_said_where_image_and_mask_agree(tmp_path: Path) -> None:
    assert said_of(data_set(tmp_path / "none", [1] * 12, (32, 32))) == []
    assert said_of(data_set(tmp_path / "same", [3, 6] * 6, (32, 24), mask_of=lambda orientation: orientation)) == []
    assert said_of(data_set(tmp_path / "told", [6] * 12, (32, 24))) == []


def test_a_mask_on_the_stored_pixels_is_refused_where_sizes_tell(tmp_path: Path) -> None:
    root = data_set(tmp_path, [6] * 12, (32, 24))
    cv2.imwrite(str(root / "masks/c03.png"), np.full((32, 24), 255, np.uint8))
    errors = [str(one) for one in check(root).findings if one.severity == "error"]
    assert len(errors) == 1
    assert "EXIF" in errors[0]


def test_both_turned_is_read_as_both_upright(tmp_path: Path) -> None:
    root = data_set(tmp_path, [6, 3, 8, 5] * 3, (32, 24), mask_of=lambda orientation: orientation)
    _, census = open_data(root)
    assert {(fact.height, fact.width) for fact in census.facts.values()} == {(24, 32), (32, 24)}


def test_the_clean_copy_has_no_orientations(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", [3, 6, 1, 8] * 3, (32, 32))
    report = check(root)
    write_fixed(report, tmp_path / "clean")
    assert said_of(tmp_path / "clean") == []
    for path in sorted((root / "images").iterdir()):
        copy = next((tmp_path / "clean/images").glob(f"{path.stem}.*"))
        assert np.array_equal(read_image(copy), read_image(path))
        assert stated_orientation(copy.read_bytes()) == 1
