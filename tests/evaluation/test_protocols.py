"""Paper protocols against values derived by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable
from delineate.evaluation.results.protocols import PROTOCOLS, Pair, ProtocolScores, find_protocol, score_protocol

TWO, THREE = ClassTable(), ClassTable(names=("background", "a", "b"))
QUARTER = 256 * 256 / 4


def quarters(*values: float, size: tuple[int, int] = (256, 256)) -> np.ndarray:
    """A plane whose four bands of columns hold the values."""
    return np.tile(np.repeat(np.asarray(values), size[1] // 4), (size[0], 1)).astype(
        np.uint8 if all(value in (0, 1) for value in values) else np.float32
    )


def run(name: str, *pairs: Pair, classes: ClassTable = TWO) -> ProtocolScores:
    return score_protocol(PROTOCOLS[name], pairs, classes)


FOUND = Pair("found", quarters(0, 1, 1, 1), quarters(1, 1, 0, 0))  # tp 1, fp 1, fn 2 quarters
MISSED = Pair("missed", quarters(0, 1, 0, 0), quarters(0, 0, 0, 0))
FALSE = Pair("false", quarters(0, 0, 0, 0), quarters(1, 0, 0, 0))
EMPTY = Pair("empty", quarters(0, 0, 0, 0), quarters(0, 0, 0, 0))


@pytest.mark.parametrize(
    ("pair", "dice", "iou", "recall", "precision"),
    [
        (FOUND, 2 / 5, 1 / 4, 1 / 3, 1 / 2),
        (MISSED, 0, 0, 0, 1),
        (FALSE, 0, 0, 1, 0),
        (EMPTY, 1, 1, 1, 1),
    ],
    ids=lambda value: value.case if isinstance(value, Pair) else None,
)
def test_condseg_per_image(pair: Pair, dice: float, iou: float, recall: float, precision: float):
    expected = {"dice": dice, "iou": iou, "recall": recall, "precision": precision}
    assert run("condseg", pair).macro == pytest.approx(expected, abs=1e-12)


def test_condseg_is_the_mean_over_images():
    result = run("condseg", FOUND, MISSED, FALSE, EMPTY)
    assert result.macro["dice"] == pytest.approx((0.4 + 0 + 0 + 1) / 4)
    assert result.macro["precision"] == pytest.approx((0.5 + 1 + 0 + 1) / 4)
    assert (result.cases, len(result.rows)) == (4, 4)


def test_vmunet_pools_the_pixels_of_all_images():
    result = run("vmunet-pooled", FOUND, MISSED, FALSE, EMPTY)  # tp 1, fp 2, fn 3, tn 10 quarters
    assert result.rows[0].numbers == {"tp": QUARTER, "fp": QUARTER, "fn": 2 * QUARTER, "tn": 0}
    assert result.macro == pytest.approx(
        {"iou": 1 / 6, "dice": 2 / 7, "accuracy": 11 / 16, "specificity": 10 / 12, "sensitivity": 1 / 4}
    )
    assert run("vmunet-pooled", EMPTY).macro == {
        "iou": 0, "dice": 0, "accuracy": 1, "specificity": 1, "sensitivity": 0,
    }  # fmt: skip


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_pooled_dice_follows_from_pooled_iou(seed: int, images: int):
    draw = np.random.default_rng(seed)
    pairs = [Pair(str(index), *draw.integers(0, 2, (2, 40, 30), np.uint8)) for index in range(images)]
    scores = run("vmunet-pooled", *pairs).macro
    assert scores["dice"] == pytest.approx(2 * scores["iou"] / (1 + scores["iou"]))


@pytest.mark.parametrize("name", ["condseg", "vmunet-pooled"])
@pytest.mark.parametrize("size", [(512, 512), (128, 64), (300, 200)])
def test_masks_of_any_size_are_compared_at_256(name: str, size: tuple[int, int]):
    pair = Pair("x", quarters(0, 1, 1, 1, size=size), quarters(1, 1, 0, 0, size=size))
    assert run(name, pair).macro["dice"] == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("name", ["condseg", "vmunet-pooled"])
def test_a_pixel_that_is_half_covered_is_foreground(name: str):
    """512 → 256 averages 2×2 pixels: one row of two makes every pixel of the row exactly one half."""
    thin, thick = np.zeros((512, 512), np.uint8), np.zeros((512, 512), np.uint8)
    thin[100], thick[100:102] = 1, 1
    assert run(name, Pair("x", thick, thin)).macro["dice"] == pytest.approx(1)


@pytest.mark.parametrize(("name", "dice"), [("condseg", 0), ("vmunet-pooled", 1)])
def test_a_probability_of_one_half_is_foreground_only_for_vmunet(name: str, dice: float):
    pair = Pair("x", quarters(0, 1, 0, 0), probability=quarters(0, 0.5, 0, 0))
    assert run(name, pair).macro["dice"] == pytest.approx(dice, abs=1e-12)


def test_probabilities_are_thresholded_after_resizing():
    """A column of .9 between columns of .3: at half the width it is .6, where its mask alone would be gone or doubled."""
    probability = np.full((512, 512), 0.3, np.float32)
    probability[:, 101] = 0.9
    reference = np.zeros((512, 512), np.uint8)
    reference[:, 100:102] = 1
    soft = run("condseg", Pair("x", reference, probability=probability))
    assert soft.macro["dice"] == pytest.approx(1)
    assert soft.source == "probabilities"
    assert "from probability maps" in soft.label
    hard = run("condseg", Pair("x", reference, (probability > 0.5).astype(np.uint8)))
    assert "from masks thresholded at native size" in hard.label
    assert "approximation" in hard.label


def volume(*voxels: tuple[int, int, int], label: int = 1) -> np.ndarray:
    made = np.zeros((3, 8, 8), np.uint8)
    for voxel in voxels:
        made[voxel] = label
    return made


@pytest.mark.parametrize(
    ("prediction", "reference", "dice", "hd95"),
    [
        (volume((1, 1, 1)), volume((1, 1, 4)), 0, 3),
        (
            volume((1, 1, 1), (1, 1, 2)),
            volume((1, 1, 1)),
            2 / 3,
            0.9,
        ),  # distances 0, 1 and 0: 95th percentile of {0, 0, 1}
        (volume((0, 0, 0)), volume(), 1, 0),
        (volume(), volume((0, 0, 0)), 0, 0),
        (volume(), volume(), 0, 0),
    ],
    ids=["apart", "touching", "false positive", "missed", "both empty"],
)
def test_transunet_per_volume(prediction: np.ndarray, reference: np.ndarray, dice: float, hd95: float):
    result = run("transunet-volume", Pair("x", reference, prediction))
    assert result.macro == pytest.approx({"dice": dice, "hd95": hd95})


def test_transunet_averages_volumes_then_classes():
    both = volume((1, 1, 1)) + volume((2, 2, 2), label=2)
    pairs = [Pair("x", both, both), Pair("y", both, volume((1, 1, 1)))]
    result = run("transunet-volume", *pairs, classes=THREE)
    assert result.classes["a"] == {"dice": 1, "hd95": 0}
    assert result.classes["b"] == {"dice": 0.5, "hd95": 0}
    assert result.macro == {"dice": 0.75, "hd95": 0}
    assert [(row.case, row.name) for row in result.rows] == [("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")]
    stored = result.to_json()
    assert stored["protocol"] == "transunet-volume"
    assert "prediction empty, whatever the reference: Dice 0, HD95 0" in stored["empty"]


@pytest.mark.parametrize(
    ("name", "pair", "classes", "words"),
    [
        ("condseg", FOUND, THREE, r"made for one foreground class, but there are 2 \(a, b\)"),
        ("vmunet-pooled", Pair("x", volume(), volume()), TWO, "cannot score 'x': it compares images, not volumes"),
        ("transunet-volume", FOUND, TWO, "cannot score 'found': it needs volumes"),
        ("condseg", Pair("x", quarters(0, 1, 0, 0) * 255, quarters(0, 0, 0, 0)), TWO, "knows no ignored pixels"),
    ],
)
def test_what_a_lineage_cannot_compute_is_one_line(name: str, pair: Pair, classes: ClassTable, words: str):
    with pytest.raises(DataError, match=words):
        run(name, pair, classes=classes)


def test_cases_with_and_without_probabilities_do_not_mix():
    soft = Pair("soft", quarters(0, 1, 0, 0), probability=quarters(0, 0.9, 0, 0))
    with pytest.raises(ValueError, match="all with probabilities or none"):
        run("condseg", FOUND, soft)


def test_protocols_are_found_by_name():
    assert find_protocol("native") is None
    assert find_protocol("condseg") is PROTOCOLS["condseg"]
    with pytest.raises(DataError, match="unknown protocol 'vmunet'; did you mean 'vmunet-pooled'"):
        find_protocol("vmunet")
