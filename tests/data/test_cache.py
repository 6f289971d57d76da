"""The decode-once cache: the right pixels, bounded, repaired, and safe between processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from delineate.common.errors import DataError, DelineateError
from delineate.data.cache import cache as cache_module
from delineate.data.cache.cache import open_cache
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.samples import Sample
from delineate.data.loading.open_data import open_data

Pairs = Callable[..., Path]
SPEC = InputSpec(size=(12, 20))
TEN = [f"s{number}" for number in range(10)]


@pytest.fixture
def manifest(make_pairs: Pairs) -> Manifest:
    return open_data(make_pairs(TEN))[0]


def opened(
    manifest: Manifest, folder: Path, spec: InputSpec = SPEC, limit_bytes: int = 10**9
) -> tuple[cache_module.Cache, list[str]]:
    said: list[str] = []
    samples = [Sample(case) for case in manifest.cases]
    return open_cache(manifest, samples, spec, Store.at(folder, limit_bytes, said.append)), said


def test_it_holds_what_the_input_specification_makes(manifest: Manifest, tmp_path: Path) -> None:
    from delineate.data.cases.pixels import case_image, case_mask

    cache, said = opened(manifest, tmp_path / "c")
    assert len(cache) == 10
    for index, case in enumerate(manifest.cases):
        assert cache.samples[index].case == case
        mask = case_mask(manifest, case)
        assert mask is not None
        assert np.array_equal(cache.image(index), SPEC.working_pixels(case_image(manifest, case)))
        assert np.array_equal(cache.mask(index), SPEC.working_mask(mask))
        assert cache.labeled(index)
    assert said == [f"cache: 10 samples at 12×20, 9 KiB, in {next((tmp_path / 'c').rglob('index.json')).parent}"]
    with pytest.raises(ValueError, match="read-only"):
        cache.image(0)[0] = 1


def test_it_is_built_once(manifest: Manifest, tmp_path: Path) -> None:
    opened(manifest, tmp_path)
    shutil.rmtree(manifest.root)
    cache, said = opened(manifest, tmp_path)
    assert said == []
    assert cache.image(0).shape == (12, 20, 3)


def test_a_changed_source_or_rule_makes_another_entry(make_pairs: Pairs, write: Any, tmp_path: Path) -> None:
    root = make_pairs(TEN)
    first, _ = opened(open_data(root)[0], tmp_path / "c")
    write(root / "images" / "s0.png", np.full((16, 16, 3), 9, np.uint8))
    second, said = opened(open_data(root)[0], tmp_path / "c")
    assert said != []
    assert first.image(0).max() > 9
    assert second.image(0).max() == 9
    assert opened(open_data(root)[0], tmp_path / "c", SPEC.model_copy(update={"channels": "gray"}))[1] != []
    assert opened(open_data(root)[0], tmp_path / "c", SPEC.model_copy(update={"intensity": "percentile"}))[1] == []


def test_a_source_that_changed_since_inspection_is_named(manifest: Manifest, write: Any, tmp_path: Path) -> None:
    write(Path(manifest.root) / "images" / "s3.png", np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r"s3\.png has changed since it was inspected"):
        opened(manifest, tmp_path / "c")
    assert list((tmp_path / "c").rglob("index.json")) == []
    assert list((tmp_path / "c").rglob("*.building")) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "index", "missing"])
def test_damage_is_noticed_and_repaired(manifest: Manifest, tmp_path: Path, damage: str) -> None:
    sound, _ = opened(manifest, tmp_path)
    expected = sound.images.copy()
    entry = next(tmp_path.rglob("index.json")).parent
    images = entry / "images.bin"
    content = bytearray(images.read_bytes())
    if damage == "flip":
        content[100] ^= 1
        images.write_bytes(content)
    elif damage == "cut":
        images.write_bytes(content[:-5])
    elif damage == "index":
        (entry / "index.json").write_text("{")
    else:
        (entry / "masks.bin").unlink()
    again, said = opened(manifest, tmp_path)
    assert said != []
    assert np.array_equal(again.images, expected)


def test_leftovers_of_a_killed_build_do_not_matter(manifest: Manifest, tmp_path: Path) -> None:
    opened(manifest, tmp_path)
    entry = next(tmp_path.rglob("index.json")).parent
    entry.rename(entry.with_name(f"{entry.name}.building"))
    assert opened(manifest, tmp_path)[1] != []
    assert list(tmp_path.rglob("*.building")) == []


def test_16_bit_sources_stay_16_bit(write: Any, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "d" / "images" / f"{number}.png", np.full((8, 8), 300 * number + 7, np.uint16))
        write(tmp_path / "d" / "masks" / f"{number}.png", np.eye(8, dtype=np.uint8))
    write(tmp_path / "d" / "images" / "2.png", np.full((8, 8), 4, np.uint8))
    manifest, census = open_data(tmp_path / "d")
    spec = InputSpec(size=(8, 8), channels="gray", source_bits=census.bits)
    cache, _ = opened(manifest, tmp_path / "c", spec)
    assert cache.images.dtype == np.uint16
    assert cache.images[:, 0, 0, 0].tolist() == [7, 307, 4 * 257]
    narrow, _ = opened(manifest, tmp_path / "c", spec.model_copy(update={"source_bits": 8}))
    assert narrow.images[:, 0, 0, 0].tolist() == [0, 1, 4]


def test_unlabeled_cases_are_all_ignore(manifest: Manifest, tmp_path: Path) -> None:
    case = manifest.cases[0]
    bare = case.model_copy(update={"masks": ()})
    cache = open_cache(manifest, [Sample(bare), Sample(case)], SPEC, Store.at(tmp_path))
    assert (cache.mask(0) == 255).all()
    assert [cache.labeled(0), cache.labeled(1)] == [False, True]


def test_limits(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs 9 KiB, above the limit of 5 KiB; raise --cache-limit"):
        opened(manifest, tmp_path / "c", limit_bytes=5 * 1024)
    assert not (tmp_path / "c").exists()
    with pytest.raises(DataError, match="no cases"):
        open_cache(manifest, (), SPEC, Store.at(tmp_path))
    unhashed = Case(id="x", images=("images/s0.png",))
    with pytest.raises(DataError, match="has no hash"):
        open_cache(manifest, [Sample(unhashed)], SPEC, Store.at(tmp_path))


def test_the_oldest_entry_makes_room(manifest: Manifest, tmp_path: Path) -> None:
    specs = [InputSpec(size=(16, size)) for size in (16, 17, 18)]
    entries = []
    for age, spec in zip((100, 300), specs, strict=False):
        opened(manifest, tmp_path, spec)
        entry = max(tmp_path.rglob("index.json"), key=lambda index: index.stat().st_mtime)
        os.utime(entry, (age, age))
        entries.append(entry)
    opened(manifest, tmp_path, specs[0])  # used again, so the second is the oldest now
    opened(manifest, tmp_path, specs[2], limit_bytes=25_000)
    assert entries[0].exists()
    assert not entries[1].exists()


def test_a_full_disk_is_said_and_leaves_nothing(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_module, "_decoded", full)
    with pytest.raises(DelineateError, match=r"no room for the cache: 9 KiB are needed in .* the disk is full"):
        opened(manifest, tmp_path / "c")
    assert {path.name for path in (tmp_path / "c").rglob("*") if path.suffix != ".lock"} == {"delineate-cache", "locks"}


def test_a_cache_folder_that_is_a_file(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("")
    with pytest.raises(DelineateError, match=r"cannot use the cache folder .*; choose another one with --cache-dir"):
        opened(manifest, tmp_path / "c")


def _open_in_process(manifest: str, folder: str, log: str) -> None:
    said: list[str] = []
    loaded = Manifest.model_validate_json(manifest)
    samples = [Sample(case) for case in loaded.cases]
    cache = open_cache(loaded, samples, SPEC, Store.at(Path(folder), announce=said.append))
    Path(log).write_text(json.dumps([int(cache.images.sum()), [line.split(":")[0] for line in said]]))


def test_processes_that_start_at_once(manifest: Manifest, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    logs = [tmp_path / f"log{number}" for number in range(3)]
    arguments = [(manifest.model_dump_json(), str(tmp_path / "c"), str(log)) for log in logs]
    processes = [context.Process(target=_open_in_process, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    results = [json.loads(log.read_text()) for log in logs]
    assert len({total for total, _ in results}) == 1
    assert sum("cache" in said for _, said in results) == 1
