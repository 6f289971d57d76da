"""Soft masks and unaugmented targets: shares by hand, ignored pixels, and no difference where nobody asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from delineate.data.augment import apply as transform
from delineate.data.augment.flips import Flip
from delineate.data.augment.settings import AugmentParameters, AugmentSettings
from delineate.data.augment.warp import Warp
from delineate.data.cache.cache import Cache, open_cache, with_shares
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case
from delineate.data.core.samples import Sample
from delineate.data.core.soft_mask import Targets, as_target, foreground_share
from delineate.data.loading.loader import Loader
from delineate.data.loading.open_data import open_data
from delineate.data.loading.patch_loader import make_loader

SPEC = InputSpec(size=(8, 8))
FLIPPED = AugmentSettings(flip_horizontal=1.0)
MASKS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.sampled_from([0, 1, 2, 255])
)


def test_shares_by_hand() -> None:
    """Halving: each result pixel lies between two pixels along each axis and has their mean."""
    mask = np.array([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [2, 0, 0, 0]], np.uint8)
    assert InputSpec(size=(2, 2)).soft_mask(mask).tolist() == [[64, 255], [64, 0]]


def test_ignored_pixels_take_no_part() -> None:
    mask = np.array([[255, 1, 255, 255], [0, 1, 255, 0]], np.uint8)
    spec = InputSpec(size=(1, 2))
    assert spec.soft_mask(mask).tolist() == [[170, 0]]  # 2 of 3 valid pixels; the one valid pixel is background
    assert spec.working_mask(mask).tolist() == [[1, 0]]


@given(MASKS, st.sampled_from([(8, 8), (5, 13), (1, 2)]), st.sampled_from(["stretch", "letterbox"]))
def test_shares_agree_with_the_nearest_mask(mask: np.ndarray, size: tuple[int, int], fit: Any) -> None:
    """Where all pixels are one class they are that; enlarged, the nearest class has the majority; padding is 0 and ignored."""
    spec = InputSpec(size=size, fit=fit)
    share, nearest = spec.soft_mask(mask), spec.working_mask(mask)
    assert share.shape == nearest.shape == size
    if not (mask % 255).any():
        assert not share.any()
    if (mask > 0).all():
        assert (share[nearest != 255] == 255).all()
    if (mask != 255).all() and all(a >= b for a, b in zip(spec.zoom(*mask.shape), (1, 1), strict=True)):
        seen = nearest != 255
        weight = np.where(nearest > 0, share, 255 - share.astype(int))[seen]
        assert (weight >= 255 / 4 - 1).all(), "the nearest pixel has at least half of the weight along each axis"


def test_shares_are_turned_with_the_picture_and_stay_soft() -> None:
    share = np.zeros((9, 9), np.uint8)
    share[:, :3] = 255
    share[:, 3] = 100
    mask = (share > 127).astype(np.uint8)
    quarter = transform.apply_to_share(share, mask, AugmentParameters.of(Warp(rotate=90.0)))
    assert np.abs(quarter.astype(int) - np.rot90(share)).max() <= 1
    flipped = transform.apply_to_share(share, mask, AugmentParameters.of(Flip(horizontal=True)))
    assert np.array_equal(flipped, share[:, ::-1])
    shifted = transform.apply_to_share(share, mask, AugmentParameters.of(Warp(shift=(0.0, 0.5 / 9))))
    assert shifted[4].tolist()[:6] == [128, 255, 255, 178, 50, 0], (
        "half a pixel: the mean of neighbors, background outside"
    )
    mirrored = transform.apply_to_share(share, mask, AugmentParameters.of(Warp(shift=(0.0, 0.5 / 9), border="reflect")))
    assert mirrored[4].tolist()[:2] == [255, 255]


def test_ignored_pixels_are_not_smeared_by_a_warp() -> None:
    share = np.zeros((1, 6), np.uint8)
    share[0, :2] = 255
    mask = np.array([[1, 1, 255, 0, 0, 0]], np.uint8)
    moved = transform.apply_to_share(share, mask, AugmentParameters.of(Warp(shift=(0.0, 0.5 / 6), border="reflect")))
    assert moved.tolist() == [[255, 255, 255, 0, 0, 0]]


def test_a_target_is_255_where_the_mask_is_ignored() -> None:
    target = as_target(np.array([[51, 255, 0]], np.uint8), np.array([[1, 255, 0]], np.uint8))
    assert target.dtype == np.float32
    assert target.tolist() == [[pytest.approx(0.2), 255, 0]]
    assert foreground_share(np.array([0, 1, 3, 255], np.uint8)).tolist() == [0, 255, 255, 0]


def cache() -> Cache:
    rng = np.random.default_rng(0)
    cases = tuple(Sample(Case(id=f"c{n}", images=(f"{n}.png",), masks=() if n == 3 else ("m",))) for n in range(6))
    masks = rng.integers(0, 2, (6, 8, 8), np.uint8)
    masks[1, :2] = 255
    masks[3] = 255
    shares = rng.integers(0, 256, (6, 8, 8), np.uint8)
    return Cache(cases, rng.integers(0, 256, (6, 8, 8, 3), np.uint8), masks, shares=shares)


def one_epoch(targets: Targets, settings: AugmentSettings | None = FLIPPED) -> Any:
    (batch,) = Loader(cache(), SPEC, settings, batch_size=6, seed=0, targets=targets).batches(0, 1)
    return batch


def test_batches_have_what_is_asked_for() -> None:
    data, batch = cache(), one_epoch(Targets(soft=True, unaugmented=True))
    for place, name in enumerate(batch.sample_id):
        at = int(name[1:])
        plain = as_target(data.shares[at], data.masks[at])  # type: ignore[index]
        assert np.array_equal(batch.unaugmented_target[place], plain)
        assert np.array_equal(batch.target[place], plain[:, ::-1])
        assert ((batch.target[place] == 255) == (batch.mask[place] == 255)).all()
    unlabeled = batch.sample_id.index("c3")
    assert (batch.target[unlabeled] == 255).all()
    assert (batch.unaugmented_target[unlabeled] == 255).all()


def test_hard_unaugmented_targets_need_no_soft_masks() -> None:
    data = cache()
    hard = Cache(data.samples, data.images, data.masks)
    (batch,) = Loader(hard, SPEC, FLIPPED, batch_size=6, seed=0, targets=Targets(unaugmented=True)).batches(0, 1)
    assert batch.target is None
    for place, name in enumerate(batch.sample_id):
        assert np.array_equal(batch.unaugmented_target[place], data.masks[int(name[1:])].astype(np.float32))
    with pytest.raises(ValueError, match="need a cache with shares"):
        Loader(hard, SPEC, FLIPPED, batch_size=6, seed=0, targets=Targets(soft=True))


def test_who_asks_for_nothing_gets_the_same_batches() -> None:
    busy = AugmentSettings(warp=1.0, rotate=90, border="reflect", color=0.5, hue=0.1, dropout=0.5)
    plain, more = one_epoch(Targets(), busy), one_epoch(Targets(soft=True, unaugmented=True), busy)
    assert plain.target is plain.unaugmented_target is None
    assert all(np.array_equal(getattr(plain, name), getattr(more, name)) for name in ("image", "mask", "labeled"))


def test_unaugmented_batches_have_plain_targets() -> None:
    loader = Loader(cache(), SPEC, None, batch_size=6, seed=0, targets=Targets(soft=True, unaugmented=True))
    (batch,) = loader.batches(0, 1)
    assert np.array_equal(batch.target, batch.unaugmented_target)


def test_soft_masks_are_an_entry_of_their_own(make_pairs: Any, tmp_path: Path) -> None:
    manifest, census = open_data(make_pairs(["a", "b", "c"]))
    samples, said = census.samples(manifest.cases, manifest.labels), list[str]()
    store = Store.at(tmp_path / "c", announce=said.append)
    plain = open_cache(manifest, samples, SPEC, store)
    soft = with_shares(plain, manifest, SPEC, store)
    assert soft.images is plain.images
    assert plain.shares is None
    assert soft.shares is not None
    assert np.asarray(soft.shares).shape == (3, 8, 8)
    again = with_shares(open_cache(manifest, samples, SPEC, store), manifest, SPEC, store)
    assert np.array_equal(again.shares, soft.shares)  # type: ignore[arg-type]
    assert [line.split(",")[0] for line in said] == ["cache: 3 samples at 8×8", "cache: 3 soft masks at 8×8"]


def test_patches_have_no_targets() -> None:
    data = cache()
    with pytest.raises(ValueError, match="patches"):
        make_loader(
            data, InputSpec(size=(4, 4), fit="patch"), None, batch_size=2, seed=0, targets=Targets(unaugmented=True)
        )


def test_holes_in_pixels_of_the_file() -> None:
    """32 pixels of an image of 128×256 are 16×8 of its 64×64."""
    settings = AugmentSettings(dropout=1.0, dropout_holes=(1, 10), dropout_pixels=32)
    case = Case(id="c", images=("i",), masks=("m",))
    data = Cache((Sample(case, size=(128, 256)),), np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64), np.uint8))
    loader = Loader(data, InputSpec(size=(64, 64)), settings, batch_size=1, seed=0)
    counts = set()
    for position in range(200):
        (drawn,) = loader.parameters(position).drawn  # type: ignore[union-attr]
        counts.add(len(drawn.holes))  # type: ignore[attr-defined]
        for top, left, height, width in drawn.holes:  # type: ignore[attr-defined]
            assert (height, width) == (16, 8)
            assert 0 <= top <= 64 - 16
            assert 0 <= left <= 64 - 8
    assert counts == set(range(1, 11))
