"""Post-processing of masks: what it promises holds for any mask, any rules, any regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from delineate.artefact.format import Artefact
from delineate.artefact.postprocessing import Postprocessing, StructureRule
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import is_one_of
from delineate.inference.postprocess import postprocessed, structures_of
from delineate.inference.predictor import Predictor
from micro_method import brightness

NAMES = ("background", "a", "b", "c", "d")
REGIONS = [
    {"whole": ["a", "b", "c", "d"], "core": ["b", "c"], "inner": ["c"], "rest": ["d"]},  # d beside the core
    {
        "whole": ["a", "b", "c", "d"],
        "pair": ["b", "c"],
        "left": ["b"],
        "right": ["c"],
        "d": ["d"],
    },  # pair paints nothing
]
TABLES = [ClassTable(), ClassTable(names=NAMES), *(ClassTable(names=NAMES).with_regions(one) for one in REGIONS)]


def rule(name: str = "foreground", **what: object) -> StructureRule:
    return StructureRule(name=name, **what)  # type: ignore[arg-type]


@st.composite
def situations(draw: st.DrawFn) -> tuple[np.ndarray, ClassTable, list[StructureRule]]:
    table = draw(st.sampled_from(TABLES))
    shape = draw(st.sampled_from([(7, 8), (12, 5), (4, 5, 6), (1, 6, 6)]))
    seed, share = draw(st.integers(0, 10**6)), draw(st.floats(0.1, 0.9))
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, len(table.names), shape) * (rng.random(shape) < share)
    if draw(st.booleans()):  # blobs, not noise
        mask = ndimage.zoom(mask, 2, order=0)
    rules = [
        rule(
            structure.name,
            largest=draw(st.booleans()),
            min_size=draw(st.sampled_from([0, 2, 5, 20])),
            fill_holes=draw(st.booleans()) and structure.paints is not None,
        )
        for structure in structures_of(table)
        if draw(st.booleans())
    ]
    return mask.astype(np.uint8), table, rules


@settings(max_examples=150)
@given(situations())
def test_it_keeps_its_promises(case: tuple[np.ndarray, ClassTable, list[StructureRule]]) -> None:
    mask, table, rules = case
    before = mask.copy()
    done = postprocessed(mask, table, rules)
    assert np.array_equal(mask, before), "what was given is not changed"
    assert np.array_equal(postprocessed(done, table, rules), done), "a second time changes nothing"
    by_name = {structure.name: structure for structure in structures_of(table)}
    for one in rules:
        structure = by_name[one.name]
        mine = is_one_of(done, structure.classes)
        labels, count = ndimage.label(mine, np.ones((3,) * mine.ndim))
        assert count <= 1 or not one.largest
        if not one.fill_holes:
            assert count == 0 or np.bincount(labels.ravel())[1:].min() >= one.min_size
        else:
            holes = ndimage.binary_fill_holes(mine) & ~mine
            for hole in (ndimage.label(holes)[0] == at for at in range(1, 1 + ndimage.label(holes)[1])):
                assert not is_one_of(done[hole], structure.around).all(), "a hole that holds nothing else is filled"
    if table.regions:
        for outer in table.regions:
            for inner in table.regions:
                if set(inner.classes) < set(outer.classes):
                    assert not (is_one_of(done, inner.classes) & ~is_one_of(done, outer.classes)).any()


@given(st.integers(0, 1000), st.sampled_from([(9, 11), (5, 6, 7)]))
def test_one_class_agrees_with_scipy(seed: int, shape: tuple[int, ...]) -> None:
    mask = (np.random.default_rng(seed).random(shape) < 0.6).astype(np.uint8)
    filled = postprocessed(mask, ClassTable(), [rule(fill_holes=True)])
    assert np.array_equal(filled, ndimage.binary_fill_holes(mask))


def drawn(text: str) -> np.ndarray:
    return np.array([[int(one) for one in line] for line in text.split()], np.uint8)


def after(text: str, rules: Sequence[StructureRule], table: ClassTable) -> str:
    return " ".join("".join(map(str, line)) for line in postprocessed(drawn(text), table, rules).tolist())


def test_by_hand() -> None:
    one, several = TABLES[0], TABLES[1]
    assert after("1100 1001 0011", [rule(largest=True)], one) == "1100 1000 0000", "of equals the first"
    assert after("1000 0100 0011", [rule(largest=True)], one) == "1000 0100 0011", "corners join"
    assert after("1011 0000", [rule(min_size=2)], one) == "0011 0000"
    assert after("111 101 111", [rule(fill_holes=True)], one) == "111 111 111"
    assert after("111 101 101", [rule(fill_holes=True)], one) == "111 101 101", "open at the border"
    assert after("101 010", [rule(fill_holes=True)], one) == "101 010"
    assert after("010 101 010", [rule(fill_holes=True)], one) == "010 111 010", "holes are enclosed by whole edges"
    ring = "11111 12221 12021 12221 11111"
    assert after(ring, [rule("a", fill_holes=True)], several) == ring, "another class is no hole"
    assert after(ring, [rule("b", fill_holes=True)], several) == "11111 12221 12221 12221 11111"
    assert after("1102 1100", [rule("b", min_size=2)], several) == "1100 1100"
    assert after("111 121 111", [], several) == "111 121 111"


def test_ignored_pixels_stay_and_are_no_hole() -> None:
    mask = np.ones((5, 5), np.uint8)
    mask[2, 2] = 255
    assert np.array_equal(postprocessed(mask, ClassTable(), [rule(fill_holes=True, largest=True)]), mask)


def test_regions_fall_to_what_is_around_them() -> None:
    table = TABLES[2]
    text = "1111111 1221121 1231111 1221111 1111111"
    assert after(text, [rule("core", largest=True)], table) == "1111111 1221111 1231111 1221111 1111111"
    assert after(text, [rule("inner", min_size=2)], table) == "1111111 1221121 1221111 1221111 1111111"
    assert after("22022 20002 22222", [rule("whole", min_size=99)], table) == "00000 00000 00000"
    assert after("222 202 222", [rule("whole", fill_holes=True)], table) == "222 212 222"
    assert after("222 202 222", [rule("core", fill_holes=True)], table) == "222 222 222"
    assert after("333 313 333", [rule("inner", fill_holes=True)], table) == "333 333 333"
    assert after("222 242 222", [rule("core", fill_holes=True)], table) == "222 242 222", "another region"
    # What is taken from `left` is taken from `pair`, which has no class of its own.
    assert after("22033", [rule("left", min_size=3), rule("pair", largest=True)], TABLES[3]) == "11011"


def test_sizes_are_of_pixels_or_of_millimeters() -> None:
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[0, 0, :2] = 1
    for size, volume, left in [(2, 1.0, 2), (3, 1.0, 0), (3, 1.5, 2), (1, 0.4, 0)]:
        done = postprocessed(mask, ClassTable(), [rule(min_size=size)], volume)
        assert done.sum() == left


def predictor(chosen: Postprocessing | None, *, on: bool = True) -> Predictor:
    spec = InputSpec(size=(16, 16), channels="gray")
    artefact = Artefact(brightness(1, 1), spec, ClassTable(), postprocessing=chosen)
    return Predictor(artefact, "cpu", postprocess=on)


def two_parts() -> np.ndarray:
    image = np.zeros((16, 16), np.uint8)
    image[2:9, 2:9], image[12:14, 12:14] = 255, 255
    return image


def test_the_predictor_applies_it_to_what_it_was_chosen_for() -> None:
    rules = (rule(largest=True),)
    image = two_parts()
    for chosen, on, pixels in [
        (None, True, 53),
        (Postprocessing(dimensions=2, rules=rules), True, 49),
        (Postprocessing(dimensions=2, rules=rules), False, 53),
        (Postprocessing(dimensions=3, unit="mm", rules=rules), True, 53),
        (Postprocessing(dimensions=2, threshold=0.0, rules=rules), True, 256),
    ]:
        model = predictor(chosen, on=on)
        assert model.predict(image).sum() == pixels
        assert np.array_equal(model.probabilities(image), predictor(None).probabilities(image)), "they stay raw"


def test_sizes_in_millimeters_need_a_voxel() -> None:
    volume = np.ones((3, 3, 3), np.uint8)
    model = predictor(Postprocessing(dimensions=3, unit="mm", rules=(rule(min_size=20.0),)))
    with pytest.raises(DataError, match="say how large a voxel is"):
        model.postprocess(volume)
    assert model.postprocess(volume, 1.0).sum() == 27
    assert model.postprocess(volume, 0.5).sum() == 0


def test_words() -> None:
    chosen = Postprocessing(
        dimensions=3,
        unit="mm",
        threshold=0.35,
        rules=(rule("liver", largest=True, min_size=100.0), rule("tumor", fill_holes=True), rule("none")),
    )
    assert chosen.words == (
        "threshold 0.35; liver: largest component (26 neighbors), no component below 100 mm³; tumor: holes filled"
    )
    assert Postprocessing(dimensions=2).words == "nothing"


def test_faults() -> None:
    with pytest.raises(ValidationError, match="twice"):
        Postprocessing(dimensions=2, rules=(rule("a"), rule("a")))
    with pytest.raises(ValidationError):
        rule("a", min_size=-1)
    with pytest.raises(ValidationError):
        rule("a", min_size=float("nan"))
    with pytest.raises(ValidationError):
        Postprocessing(dimensions=2, surprise=1)  # type: ignore[call-arg]
