"""Regions, pools and the stream of episodes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from delineate.common.errors import DataError
from delineate.data.augment.settings import AugmentSettings
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.loading.cached_slices import CachedSlices, decode
from delineate.data.loading.samples import open_samples
from delineate.fewshot import regions as region_room
from delineate.fewshot.episode_source import EpisodeSource
from delineate.fewshot.foreground_pools import LabelPool, Pool, SuperpixelPool, SupervoxelPool
from delineate.fewshot.regions import body_mask, slice_regions, superpixels, supervoxels, volume_regions

GRAY = InputSpec(channels="gray", size=(32, 32))
WARP = AugmentSettings(warp=1.0, rotate=10, shift=0.05, scale=(0.9, 1.1))
NAMES = ("background", "label 1", "label 2", "label 3")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.at(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def training(slice_folder: Path, store: Store) -> CachedSlices:
    return decode(open_samples(slice_folder).split("train"), GRAY, store)


@pytest.fixture(scope="module")
def superpixel(training: CachedSlices, store: Store) -> np.ndarray:
    return slice_regions(training, store, algorithm="felzenszwalb", size=1000, least=600)


def everything(data: CachedSlices) -> list[bool]:
    return [True] * len(data)


def source(data: CachedSlices, pool: Pool, **changes: Any) -> EpisodeSource:
    values: dict[str, Any] = {"shots": 1, "sides": "one", "batch_size": 4, "seed": 3} | changes
    return EpisodeSource(data, pool, values.pop("settings", WARP), **values)


def test_working_slices_know_where_they_belong(training: CachedSlices) -> None:
    assert training.images.shape == (42, 32, 32, 1)
    assert training.volume.tolist() == np.repeat(range(6), 7).tolist()
    assert training.place()["patient002_frame01", 3] == 17
    assert (training.pixels.sum(1) == 32 * 32).all()
    assert training.pixels[3][2] == (training.masks[3] == 2).sum()


def test_volumes_decode_as_slices_do(volume_folder: Path, store: Store) -> None:
    data = open_samples(volume_folder, cache_folder=store.folder).split("train")
    found = decode(data, GRAY, store)
    for number, (_, one) in enumerate(data):
        assert (found.images[number] == GRAY.working_pixels(data.image(one))).all()
        assert (found.masks[number] == GRAY.working_mask(data.mask(one))).all()


def test_body_is_the_largest_bright_part_with_its_holes() -> None:
    image = np.zeros((20, 20, 1), np.float32)
    image[2:14, 2:14] = 0.5
    image[6:9, 6:9] = 0
    image[17:19, 17:19] = 1
    body = body_mask(image)
    assert body[7, 7]
    assert body.sum() == 12 * 12
    assert not body_mask(np.zeros((8, 8, 3), np.float32)).any()


@pytest.mark.parametrize("algorithm", ["felzenszwalb", "slic"])
def test_superpixels_follow_edges_within_the_body(algorithm: Any) -> None:
    image = np.zeros((48, 48, 3), np.float32)
    image[8:40, 8:24] = 0.3
    image[8:40, 24:40] = 0.9
    found = superpixels(image, algorithm=algorithm, size=64, least=20)
    assert found.dtype == np.uint16
    assert not found[:6].any()
    assert set(np.unique(found[12:36, 9:20])).isdisjoint(np.unique(found[12:36, 28:39]))
    assert (np.bincount(found.ravel())[1:] >= 20).all()


def test_supervoxels_go_through_slices() -> None:
    volume = np.full((6, 32, 32, 1), 0.3, np.float32)
    volume[1:5, 8:24, 8:24] = 0.9
    found = supervoxels(volume, size=500, least=10, spacing=(2, 1, 1))
    inside = [set(np.unique(found[at, 10:22, 10:22])) for at in (2, 3)]
    assert inside[0] & inside[1]
    assert found.shape == volume.shape[:3]


def test_regions_are_kept_on_disk_and_rebuilt_when_damaged(
    training: CachedSlices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    kept = Store.at(tmp_path, announce=said.append)
    first = np.array(slice_regions(training, kept, algorithm="slic", size=800, least=100))
    assert len(said) == 1
    monkeypatch.setattr(region_room, "superpixels", lambda *_, **__: pytest.fail("computed again"))
    assert (slice_regions(training, kept, algorithm="slic", size=800, least=100) == first).all()
    monkeypatch.undo()
    (file,) = tmp_path.rglob("regions.bin")
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    assert (slice_regions(training, kept, algorithm="slic", size=800, least=100) == first).all()
    assert len(said) == 2
    assert (slice_regions(training, kept, algorithm="slic", size=400, least=100) != first).any()


def test_an_entry_above_the_limit_is_refused(training: CachedSlices, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"super-pixels of 42 slices needs 84 KiB, above the limit of 1 KiB"):
        slice_regions(training, Store.at(tmp_path, 1024), algorithm="slic", size=400, least=100)


def test_superpixel_episodes_show_and_ask_for_the_same_slice(training: CachedSlices, superpixel: np.ndarray) -> None:
    permitted = [at % 2 == 0 for at in range(len(training))]
    pool = SuperpixelPool(superpixel, permitted, least=10)
    stream = source(training, pool, settings=AugmentSettings())
    seen = set()
    for position in range(3 * pool.anchors):
        pick, episode = stream.pick(position), stream.episode(position)
        seen.add(pick.query)
        assert pick.support == (pick.query,)
        assert permitted[pick.query]
        assert (episode.query.mask == (superpixel[pick.query] == pick.foreground)).all()
        assert (episode.query.mask == 1).sum() >= 10
        assert (episode.query.image == episode.support[0].image).all()
    assert len(seen) == pool.anchors == sum(superpixel[at].any() for at in np.flatnonzero(permitted))


def test_one_side_of_the_pair_is_augmented_or_both(training: CachedSlices, superpixel: np.ndarray) -> None:
    pool = SuperpixelPool(superpixel, everything(training), least=10)
    of_query, of_support = [], []
    one, both = source(training, pool), source(training, pool, sides="both")
    for position in range(40):
        episode, plain = one.episode(position), training.unit(one.pick(position).query)
        of_query.append(bool((episode.query.image != plain).any()))
        of_support.append(bool((episode.support[0].image != plain).any()))
        assert (both.episode(position).query.image != plain).any()
        assert (both.episode(position).support[0].image != plain).any()
    assert not any(a and b for a, b in zip(of_query, of_support, strict=True))
    assert 8 < sum(of_query) < 32
    assert sum(of_query) + sum(of_support) == 40


def test_shots_differ(training: CachedSlices, superpixel: np.ndarray) -> None:
    pool = SuperpixelPool(superpixel, everything(training), least=10)
    episode = source(training, pool, shots=3).episode(0)
    assert len({view.image.tobytes() for view in episode.support}) == 3


def test_a_foreground_that_leaves_the_picture_is_drawn_anew(training: CachedSlices, superpixel: np.ndarray) -> None:
    pool = SuperpixelPool(superpixel, everything(training), least=10)
    wild = AugmentSettings(warp=1.0, shift=1.0)
    stream = source(training, pool, settings=wild)
    for position in range(60):
        episode = stream.episode(position)
        assert all((view.mask == 1).any() for view in (episode.query, *episode.support))


@pytest.fixture(scope="module")
def supervoxel(training: CachedSlices, store: Store) -> np.ndarray:
    return volume_regions(training, store, size=12000, least=600)


def test_supervoxel_episodes_go_to_a_neighbor(training: CachedSlices, supervoxel: np.ndarray) -> None:
    permitted = [at % 7 != 3 for at in range(len(training))]  # the fourth slice of each volume is excluded
    pool = SupervoxelPool(supervoxel, training, permitted, least=5)
    stream = source(training, pool, shots=2, settings=AugmentSettings())
    steps = set()
    for position in range(2 * pool.anchors):
        pick = stream.pick(position)
        near, further = pick.support
        steps.add(near - pick.query)
        assert training.volume[near] == training.volume[further] == training.volume[pick.query]
        assert all(permitted[at] for at in (pick.query, near, further))
        assert all((supervoxel[at] == pick.foreground).sum() >= 5 for at in (pick.query, near, further))
    assert steps == {-1, 1}


def test_supervoxels_need_volumes(slice_folder: Path, store: Store) -> None:
    single = decode(open_samples(slice_folder, stack="none").split("train"), GRAY, store)
    with pytest.raises(DataError, match="super-voxels need volumes"):
        volume_regions(single, store, size=1000, least=10)


def test_label_episodes_are_of_two_patients(training: CachedSlices) -> None:
    permitted = [at % 5 != 0 for at in range(len(training))]
    pool = LabelPool(training, permitted, (2, 3), NAMES, least=4)
    stream = source(training, pool, shots=3, settings=AugmentSettings())
    counts = {2: 0, 3: 0}
    for position in range(120):
        pick = stream.pick(position)
        counts[pick.foreground] += 1
        groups = training.group[list(pick.support)]
        assert training.group[pick.query] not in groups
        assert len(set(pick.support)) == 3
        assert all(permitted[at] and training.pixels[at][pick.foreground] >= 4 for at in (pick.query, *pick.support))
    assert min(counts.values()) > 40  # the rare class as often as the other
    episode = stream.episode(0)
    assert (episode.query.mask == (training.masks[stream.pick(0).query] == stream.pick(0).foreground)).all()


def test_holes_are_in_pixels_of_the_slices_files(training: CachedSlices) -> None:
    settings = AugmentSettings(dropout=1.0, dropout_holes=(2, 2), dropout_pixels=8)
    pool = LabelPool(training, everything(training), (1,), NAMES, least=4)
    drawn = source(training, pool, settings=settings, sides="both")._parameters(
        np.random.default_rng(0), (0, 1), plain=False
    )
    height, width = training.slices[0].size
    for one in drawn:
        (dropout,) = one.drawn  # type: ignore[union-attr]
        sides = {hole[2:] for hole in dropout.holes}  # type: ignore[attr-defined]
        assert sides == {(round(8 * 32 / height), round(8 * 32 / width))}


def test_labels_of_one_patient_come_from_other_slices(make_slices: Callable[..., Path], tmp_path: Path) -> None:
    data = open_samples(make_slices(tmp_path / "data", patients=5)).split("train")
    one = decode(data, GRAY, Store.at(tmp_path / "cache"))
    pool = LabelPool(one, everything(one), (1,), NAMES, least=4)
    picks = [pool.pick(0, 1, np.random.default_rng(seed)) for seed in range(20)]
    assert len(data.stacks) == 1
    assert all(pick.query != pick.support[0] for pick in picks)
    with pytest.raises(DataError, match="no class is in two of the training slices"):
        LabelPool(one, [at == 2 for at in range(len(one))], (1, 2), NAMES, least=4)


def test_ignored_pixels_stay_ignored(training: CachedSlices) -> None:
    masks = training.masks.copy()
    masks[:, :4] = 255
    altered = CachedSlices(training.stacks, training.images, masks, training.spec, training.content)
    pool = LabelPool(altered, everything(altered), (1,), NAMES, least=4)
    assert (pool.mask(2, 1)[:4] == 255).all()
    assert set(np.unique(pool.mask(2, 1)[4:])) <= {0, 1}


def same(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) if isinstance(one[name], torch.Tensor) else one[name] == other[name]
        for name in one
    )


def test_batches_depend_on_seed_and_step_alone(training: CachedSlices, superpixel: np.ndarray) -> None:
    pool = SuperpixelPool(superpixel, everything(training), least=10)
    stream = source(training, pool, shots=2)
    whole = list(stream.batches(0, 6))
    assert all(
        same(a, b) for a, b in zip(whole[3:], source(training, pool, shots=2, workers=1).batches(3, 6), strict=True)
    )
    assert not same(whole[0], next(iter(source(training, pool, shots=2, seed=4).batches(0, 1))))
    first = whole[0]
    assert first["image"].shape == (4, 1, 32, 32)
    assert first["support_image"].shape == (4, 2, 1, 32, 32)
    assert first["support_mask"].shape == (4, 2, 32, 32)
    assert first["mask"].dtype == first["support_mask"].dtype == torch.long
    assert 0 <= float(first["image"].min()) <= float(first["image"].max()) <= 1
    assert first["labeled"].all()


def test_processes_share_a_batch(training: CachedSlices, superpixel: np.ndarray) -> None:
    pool = SuperpixelPool(superpixel, everything(training), least=10)
    whole = next(iter(source(training, pool).batches(5, 6)))
    halves = [next(iter(source(training, pool, rank=rank, world=2).batches(5, 6))) for rank in (0, 1)]
    assert torch.equal(whole["image"], torch.cat([half["image"] for half in halves]))
    assert whole["sample_id"] == halves[0]["sample_id"] + halves[1]["sample_id"]


def test_a_stream_that_is_left_ends_its_threads(training: CachedSlices, superpixel: np.ndarray) -> None:
    pool = SuperpixelPool(superpixel, everything(training), least=10)
    stream = source(training, pool).batches(0, 10**9)
    assert len(list(islice(stream, 3))) == 3
    stream.close()


def test_sixteen_bits_and_percentiles(slice_folder: Path, store: Store) -> None:
    spec = InputSpec(channels="rgb", size=(32, 32), intensity="percentile")
    data = decode(open_samples(slice_folder).split("val"), spec, store)
    pool = LabelPool(data, everything(data), (1,), NAMES, least=4)
    batch = next(iter(source(data, pool).batches(0, 1)))
    assert batch["image"].shape == (4, 3, 32, 32)
    assert float(batch["image"].max()) == 1
