"""Near duplicates: planted copies are found, pictures of one kind are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.data.cases.phantom import make_phantom
from delineate.data.splits.near_duplicates import NEAR, ORIENTATIONS, find_near_duplicates, oriented, picture_hash

COUNT = 24
Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def phantoms() -> dict[str, Any]:
    return {f"p{number}": make_phantom(number, size=160, seed=0)[0] for number in range(COUNT)}


@pytest.fixture(scope="module")
def hashes(phantoms: dict[str, Any]) -> dict[str, Any]:
    return {name: picture_hash(image) for name, image in phantoms.items()}


def jpeg(image: Any, quality: int) -> Any:
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(content, cv2.IMREAD_UNCHANGED)


CHANGES: dict[str, Change] = {
    "smaller": lambda image: cv2.resize(image, (80, 80), interpolation=cv2.INTER_AREA),
    "larger and squashed": lambda image: cv2.resize(image, (300, 240), interpolation=cv2.INTER_CUBIC),
    "recompressed": lambda image: jpeg(image, 30),
    "cropped by 5 %": lambda image: image[8:, :-8],
    "cropped, mirrored, smaller, recompressed": lambda image: jpeg(cv2.resize(image[4:-4, 152:0:-1], (90, 90)), 60),
    "gray": lambda image: cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),
    "16 bits": lambda image: image.astype(np.uint16) * 200,
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(
    phantoms: dict[str, Any], hashes: dict[str, Any], change: str
) -> None:
    copies = {f"copy of {name}": picture_hash(CHANGES[change](image)) for name, image in phantoms.items()}
    found = {(pair.first, pair.second) for pair in find_near_duplicates({**hashes, **copies})}
    assert found == {(name, f"copy of {name}") for name in phantoms}


@pytest.mark.parametrize("orientation", range(len(ORIENTATIONS)))
def test_orientations_say_how_to_see_the_first(
    phantoms: dict[str, Any], hashes: dict[str, Any], orientation: int
) -> None:
    copy = next(
        turned
        for turned in (oriented(phantoms["p5"], at) for at in range(8))
        if np.array_equal(oriented(turned, orientation), phantoms["p5"])
    )
    for names in (("copy", *hashes), (*hashes, "copy")):
        every = {**hashes, "copy": picture_hash(copy)}
        (pair,) = find_near_duplicates({name: every[name] for name in names})
        assert {pair.first, pair.second} == {"p5", "copy"}
        first, second = (copy if name == "copy" else phantoms["p5"] for name in (pair.first, pair.second))
        assert np.array_equal(oriented(second, pair.orientation), first)
        assert pair.similarity > 0.99 > NEAR


def test_pictures_without_structure_have_no_hash() -> None:
    assert picture_hash(np.full((40, 50, 3), 128, np.uint8)) is None
    assert picture_hash(np.zeros((40, 50), np.uint16)) is None


def test_few_pictures() -> None:
    one = picture_hash(make_phantom(0, size=64, seed=0)[0])
    assert one is not None
    assert find_near_duplicates({}) == find_near_duplicates({"a": one}) == []
    assert [(pair.first, pair.second) for pair in find_near_duplicates({"a": one, "b": one})] == [("a", "b")]
