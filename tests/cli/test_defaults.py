"""One list of default metrics: in the code, in help, in the docs."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from delineate import api
from delineate.cli import options
from delineate.evaluation.files import Options
from delineate.evaluation.metrics.registry import DEFAULT, resolve
from delineate.fewshot.evaluate import METRICS as FEWSHOT
from delineate.studies.benchmark import METRICS as BENCHMARK
from delineate.studies.benchmark import BenchmarkRequest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_help_and_code_name_the_same_metrics():
    assert options.METRICS.split(",") == list(DEFAULT) == list(Options().metrics)
    assert options.BENCHMARK_METRICS.split(",") == list(BENCHMARK)
    assert options.FEWSHOT_METRICS.split(",") == list(FEWSHOT)
    default = {field.name: field.default for field in BenchmarkRequest.__dataclass_fields__.values()}["metrics"]
    assert default is BENCHMARK
    assert inspect.signature(api.fewshot_evaluate).parameters["metrics"].default is None, "the room's own list"
    for names in (DEFAULT, BENCHMARK, FEWSHOT):
        assert len(resolve(names)) == len(names)


@pytest.mark.parametrize("names", [options.METRICS, options.BENCHMARK_METRICS, options.FEWSHOT_METRICS])
def test_the_docs_name_them(names: str):
    assert names in (DOCS / "reference.md").read_text(encoding="utf-8")
