"""Frames and slices that are numbered in a row, without a word of what they belong to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.data.cases.phantom import make_phantom
from delineate.data.doctor.check import check
from delineate.data.layouts.source import DataSource

Write = Callable[[Path, Any], Path]


def films(folder: Path, write: Write, name: str, *, moving: bool) -> Path:
    """Four films of ten frames each in one row of numbers; or as many pictures of their own."""
    for number in range(40):
        film, frame = divmod(number, 10)
        picture = make_phantom(film if moving else number, size=120, seed=0)[0]
        if moving:
            turn = cv2.getRotationMatrix2D((60, 60), 3 * frame, 1.2 + 0.03 * frame)
            picture = cv2.warpAffine(picture, turn, (120, 120), borderMode=cv2.BORDER_REFLECT)
        mask = np.zeros((120, 120), np.uint8)
        mask[40:80, 40 : 60 + number] = 255
        write(folder / "images" / name.format(number), picture)
        write(folder / "masks" / name.format(number), mask)
    return folder


def told(data: Path | DataSource) -> list[str]:
    return [str(finding) for finding in check(data).findings if "likely neighbors" in finding.text]


@pytest.mark.parametrize("name", ["frame_{:04d}.png", "{}.png", "scan{:03d}.png"])
def test_frames_in_a_row_are_told_with_the_cure(tmp_path: Path, write: Write, name: str) -> None:
    root = films(tmp_path / "set", write, name, moving=True)
    (line,) = told(DataSource(root, join="none"))
    assert "lie in different splits" in line
    assert "--group-by" in line
    rows = [f"{(root / 'images' / name.format(n)).stem},{n // 10}" for n in range(40)]
    (tmp_path / "films.csv").write_text("case,group\n" + "\n".join(rows))
    assert told(DataSource(root, group_by=str(tmp_path / "films.csv"))) == []


def test_pictures_of_their_own_are_no_neighbors(tmp_path: Path, write: Write) -> None:
    assert told(films(tmp_path / "set", write, "phantom_{:04d}.png", moving=False)) == []
    assert told(films(tmp_path / "named", write, "{}.png", moving=False)) == []


def test_splits_that_keep_them_together_are_not_blamed(tmp_path: Path, write: Write) -> None:
    root = films(tmp_path / "set", write, "{}.png", moving=True)
    for split, numbers in (("train", range(20)), ("val", range(20, 30)), ("test", range(30, 40))):
        (root / f"{split}.txt").write_text("\n".join(map(str, numbers)))
    lines = told(root)
    assert lines == [] or "19 (train), 20 (val)" in lines[0]
