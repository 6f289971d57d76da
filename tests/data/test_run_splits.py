"""Splits that a run drew hold for its data set, and for no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.formats.images import write_image
from delineate.data.layouts.discover import discover
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data
from delineate.data.splits.run_splits import run_manifest, with_run_splits
from delineate.evaluation.inputs.references import open_references
from delineate.inference.dataset_inputs import find_split


@pytest.fixture
def run(make_pairs: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A data set without splits, and the model file of a run on it."""
    data = make_pairs([f"c{number}" for number in range(12)])
    manifest, _ = open_data(data, seed=3)
    manifest.save(tmp_path / "run" / "manifest.json")
    return data, tmp_path / "run" / "model.safetensors"


def test_the_test_split_is_that_of_the_run(run: tuple[Path, Path]) -> None:
    data, model = run
    saved = run_manifest(model)
    assert saved is not None
    assert saved == run_manifest(model.parent)
    drawn = open_data(data, seed=3)[0].split("test")
    planned = find_split([DataSource(data)], "test", model)
    assert [task.name for task in planned.images] == [case.id for case in drawn]
    assert planned.notes == (f"{data} names no splits: split 'test' as {saved} drew it",)
    found = open_references(data, "test", None, run=saved)
    assert [case.id for case in found.cases] == [case.id for case in drawn]
    assert open_references(data, None, None, run=saved).split == "all"


def test_lists_of_the_data_go_before(run: tuple[Path, Path]) -> None:
    data, model = run
    (data / "test.txt").write_text("c1\n")
    planned = find_split([DataSource(data)], "test", model)
    assert ([task.name for task in planned.images], planned.notes) == (["c1"], ())


def test_other_files_are_another_data_set(run: tuple[Path, Path], tmp_path: Path) -> None:
    data, model = run
    for folder in ("images", "masks"):
        write_image(data / folder / "new.png", np.zeros((16, 16), np.uint8))
    with pytest.raises(DataError, match=r"of other files \(1 file more: images/new\.png\); give that manifest instead"):
        with_run_splits(discover(data), model.parent / "manifest.json")
    for folder in ("images", "masks"):
        (data / folder / "new.png").unlink()
    for path in (data / "images").iterdir():
        write_image(path, np.full((16, 16, 3), 7, np.uint8))
    with pytest.raises(DataError, match="is not the file that the manifest was made from"):
        find_split([DataSource(data)], "test", model)


def test_a_model_on_its_own_knows_no_splits(run: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"it names none; give the manifest\.json of a run"):
        find_split([DataSource(run[0])], "test", tmp_path / "model.safetensors")
