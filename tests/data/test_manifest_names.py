"""A manifest that was made up cannot make us write outside of a run, or read outside of its data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from delineate.common.errors import DataError
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.discover import discover
from delineate.data.loading.open_data import open_data


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "a\\b", "C:\\x", "..", "", "nul", "a\nb", "c1"])
def test_ids_that_would_lead_elsewhere_are_refused(name: str, make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    manifest = discover(make_pairs(["c1", "c2", "c3"]))
    first, *others = manifest.cases
    others[-1] = others[-1].model_copy(update={"id": name})
    path = tmp_path / "evil.json"
    manifest.model_copy(update={"cases": (first, *others)}).save(path)
    with pytest.raises(DataError, match=r"evil\.json cannot be used: the case id"):
        open_data(path)


@pytest.mark.parametrize("field", ["images", "masks", "raters"])
@pytest.mark.parametrize("file", ["../secret.png", "/etc/passwd", "a/../../b.png", "..\\b.png", "D:/x.png", ""])
def test_paths_that_would_lead_elsewhere_are_refused(
    field: str, file: str, make_pairs: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "evil.json"
    discover(make_pairs(["c1", "c2"])).save(path)
    content = json.loads(path.read_text())
    content["cases"][1][field] = [[file]] if field == "raters" else [file]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"evil\.json cannot be used: the path"):
        Manifest.load(path)


def test_odd_names_of_files_give_ids_that_can_be_written_and_read_again(
    write: Callable[[Path, np.ndarray], Path], tmp_path: Path
) -> None:
    for name in ("nul", "a\\b", "a_b", "fine (1)", "c\nd"):
        write(tmp_path / "set" / "images" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
        write(tmp_path / "set" / "masks" / f"{name}.png", np.eye(8, dtype=np.uint8) * 255)
    manifest = open_data(tmp_path / "set")[0]
    assert sorted(case.id for case in manifest.cases) == ["a_b", "a_b_2", "c_d", "fine (1)", "nul_"]
