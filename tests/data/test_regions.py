"""Regions of a class table: what is accepted, in which order they are painted, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from delineate.data.core.manifest import ClassTable, Manifest
from delineate.data.core.regions import Region, make_regions

TUMOR = ("background", "edema", "core", "enhancing")
WHOLE = {"whole": ["edema", "core", "enhancing"], "core": ["core", "enhancing"], "enhancing": ["enhancing"]}


def test_regions_are_painted_in_the_class_that_is_in_none_inside() -> None:
    assert make_regions(WHOLE, TUMOR) == (
        Region(name="whole", classes=(1, 2, 3), paints=1),
        Region(name="core", classes=(2, 3), paints=2),
        Region(name="enhancing", classes=(3,), paints=3),
    )


def test_outer_regions_come_first_whatever_order_they_are_given_in() -> None:
    backwards = make_regions(dict(reversed(WHOLE.items())), TUMOR)
    assert [region.name for region in backwards] == ["whole", "core", "enhancing"]
    names = ("background", "rv", "wall", "lv")
    apart = make_regions({"rv": ["rv"], "left": ["lv", "wall"], "lv": ["lv"]}, names)
    assert [region.name for region in apart] == ["rv", "left", "lv"]


def test_a_region_that_others_fill_paints_nothing() -> None:
    names = ("background", "rv", "wall", "lv")
    heart, left, lv, rv = make_regions({"heart": names[1:], "left": ["wall", "lv"], "lv": ["lv"], "rv": ["rv"]}, names)
    assert (heart.paints, left.paints, lv.paints, rv.paints) == (None, 2, 3, 1)


def test_a_table_with_regions_has_a_channel_for_each(tmp_path: Path) -> None:
    table = ClassTable(names=TUMOR).with_regions(WHOLE)
    assert table.outputs == 3
    assert table.structures == {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
    assert table.regions_by_name == WHOLE
    assert table.with_regions({}) == ClassTable(names=TUMOR)
    assert ClassTable(names=TUMOR).structures == {"edema": (1,), "core": (2,), "enhancing": (3,)}
    Manifest(root="x", layout="masks", split_origin="", classes=table).save(tmp_path / "m.json")
    assert Manifest.load(tmp_path / "m.json").classes == table


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"a": ["edema", "core"], "b": ["core", "enhancing"]},
            "regions 'a' and 'b' are not nested: both hold 'core', but only 'a' holds 'edema' and only 'b' holds 'enhancing'",
        ),
        ({"whole": ["edema", "corre"]}, "region 'whole': unknown class 'corre': did you mean 'core'?"),
        ({"whole": ["edema", "core"], "core": ["core"]}, "class 'enhancing' is in no region; add it to one"),
        ({"whole": ["edema", "core", "enhancing"]}, "'edema' and 'core' are in the same regions"),
        ({**WHOLE, "all": ["enhancing", "core", "edema"]}, "regions 'whole' and 'all' hold the same classes"),
        ({**WHOLE, "Core": ["edema"]}, "two regions are called 'Core'"),
        ({**WHOLE, "none": []}, "region 'none' needs a name and at least one class"),
        ({"whole": ["edema", "edema"]}, "region 'whole' names 'edema' twice"),
        ({"Background": ["edema", "core", "enhancing"]}, "a region cannot be called 'Background'"),
        ({**WHOLE, "ignore": ["edema"]}, "a region cannot be called 'ignore'"),
        ({"whole": ["background", "edema"]}, "region 'whole' holds 'background', which is what lies outside"),
    ],
)
def test_wrong_regions_are_refused_in_one_line(given: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ValueError, match="region") as refused:
        ClassTable(names=TUMOR).with_regions(given)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ([Region(name="a", classes=(1, 5), paints=1)], "class indices"),
        ([Region(name="a", classes=(2, 1), paints=1)], "class indices"),
        (
            [Region(name="b", classes=(2,), paints=2), Region(name="a", classes=(1, 2), paints=1)],
            "'b' is painted before 'a', which covers it",
        ),
        (
            [Region(name="a", classes=(1, 2), paints=2), Region(name="b", classes=(2,), paints=2)],
            "'a' must be painted in a class that is in it and in none inside it: 'wall'",
        ),
        (
            [Region(name="a", classes=(1, 2)), Region(name="b", classes=(2,), paints=2)],
            "'a' must be painted in a class that is in it and in none inside it: 'wall'",
        ),
    ],
)
def test_regions_of_a_file_are_checked(regions: list[Region], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ClassTable(names=("background", "wall", "cavity"), regions=tuple(regions))
