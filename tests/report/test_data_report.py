"""The page of `data check`: whole, self-contained, and with the pictures that one must look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from markup import check_document, text_of

from delineate.data.cases.phantom import write_phantoms
from delineate.data.doctor.check import check
from delineate.report.pages.data_check import _display_range, _picture, write_data_report
from dicom_results import balls, write_seg
from scanner import noise, write_series


@pytest.fixture
def phantoms(tmp_path: Path) -> Path:
    return write_phantoms(tmp_path / "set", count=12, size=64, seed=3)


def rewrite(path: Path, array: np.ndarray) -> None:
    assert cv2.imwrite(str(path), array)


def test_findings_pairs_and_samples_are_shown(phantoms: Path, tmp_path: Path) -> None:
    names = sorted(path.stem for path in (phantoms / "images").iterdir())
    for number, copy in ((0, "exact <b>"), (1, "near")):
        image = cv2.imread(str(phantoms / "images" / f"{names[number]}.png"))
        mask = cv2.imread(str(phantoms / "masks" / f"{names[number]}.png"), cv2.IMREAD_GRAYSCALE)
        rewrite(phantoms / "images" / f"{copy}.png", image[:, ::-1] if number else image)
        rewrite(phantoms / "masks" / f"{copy}.png", mask[:, ::-1] if number else np.zeros_like(mask))
    rewrite(phantoms / "images" / f"{names[5]}.png", np.full((64, 64, 3), 7, np.uint8))
    for path in phantoms.glob("*.txt"):
        path.unlink()
    (phantoms / "train.txt").write_text("\n".join(names))
    (phantoms / "val.txt").write_text("exact <b>\nnear")
    document = write_data_report(check(phantoms), tmp_path / "page.html").read_text(encoding="utf-8")
    words = text_of(document)
    for part in (
        f"exact <b> (val) and {names[0]} (train)",
        "equal; 2 pictures in all · different splits; masks agree 0.000",
        "mirrored left to right · different splits; masks agree 1.000",
        "Pictures of one value (1)",
        "Training can start: 3 warnings",
        "0 → 0 background, 255 → 1 foreground",
        "train: cases",
    ):
        assert part in words, part
    assert check_document(document).tags.count("img") >= 5


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    page = write_data_report(check(tmp_path / "nowhere"), tmp_path / "page.html")
    assert "Training cannot use these data yet: 1 error" in text_of(page.read_text(encoding="utf-8"))


def test_sound_data_have_no_pairs(phantoms: Path, tmp_path: Path) -> None:
    words = text_of(write_data_report(check(phantoms), tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Near duplicates" not in words
    assert "all 64×64" in words


def test_dicom_is_shown_by_its_window(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")

    def change(image: Any, _: int) -> None:
        image.WindowCenter, image.WindowWidth = 40, 400

    series = write_series(tmp_path / "ct", noise((9, 8, 5)), change=change)
    write_seg(tmp_path / "a.dcm", balls((9, 8, 5)), series)
    report = check(tmp_path)
    assert report.manifest is not None
    assert _display_range(report, report.manifest.cases[0]) == (-160.0, 240.0)
    shown = str(_picture(report, report.manifest.cases[0]))
    import pydicom

    for path in series.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.WindowCenter
        dataset.save_as(path)
    report = check(tmp_path)
    assert _display_range(report, report.manifest.cases[0]) is None  # type: ignore[union-attr]
    assert str(_picture(report, report.manifest.cases[0])) != shown  # type: ignore[union-attr]
