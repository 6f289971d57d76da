"""The page that compares trained models."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_run import write_predictions, write_run
from markup import check_document, text_of

from delineate.common.errors import DataError
from delineate.evaluation.comparison.compare import cases_csv, compare_models, pairs_csv
from delineate.evaluation.comparison.models import Model
from delineate.evaluation.results.case_scores import score_case
from delineate.evaluation.results.scores_file import Origin, ScoresFile, write_scores
from delineate.evaluation.results.summary import summarize
from delineate.report.html.elements import number, p_value
from delineate.report.pages.comparison import write_comparison_report
from delineate.report.pages.comparison_of_runs import ComparedRun, write_comparison
from delineate.report.pages.run import write_run_report
from delineate.report.parts.cases_side_by_side import choose_cases
from delineate.report.parts.pair_differences import matrix, scatters, verdict

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def entries(fake, tmp_path):
    result = []
    for name, shift in (("condseg", 3), ("unet", 2)):
        run = write_run(fake, tmp_path / name, method=name)
        write_run_report(run)
        predictions = write_predictions(fake, tmp_path / f"{name} test", shift)
        result.append(ComparedRun(name, run, predictions, predictions / "evaluation"))
    return result


def models(fake, folder: Path, shifts: dict[str, float], methods: dict[str, str] | None = None) -> list[Model]:
    """Models whose masks are shifted by so many pixels on average, the later ones of a method as further seeds."""
    made = []
    for name, shift in shifts.items():
        random = np.random.default_rng(len(made))
        rows = []
        for case, mask in fake.references.items():
            moved = np.roll(mask, round(shift + random.normal()), 1)
            rows += score_case(case, moved, mask, fake.classes)
        out = folder / str(len(made))
        out.mkdir()
        origin = Origin(split="test", method=(methods or {}).get(name, name), seed=len(made))
        write_scores(out, rows, summarize(rows), origin)
        made.append(Model(name, ScoresFile.read(out)))
    return made


def test_page_of_runs_with_predictions(entries, tmp_path):
    path = write_comparison("Two <models>", entries, tmp_path / "report.html")
    document = path.read_text(encoding="utf-8")
    checker = check_document(document)
    words = text_of(document)
    for expected in (
        "Two <models>",
        "test split, protocol native",
        "not the methods",
        "condseg − unet",
        "hardest by mean Dice",
        "1.23 M",
    ):
        assert expected in words
    assert {"condseg/report.html", "unet/report.html"} <= set(checker.links)
    assert document.count("<img") == 2 * document.count("versus pictures") > 0
    assert len(document) < 3_000_000


def test_numbers_and_tables_are_those_of_the_comparison(fake, tmp_path):
    comparison = compare_models(models(fake, tmp_path, {"a": 1, "b": 8, "c": 2}))
    document = write_comparison_report(comparison, tmp_path).read_text(encoding="utf-8")
    check_document(document)
    words = text_of(document)
    (one,) = comparison.metrics
    assert one.rank_words in words
    for model in comparison.models:
        entry = model.scores_file.mean("dice")
        assert f"{number(entry['mean'])}{number(entry['low'])} to {number(entry['high'])}" in words
    for pair in one.pairs:
        gap = pair.result.difference
        assert pair.words in words
        assert f"{number(gap.mean)}{number(gap.low)} to {number(gap.high)}{p_value(pair.adjusted_p)}" in words
    links = dict(re.findall(r'href="data:text/csv;base64,([^"]*)" download="([^"]*)"', document))
    content = {name: base64.b64decode(text).decode() for text, name in links.items()}
    assert content == {"cases.csv": cases_csv(comparison), "pairs.csv": pairs_csv(comparison)}


def test_matrix_reads_the_same_from_both_sides(fake, tmp_path):
    comparison = compare_models(models(fake, tmp_path, {"near": 0, "far": 12, "close": 1}))
    (one,) = comparison.metrics
    found = str(matrix(one))
    assert found.count("▲ better") == found.count("▼ worse") > 0
    assert found.count("○ unclear") % 2 == 0
    pair = next(pair for pair in one.pairs if {pair.first, pair.second} == {"near", "far"})
    assert (verdict(pair, "higher"), verdict(pair, "higher", turned=True)) == ("▲ better", "▼ worse")
    assert verdict(pair, "lower") == "▼ worse"
    assert verdict(replace(pair, adjusted_p=None), "higher") == ""
    assert matrix(replace(one, values={"near": [], "far": []})) is None


def test_scatter_counts_what_the_comparison_counts(fake, tmp_path):
    comparison = compare_models(models(fake, tmp_path, {"a": 1, "b": 4}))
    (one,) = comparison.metrics
    (chart,) = scatters(one, comparison.cases, "Dice", overlap=True)
    result = one.pairs[0].result
    for expected in (f"a better: {result.first_better}", f"b better: {result.second_better}", f"equal: {result.equal}"):
        assert expected in chart
    assert chart.count("h0") == len(comparison.cases)


def test_methods_of_several_seeds_and_of_one(fake, tmp_path):
    methods = {"a0": "a", "a1": "a", "b0": "b", "b1": "b", "c0": "c"}
    comparison = compare_models(models(fake, tmp_path, {"a0": 1, "a1": 2, "b0": 7, "b1": 9, "c0": 3}, methods))
    words = text_of(write_comparison_report(comparison, tmp_path).read_text())
    (one,) = comparison.metrics
    assert all(of.words in words for of in one.methods)
    claim = one.methods[0].result
    assert f"a2{number(claim.seed_sd[0])}{number(claim.case_sd[0])}" in words
    assert "One seed only of c" in words


def test_hostile_names_are_text(fake, tmp_path):
    comparison = compare_models(models(fake, tmp_path, {HOSTILE: 1, f"{HOSTILE}2": 3, "c": 5}))
    document = write_comparison_report(comparison, tmp_path).read_text()
    check_document(document)
    assert HOSTILE in text_of(document)


def test_different_cases_are_refused(entries, fake, tmp_path):
    few = dict(list(fake.predict(1).items())[:5])
    fake.evaluate(few, entries[1].evaluation, "val")
    with pytest.raises(DataError, match=r"different splits.*only in"):
        write_comparison("t", entries, tmp_path / "report.html")


def test_images_that_are_gone(entries, tmp_path):
    listed = entries[0].predictions / "predictions.json"
    listed.write_text(listed.read_text().replace("images/c", "gone/c"))
    for path in [*entries[1].predictions.glob("*.png"), entries[1].predictions / "predictions.json"]:
        path.unlink()
    words = text_of(write_comparison("t", entries, tmp_path / "report.html").read_text())
    assert "gone/c" in words
    assert "no prediction is listed" in words


def test_several_classes(heart, tmp_path):
    comparison = compare_models(models(heart, tmp_path, {"a": 1, "b": 2}))
    words = text_of(write_comparison_report(comparison, tmp_path).read_text())
    assert "Dice per class" in words
    assert "mean over the classes" in words


def test_no_evaluation(entries, tmp_path):
    (entries[0].evaluation / "scores.json").unlink()
    with pytest.raises(DataError, match="scores"):
        write_comparison("t", entries, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_chosen_cases_are_shared_and_explained():
    first = {f"c{at}": at / 10 for at in range(10)}
    second = {**first, "c5": 1.0}
    second.pop("c9")
    chosen = choose_cases([first, second])
    assert list(chosen)[:2] == ["c0", "c1"]
    assert chosen["c5"] == "the models differ most"
    assert "c9" not in chosen
    assert choose_cases([first, {}]) == {}
