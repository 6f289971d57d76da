"""Classes that differ by their side, and flips that make both alike."""

from __future__ import annotations

import pytest

from delineate.data.augment.settings import AugmentSettings
from delineate.engine.data_warnings import side_warnings

FLIPS = AugmentSettings(flip_horizontal=0.5, flip_vertical=0.25)


@pytest.mark.parametrize(
    "names",
    [
        ("kidney_left", "kidney_right"),
        ("Left Lung", "right lung"),
        ("lobe upper L", "lobe upper R"),
        ("rt-eye", "lt-eye"),
    ],
)
def test_pairs_are_told_where_images_are_flipped(names: tuple[str, str]) -> None:
    (line,) = side_warnings(["background", *names, "spleen"], FLIPS)
    assert f"{names[0]} and {names[1]}" in line or f"{names[1]} and {names[0]}" in line
    assert line.endswith("train with --set augment.flip_horizontal=0 --set augment.flip_vertical=0")
    assert side_warnings(["background", *names], AugmentSettings()) == []
    one = side_warnings(["background", *names], AugmentSettings(flip_vertical=0.5))
    assert one[0].endswith("train with --set augment.flip_vertical=0")


@pytest.mark.parametrize(
    "names",
    [
        ("left ventricle", "right atrium"),
        ("left ventricle",),
        ("upper", "lower"),
        ("cleft", "bright"),
        ("left-right shunt", "shunt"),
    ],
)
def test_others_are_no_pair(names: tuple[str, ...]) -> None:
    assert side_warnings(["background", *names], FLIPS) == []
