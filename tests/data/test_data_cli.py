"""`delineate data check` at the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from delineate.cli import data
from delineate.common.errors import DataError
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.check import check
from scanner import noise, write_series


def test_sound_data(make_pairs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(data.app, ["check", str(make_pairs([f"s{number}" for number in range(10)]))])
    assert result.exit_code == 0
    for words in (
        "10 images with masks",
        "all 16×16",
        "values 0 and 255",
        "8 train, 1 val, 1 test",
        "ready to train on",
    ):
        assert words in result.output


def test_faulty_data(make_pairs: Callable[..., Path]) -> None:
    root = make_pairs([f"s{number}" for number in range(10)])
    (root / "masks" / "s3.png").unlink()
    (root / "images" / "s4.png").write_bytes(b"")
    result = CliRunner().invoke(data.app, ["check", str(root)])
    assert result.exit_code == 2
    assert "without mask: s3" in result.output
    assert "→ add their masks" in result.output
    assert "s4.png is empty" in result.output
    assert "ready" not in result.output


def test_the_limit_is_passed_on(make_pairs: Callable[..., Path]) -> None:
    root = make_pairs(["a", "b", "c"])
    result = CliRunner().invoke(data.app, ["check", str(root), "--max-megapixels", "0.0002"])
    assert result.exit_code == 2
    assert "above the limit of 0.0002 megapixels" in result.output


def test_page_and_clean_copy(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    root = make_pairs([f"s{number}" for number in range(10)])
    (root / "masks" / "s3.png").unlink()
    arguments = ["check", str(root), "--report", str(tmp_path / "page.html"), "--fix", str(tmp_path / "clean")]
    result = CliRunner().invoke(data.app, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.index("error: 1 of 10 images") < result.output.index("layout")
    assert "clean copy: 9 cases" in result.output
    assert (tmp_path / "page.html").is_file()
    assert CliRunner().invoke(data.app, ["check", str(tmp_path / "clean")]).exit_code == 0
    again = CliRunner().invoke(data.app, arguments)
    assert isinstance(again.exception, DataError)
    assert "clean: the folder is not empty" in str(again.exception)


def test_folds_are_written_once(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    root = make_pairs([f"{name}{part}" for name in "abcdefgh" for part in range(2)])
    out = tmp_path / "folds.json"
    arguments = ["split", str(root), "--folds", "3", "--group-by", "^.", "--test-fraction", "0.25", "--out", str(out)]
    result = CliRunner().invoke(data.app, arguments)
    assert result.exit_code == 0, result.output
    manifest = Manifest.load(out)
    assert (manifest.folds, len(manifest.split("test"))) == (3, 4)
    assert "duplicates together, stratified by class and foreground size, seed 0" in manifest.split_origin
    checked = CliRunner().invoke(data.app, ["check", str(out)])
    assert checked.exit_code == 0
    assert "4, 4, 4" in checked.output
    content = out.read_bytes()
    assert "never overwritten" in str(CliRunner().invoke(data.app, arguments).exception)
    assert out.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--folds", "11"], "11 folds need at least 11 cases, there are 10"),
        (["--folds", "3", "--group-by", "patient"], "matches none of the 10 cases"),
        (["--folds", "3", "--group-by", "groups.csv"], "cannot read the table groups.csv"),
    ],
)
def test_splits_that_cannot_be_made_are_one_line(
    make_pairs: Callable[..., Path], tmp_path: Path, options: list[str], words: str
) -> None:
    root = make_pairs([f"s{number}" for number in range(10)])
    result = CliRunner().invoke(data.app, ["split", str(root), *options, "--out", str(tmp_path / "folds.json")])
    assert isinstance(result.exception, DataError)
    assert words in str(result.exception)
    assert not (tmp_path / "folds.json").exists()


def test_data_are_converted(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    root = make_pairs([f"s{number}" for number in range(4)])
    arguments = ["convert", str(root), "--to", "coco", "--instances", "class", "--out", str(tmp_path / "coco")]
    result = CliRunner().invoke(data.app, arguments)
    assert result.exit_code == 0, result.output
    assert f"4 cases (images and masks) written to {tmp_path / 'coco'} as coco" in result.output
    assert "note: an annotation for each class of an image" in result.output
    checked = CliRunner().invoke(data.app, ["check", str(tmp_path / "coco")], env={"COLUMNS": "200"})
    assert checked.exit_code == 0
    assert "COCO outlines" in checked.output
    again = CliRunner().invoke(data.app, arguments)
    assert isinstance(again.exception, DataError)
    assert "not empty" in str(again.exception)


def test_files_are_checked_as_predict_takes_them(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    series = write_series(tmp_path / "JANE_DOE" / "ct", noise((9, 8, 5)))
    files = sorted(map(str, series.iterdir()))
    whole = CliRunner().invoke(data.app, ["check", *files])
    assert whole.exit_code == 0, whole.output
    assert "CT, 9×8×5, 5 files, 0.8×0.7×2.5 mm" in " ".join(whole.output.replace("│", " ").split())
    assert "ready to train on" not in whole.output
    assert CliRunner().invoke(data.app, ["check", files[0]]).exit_code == 0
    broken = Path(files[2])
    broken.write_bytes(broken.read_bytes()[:-40])
    result = CliRunner().invoke(data.app, ["check", *files])
    assert result.exit_code == 2
    assert "error:" in result.output
    with pytest.raises(DataError, match="--masks is for a data set; give its folder, or leave --masks out"):
        CliRunner().invoke(data.app, ["check", *files, "--masks", "x"], catch_exceptions=False)


def test_of_many_alike_the_first_are_shown(make_pairs: Callable[..., Path], tmp_path: Path) -> None:
    root = make_pairs([f"s{number:02}" for number in range(30)])
    for number in range(3, 30):
        (root / "masks" / f"s{number:02}.png").write_bytes(b"")
    page = tmp_path / "page.html"
    result = CliRunner().invoke(data.app, ["check", str(root), "--report", str(page)])
    assert result.exit_code == 2
    assert result.output.count("is empty (zero bytes)") == 5
    assert "22 more like these; --report FILE lists all of them" in result.output
    assert page.read_text(encoding="utf-8").count("is empty (zero bytes)") == 27


def test_volumes_of_two_codings_are_not_sent_to_fix(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    for number in range(4):
        for kind, value in (("images", 90), ("masks", 1 if number else 255)):
            voxels = np.zeros((6, 6, 4), np.uint8)
            voxels[2:4, 2:4] = value
            path = tmp_path / kind / f"c{number}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
    found = next(finding for finding in check(tmp_path).findings if "some masks hold 0 and 1" in finding.text)
    assert "--labels 1=NAME,255=NAME" in found.mend
    assert "--fix" not in found.mend
