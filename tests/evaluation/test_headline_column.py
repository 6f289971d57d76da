"""The column of overlap that is quoted, and that evaluations of all versions are compared in one and the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from squares import square

from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable
from delineate.evaluation.comparison.compare import compare_models
from delineate.evaluation.comparison.models import open_models
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.scores_file import JSON_NAME, Origin, ScoresFile, write_scores
from delineate.evaluation.results.summary import headline_column, summarize


@pytest.mark.parametrize(
    ("present", "cases", "column"),
    [([4], 4, "all"), ([3], 4, "present"), ([0], 4, "all"), ([0, 0], 4, "present"), ([4, 0], 4, "present")],
)
def test_cases_without_the_class_are_not_quoted_unless_there_are_no_others(present: list[int], cases: int, column: str):
    assert headline_column(present, cases) == column


def half_empty(folder: Path, *, strays: int, old: bool = False) -> str:
    """Eight cases with a square and eight without, in `strays` of which something is marked."""
    rows = []
    for at in range(16):
        reference, moved = square(4) > 0, square(4 + at % 2) > 0
        if at >= 8:
            reference, moved = square(0, 0) > 0, moved & (at - 8 < strays)
        rows += score_case(f"c{at:02d}", moved, reference, ClassTable())
    folder.mkdir()
    write_scores(folder, rows, summarize(rows), Origin(split="test", references_sha256=None if old else "same"))
    if old:
        path = folder / JSON_NAME
        path.write_text(json.dumps({**json.loads(path.read_text()), "headline": "all"}))
    return str(folder)


@pytest.mark.parametrize("old", ["first", "second", "both"])
def test_earlier_evaluations_that_quote_all_cases_are_compared_in_the_same_column(tmp_path: Path, old: str):
    one = half_empty(tmp_path / "one", strays=0, old=old != "second")
    two = half_empty(tmp_path / "two", strays=0, old=old != "first")
    (dice, *_) = compare_models(open_models([one, two]), ["dice"]).metrics
    assert dice.column == "present"
    assert dice.pairs[0].result.difference.n == 8
    assert ScoresFile.read(Path(one)).mean("dice")["n"] == 8


def test_what_is_marked_in_cases_that_the_column_leaves_out_is_told(tmp_path: Path):
    models = open_models([half_empty(tmp_path / "quiet", strays=0), half_empty(tmp_path / "noisy", strays=5)])
    comparison = compare_models(models, ["dice"])
    assert comparison.metrics[0].pairs[0].result.equal == 8
    assert any("quiet in 0 of 8, noisy in 5 of 8" in line for line in comparison.cautions)
    assert "8 cases are left out, because not both have a score there." in comparison.metrics[0].pairs[0].words


def test_what_is_marked_where_no_strays_are_is_not_told(tmp_path: Path):
    models = open_models([half_empty(tmp_path / "quiet", strays=0), half_empty(tmp_path / "still", strays=0)])
    assert not any("marked" in line for line in compare_models(models, ["dice"]).cautions)


def test_an_earlier_evaluation_that_cannot_be_compared_is_named(tmp_path: Path):
    new, old = half_empty(tmp_path / "new", strays=0), half_empty(tmp_path / "old", strays=0, old=True)
    path = Path(old) / JSON_NAME
    path.write_text(path.read_text().replace('"px"', '"mm"'))
    with pytest.raises(DataError, match=r"old: written by an earlier version, evaluate again$"):
        open_models([new, old])
