"""Lengths in millimeters, where they are asked for: given, told by the files, or an error before anything is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from squares import square, write

from delineate.common.errors import DataError
from delineate.evaluation.metrics import registry
from delineate.evaluation.metrics.metric_selection import check_millimeters
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.report.parts.scores import title_of


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions of two slices, shifted by 4 pixels, and their references."""
    names = ("p1_slice_0", "p1_slice_1")
    references = write(tmp_path / "r", {name: square(4) for name in names})
    return write(tmp_path / "p", {name: square(8) for name in names}), references


@pytest.mark.parametrize(
    ("name", "plain", "column"),
    [
        ("hd95_pooled@mm", "hd95_pooled", "hd95_pooled"),
        ("nsd@2mm", "nsd@2", "nsd_2"),
        ("nsd@0.5mm", "nsd@0.5", "nsd_0.5"),
    ],
)
def test_names_that_ask_are_those_of_the_metric(name: str, plain: str, column: str) -> None:
    assert registry.in_millimeters(name) == (plain, True)
    assert registry.in_millimeters(plain) == (plain, False)
    assert [metric.name for metric in registry.resolve([name])] == [column]


@pytest.mark.parametrize("name", ["dice@mm", "overlap@mm", "boundary_iou@0.02mm", "lesion_f1@mm"])
def test_what_has_no_length_has_no_millimeters(name: str) -> None:
    with pytest.raises(DataError, match="has no length; leave mm out"):
        registry.resolve([name])


@pytest.mark.parametrize("stack", [None, "auto"])
@pytest.mark.parametrize("metric", ["hd@mm", "nsd@2mm", "boundary@mm"])
def test_without_spacing_the_question_is_an_error(two, tmp_path: Path, stack: str | None, metric: str) -> None:
    out = tmp_path / "scores"
    number = "1 case" if stack else "2 cases"
    with pytest.raises(
        DataError, match=rf"'{metric}' asks for millimeters, but the spacing of {number} is not known \(p1"
    ):
        evaluate_folders(*two, EvaluationOptions(metrics=("dice", metric), stack=stack), out=out)
    assert not out.exists()


@pytest.mark.parametrize(("stack", "spacing", "plain"), [(None, (0.5, 0.5), "px"), ("auto", (10, 0.5, 0.5), "voxel")])
def test_every_table_says_its_unit(
    two, tmp_path: Path, stack: str | None, spacing: tuple[float, ...], plain: str
) -> None:
    for length, given, factor in ((plain, None, 1), ("mm", spacing, 0.5)):
        asked = ("hd@mm", "nsd@2mm") if given else ("hd", "nsd@2")
        evaluation = evaluate_folders(
            *two, EvaluationOptions(metrics=asked, stack=stack, spacing=given), out=tmp_path / length
        )
        assert evaluation.headline("hd") == pytest.approx(4 * factor)
        assert (evaluation.headline("nsd_2") == 1) == bool(given), "4 pixels are 2 mm"
        scores_file = ScoresFile.read(tmp_path / length)
        assert [title_of(scores_file, name) for name in scores_file.metrics] == [f"HD, {length}", f"NSD at 2 {length}"]


def test_volumes_tell_their_own(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    for folder, shift in (("p", 2), ("r", 0)):
        mask = np.zeros((6, 12, 12), np.uint8)
        mask[1:4, 2:6, 2 + shift : 6 + shift] = 1
        (tmp_path / folder).mkdir()
        nibabel.Nifti1Image(mask, np.diag([3.0, 0.7, 0.7, 1])).to_filename(tmp_path / folder / "a.nii.gz")
    evaluation = evaluate_folders(tmp_path / "p", tmp_path / "r", EvaluationOptions(metrics=("hd@mm",)))
    assert (evaluation.headline("hd"), evaluation.origin.length) == (pytest.approx(1.4), "mm")


def test_nobody_asks_and_nobody_is_bare() -> None:
    check_millimeters(("dice", "hd"), ["a"])
    check_millimeters(("hd@mm",), [])
