"""Class-balanced sampling: each class equally often, exactly; a pure function of seed and position; composed with all else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delineate.data.augment.patches import Contents, cut
from delineate.data.cache.cache import Cache
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case
from delineate.data.core.samples import Sample
from delineate.data.loading.class_samples import samples_by_class
from delineate.data.loading.loader import Loader
from delineate.data.loading.patch_loader import PatchLoader

SPEC = InputSpec(size=(8, 8))
BALANCED = {"seed": 5, "sampling": "class_balanced"}


def cache_of(classes: list[set[int]], unlabeled: tuple[int, ...] = ()) -> Cache:
    """Samples that show these classes; a class 1 pixel high and 3 wide."""
    samples, masks = [], np.zeros((len(classes), 8, 8), np.uint8)
    for at, shown in enumerate(classes):
        bare = at in unlabeled
        for label in () if bare else shown:
            masks[at, label, 2:5] = label
        masks[at] = 255 if bare else masks[at]
        pixels = {} if bare else dict.fromkeys(sorted(shown), 3)
        samples.append(Sample(Case(id=f"c{at}", images=("x",), masks=() if bare else ("m",)), None, pixels, (8, 8)))
    images = np.zeros((len(classes), 8, 8, 3), np.uint8)
    return Cache(tuple(samples), images, masks)


RARE = cache_of([{1}] * 8 + [{1, 2}, {3}, set(), set()])


def drawn(loader: Loader, count: int, start: int = 0) -> list[int]:
    return [loader.index(position) for position in range(start, start + count)]


def test_each_class_is_drawn_equally_often_and_each_of_its_samples_too() -> None:
    """Of four classes with the background: 25 draws each of 100; class 2 has one sample, class 3 another."""
    loader = Loader(RARE, SPEC, None, batch_size=4, **BALANCED)
    items = [loader._at(position) for position in range(4 * 36)]
    assert Counter(item.label for item in items) == {0: 36, 1: 36, 2: 36, 3: 36}
    assert {item.sample for item in items if item.label == 2} == {8}
    assert {item.sample for item in items if item.label == 3} == {9}
    assert Counter(item.sample for item in items if item.label == 1) == dict.fromkeys(range(9), 4)
    assert Counter(item.sample for item in items if item.label == 0) == dict.fromkeys(range(12), 3)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sets(st.integers(1, 4), max_size=3), min_size=1, max_size=9),
    st.integers(0, 2**31),
    st.integers(0, 200),
    st.integers(1, 4),
)
def test_any_block_of_positions_holds_each_class_once(
    classes: list[set[int]], seed: int, block: int, batch: int
) -> None:
    loader = Loader(cache_of(classes), SPEC, None, batch_size=batch, seed=seed, sampling="class_balanced")
    kinds = samples_by_class(loader._cache)
    items = [loader._at(position) for position in range(block * len(kinds), (block + 1) * len(kinds))]
    assert sorted(item.label for item in items) == [label for label, _ in kinds]  # type: ignore[type-var]
    for item in items:
        assert item.label == 0 or item.label in classes[item.sample]
    again = Loader(cache_of(classes), SPEC, None, batch_size=batch, seed=seed, sampling="class_balanced")
    assert [again._at(item.position or 0) for item in reversed(items)] == items[::-1]


def test_an_epoch_is_as_long_and_processes_share_the_same_stream() -> None:
    plain = Loader(RARE, SPEC, None, batch_size=4, seed=5)
    whole = Loader(RARE, SPEC, None, batch_size=4, **BALANCED)
    assert plain.steps_per_epoch == whole.steps_per_epoch == 3
    parts = [Loader(RARE, SPEC, None, batch_size=4, rank=rank, world=2, **BALANCED) for rank in range(2)]
    for one, *two in zip(whole.batches(3, 7), *(part.batches(3, 7) for part in parts), strict=True):
        assert one.sample_id == [name for part in two for name in part.sample_id]
    assert [one.sample_id for one in whole.once()] == [one.sample_id for one in plain.once()]


def test_samples_without_masks_come_as_they_would() -> None:
    cache = cache_of([{1}] * 6 + [{2}, set()] + [set()] * 4, unlabeled=(8, 9, 10, 11))
    plain = Loader(cache, SPEC, None, batch_size=4, seed=5)
    loader = Loader(cache, SPEC, None, batch_size=4, **BALANCED)
    for before, now in zip(drawn(plain, 240), drawn(loader, 240), strict=True):
        assert (before >= 8) == (now >= 8)
        assert before == now or before < 8
    labels = Counter(loader._at(position).label for position in range(2400))
    assert labels[None] == 800
    assert max(labels[label] for label in range(3)) - min(labels[label] for label in range(3)) < 100


def test_a_labeled_share_is_balanced_among_its_own() -> None:
    cache = cache_of([{1}] * 6 + [{2}, set()] + [set()] * 4, unlabeled=(8, 9, 10, 11))
    loader = Loader(cache, SPEC, None, batch_size=4, labeled_share=0.75, **BALANCED)
    for batch in loader.batches(0, 6):
        assert batch.labeled.sum() == 3
    labels = Counter(loader._at(position).label for position in range(4 * 60))
    assert labels == {0: 60, 1: 60, 2: 60, None: 60}


def test_without_foreground_all_are_drawn_alike() -> None:
    assert Counter(drawn(Loader(cache_of([set()] * 5), SPEC, None, batch_size=1, **BALANCED), 50)) == dict.fromkeys(
        range(5), 10
    )


@pytest.mark.parametrize("foreground", [0.0, 1.0])
def test_patches_lie_about_the_class_that_they_were_drawn_for(foreground: float) -> None:
    spec = InputSpec(size=(8, 8), fit="patch")
    rng = np.random.default_rng(0)
    masks = tuple(np.zeros((40, 50), np.uint8) for _ in range(4))
    masks[0][rng.integers(8, 32, 5), rng.integers(8, 42, 5)] = 1
    masks[1][30, 30], masks[1][10, 12] = 2, 1
    samples = tuple(Sample(Case(id=f"c{at}", images=("x",), masks=("m",)), size=(40, 50)) for at in range(4))
    contents = tuple(Contents.of((0, 255), mask, 2) for mask in masks)
    cache = Cache(samples, tuple(np.zeros((40, 50, 3), np.uint8) for _ in masks), masks, contents)
    loader = PatchLoader(cache, spec, None, foreground=foreground, batch_size=2, **BALANCED)
    labels = Counter()
    for position in range(90):
        item = loader._at(position)
        labels[item.label] += 1
        if item.label:
            assert (cut(masks[item.sample], loader.corner(position), (8, 8), 255) == item.label).any()
    assert labels == {0: 30, 1: 30, 2: 30}
