"""One list of default metrics: in the code, in help, in the docs."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from delineate import api
from delineate.evaluation.metrics.registry import DEFAULT, resolve
from delineate.evaluation.results.evaluate import EvaluationOptions
from delineate.fewshot.evaluate import METRICS as FEWSHOT
from delineate.requests.scores import BENCHMARK_METRICS, FEWSHOT_METRICS, METRICS
from delineate.requests.study import LABEL_METRICS
from delineate.studies.benchmark import METRICS as BENCHMARK
from delineate.studies.benchmark import BenchmarkRequest
from delineate.studies.labels.study import METRICS as LABELS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_help_and_code_name_the_same_metrics():
    assert METRICS.split(",") == list(DEFAULT) == list(EvaluationOptions().metrics)
    assert BENCHMARK_METRICS.split(",") == list(BENCHMARK)
    assert LABEL_METRICS.split(",") == list(LABELS)
    assert FEWSHOT_METRICS.split(",") == list(FEWSHOT)
    default = {field.name: field.default for field in BenchmarkRequest.__dataclass_fields__.values()}["metrics"]
    assert default is BENCHMARK
    assert inspect.signature(api.fewshot_evaluate).parameters["metrics"].default is None, "the room's own list"
    for names in (DEFAULT, BENCHMARK, FEWSHOT):
        assert len(resolve(names)) == len(names)


@pytest.mark.parametrize("names", [METRICS, BENCHMARK_METRICS, FEWSHOT_METRICS])
def test_the_docs_name_them(names: str):
    assert names.replace(",", ", ") in (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")


def test_a_narrow_terminal_shows_all_of_them(monkeypatch: pytest.MonkeyPatch):
    from typer.testing import CliRunner

    from delineate.cli.root import app

    monkeypatch.setenv("COLUMNS", "80")
    for verb, names in (("evaluate", METRICS), ("benchmark", BENCHMARK_METRICS)):
        text = CliRunner().invoke(app, [verb, "--help"]).output
        assert all(f" {name}" in text or f"({name}" in text for name in names.split(",")), text


@pytest.mark.parametrize("given", ["dice,iou", "dice, iou", " dice ,,iou,", ["dice", " iou"], ("dice", "iou")])
def test_lists_of_metrics_are_read_alike_everywhere(given: str | list[str]):
    assert EvaluationOptions(metrics=given).metrics == ("dice", "iou")
    request = BenchmarkRequest(data=Path("x"), out=Path("y"), methods="unet, din", metrics=given)
    assert (request.metrics, request.methods) == (("dice", "iou"), ("unet", "din"))


def test_no_metrics_are_the_default_ones():
    assert (EvaluationOptions(metrics="").metrics, EvaluationOptions(metrics=()).metrics) == (DEFAULT, DEFAULT)
