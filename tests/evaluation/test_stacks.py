"""Slices back into volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.core.stacks import Stack, assemble, choose_spacing, parse_spacing, stack_names
from delineate.data.formats.registry import read_mask

RULE = r"(?P<volume>patient\d+_frame\d+)_slice_(?P<slice>\d+)"


@pytest.mark.parametrize(
    ("name", "volume"),
    [
        ("patient001_frame01_slice_07", "patient001_frame01"),
        ("case_3-007", "case_3"),
        ("scan_z12", "scan"),
        ("scan-sl3", "scan"),
        ("topaz_12", "topaz"),
        ("a.0001", "a"),
    ],
)
def test_common_names_are_known(name: str, volume: str):
    assert stack_names([name]) == (Stack(volume, (name,)),)


@pytest.mark.parametrize("rule", [RULE, r"(patient\d+_frame\d+)_slice_(\d+)", "auto"])
def test_slices_are_ordered_by_number_within_their_volume(rule: str):
    names = [f"patient{patient}_frame01_slice_{number}" for patient in (7, 3) for number in (10, 9, 11, 8)]
    stacks = stack_names(names, rule)
    assert [stack.volume for stack in stacks] == ["patient7_frame01", "patient3_frame01"]
    assert [name[-2:].strip("_") for name in stacks[1].slices] == ["8", "9", "10", "11"]


@given(st.permutations([f"v{volume}_slice_{number:02}" for volume in range(3) for number in range(4)]))
def test_the_order_of_the_files_does_not_matter(names: list[str]):
    stacks = {stack.volume: stack.slices for stack in stack_names(names)}
    assert stacks == {f"v{volume}": tuple(f"v{volume}_slice_{number:02}" for number in range(4)) for volume in range(3)}


@pytest.mark.parametrize(
    ("names", "rule", "words"),
    [
        (["polyp"], "auto", r"no slice number at the end of 'polyp' .*; give a rule such as"),
        (["a_1", "b"], "auto", "at the end of 'b'"),
        (["a_1"], RULE, "does not fit 1 of 1 name, such as 'a_1'$"),
        (["x_patient1_frame1_slice_1"], RULE, "it must fit the whole name"),
        (["a_1"], r"(\w+)_\d", "needs two groups, volume and slice"),
        (["a_1"], r"(?P<volume>\w)_(\d)", "needs two groups, volume and slice"),
        (["a_1"], "(", "slice rule '\\(' is no regular expression"),
        (["a_b"], r"(a)_(b)", "reads 'b' in 'a_b', which is no slice number"),
        (["a_1", "a_01"], "auto", "'a_1' and 'a_01' are both slice 1 of 'a'"),
        (["a_1", "a_4", "a_5"], "auto", "'a' lacks slices 2, 3 between 1 and 5"),
    ],
)
def test_names_that_do_not_stack_are_one_line(names: list[str], rule: str, words: str):
    with pytest.raises(DataError, match=words) as caught:
        stack_names(names, rule)
    assert "\n" not in str(caught.value)


def test_the_slice_axis_comes_first():
    stack = Stack("a", ("a_1", "a_2", "a_3"))
    slices = [np.full((2, 5), index, np.uint8) for index in range(3)]
    volume = assemble(stack, slices)
    assert volume.shape == (3, 2, 5)
    assert volume[:, 0, 0].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=r"'a' differ in size: 'a_3' is 4×2, 'a_1' is 5×2"):
        assemble(stack, [*slices[:2], np.zeros((2, 4), np.uint8)])


def test_spacing_of_the_user_and_of_the_file():
    assert choose_spacing(None, None, 3) is None
    assert choose_spacing(None, (1, 2, 3), 3) == (1, 2, 3)
    assert choose_spacing((10, 1.5, 1.5), None, 3) == (10, 1.5, 1.5)
    assert choose_spacing((0.5, 0.5), None, 2) == (0.5, 0.5)
    assert choose_spacing((1, 2, 3), (1, 2, 3.0001), 3) == (1, 2, 3)


@pytest.mark.parametrize(
    ("given_", "known", "axes", "words"),
    [
        ((1, 1), None, 3, "2 values, but the masks of 'x' have 3 axes: give slice, row and column distance"),
        ((1, 1, 1), None, 2, "3 values, but the masks of 'x' have 2 axes: give row and column"),
        ((0, 1), None, 2, "--spacing 0, 1 cannot be"),
        ((1, -1), None, 2, "--spacing 1, -1 cannot be"),
        ((1, float("nan")), None, 2, "--spacing 1, nan cannot be"),
        ((1,), None, 2, "1 value; give 2"),
        ((1, 1, 1), (1, 1, 3), 3, "contradicts the file of 'x', whose spacing is 1, 1, 3 mm"),
    ],
)
def test_impossible_spacing_is_one_line(given_, known, axes, words):
    with pytest.raises(DataError, match=words):
        choose_spacing(given_, known, axes, case="x")


def test_spacing_as_text():
    assert parse_spacing("10,1.5, 1.5") == (10, 1.5, 1.5)
    assert parse_spacing("0.5x0.5") == (0.5, 0.5)
    with pytest.raises(DataError, match="'fine' is not understood"):
        parse_spacing("fine")


def test_real_slices_make_their_volumes(shared_data: Path):
    folder = shared_data / "ACDC-slices" / "masks"
    stacks = stack_names(sorted(path.stem for path in folder.glob("*.png")))
    assert len(stacks) == 60, "30 patients with two frames each"
    assert sum(len(stack.slices) for stack in stacks) == 588
    volume = assemble(stacks[0], [read_mask(folder / f"{name}.png") for name in stacks[0].slices])
    assert volume.shape[0] == len(stacks[0].slices)
    assert set(np.unique(volume)) == {0, 1, 2, 3}
