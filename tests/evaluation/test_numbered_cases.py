"""Cases of DICOM masks are numbers in tables, and are paired by the names of their files, never by a number by chance."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from delineate import api
from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import read_geometry
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.inference.files import predict_files
from delineate.inference.predictor import Predictor
from dicom_results import balls, write_seg
from micro_method import brightness
from planted import write_planted
from scanner import noise, write_series

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
SHAPE = (14, 12, 6)
NAMES = ("doe_1", "doe_2", "roe_1")


@pytest.fixture
def references(tmp_path: Path) -> Path:
    for at, name in enumerate(NAMES):
        series = write_series(tmp_path / "series" / name, noise(SHAPE, seed=at))
        (tmp_path / "references").mkdir(exist_ok=True)
        write_seg(tmp_path / "references" / f"{name}.seg.dcm", balls(SHAPE, 3 - at % 2), series)
    return tmp_path / "references"


def nifti(folder: Path, names: tuple[str, ...]) -> Path:
    """Masks of other software, which say nothing of their images: empty, but that of the first."""
    folder.mkdir()
    for at, name in enumerate(names):
        grid = read_geometry(folder.parent / "series" / NAMES[at])
        write_volume_image(folder / f"{name}.nii.gz", balls(SHAPE) * (at == 0), grid)
    return folder


def test_names_pair_and_numbers_are_shown(tmp_path: Path, references: Path) -> None:
    api.evaluate(nifti(tmp_path / "theirs", NAMES), references, metrics="dice", out=tmp_path / "out")
    scores = ScoresFile.read(tmp_path / "out")
    assert sorted(set(scores.cases())) == ["case_0001", "case_0002", "case_0003"]
    found = dict(zip(scores.cases(), scores.values("dice"), strict=False))
    assert found["case_0001"].min() > 0.5
    for file in (tmp_path / "out").iterdir():
        if file.name != "evaluations.jsonl":
            assert b"doe_" not in file.read_bytes()


def test_a_number_by_chance_is_no_name(tmp_path: Path, references: Path) -> None:
    theirs = nifti(tmp_path / "theirs", ("case_0001", "case_0002", "case_0003"))
    with pytest.raises(DataError, match=r"3 predictions \(file case_0001, file .*\) .* without a reference"):
        api.evaluate(theirs, references, metrics="dice", out=tmp_path / "out")


def test_messages_call_references_by_their_files(tmp_path: Path, references: Path) -> None:
    theirs = nifti(tmp_path / "theirs", NAMES)
    (theirs / "roe_1.nii.gz").unlink()
    with pytest.raises(DataError, match=r"1 reference \(roe_1\) .* without a prediction"):
        api.evaluate(theirs, references, metrics="dice", out=tmp_path / "out")


def test_masks_that_are_numbered_keep_their_numbers(tmp_path: Path, references: Path) -> None:
    for at, name in enumerate(NAMES):
        (references / f"{name}.seg.dcm").rename(references / f"case_000{7 - at}.seg.dcm")
    shutil.copytree(references, tmp_path / "masks")
    api.evaluate(tmp_path / "masks", references, metrics="dice", out=tmp_path / "out")
    assert sorted(set(ScoresFile.read(tmp_path / "out").cases())) == ["case_0005", "case_0006", "case_0007"]


def test_a_set_of_series_is_scored_by_its_own_numbers(tmp_path: Path) -> None:
    """Masks that were predicted from a folder have numbers of their own: each belongs to the series that it was made from."""
    root = write_planted(tmp_path, patients=3)
    spec = InputSpec(size=(16, 16), channels="gray")
    model = Predictor(Artefact(brightness(1, 1), spec, ClassTable()), "cpu")
    predict_files(model, [root / "images" / f"Quatermain_{at}" for at in (1, 2, 0)], tmp_path / "all", format="nifti")
    api.evaluate(tmp_path / "all", root, split="all", metrics="dice", out=tmp_path / "out")
    scores = ScoresFile.read(tmp_path / "out")
    assert sorted(set(scores.cases())) == ["case_0001", "case_0002", "case_0003"]
    assert scores.values("dice").min() == 1
    assert all(group.startswith("patient_") for group in scores.groups())
    predict_files(model, [root / "images" / "Quatermain_1"], tmp_path / "one", format="nifti")
    with pytest.raises(DataError, match=r"2 references \(case_0001, case_0003\) .* without a prediction"):
        api.evaluate(tmp_path / "one", root, split="all", metrics="dice", out=tmp_path / "other")
