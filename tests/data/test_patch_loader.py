"""Batches of patches, from a cache of images of many sizes."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.augment import patches
from delineate.data.augment.settings import AugmentSettings
from delineate.data.cache.cache import Cache, open_cache
from delineate.data.cache.store import Store
from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.core.samples import Sample
from delineate.data.loading.loader import NumpyBatch
from delineate.data.loading.open_data import open_data
from delineate.data.loading.patch_loader import PatchLoader, make_loader

SPEC = InputSpec(size=(24, 32), fit="patch")
SIZES = [(60, 40), (33, 90), (70, 71), (10, 12), (24, 32), (100, 20)]
BUSY = AugmentSettings(flip_horizontal=0.5, warp=0.8, rotate=90, color=0.8, brightness=0.2, hue=0.1, noise=0.3)
Make = Callable[..., PatchLoader]


@pytest.fixture
def manifest(tmp_path: Path, write: Any) -> Manifest:
    for number, (height, width) in enumerate(SIZES):
        rng = np.random.default_rng(number)
        mask = np.zeros((height, width), np.uint8)
        mask[2:6, 3:8], mask[7, 9] = 1, 2
        write(tmp_path / "set" / "images" / f"{number}.png", rng.integers(0, 256, (height, width, 3), np.uint8))
        write(tmp_path / "set" / "masks" / f"{number}.png", mask)
    return open_data(tmp_path / "set")[0]


def opened(
    manifest: Manifest, folder: Path, spec: InputSpec = SPEC, limit_bytes: int = 10**9
) -> tuple[Cache, list[str]]:
    said: list[str] = []
    samples = [Sample(case, size=SIZES[int(case.id)]) for case in manifest.cases]
    return open_cache(manifest, samples, spec, Store.at(folder, limit_bytes, said.append)), said


@pytest.fixture
def make(manifest: Manifest, tmp_path: Path) -> Make:
    cache, _ = opened(manifest, tmp_path / "cache")

    def build(settings: AugmentSettings | None = BUSY, **options: Any) -> PatchLoader:
        return PatchLoader(cache, SPEC, settings, **{"batch_size": 4, "seed": 7, **options})

    return build


def same(left: NumpyBatch, right: NumpyBatch) -> bool:
    return left.sample_id == right.sample_id and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in ("image", "mask", "labeled")
    )


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_cache_holds_every_image_at_its_own_size(manifest: Manifest, tmp_path: Path, scale: float) -> None:
    spec = SPEC.model_copy(update={"scale": scale})
    cache, said = opened(manifest, tmp_path / "c", spec)
    assert said[0].startswith("cache: 6 samples at their own size, ")
    for index, case in enumerate(manifest.cases):
        mask = case_mask(manifest, case)
        assert mask is not None
        assert np.array_equal(cache.image(index), spec.working_pixels(case_image(manifest, case)))
        assert np.array_equal(cache.mask(index), spec.working_mask(mask))
        rows = cache.contents[index].rows
        assert rows[-1].tolist() == [np.count_nonzero(cache.mask(index) == label) for label in (1, 2)]
    with pytest.raises(ValueError, match="read-only"):
        cache.image(0)[0] = 1


def test_the_cache_is_built_once_for_all_windows(manifest: Manifest, tmp_path: Path) -> None:
    first, _ = opened(manifest, tmp_path / "c")
    shutil.rmtree(manifest.root)
    again, said = opened(manifest, tmp_path / "c", SPEC.model_copy(update={"size": (8, 8), "intensity": "percentile"}))
    assert said == []
    assert all(np.array_equal(one, other) for one, other in zip(first.images, again.images, strict=True))
    assert [each.limits for each in first.contents] == [each.limits for each in again.contents]


@pytest.mark.parametrize("damage", ["images.bin", "rows.bin", "limits.bin", "index.json", "missing"])
def test_damage_is_noticed_and_repaired(manifest: Manifest, tmp_path: Path, damage: str) -> None:
    sound, _ = opened(manifest, tmp_path / "c")
    expected = [image.copy() for image in sound.images]
    entry = next((tmp_path / "c").rglob("index.json")).parent
    if damage == "missing":
        (entry / "masks.bin").unlink()
    else:
        content = (entry / damage).read_bytes()
        (entry / damage).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    again, said = opened(manifest, tmp_path / "c")
    assert said != []
    assert all(np.array_equal(one, other) for one, other in zip(expected, again.images, strict=True))


def test_the_limit_is_said_before_anything_is_decoded(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"above the limit of 5 KiB; raise --cache-limit or choose a smaller input\.scale"
    ):
        opened(manifest, tmp_path / "c", limit_bytes=5 * 1024)
    assert not (tmp_path / "c").exists()


def test_any_range_of_steps_gives_the_same_windows(make: Make) -> None:
    whole = list(make().batches(0, 9))
    assert whole[0].image.shape == (4, 24, 32, 3)
    assert all(same(left, right) for left, right in zip(whole[4:], make(workers=1).batches(4, 9), strict=True))
    assert all(same(left, right) for left, right in zip(whole, make(workers=5).batches(0, 9), strict=True))
    assert not same(whole[0], next(make(seed=8).batches(0, 1)))


def test_processes_share_each_batch(make: Make) -> None:
    whole = list(make().batches(2, 5))
    parts = [list(make(rank=rank, world=2).batches(2, 5)) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert np.array_equal(batch.image, np.concatenate([parts[0][step].image, parts[1][step].image]))


def test_an_epoch_shows_each_image_equally_often(make: Make) -> None:
    loader = make(per_image=5)
    assert loader.steps_per_epoch == 8
    names = [name for batch in loader.batches(0, 15) for name in batch.sample_id]
    for epoch in range(2):
        assert set(Counter(names[epoch * 30 : (epoch + 1) * 30]).values()) == {5}
    assert make().per_image == round(sum(h * w for h, w in SIZES) / (6 * 24 * 32)), "the pixels of the set, about once"


def test_a_window_can_be_replayed(make: Make, manifest: Manifest) -> None:
    loader = make()
    batch = list(loader.batches(0, 3))[2]
    for place, position in enumerate(range(8, 12)):
        case = manifest.cases[loader.index(position)]
        parameters, mask = loader.parameters(position), case_mask(manifest, case)
        assert parameters is not None
        assert mask is not None
        image, labels = patches.augmented(
            case_image(manifest, case), mask, loader.corner(position), SPEC.size, parameters
        )
        assert batch.sample_id[place] == case.id
        assert np.abs(batch.image[place] - SPEC.to_unit(image)).max() <= 1.1 / 255
        assert (batch.mask[place] != labels).mean() < 0.01


def test_most_windows_of_small_structures_show_them_when_asked(make: Make) -> None:
    def shown(share: float) -> float:
        batches = make(None, foreground=share, per_image=4).batches(0, 60)
        return float(np.mean([(mask == 2).any() for batch in batches for mask in batch.mask]))

    assert shown(0.9) > shown(0.0) + 0.2


def test_intensities_are_scaled_by_the_whole_image(manifest: Manifest, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"intensity": "percentile"})
    cache, _ = opened(manifest, tmp_path / "c", spec)
    loader = PatchLoader(cache, spec, None, batch_size=1, seed=0)
    (batch,) = loader.batches(3, 4)
    top, left = loader.corner(3)
    whole = spec.to_unit(cache.image(loader.index(3)))
    assert np.array_equal(batch.image[0], patches.cut(whole, (top, left), spec.size))


def test_once_shows_the_tiles_of_all_images(make: Make) -> None:
    batches = list(make().once())
    names = [name for batch in batches for name in batch.sample_id]
    assert names == [str(number) for number, size in enumerate(SIZES) for _ in patches.tiles(size, SPEC.size)]


def test_the_fit_decides_on_the_loader(manifest: Manifest, tmp_path: Path) -> None:
    whole = InputSpec(size=(8, 8))
    cache, _ = opened(manifest, tmp_path / "c", whole)
    assert type(make_loader(cache, whole, None, batch_size=2, seed=0)) is not PatchLoader
    with pytest.raises(ValueError, match="fit 'patch'"):
        make_loader(cache, SPEC, None, batch_size=2, seed=0)
