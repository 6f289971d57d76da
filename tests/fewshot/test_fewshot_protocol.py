"""Which slices are shown and asked for, and that a file of episodes is of these data and no others."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delineate.api import fewshot_episodes
from delineate.common.errors import DataError
from delineate.data.layouts.source import DataSource
from delineate.data.loading.samples import SampleSet, open_samples
from delineate.data.splits.folds import split_data
from delineate.fewshot.episode_file import EpisodeFile
from delineate.fewshot.protocol import ProtocolSettings, make_episodes, support_slices, thirds
from small_volumes import reorder

PATIENTS, DEPTH = 10, 7
EXTENT = {1: (1, 6), 2: (2, 5), 3: (5, 6)}
"""Class → first and last labeled slice of each volume of `slice_folder` (see conftest)."""


@pytest.fixture(scope="module")
def slices(slice_folder: Path) -> SampleSet:
    return open_samples(slice_folder)


def freeze(folder: Path, out: Path, **plan: object) -> EpisodeFile:
    plan = {"protocol": "chunk3", "split": "train"} | plan
    return fewshot_episodes(folder, out=out / "episodes.json", **plan)


@given(first=st.integers(0, 20), number=st.integers(1, 40))
def test_thirds_are_the_extent_in_three_nearly_equal_parts(first: int, number: int) -> None:
    parts = thirds(first, first + number - 1)
    assert [index for part in parts for index in part] == list(range(first, first + number))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("number", "chosen"),
    [(1, (0, 0, 0)), (2, (0, 1, 1)), (3, (0, 1, 2)), (6, (1, 3, 5)), (9, (1, 4, 7)), (30, (5, 15, 25))],
)
def test_support_slices_lie_at_the_fractions_of_the_labeled_slices(number: int, chosen: tuple[int, ...]) -> None:
    holding = range(10, 10 + number)
    assert support_slices(holding, "chunk3") == tuple(10 + index for index in chosen)
    assert support_slices(holding, "middle") == (10 + number // 2,)


def test_chunk3_pairs_each_third_with_the_slice_of_its_place(slice_folder: Path, tmp_path: Path) -> None:
    made = freeze(slice_folder, tmp_path, shots=2)
    assert "taken as known" in made.words
    for episode in made.episodes:
        first, last = EXTENT[episode.label]
        assert episode.scored == tuple(range(first, last + 1))
        scans = [episode.support[at].volume for at in (0, 3)]
        assert len(set(scans)) == 2
        for chunk in episode.chunks:
            third = chunk.support[0]
            assert chunk.support == (third, third + 3)
            assert set(chunk.slices) == set(thirds(first, last)[third])
        shown = [one.slice for one in episode.support[:3]]
        assert shown == sorted(shown)
        assert all(first <= index <= last for index in shown)


def test_middle_shows_one_slice_and_asks_for_all(slice_folder: Path, tmp_path: Path) -> None:
    made = freeze(slice_folder, tmp_path, protocol="middle")
    for episode in made.episodes:
        assert len(episode.support) == 1
        assert episode.scored == tuple(range(DEPTH))
    queries = {episode.query for episode in made.episodes}
    assert len(made.episodes) == 3 * len(queries)


def test_any2d_takes_slices_by_themselves(slice_folder: Path, tmp_path: Path, slices: SampleSet) -> None:
    made = freeze(slice_folder, tmp_path, protocol="any2d", shots=3, classes=["1"])
    assert all(len(episode.scored) == 1 and len(episode.support) == 3 for episode in made.episodes)
    for one in made.episodes[0].support:
        assert slices.stack(one.volume).slices[one.slice].holds(1, 64)
    assert len(made.episodes) == (6 - 3) * DEPTH  # all slices of the patients that are not shown


@pytest.mark.parametrize("protocol", ["chunk3", "middle", "any2d"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nobody_is_shown_and_asked_for(
    protocol: str, seed: int, slice_folder: Path, tmp_path: Path, slices: SampleSet
) -> None:
    """Whoever is shown for one class is not asked for another either, so that all classes have the same cases."""
    made = freeze(slice_folder, tmp_path, protocol=protocol, shots=2, seed=seed, draws=2)
    group = {stack.volume: stack.group for stack in slices.stacks}
    for draw in range(2):
        mine = [episode for episode in made.episodes if episode.draw == draw]
        shown = {group[one.volume] for episode in mine for one in episode.support}
        assert not shown & {group[episode.query] for episode in mine}
        cases = defaultdict(set)
        for episode in mine:
            cases[episode.label].add((episode.query, episode.scored if protocol == "any2d" else ()))
        assert cases[1] == cases[2] == cases[3]


def test_copies_of_a_support_are_not_asked_for(slice_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for kind in ("images", "masks"):
        (folder / "train" / kind).mkdir(parents=True)
        for number in range(6):
            picture = slice_folder / kind / f"patient00{number}_frame01_slice_03.png"
            for name in ("a", "copy_of_a"):
                shutil.copy(picture, folder / "train" / kind / f"{name}{number}.png")
    made = freeze(folder, tmp_path, protocol="any2d", draws=4, classes=["1"])
    asked = [(shown.volume[-1], episode.query[-1]) for episode in made.episodes for shown in episode.support]
    assert len(asked) == 4 * 8, "10 of 12 are for training; the support and its copy are not asked for"
    assert all(shown != query for shown, query in asked)


def test_seeds_and_draws_differ_and_repeat(slice_folder: Path, tmp_path: Path) -> None:
    same, again = (freeze(slice_folder, tmp_path, draws=4) for _ in range(2))
    assert same.digest == again.digest
    assert same.digest != freeze(slice_folder, tmp_path, draws=4, seed=1).digest
    supports = {tuple(one.volume for one in episode.support) for episode in same.episodes}
    assert len(supports) > 1
    assert EpisodeFile.load(tmp_path / "episodes.json").seed == 1


def test_support_may_come_from_another_split(slice_folder: Path, tmp_path: Path, slices: SampleSet) -> None:
    made = freeze(slice_folder, tmp_path, split="test", support_split="train")
    assert {slices.stack(episode.query).split for episode in made.episodes} == {"test"}
    assert {slices.stack(one.volume).split for episode in made.episodes for one in episode.support} == {"train"}
    assert len({episode.query for episode in made.episodes}) == 2


def test_volumes_are_frozen_too(volume_folder: Path, tmp_path: Path) -> None:
    made = freeze(volume_folder, tmp_path, split="train")
    assert made.axis == 2
    assert all(name.endswith(".nii.gz") for name in made.files)
    made.open(volume_folder)


def test_what_cannot_be_frozen_is_said(slice_folder: Path, tmp_path: Path) -> None:
    for said, plan in {
        "is in the masks of 2 patients": {"shots": 3, "split": "test"},
        "nothing is left to ask for": {"shots": 2, "split": "test"},
        "no foreground class 'liver'; there are 1": {"classes": ["liver"]},
        "unknown protocol 'chunk4': did you mean 'chunk3'": {"protocol": "chunk4"},
    }.items():
        with pytest.raises(DataError, match=said):
            freeze(slice_folder, tmp_path, **plan)
    assert not (tmp_path / "episodes.json").exists()


def test_changed_and_missing_files_are_named(make_slices, tmp_path: Path) -> None:
    folder = make_slices(tmp_path / "data", patients=8)
    made = freeze(folder, tmp_path)
    query = made.episodes[0]
    image = folder / "images" / f"{query.query}_slice_{query.scored[0]:02d}.png"
    pixels = cv2.imread(str(image), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(image), np.flipud(pixels))
    with pytest.raises(DataError, match=rf"1 file in .* changed .*\(images/{image.name}\)"):
        made.open(folder)
    cv2.imwrite(str(image), pixels)
    made.open(folder)
    image.unlink()
    with pytest.raises(DataError, match=rf"lacks 1 file of the episodes \(images/{image.name}\)"):
        made.open(folder)


def test_damaged_files_of_episodes_are_one_line(slice_folder: Path, tmp_path: Path, slices: SampleSet) -> None:
    freeze(slice_folder, tmp_path)
    path = tmp_path / "episodes.json"
    content = json.loads(path.read_text())
    with pytest.raises(DataError, match="know no class '7'; they are of 1"):
        EpisodeFile.load(path).of_classes(["7"])
    shown = content["episodes"][0]["support"][0]["volume"]
    path.write_text(json.dumps(content | {"episodes": [content["episodes"][0] | {"query": shown}]}))
    with pytest.raises(DataError, match="ask for it too"):
        EpisodeFile.load(path).open(slice_folder)
    for wrong in ({"protocol": "chunk4"}, {"labels": [9]}, {"files": None}):
        path.write_text(json.dumps(content | wrong))
        with pytest.raises(DataError):
            EpisodeFile.load(path)
    with pytest.raises(DataError, match="cannot read episodes"):
        EpisodeFile.load(tmp_path / "none.json")


def test_episodes_of_a_fold(slice_folder: Path, tmp_path: Path) -> None:
    folds = tmp_path / "folds.json"
    manifest = split_data(DataSource(slice_folder), folds=3).manifest
    manifest.save(folds)
    with pytest.raises(DataError, match=r"has 3 folds; choose one with --fold 0 … 2"):
        fewshot_episodes(folds, out=tmp_path / "episodes.json", protocol="any2d", split="val")
    made = fewshot_episodes(folds, out=tmp_path / "episodes.json", protocol="any2d", split="val", fold=1)
    patients = {case.group for case in manifest.cases if case.fold == 1}
    stacks = {stack.volume: stack.group for stack in EpisodeFile.load(tmp_path / "episodes.json").open(folds).stacks}
    assert {stacks[episode.query] for episode in made.episodes} <= patients


def test_episodes_of_the_first_release_are_refused_where_slices_have_other_numbers_now(
    make_volumes: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_volumes(tmp_path / "data", patients=6)
    reorder(folder, "case_02", (0, 1, 2), (2,))
    opened = open_samples(folder, cache_folder=tmp_path)
    made = make_episodes(opened, ProtocolSettings(split="train"), name="data", stack="auto")
    assert made.order == "canonical"
    made.open(folder)
    older = made.model_copy(update={"order": "file"})
    assert '"order"' not in older._text()
    with pytest.raises(DataError, match=r"number the slices of .*case_02\.nii\.gz in the order of the file"):
        older.open(folder)
