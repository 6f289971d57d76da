"""Supports and volumes are read by the data room's label rules: tables, names, contradictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.layouts.source import DataSource
from delineate.data.loading.samples import open_samples
from delineate.fewshot.class_names import labels_by_name
from delineate.fewshot.given_support import given_support
from delineate.fewshot.support import Support


def pair(folder: Path, name: str, *values: int) -> None:
    mask = np.zeros((24, 24), np.uint8)
    for at, value in enumerate(values):
        mask[2 + 7 * at : 7 + 7 * at, 3:20] = value
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / part / f"{name}.png"), mask if part == "masks" else mask // 2 + 60)


def test_a_table_names_the_supports_classes(tmp_path: Path) -> None:
    pair(tmp_path, "a", 128)
    pair(tmp_path, "b", 128, 200)
    (tmp_path / "labels.yaml").write_text("labels: {cell: 200, core: 128}\n")
    shown = Support.of_folder(tmp_path)
    assert shown.classes.names == ("background", "core", "cell")
    assert [sorted(np.unique(mask).tolist()) for mask in shown.masks] == [[0, 1], [0, 1, 2]]
    assert shown.classes.labels is not None
    assert shown.classes.labels.values == {0: 0, 128: 1, 200: 2}
    files = [tmp_path / "images" / "a.png"], [tmp_path / "masks" / "a.png"]
    assert given_support(None, *files, "128=nucleus").classes.names == ("background", "nucleus")
    assert given_support(DataSource(tmp_path, labels="128-200=blob"), [], []).classes.names == ("background", "blob")


@pytest.mark.parametrize(("one", "other"), [((1,), (255,)), ((255, 77), (255,)), ((128,), (1,))])
def test_supports_that_contradict_each_other_are_refused(
    tmp_path: Path, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    pair(tmp_path, "a", *one)
    pair(tmp_path, "b", *other)
    with pytest.raises(DataError, match=r"--labels|unexpected"):
        Support.of_folder(tmp_path)


def test_volumes_take_the_names_of_their_challenge(volume_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "volumes"
    shutil.copytree(volume_folder, folder)
    names = {"0": "background", "1": "liver", "2": "spleen", "3": "kidney", "4": "pancreas"}
    (folder / "dataset.json").write_text(json.dumps({"labels": names}))
    data = open_samples(folder, cache_folder=tmp_path / "cache")
    assert data.classes.names == tuple(names.values()), "also a class that no volume shows"
    assert labels_by_name(["spleen"], data.classes, "data") == (2,)
    with pytest.raises(DataError, match="no name: 3"):
        open_samples(DataSource(folder, labels="1=liver,2=spleen"), cache_folder=tmp_path / "cache")


def test_classes_may_be_asked_for_by_their_old_names(slice_folder: Path) -> None:
    classes = open_samples(slice_folder).classes
    assert labels_by_name(["class 2"], classes, "data") == labels_by_name(["label 2"], classes, "data")


def test_classes_by_name_or_index(slice_folder: Path) -> None:
    manifest = open_samples(slice_folder).manifest
    assert labels_by_name(["label 2", "1"], manifest.classes, "data") == (1, 2)
    with pytest.raises(DataError, match=r"no foreground class 'RV'; there are 1 \(label 1\), 2 \(label 2\), 3"):
        labels_by_name(["RV"], manifest.classes, "data")
