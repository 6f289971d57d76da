"""What lies beside the cache, or in it, and was not made by it is never removed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from delineate.common.errors import DelineateError
from delineate.common.user_folders import SUBFOLDER
from delineate.data.cache.cache import open_cache
from delineate.data.cache.entries import MARKER, begin_entry, entries_folder, finish_entry, remove_entry
from delineate.data.cache.eviction import evict
from delineate.data.cache.store import Store
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.samples import Sample
from delineate.data.loading.open_data import open_data

KEY = "0123456789abcdef" * 2
OTHER = "f" * 32


def entry(place: Path, key: str, size: int = 1000) -> Path:
    building = place / f"{key}.building"
    begin_entry(building)
    (building / "images.bin").write_bytes(bytes(size))
    (building / "index.json").write_text("{}")
    finish_entry(building, place / key)
    return place / key


def test_folders_of_the_user_stay_whatever_the_limit(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    home = tmp_path / "scratch"
    for name in ("my-thesis", KEY, f"{SUBFOLDER}/my-thesis", f"{SUBFOLDER}/{KEY}"):
        (home / name / "raw").mkdir(parents=True)
        (home / name / "index.json").write_text("{}")
        (home / name / "results.bin").write_bytes(bytes(3_000_000))
        (home / name / "raw" / "precious.txt").write_text("only copy")
    before = sorted(home.rglob("*"))
    manifest = open_data(make_pairs([f"c{number}" for number in range(4)]))[0]
    samples = [Sample(case) for case in manifest.cases]
    open_cache(manifest, samples, InputSpec(size=(16, 16)), Store.at(home, 10_000))
    assert set(before) <= set(home.rglob("*"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.one_of(
        st.just(KEY), st.just(f"{KEY}.building"), st.text("0123456789abcdefGxyz.-", min_size=1, max_size=34)
    ),
    files=st.sets(
        st.sampled_from(["index.json", "images.bin", "masks.bin", MARKER, "notes.txt", "Images.BIN", "a/b.bin"])
    ),
)
def test_what_is_not_marked_by_us_is_never_touched(
    tmp_path_factory: pytest.TempPathFactory, name: str, files: set[str]
) -> None:
    if name in (".", ".."):
        return
    place = entries_folder(tmp_path_factory.mktemp("place"))
    for file in files:
        (place / name / file).parent.mkdir(parents=True, exist_ok=True)
        (place / name / file).write_text("mine")
    before = sorted(place.rglob("*"))
    remove_entry(place / name)
    evict(place / OTHER, 10, 0)
    assert sorted(path for path in place.rglob("*") if "locks" not in path.parts) == before


def test_a_file_that_someone_put_into_an_entry_stays(tmp_path: Path) -> None:
    path = entry(entries_folder(tmp_path), KEY)
    (path / "notes.txt").write_text("mine")
    remove_entry(path)
    assert sorted(file.name for file in path.iterdir()) == [MARKER, "notes.txt"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    real = entry(entries_folder(tmp_path / "a"), KEY)
    place = entries_folder(tmp_path / "b")
    place.mkdir(parents=True)
    (place / KEY).symlink_to(real)
    remove_entry(place / KEY)
    evict(place / OTHER, 10, 0)
    assert (real / "images.bin").exists()


def test_a_foreign_folder_in_the_way_is_said(tmp_path: Path) -> None:
    place = entries_folder(tmp_path)
    (place / f"{KEY}.building" / "x").mkdir(parents=True)
    with pytest.raises(DelineateError, match=r"in the cache's way and not of its making.*--cache-dir"):
        begin_entry(place / f"{KEY}.building")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these have places of their own")
@pytest.mark.parametrize(("named", "expected"), [("/xdg/c", "/xdg/c/delineate"), ("relative", None), ("", None)])
def test_the_base_folder_of_the_desktop_specification(
    named: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    monkeypatch.setenv("HOME", "/home/u")
    assert entries_folder(None) == Path(expected or "/home/u/.cache/delineate") / SUBFOLDER


def test_entries_are_few_files(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    manifest = open_data(make_pairs(["a", "b", "c"]))[0]
    samples = [Sample(case) for case in manifest.cases]
    cache = open_cache(manifest, samples, InputSpec(size=(16, 16)), Store.at(tmp_path))
    assert np.asarray(cache.images).shape == (3, 16, 16, 3)
    (made,) = [path for path in entries_folder(tmp_path).iterdir() if path.name != "locks"]
    assert sorted(path.name for path in made.iterdir()) == ["images.bin", "index.json", MARKER, "masks.bin"]
