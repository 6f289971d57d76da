"""Arrays that hold all pictures of a split: MedSegBench's .npz, X_train.npy with y_train.npy, and what is none of these."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import delineate
from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.core.manifest import Manifest
from delineate.data.formats import npz
from delineate.data.formats.registry import read_image
from delineate.data.layouts.array_sets import find_arrays
from delineate.data.layouts.discover import discover, recognize
from delineate.data.loading.open_data import open_data
from delineate.fewshot.episode_file import EpisodeFile
from delineate.inference.dataset_inputs import of_cases

Arrays = dict[str, np.ndarray]


def pictures(number: int, seed: int = 0, *, channels: int = 3) -> np.ndarray:
    shape = (number, 16, 20, channels) if channels else (number, 16, 20)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def masks(number: int) -> np.ndarray:
    found = np.zeros((number, 16, 20), np.uint8)
    for at in range(number):
        found[at, 2 : 5 + at % 4, 3:9] = 1
    return found


def three_splits(**options: Any) -> Arrays:
    return {
        f"{split}_{kind}": pictures(number, number, **options) if kind == "images" else masks(number)
        for split, number in (("train", 8), ("val", 3), ("test", 2))
        for kind in ("images", "label")
    }


@pytest.mark.parametrize("given_as", ["folder", "file"])
def test_medsegbench_is_read_by_its_own_splits(tmp_path: Path, given_as: str) -> None:
    arrays = three_splits()
    np.savez_compressed(tmp_path / "kvasir_16.npz", **arrays)
    manifest, census = open_data(tmp_path if given_as == "folder" else tmp_path / "kvasir_16.npz")
    assert (manifest.layout, manifest.split_origin) == ("pictures in arrays", "names of arrays")
    assert [len(manifest.split(split)) for split in ("train", "val", "test")] == [8, 3, 2]
    assert [case.id for case in manifest.split("test")] == ["kvasir_16_test_0000", "kvasir_16_test_0001"]
    assert {case.group for case in manifest.cases} == {None}
    assert set(census.channels) == {"RGB"}
    assert [one.name for one in of_cases(manifest, manifest.split("val")).images] == [
        case.id for case in manifest.split("val")
    ]
    for split in ("train", "val", "test"):
        for at, case in enumerate(manifest.split(split)):  # type: ignore[arg-type]
            assert np.array_equal(case_image(manifest, case), arrays[f"{split}_images"][at])
            assert np.array_equal(case_mask(manifest, case), arrays[f"{split}_label"][at])
    assert any(
        "kvasir_16.npz: arrays of pictures" in note and "8 train, 3 val, 2 test" in note for note in manifest.notes
    )
    manifest.save(tmp_path / "m.json")
    assert open_data(tmp_path / "m.json")[0] == Manifest.load(tmp_path / "m.json")


@pytest.mark.parametrize(
    "shaped",
    [
        lambda images, labels: (images.transpose(0, 3, 1, 2), labels),
        lambda images, labels: (images, labels[..., None]),
        lambda images, labels: (images, labels[:, None].astype(np.int64)),
        lambda images, labels: (images / np.float32(255), labels.astype(bool)),
        lambda images, labels: (images[..., :1], labels),
        lambda images, labels: (images[:, None, ..., 0], labels * np.uint8(255)),
    ],
    ids=["colors first", "labels with an axis", "labels of 64 bits", "fractions", "gray with an axis", "gray first"],
)
def test_arrays_of_other_shapes_and_types(tmp_path: Path, shaped: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    images, labels = shaped(pictures(6), masks(6))
    np.savez(tmp_path / "set.npz", train_images=images, train_label=labels)
    manifest, _ = open_data(tmp_path)
    for at, case in enumerate(manifest.cases):
        found = case_image(manifest, case)
        wanted = pictures(6)[at][..., 0] if found.ndim == 2 else pictures(6)[at]
        assert np.array_equal(found // 257 if found.dtype == np.uint16 else found, wanted)
        assert np.array_equal(case_mask(manifest, case), masks(6)[at])


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (("images", "masks"), None),
        (("X", "Y"), None),
        (("x_train", "y_train"), "train"),
        (("training_imgs", "training_gt"), "train"),
    ],
)
def test_names_that_people_give(tmp_path: Path, names: tuple[str, str], split: str | None) -> None:
    np.savez(tmp_path / "set.npz", **{names[0]: pictures(6), names[1]: masks(6)})
    packed = discover(tmp_path / "set.npz")
    for name, array in zip(names, (pictures(6), masks(6)), strict=True):
        (tmp_path / "files").mkdir(exist_ok=True)
        np.save(tmp_path / "files" / f"{name}.npy", array)
    files = discover(tmp_path / "files")
    for manifest in (packed, files):
        assert [case.split for case in manifest.cases] == [split] * 6
        assert np.array_equal(case_image(manifest, manifest.cases[5]), pictures(6)[5])
        assert np.array_equal(case_mask(open_data_of(manifest), manifest.cases[5]), masks(6)[5])


def open_data_of(manifest: Manifest) -> Manifest:
    from delineate.data.cases.census import inspect

    return inspect(manifest)[0].model_copy(update={"cases": manifest.cases})


def test_images_without_masks_and_a_test_split_without_masks(tmp_path: Path) -> None:
    arrays = three_splits() | {"unlabeled_images": pictures(4, 9), "notes": np.arange(3)}
    del arrays["test_label"]
    np.savez(tmp_path / "set.npz", **arrays)
    manifest = discover(tmp_path)
    assert sorted((case.split or "", bool(case.masks)) for case in manifest.cases) == sorted(
        [("train", True)] * 8 + [("val", True)] * 3 + [("train", False)] * 4
    )
    assert any("arrays that are not used: notes, test_images" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"train_images": pictures(4), "train_labels": np.arange(4)[:, None]},
            r"'train_labels' has one number for each picture \(4×1\): that is a classification",
        ),
        ({"train_images": pictures(4)}, r"'train_images' has no masks beside it: train_label \(or train_masks\)"),
        (
            {"train_images": pictures(4), "train_label": masks(3)},
            r"'train_images' is 4×16×20×3 but 'train_label' is 3×16×20",
        ),
        (
            {"train_images": np.array([{}, {}], object), "train_label": masks(2)},
            "'train_images' is a list of 2 things.*lists of Python objects are never opened",
        ),
        ({"train_images": pictures(4), "train_label": np.stack([masks(4)] * 2, -1)}, "a plane for each class"),
        ({"train_images": pictures(4, channels=5), "train_label": masks(4)}, "pictures of 5 channels"),
        ({"train_images": pictures(1)[0, ..., 0], "train_label": masks(1)}, "an array of pictures is N×H×W"),
        ({"train_x": pictures(4), "train_wrong": masks(4)}, "'train_x' has no masks beside it"),
    ],
)
def test_what_is_wrong_with_a_set_is_told(tmp_path: Path, arrays: Arrays, words: str) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(DataError, match=rf"set\.npz: .*{words}"):
        discover(tmp_path)


@given(
    st.dictionaries(
        st.sampled_from(["image", "images", "train_images", "label", "y_train", "X", "z"]),
        st.lists(st.integers(1, 5), max_size=5).map(tuple),
    )
)
@settings(max_examples=150, deadline=None)
def test_any_arrays_are_a_set_or_told_or_something_else(shapes: dict[str, tuple[int, ...]]) -> None:
    found = find_arrays(shapes)
    for one in found if isinstance(found, list) else []:
        assert shapes[one.image][0] == one.number
        assert one.label is not None
        assert shapes[one.label][0] == one.number
    assert not isinstance(found, str) or "'" in found


def test_an_array_is_unpacked_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "set.npz", **three_splits())
    unpacked: list[str] = []
    whole = npz.read_whole
    monkeypatch.setattr(npz, "read_whole", lambda path, name: (unpacked.append(name), whole(path, name))[1])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: read_image(Path(f"{tmp_path}/set.npz#train_images.{at % 8}")), range(64)))
    assert unpacked == ["train_images"]


def test_large_arrays_are_read_slice_by_slice_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = three_splits()
    np.savez_compressed(tmp_path / "set.npz", **arrays)
    monkeypatch.setattr(npz, "_WHOLE_BYTES", 100)
    monkeypatch.setattr(npz, "_WINDOW_BYTES", 3 * 16 * 20 * 3)
    started: list[int] = []
    start = npz._Stream._start
    monkeypatch.setattr(npz._Stream, "_start", lambda self: (started.append(0), start(self))[1])
    for at in (0, 1, 3, 2, 4, 5, 7, 6):
        assert np.array_equal(read_image(Path(f"{tmp_path}/set.npz#train_images.{at}")), arrays["train_images"][at])
    assert len(started) == 1, "a step back into the window starts nothing anew"
    assert np.array_equal(read_image(Path(f"{tmp_path}/set.npz#train_images.0")), arrays["train_images"][0])
    with pytest.raises(DataError, match="no slice 8"):
        read_image(Path(f"{tmp_path}/set.npz#train_images.8"))


def test_a_file_for_each_picture_may_have_its_colors_first(tmp_path: Path) -> None:
    for number in range(3):
        image = pictures(1, number)[0].transpose(2, 0, 1)
        np.savez(tmp_path / f"c{number}.npz", image=image, mask=masks(4)[number][None])
    manifest, _ = open_data(tmp_path)
    assert np.array_equal(case_image(manifest, manifest.cases[1]), pictures(1, 1)[0])
    assert np.array_equal(case_mask(manifest, manifest.cases[1]), masks(4)[1])


def test_episodes_of_a_packed_file_are_found_again(tmp_path: Path) -> None:
    labels = np.zeros((5, 64, 64), np.uint8)
    labels[:, 10:50, 10:50] = 1
    images = np.random.default_rng(0).integers(0, 256, labels.shape, np.uint8)
    np.savez(
        tmp_path / "set.npz",
        test_images=images,
        test_masks=labels,
        train_images=images[:2] // 2,
        train_masks=labels[:2],
    )
    delineate.fewshot_episodes(tmp_path / "set.npz", protocol="any2d", out=tmp_path / "ep.json")
    opened = EpisodeFile.load(tmp_path / "ep.json").open(tmp_path / "set.npz")
    assert len(opened.manifest.cases) == 7


def test_options_that_name_folders_mean_nothing_with_a_packed_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **three_splits())
    with pytest.raises(DataError, match="leave out --images and --masks"):
        recognize(tmp_path / "set.npz", masks="masks")
