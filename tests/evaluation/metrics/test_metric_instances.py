"""Instance maps: panoptic quality and AJI against their definitions, object by object."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pairs import patient

from delineate.evaluation.metrics.instances import (
    Instances,
    aggregated_jaccard,
    panoptic_quality,
    recognition_quality,
    segmentation_quality,
)

maps = st.sampled_from([(6, 7), (3, 3, 4)]).flatmap(
    lambda shape: st.tuples(*[arrays.arrays(np.uint16, shape, elements=st.sampled_from([0, 1, 2, 9]))] * 2)
)


def objects(labels):
    return [labels == number for number in np.unique(labels) if number]


def jaccard(one, other):
    return (one & other).sum() / (one | other).sum()


@patient
@given(pair=maps)
def test_panoptic_quality_by_objects(pair):
    ours, theirs = map(objects, pair)
    matched = [value for a in ours for b in theirs if (value := jaccard(a, b)) > 0.5]
    of, count = Instances.of(*pair), len(ours) + len(theirs)
    assert recognition_quality(of) == pytest.approx(2 * len(matched) / count if count else 1)
    assert panoptic_quality(of) == pytest.approx(2 * sum(matched) / count if count else 1)
    if matched:
        assert segmentation_quality(of) == pytest.approx(np.mean(matched))


@patient
@given(pair=maps)
def test_aji_by_objects(pair):
    """The paper's algorithm 1."""
    ours, theirs = map(objects, pair)
    if not ours or not theirs:
        return
    shared, union, used = 0, 0, set()
    for one in theirs:
        values = [jaccard(one, other) for other in ours]
        best = int(np.argmax(values))
        if values[best] == 0:
            union += one.sum()
            continue
        shared += (one & ours[best]).sum()
        union += (one | ours[best]).sum()
        used.add(best)
    union += sum(other.sum() for index, other in enumerate(ours) if index not in used)
    assert aggregated_jaccard(Instances.of(*pair)) == pytest.approx(shared / union)


@patient
@given(pair=maps, data=st.data())
def test_numbers_of_objects_and_ignored_pixels_play_no_part(pair, data):
    prediction, reference = pair
    valid = data.draw(arrays.arrays(np.bool_, prediction.shape))
    renamed = np.array([0, 5, 3, *[0] * 6, 1])[prediction]
    scores = (panoptic_quality, segmentation_quality, recognition_quality)
    for score in scores:
        assert score(Instances.of(renamed, reference)) == pytest.approx(score(Instances.of(prediction, reference)))
    hidden = Instances.of(np.where(valid, prediction, 1), reference, valid=valid)
    kept = Instances.of(np.where(valid, prediction, 0), np.where(valid, reference, 0))
    assert [score(hidden) for score in scores] == [score(kept) for score in scores]
    assert aggregated_jaccard(hidden) == aggregated_jaccard(kept)


def test_a_prediction_over_two_objects_is_taken_twice():
    reference = np.array([[1, 1, 1, 0, 2, 2]])
    prediction = np.array([[4, 4, 4, 4, 4, 4]])
    # 3/6 and 2/6: both objects take it, and both unions count its six pixels.
    assert aggregated_jaccard(Instances.of(prediction, reference)) == (3 + 2) / (6 + 6)
    assert recognition_quality(Instances.of(prediction, reference)) == 0, "½ is not above ½"


@pytest.mark.parametrize("labels", [np.array([[0.5]]), np.array([[-1]])])
def test_not_an_instance_map(labels):
    with pytest.raises(ValueError, match="whole numbers"):
        Instances.of(labels, np.array([[1]]))
    with pytest.raises(ValueError, match="differ in shape"):
        Instances.of(np.array([[1]]), np.array([[1, 2]]))
