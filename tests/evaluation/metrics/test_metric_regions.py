"""Boundary IoU, clDice and lesions against literal versions of their definitions."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import masks, patient
from scipy import ndimage
from skimage.morphology import skeletonize

from delineate.evaluation.metrics.boundary import boundary_iou
from delineate.evaluation.metrics.lesions import lesion_f1, lesion_precision, lesion_recall
from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.overlap import iou
from delineate.evaluation.metrics.skeleton import cldice


def band(mask, ratio):
    """The paper's recipe in 2-D: pad, erode step by step with a 3×3 square, subtract."""
    width = max(1, round(ratio * np.hypot(*mask.shape)))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    deep = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    return mask & (deep[1:-1, 1:-1] == 0)


@patient
@given(of=masks(axes=(2,), longest=24, spacing=st.just(1.0)), ratio=st.sampled_from([0.02, 0.1, 0.2]))
def test_boundary_iou_is_the_papers(of, ratio):
    for one in (of, Masks.of(ndimage.binary_closing(of.prediction, iterations=2) | of.reference, of.reference)):
        ours, theirs = (band(mask, ratio) for mask in (one.prediction, one.reference))
        assert boundary_iou(one, ratio) == (ours & theirs).sum() / (ours | theirs).sum()


@patient
@given(of=masks(axes=(3,), longest=9), factor=st.sampled_from([0.25, 2.0]))
def test_boundary_iou_in_3d(of, factor):
    """Erosion by a box; a wide enough band fills the masks; only the ratio of the spacings counts."""
    ratio = 0.15
    widths = [max(1, round(ratio * of.diagonal / size)) for size in of.spacing]
    boxes = [
        mask & ~ndimage.binary_erosion(mask, np.ones([2 * width + 1 for width in widths]))
        for mask in (of.prediction, of.reference)
    ]
    assert boundary_iou(of, ratio) == (boxes[0] & boxes[1]).sum() / (boxes[0] | boxes[1]).sum()
    assert boundary_iou(of, 1) == pytest.approx(iou(of))
    scaled = Masks.of(of.prediction, of.reference, spacing=[size * factor for size in of.spacing])
    assert boundary_iou(scaled, ratio) == boundary_iou(of, ratio)


@patient
@given(of=masks(longest=12))
def test_cldice_is_the_papers(of):
    lines = [skeletonize(np.pad(mask, 1)) > 0 for mask in (of.prediction, of.reference)]
    others = [np.pad(mask, 1) for mask in (of.reference, of.prediction)]
    if not all(line.any() for line in lines):
        return
    precision, sensitivity = ((line & other).sum() / line.sum() for line, other in zip(lines, others, strict=True))
    total = precision + sensitivity
    assert cldice(of) == pytest.approx(2 * precision * sensitivity / total if total else 0)


def test_cldice_sees_a_broken_vessel_and_not_its_width():
    thick, slim, line, broken = (np.zeros((15, 40), bool) for _ in range(4))
    thick[5:10, 2:38] = slim[6:9, 2:38] = line[7, 2:38] = broken[7, 2:38] = True
    broken[7, 10:20] = False
    assert cldice(Masks.of(slim, thick)) == 1
    # All of the broken line lies on the whole one, 26 of 36 pixels the other way.
    assert cldice(Masks.of(broken, line)) == pytest.approx(2 * (26 / 36) / (1 + 26 / 36))
    assert cldice(Masks.of(np.roll(line, 4, axis=0), line)) == 0


def test_cldice_of_a_blob_that_thinning_wears_away():
    cube = np.zeros((6, 6, 6), bool)
    cube[2:4, 2:4, 2:4] = True
    assert not skeletonize(cube).any()
    assert cldice(Masks.of(cube, cube)) == 1


def components(mask):
    """Sets of pixels that touch, by growing them one by one."""
    left, found = set(map(tuple, np.argwhere(mask))), []
    while left:
        grown, front = set(), {left.pop()}
        while front:
            grown |= front
            front = {
                at for at in left if any(max(abs(a - b) for a, b in zip(at, one, strict=True)) < 2 for one in front)
            }
            left -= front
        found.append(grown)
    return found


@patient
@given(of=masks(longest=6), share=st.sampled_from([0.0, 0.3, 0.5]))
def test_lesions_are_those_of_brute_force(of, share):
    met = []
    for mask, other in ((of.prediction, of.reference), (of.reference, of.prediction)):
        lesions = components(mask)
        met.append(sum(sum(other[at] for at in lesion) > share * len(lesion) for lesion in lesions) / len(lesions))
    assert lesion_precision(of, share) == pytest.approx(met[0])
    assert lesion_recall(of, share) == pytest.approx(met[1])
    assert lesion_f1(of, share) == pytest.approx(2 * met[0] * met[1] / sum(met) if any(met) else 0)


def test_lesions_by_hand():
    prediction, reference = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    reference[1:4, 1:4] = reference[10:12, 10:12] = reference[15, 15] = True  # found, missed, missed
    prediction[2:6, 2:6] = prediction[2, 15] = True  # met, made up
    of = Masks.of(prediction, reference)
    assert (lesion_precision(of), lesion_recall(of)) == (1 / 2, 1 / 3)
    assert lesion_f1(of) == pytest.approx(0.4)
    assert lesion_recall(of, 0.5) == 0, "4 of 9 pixels are not more than half"
    reference[12, 12] = reference[13, 13] = reference[14, 14] = True
    assert lesion_recall(Masks.of(prediction, reference)) == 1 / 2, "touching at corners makes one lesion"
