"""Batches: a pure function of seed and step, prepared by threads that clean up after themselves."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.augment import apply as transform
from delineate.data.augment.settings import AugmentSettings
from delineate.data.cache.cache import Cache
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case
from delineate.data.core.samples import Sample
from delineate.data.loading.loader import Loader, NumpyBatch

SPEC = InputSpec(size=(16, 24))
BUSY = AugmentSettings(
    flip_horizontal=0.5, warp=0.8, rotate=90, color=0.8, brightness=0.2, hue=0.1, noise=0.3, dropout=0.3
)
Make = Callable[..., Loader]


@pytest.fixture
def cache() -> Cache:
    rng = np.random.default_rng(0)
    cases = tuple(
        Sample(Case(id=f"c{number}", images=(f"{number}.png",), masks=() if number == 3 else ("m",)))
        for number in range(11)
    )
    masks = rng.integers(0, 2, (11, 16, 24), np.uint8)
    masks[3] = 255
    return Cache(cases, rng.integers(0, 256, (11, 16, 24, 3), np.uint8), masks)


@pytest.fixture
def make(cache: Cache) -> Make:
    def build(settings: AugmentSettings | None = BUSY, batch: int = 4, **options: Any) -> Loader:
        return Loader(cache, SPEC, settings, batch_size=batch, **{"seed": 7, **options})

    return build


def same(left: NumpyBatch, right: NumpyBatch) -> bool:
    return left.sample_id == right.sample_id and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in ("image", "mask", "labeled")
    )


def test_batches_are_what_the_contract_says(make: Make) -> None:
    (batch,) = make().batches(5, 6)
    assert (batch.image.shape, batch.image.dtype) == ((4, 16, 24, 3), np.float32)
    assert batch.image.flags.c_contiguous
    assert (batch.mask.shape, batch.mask.dtype) == ((4, 16, 24), np.uint8)
    assert 0 <= batch.image.min() <= batch.image.max() <= 1
    assert batch.labeled.dtype == np.bool_


def test_any_range_of_steps_gives_the_same_batches(make: Make) -> None:
    whole = list(make().batches(0, 9))
    assert all(same(left, right) for left, right in zip(whole[4:], make(workers=1).batches(4, 9), strict=True))
    assert all(same(left, right) for left, right in zip(whole, make(workers=5).batches(0, 9), strict=True))
    assert not same(whole[0], next(make(seed=8).batches(0, 1)))


def test_every_epoch_shows_every_sample_once(make: Make) -> None:
    loader = make()
    assert loader.steps_per_epoch == 3
    stream = [name for batch in loader.batches(0, 11) for name in batch.sample_id]
    for epoch in range(4):
        assert set(Counter(stream[epoch * 11 : (epoch + 1) * 11]).values()) == {1}
    assert stream[:11] != stream[11:22]


def test_processes_share_each_batch(make: Make) -> None:
    whole = list(make().batches(2, 5))
    parts = [list(make(rank=rank, world=2).batches(2, 5)) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert batch.sample_id == parts[0][step].sample_id + parts[1][step].sample_id
        assert np.array_equal(batch.image, np.concatenate([parts[0][step].image, parts[1][step].image]))
    with pytest.raises(DataError, match="cannot be shared by 3 processes"):
        make(world=3)


def test_a_position_can_be_replayed(make: Make, cache: Cache) -> None:
    loader = make()
    batch = list(loader.batches(0, 3))[2]
    parameters = loader.parameters(9)
    assert parameters is not None
    index = loader.index(9)
    image, mask = transform.apply(cache.image(index), cache.mask(index), parameters)
    assert batch.sample_id[1] == cache.samples[index].name
    assert np.array_equal(batch.image[1], SPEC.to_unit(image))
    assert np.array_equal(batch.mask[1], mask)


def test_quarter_turned_batches_are_rot90_of_the_cache() -> None:
    rng = np.random.default_rng(0)
    samples = tuple(Sample(Case(id=f"v{number}", images=("v.nii",), masks=("m",)), plane=number) for number in range(6))
    cache = Cache(samples, rng.integers(0, 256, (6, 16, 16, 1), np.uint8), rng.integers(0, 3, (6, 16, 16), np.uint8))
    spec = InputSpec(size=(16, 16), channels="gray")
    loader = Loader(cache, spec, AugmentSettings(quarter_turns=1), batch_size=6, seed=3, shuffle=False)
    (batch,) = loader.batches(0, 1)
    seen = set()
    for place in range(6):
        turns = loader.parameters(place).drawn[0].turns  # type: ignore[union-attr]
        seen.add(turns)
        assert np.array_equal(batch.image[place], np.rot90(spec.to_unit(cache.images[place]), turns))
        assert np.array_equal(batch.mask[place], np.rot90(cache.masks[place], turns))
    assert len(seen) > 1


def test_once_is_plain_and_complete(make: Make, cache: Cache) -> None:
    batches = list(make().once())
    assert [len(batch.sample_id) for batch in batches] == [4, 4, 3]
    assert np.array_equal(np.concatenate([batch.image for batch in batches]), SPEC.to_unit(cache.images))
    assert np.array_equal(np.concatenate([batch.mask for batch in batches]), cache.masks)


def test_unlabeled_samples_stay_unlabeled(make: Make) -> None:
    for batch in make().batches(0, 6):
        for place, name in enumerate(batch.sample_id):
            assert batch.labeled[place] == (name != "c3")
            assert (batch.mask[place] == 255).all() == (name == "c3")


def test_unshuffled(make: Make) -> None:
    names = [name for batch in make(shuffle=False).batches(0, 3) for name in batch.sample_id]
    assert names == [f"c{number % 11}" for number in range(12)]


@pytest.mark.parametrize("intensity", ["range", "percentile"])
def test_sixteen_bits(intensity: Any) -> None:
    images = np.random.default_rng(0).integers(0, 5000, (3, 8, 8, 1), np.uint16)
    cache = Cache(
        tuple(Sample(Case(id=str(n), images=("x",), masks=("m",))) for n in range(3)),
        images,
        np.zeros((3, 8, 8), np.uint8),
    )
    spec = InputSpec(size=(8, 8), channels="gray", intensity=intensity, source_bits=16)
    (batch,) = Loader(cache, spec, AugmentSettings(flip_horizontal=1), batch_size=2, seed=0, shuffle=False).batches(
        0, 1
    )
    assert np.array_equal(batch.image, np.stack([spec.to_unit(image)[:, ::-1] for image in images[:2]]))


def test_errors_name_sample_and_cause(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("the true cause")

    monkeypatch.setattr(transform, "apply", broken)
    with pytest.raises(DataError, match=r"sample c\d+ \(\d+\.png\): ZeroDivisionError: the true cause"):
        next(make().batches(0, 1))
    assert loader_threads() == 0


def test_threads_end_when_the_consumer_stops(make: Make) -> None:
    before = cv2.getNumThreads()
    batches = make().batches(0, 1000)
    next(batches)
    assert loader_threads() > 0
    batches.close()
    assert loader_threads() == 0
    assert cv2.getNumThreads() == before


def test_only_a_few_batches_are_prepared_ahead(make: Make, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    original = Loader._start

    def counted(self: Loader, *arguments: Any) -> Any:
        started.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(Loader, "_start", counted)
    batches = make(workers=2).batches(0, 1000)
    next(batches)
    assert len(started) <= 4
    batches.close()


def loader_threads() -> int:
    return sum(thread.name.startswith("loader") for thread in threading.enumerate())


def test_the_real_thing(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    from delineate.data.cache.cache import open_cache
    from delineate.data.cache.store import Store
    from delineate.data.loading.open_data import open_data

    manifest, census = open_data(make_pairs([f"s{number}" for number in range(6)]))
    samples = census.samples(manifest.split("train"), manifest.labels)
    cache = open_cache(manifest, samples, SPEC, Store.at(tmp_path / "c"))
    assert len(list(Loader(cache, SPEC, BUSY, batch_size=2, seed=0).batches(0, 5))) == 5
