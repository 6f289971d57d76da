"""Masks that other software made stand in a benchmark's table, and nothing is claimed that is not known of them."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate import cli
from delineate.common.errors import DataError
from delineate.evaluation.comparison.compare import compare_models
from delineate.evaluation.comparison.models import Model
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.studies.benchmark import finish
from delineate.studies.foreign import Foreign, parse_foreign
from delineate.studies.leaderboard import make_leaderboard
from delineate.studies.setup import BenchmarkSetup

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def theirs(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The references as label maps of 0 and 1, one of them empty."""
    folder = tmp_path_factory.mktemp("theirs") / "masks"
    folder.mkdir()
    for path in sorted((discs / "masks").glob("*.png")):
        mask = (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 0).astype(np.uint8)
        cv2.imwrite(str(folder / path.name), mask * (path.stem != "patient03_1"))
    return folder


def test_a_foreign_folder_is_a_candidate(
    run: Run, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"methods": ["unet"], "epochs": 1, "predictions": [f"nnunet={theirs}"]}
    board = run(**options)
    folder = tmp_path / "bench"
    assert [row.label for row in board.rows] == ["nnunet", "unet"]
    first, own = board.rows
    assert first.means["dice"].mean == pytest.approx(15 / 16)
    assert (first.made_elsewhere, first.cost, first.first_weights) == (True, None, None)
    assert not own.made_elsewhere
    assert board.cautions[0].startswith("nnunet was made elsewhere: that the test cases had no part in the training")
    assert any("How nnunet was trained is not known" in line for line in board.cautions)
    assert any("these two trained models" in line.lower() for line in board.words)

    rows = list(csv.DictReader((folder / "leaderboard.csv").open()))
    assert [(row["method"], row["made_elsewhere"]) for row in rows] == [("nnunet", "yes"), ("unet", "")]
    assert [rows[0][name] for name in ("seeds", "minutes", "parameters", "ms_per_image", "peak_mib")] == [""] * 5
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "made elsewhere" in page
    assert "scores/nnunet-elsewhere/report.html" in page
    assert (folder / "scores" / "nnunet-elsewhere" / "report.html").is_file()

    scores = folder / "scores" / "nnunet-elsewhere" / "scores.json"
    stamp = scores.stat().st_mtime_ns
    run(**options)
    assert scores.stat().st_mtime_ns == stamp, "masks that are the same are not scored again"

    other = shutil.copytree(theirs, tmp_path / "other")
    shutil.copy(theirs / "patient03_0.png", other / "patient03_1.png")
    assert run(**options | {"predictions": [f"nnunet={other}"]}).rows[0].means["dice"].mean > 15 / 16
    assert [row.label for row in run(**options | {"predictions": []}).rows] == ["unet"], "each call names its own"
    check_several_seeds(folder, theirs)


def check_several_seeds(folder: Path, theirs: Path) -> None:
    """Of methods with several seeds claims are made; of what was made elsewhere none, but of the trained models."""
    done = finish(folder, BenchmarkSetup.load(folder), (Foreign("nnunet", theirs),))
    evaluations: dict[tuple[str, int], ScoresFile] = {}
    for label in ("unet", "resenc"):
        for seed in range(2):
            copied = shutil.copytree(folder / "scores" / "unet-seed0", folder / "copies" / f"{label}{seed}")
            content = json.loads((copied / "scores.json").read_text()) | {
                "method": label,
                "seed": seed,
                "training": None,
            }
            (copied / "scores.json").write_text(json.dumps(content))
            evaluations[label, seed] = ScoresFile.read(copied)
    evaluations["nnunet", 0] = done.evaluations["nnunet", 0]
    models = [Model(f"{label} #{seed}", one) for (label, seed), one in list(evaluations.items())[:-1]]
    comparison = compare_models([*models, Model("nnunet", evaluations["nnunet", 0])])
    board = make_leaderboard(replace(done, comparison=comparison, evaluations=evaluations))
    told = [line for line in board.words if "nnunet" in line]
    assert len(told) == 4, "one for each trained model"
    assert all("trained models" in line for line in told)
    assert len(board.words) == 5, "and one about the two methods"


@pytest.fixture
def typed(discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def start(*words: object) -> tuple[int, str]:
        line = ["benchmark", discs, "--methods", "unet", "--folds", 2, "--epochs", 1, "--out", tmp_path / "b", *words]
        monkeypatch.setattr(sys, "argv", ["delineate", *map(str, line)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, capsys.readouterr().err  # type: ignore[return-value]

    return start


def test_wrong_folders_are_refused_before_anything_is_trained(typed: Any, theirs: Path, tmp_path: Path) -> None:
    few, more, big = (shutil.copytree(theirs, tmp_path / name) for name in ("few", "more", "big"))
    (few / "patient02_0.png").unlink()
    (few / "patient05_1.png").unlink()
    shutil.copy(theirs / "patient02_0.png", more / "stranger.png")
    cv2.imwrite(str(big / "patient02_0.png"), np.zeros((80, 80), np.uint8))
    listed = shutil.copytree(theirs, tmp_path / "listed")
    (listed / "predictions.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for given, words in {
        f"nnunet={few}": "--predictions nnunet: 2 references (patient02_0, patient05_1) in",
        f"nnunet={more}": "1 prediction (stranger) in",
        f"nnunet={big}": "patient02_0",
        f"nnunet={listed}": "were made by Delineate (predictions.json)",
        f"nnunet={tmp_path / 'empty'}": "holds no masks",
        f"nnunet={tmp_path / 'none'}": "there is no folder",
        str(few): "write NAME=FOLDER",
        f"={few}": "write NAME=FOLDER",
        f"unet={theirs}": "another candidate is called 'unet'",
    }.items():
        code, err = typed("--predictions", given)
        assert code == 2, given
        last = err.splitlines()[-1]
        assert last.startswith("error: "), err
        assert words in last
        assert not (tmp_path / "b" / "runs").exists()
    code, err = typed("--predictions", f"a={theirs}", "--predictions", f"a={theirs}")
    assert code == 2
    assert "another candidate is called 'a'" in err


def test_names() -> None:
    assert parse_foreign([], ["unet"]) == ()
    with pytest.raises(DataError, match="write NAME=FOLDER, such as"):
        parse_foreign(["folder"], [])
