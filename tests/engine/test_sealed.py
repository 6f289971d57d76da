"""Training by fold, and training that cannot reach the test split."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from delineate.common.errors import DataError
from delineate.data.cases.pixels import case_image
from delineate.data.core.manifest import Manifest
from delineate.data.splits.folds import split_data
from delineate.engine import dense
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.engine.run_folder import RunFolder

Maker = Callable[..., TrainRequest]


@pytest.fixture
def frozen(discs: Path, tmp_path: Path) -> Path:
    """A manifest of the discs (a copy) with three folds and a test split of four cases."""
    root = shutil.copytree(discs, tmp_path / "discs")
    split_data(root, folds=3, test_fraction=0.2).manifest.save(tmp_path / "folds.json")
    return tmp_path / "folds.json"


def on_fold(request: TrainRequest, data: Path, fold: int | None, **changes: Any) -> TrainRequest:
    return TrainRequest(**{**vars(request), "data": data, "fold": fold, **changes})


def test_test_files_may_vanish_once_training_has_opened_the_data(
    request_for: Maker, recorder: Any, frozen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(on_fold(request_for("whole"), frozen, 1), recorder())
    test_cases = Manifest.load(frozen).split("test")
    assert len(test_cases) == 4
    opened = dense.open_data

    def open_and_remove(*arguments: Any, **options: Any) -> Any:
        result = opened(*arguments, **options)
        for case in test_cases:
            for file in (*case.images, *case.masks):
                (tmp_path / "discs" / file).unlink()
        return result

    monkeypatch.setattr(dense, "open_data", open_and_remove)
    train(on_fold(request_for("sealed"), frozen, 1, cache_folder=tmp_path / "cache"), recorder())
    whole, sealed = (RunFolder(tmp_path / name) for name in ("whole", "sealed"))
    assert sealed.model.read_bytes() == whole.model.read_bytes()
    assert sealed.validation.joinpath("scores.csv").read_bytes() == whole.validation.joinpath("scores.csv").read_bytes()
    saved = Manifest.load(sealed.manifest)
    assert saved.split("test") == test_cases
    with pytest.raises(DataError, match="cannot read"):
        case_image(saved, saved.split("test")[0])


def test_nothing_after_the_opening_is_given_a_test_case(
    request_for: Maker, recorder: Any, frozen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    for name in ("settle_input", "open_cache", "score_validation_cases"):
        original = getattr(dense, name)

        def spy(*arguments: Any, _original: Any = original, **options: Any) -> Any:
            seen.extend(arguments)
            return _original(*arguments, **options)

        monkeypatch.setattr(dense, name, spy)
    train(on_fold(request_for(), frozen, 0), recorder())
    test_ids = {case.id for case in Manifest.load(frozen).split("test")}
    manifests = [one for one in seen if isinstance(one, Manifest)]
    assert len(manifests) >= 3
    assert not any(case.id in test_ids for one in manifests for case in one.cases)
    assert not any(test_ids & set(one.facts) for one in seen if isinstance(one, dense.Census))


def test_a_run_validates_on_its_fold_and_resumes_with_it(
    request_for: Maker, recorder: Any, frozen: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"has 3 folds; choose one with --fold 0 … 2"):
        train(on_fold(request_for(), frozen, None), recorder())
    assert not (tmp_path / "run").exists()
    request = on_fold(request_for(), frozen, 2)
    train(request, recorder())
    folder = RunFolder(tmp_path / "run")
    manifest = Manifest.load(folder.manifest)
    assert {case.fold for case in manifest.split("val")} == {2}
    assert "; fold 2 validates" in folder.card.read_text(encoding="utf-8")
    with pytest.raises(DataError, match="does not validate on fold 1"):
        dense._check_fold(manifest, 1)
    dense._check_fold(manifest, 2)
