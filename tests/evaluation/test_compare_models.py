"""Evaluations set side by side: what may be compared, and that the numbers are those of the cases."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from squares import evaluation

from delineate.common.errors import DataError
from delineate.evaluation.comparison.compare import (
    MethodResult,
    MetricComparison,
    compare_models,
    write_comparison_files,
)
from delineate.evaluation.comparison.models import open_models
from delineate.evaluation.results.scores_file import Origin, ScoresFile
from delineate.evaluation.statistics.mixed import MethodClaim, NoClaim

CASES = [f"c{at:02d}" for at in range(24)]
GOOD = {case: at % 3 for at, case in enumerate(CASES)}
WORSE = {case: at % 3 + at % 2 for at, case in enumerate(CASES)}


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    return [str(evaluation(tmp_path / "good", GOOD)), str(evaluation(tmp_path / "worse", WORSE))]


def test_what_was_written_is_read_back(tmp_path: Path):
    scores_file = ScoresFile.read(evaluation(tmp_path / "one", {"a": 0, "b": 4, "c": 8}, method="unet", seed=1))
    assert (scores_file.origin.method, scores_file.origin.seed, scores_file.classes) == ("unet", 1, ["foreground"])
    assert scores_file.values("dice")[:, 0] == pytest.approx([1, 0.5, 0])
    assert scores_file.mean("dice")["mean"] == pytest.approx(0.5)
    assert scores_file.column_of("hd95_pooled") == "penalised"
    assert scores_file.mean("hd95_pooled", "found")["n"] == 3


def test_differences_are_those_of_the_cases(pair: list[str], tmp_path: Path):
    comparison = compare_models(open_models(pair))
    dice, hd95 = comparison.metrics
    assert (dice.metric, hd95.metric, hd95.unit) == ("dice", "hd95_pooled", "px")
    (result,) = dice.pairs
    by_hand = np.mean([(8 - GOOD[case]) / 8 - (8 - WORSE[case]) / 8 for case in CASES])
    assert result.result.difference.mean == pytest.approx(by_hand)
    assert (result.result.first_better, result.result.second_better, result.result.equal) == (12, 0, 12)
    assert result.adjusted_p is not None
    assert result.result.permutation_p is not None
    assert result.adjusted_p == pytest.approx(2 * result.result.permutation_p), "Holm over two metrics, both as small"
    assert "these two trained models good scores better" in result.words
    assert dice.methods == ()
    assert dice.ranks is not None
    assert dice.ranks.best() == "good"
    write_comparison_files(tmp_path / "out", comparison)
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open()))
    assert float(rows[5]["dice:worse"]) == pytest.approx(1 - WORSE[CASES[5]] / 8)
    scores_file = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert scores_file["metrics"][0]["pairs"][0]["result"]["difference"]["mean"] == pytest.approx(by_hand)
    (line,) = [row for row in csv.DictReader((tmp_path / "out" / "pairs.csv").open()) if row["metric"] == "dice"]
    assert float(line["difference"]) == pytest.approx(by_hand, rel=1e-5)


def test_a_rightly_empty_mask_is_no_worse_than_an_invention(tmp_path: Path):
    from squares import square

    from delineate.data.core.manifest import ClassTable
    from delineate.evaluation.metrics.registry import resolve
    from delineate.evaluation.results.case_scores import score_case
    from delineate.evaluation.results.scores_file import write_scores
    from delineate.evaluation.results.summary import summarize

    metrics, nothing = resolve(("dice", "hd95_pooled")), square(0, 0)
    folders = []
    for name, invented in (("right", nothing), ("wrong", square(4))):
        rows = score_case("empty", invented > 0, nothing, ClassTable(), metrics=metrics)
        rows += score_case("both", nothing, nothing, ClassTable(), metrics=metrics)
        (tmp_path / name).mkdir()
        write_scores(tmp_path / name, rows, summarize(rows, metrics), Origin())
        folders.append(str(tmp_path / name))
    hd95 = compare_models(open_models(folders)).metrics[1]
    assert hd95.values["right"] == pytest.approx([0, np.nan], nan_ok=True)
    assert hd95.values["wrong"] == pytest.approx([24 * 2**0.5, np.nan], nan_ok=True)
    assert hd95.pairs[0].result.first_better == 1


def test_seeds_of_a_method_are_taken_together(tmp_path: Path):
    rng = np.random.default_rng(0)
    folders = [
        evaluation(
            tmp_path / f"{method}{seed}",
            {case: int(np.clip(GOOD[case] + worse + rng.integers(0, 2), 0, 8)) for case in CASES},
            method=method,
            seed=seed,
        )
        for method, worse in (("unet", 0), ("condseg", 2))
        for seed in range(3)
    ]
    comparison = compare_models(open_models([str(folder) for folder in folders]), ["dice"])
    assert comparison.seeds == {"unet": 3, "condseg": 3}
    (metric,) = comparison.metrics
    assert len(metric.pairs) == 15
    (claim,) = metric.methods
    assert isinstance(claim.result, MethodClaim)
    means = [np.mean([metric.values[f"{method}{seed}"] for seed in range(3)]) for method in ("unet", "condseg")]
    assert claim.result.difference.mean == pytest.approx(means[0] - means[1])
    assert "The method unet scores better" in claim.words
    one = compare_models(open_models([str(folder) for folder in folders[:4]]), ["dice"]).metrics[0].methods[0]
    assert isinstance(one.result, NoClaim)
    assert "these two trained models, not the methods" in one.words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol_words": "protocol condseg"}, "different protocols"),
        ({"split": "val"}, r"different splits \(test and val\)"),
        ({"length": "mm"}, "different units of length"),
        ({"references_sha256": "other"}, "the reference masks have different content"),
    ],
)
def test_what_differs_is_not_compared(tmp_path: Path, change: dict[str, str], message: str):
    first = evaluation(tmp_path / "a", GOOD, references_sha256="one")
    second = evaluation(tmp_path / "b", GOOD, **{"references_sha256": "one", **change})
    with pytest.raises(DataError, match=message):
        open_models([str(first), str(second)])


def test_all_differences_are_listed_in_one_line(tmp_path: Path):
    first = evaluation(tmp_path / "a", {"x": 0, "y": 1})
    second = evaluation(tmp_path / "b", {"x": 0, "z": 1}, split="val")
    with pytest.raises(DataError) as caught:
        open_models([str(first), f"mine={second}"])
    for part in ("a and mine cannot be compared", "splits", "1 case (y) only in", "1 case (z) only in"):
        assert part in str(caught.value)


def test_wrong_folders_and_metrics(pair: list[str], tmp_path: Path):
    for given, message in (
        (pair[:1], "nothing to compare"),
        ([pair[0], pair[0]], "given twice"),
        ([pair[0], str(tmp_path / "absent")], "there is no folder"),
        ([pair[0], str(tmp_path)], r"holds no scores\.json"),
        ([f"x={pair[0]}", f"x={pair[1]}"], "two evaluations are called 'x'"),
    ):
        with pytest.raises(DataError, match=message):
            open_models(given)
    models = open_models(pair)
    with pytest.raises(DataError, match="did you mean 'dice'"):
        compare_models(models, ["dcie"])
    with pytest.raises(DataError, match=r"best at zero, .* compare absolute_volume_difference instead"):
        compare_models(models, ["volume_difference"])
    damaged = Path(pair[0]) / "scores.csv"
    damaged.write_text(damaged.read_text().replace("found", "lost", 2))
    with pytest.raises(DataError, match=r"scores\.csv line 2 is damaged"):
        open_models(pair)
    (Path(pair[0]) / "scores.json").write_text('{"format": 1}')
    with pytest.raises(DataError, match="format 1, this version reads format 2; evaluate again"):
        open_models(pair)


def test_pooled_protocols_have_no_cases_to_compare(tmp_path: Path):
    from delineate.evaluation.results.scores_file import write_scores
    from delineate.evaluation.results.summary import summarize

    rows = ScoresFile.read(evaluation(tmp_path / "a", GOOD)).rows
    folders = []
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        write_scores(tmp_path / name, rows, summarize(rows, ()), Origin(protocol="vmunet-pooled"))
        folders.append(str(tmp_path / name))
    with pytest.raises(DataError, match="keeps no scores of cases"):
        compare_models(open_models(folders))


def test_one_reason_against_all_claims_is_said_once():
    def metric(*reasons: str) -> MetricComparison:
        methods = tuple(
            MethodResult("a", str(number), NoClaim(reason), None, f"of {number}: {reason}")
            for number, reason in enumerate(reasons)
        )
        return MetricComparison("dice", "Dice", "all", "higher", "", None, {}, (), methods, None, "")

    assert metric("too few", "too few").claims == (
        "No claim about any of the 2 pairs of methods can be made: too few.",
    )
    assert metric("too few", "one seed").claims == ("of 0: too few", "of 1: one seed")
    assert metric("too few").claims == ("of 0: too few",)
    assert metric().claims == ()


@pytest.mark.parametrize("target", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_difference_worth_seeing_is_above_zero(pair: list[str], target: float):
    with pytest.raises(DataError, match="a difference worth seeing is above 0"):
        compare_models(open_models(pair), target=target)


def test_metrics_to_compare_may_be_one_text(pair: list[str]):
    assert [one.metric for one in compare_models(open_models(pair), "hd95_pooled, dice").metrics] == [
        "hd95_pooled",
        "dice",
    ]
    assert [one.metric for one in compare_models(open_models(pair), []).metrics] == ["dice", "hd95_pooled"]
