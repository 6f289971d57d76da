"""A request is the only list of a verb's options: the command line, Python's signatures and the engine agree with it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import delineate
from delineate import api
from delineate.cli.root import app
from delineate.common.class_fields import Place
from delineate.common.class_fields import fields_of as keys_of
from delineate.common.errors import DelineateError
from delineate.data.layouts.source import DataSource
from delineate.engine.typo_checks import RECIPE
from delineate.evaluation.results.evaluate import EvaluationOptions
from delineate.fewshot.protocol import ProtocolSettings
from delineate.requests.benchmark import BenchmarkOptions
from delineate.requests.calibrate import CalibrateOptions
from delineate.requests.data import ConvertOptions, DataOptions, FolderOptions, LabeledOptions, PoolOptions, ReadOptions
from delineate.requests.drift import DriftOptions
from delineate.requests.fewshot import EpisodesOptions, FewshotEvaluateOptions
from delineate.requests.option import Field, checked, completed, fields_of, recipe_sections
from delineate.requests.predict import FewshotPredictOptions, PredictOptions
from delineate.requests.scores import CompareOptions, EvaluateOptions
from delineate.requests.serve import ServeOptions
from delineate.requests.study import LabelStudyOptions, SuggestOptions
from delineate.requests.train import TrainOptions
from delineate.studies.benchmark import BenchmarkRequest
from delineate.studies.labels.study import LabelRequest
from delineate.studies.suggest.request import SuggestRequest

SPLIT_ALONE = {"out", "folds", "published", "labeled", "labeled_cases", "labeled_groups", "test_fraction", "seed"}
VERBS: dict[str, tuple[Callable[..., Any] | None, tuple[type, ...], set[str]]] = {
    "train": (api.train, (TrainOptions, DataOptions), {"dry_run"}),
    "calibrate": (api.calibrate, (CalibrateOptions,), set()),
    "drift": (api.drift, (DriftOptions,), set()),
    "predict": (api.predict, (PredictOptions, FolderOptions), set()),
    "evaluate": (api.evaluate, (EvaluateOptions, LabeledOptions), set()),
    "compare": (api.compare, (CompareOptions,), set()),
    "benchmark": (api.benchmark, (BenchmarkOptions, DataOptions), {"status", "speed"}),
    "study suggest": (api.suggest_labels, (SuggestOptions, PoolOptions), set()),
    "study labels": (api.study_labels, (LabelStudyOptions, DataOptions), {"status", "dry_run"}),
    "data check": (None, (DataOptions, ReadOptions), {"fix", "report"}),
    "data convert": (api.convert_data, (ConvertOptions, LabeledOptions), set()),
    "data split": (None, (DataOptions, ReadOptions), SPLIT_ALONE),
    "serve": (api.serve_models, (ServeOptions,), set()),
    "fewshot train": (api.fewshot_train, (TrainOptions, DataOptions), {"dry_run"}),
    "fewshot predict": (api.fewshot_predict, (FewshotPredictOptions, FolderOptions), {"support", "query"}),
    "fewshot episodes": (api.fewshot_episodes, (EpisodesOptions, DataOptions), set()),
    "fewshot evaluate": (api.fewshot_evaluate, (FewshotEvaluateOptions, LabeledOptions), set()),
}
"""Verb → the library's function, if any, the requests of its options (the first is the function's), and what only the command
line has."""
OTHERWISE = {("benchmark", "out"), ("study labels", "out"), ("study labels", "method")}
"""Only with --status and --speed it is not needed, which Python's users do without."""
INSIDE: dict[type, tuple[type, set[str]]] = {
    EvaluateOptions: (EvaluationOptions, {"out", "overwrite", "classes", "progress"}),
    BenchmarkOptions: (BenchmarkRequest, {"data"}),
    LabelStudyOptions: (LabelRequest, {"data"}),
    SuggestOptions: (SuggestRequest, {"run", "pool"}),
    EpisodesOptions: (ProtocolSettings, {"out", "stack", "axis", "fold"}),
}
"""Request → the dataclass that the room below takes, and the fields that only one of them has."""


def options_on_the_command_line(verb: str) -> dict[str, Any]:
    command: Any = typer.main.get_command(app)
    for word in verb.split():
        command = command.commands[word]
    return {one.name: one for one in command.params if one.param_type_name == "option" and one.name != "help"}


def each_option() -> Iterator[Any]:
    for verb, (_, requests, _) in VERBS.items():
        for request in requests:
            for field in fields_of(request):
                yield pytest.param(verb, field, id=f"{verb}-{field.name}")


@pytest.mark.parametrize("verb", VERBS)
def test_the_command_line_has_the_options_of_the_requests_and_no_others(verb: str) -> None:
    _, requests, only_here = VERBS[verb]
    asked = {field.name for request in requests for field in fields_of(request) if field.flag}
    assert options_on_the_command_line(verb).keys() == asked | only_here


@pytest.mark.parametrize(("verb", "field"), list(each_option()))
def test_an_option_is_said_alike_everywhere(verb: str, field: Field) -> None:
    function, requests, _ = VERBS[verb]
    if function is not None and field in fields_of(requests[0]):
        told = inspect.signature(function).parameters[field.name]
        assert told.kind is inspect.Parameter.KEYWORD_ONLY
        assert told.default == (inspect.Parameter.empty if field.required else field.option.default)
        assert f"{field.name}: " in (function.__doc__ or "")
    if not field.flag or (verb, field.name) in OTHERWISE:
        return
    option = options_on_the_command_line(verb)[field.name]
    assert (option.opts, option.help, option.required) == (
        [field.flag.partition("/")[0]],
        field.option.help,
        field.required,
    )
    default, factor = field.option.default, field.option.factor
    shown = option.default if not callable(option.default) else option.default()
    if not field.required:
        assert shown == (None if default in (None, ()) else default / factor if factor != 1 else default)


@pytest.mark.parametrize(("verb", "field"), list(each_option()))
def test_python_refuses_what_the_command_line_refuses(verb: str, field: Field) -> None:
    option = field.option
    wrong: list[Any] = [] if option.least is None else [(option.least - 1) * option.factor]
    wrong += [] if option.most is None else [(option.most + 1) * option.factor]
    if "Literal" in str(field.type) and not re.search(r"\bstr\b", str(field.type)) and field.name != "device":
        wrong.append("no-such")
    for value in wrong:
        with pytest.raises(DelineateError, match=field.name):
            checked(field, value)


def test_one_text_is_no_list_of_letters(tmp_path: Path) -> None:
    given = completed("train", TrainOptions, {"method": "unet", "out": "o", "settings": "engine.lr=1"})
    assert given["settings"] == ("engine.lr=1",)
    assert completed("predict", PredictOptions, {"out": "o", "precision": 32, "device": "cuda:1"})["precision"] == "32"
    with pytest.raises(DelineateError, match="two or more run folders"):
        delineate.compare("no-such-run", out=str(tmp_path / "o"))


@pytest.mark.parametrize(("verb", "field"), list(each_option()))
def test_pythons_help_says_nothing_of_flags_and_what_none_means(verb: str, field: Field) -> None:
    function, requests, _ = VERBS[verb]
    if function is None or field not in fields_of(requests[0]):
        return
    section = re.split(r"\n    \w+: |\n\n", (function.__doc__ or "").split(f"\n    {field.name}: ", 1)[1])[0]
    told = " ".join(section.split())
    assert "--" not in told
    if not field.required and field.option.default is None and isinstance(field.option.shown, str):
        assert field.option.shown == "none" or f"None: {field.option.shown}." in told


@pytest.mark.parametrize(("verb", "field"), list(each_option()))
def test_what_an_option_cannot_take_is_refused_when_it_is_typed(verb: str, field: Field) -> None:
    wrong = {
        "below": None if field.option.least is None else field.option.least - 1,
        "above": None if field.option.most is None else field.option.most + 1,
        "choice": "no-such" if "Literal" in str(field.type) else None,
        "number": "many" if field.type in (int, float, int | None, float | None) else None,
    }
    for value in (one for one in wrong.values() if one is not None):
        typed = CliRunner().invoke(app, [*verb.split(), "data", f"{field.flag}={value}"])
        if isinstance(typed.exception, DelineateError):  # out of its range: one line
            assert typed.exception.exit_code == 2
            assert str(typed.exception).startswith(f"{field.flag}: give ")
            continue
        assert typed.exit_code == 2
        assert field.flag in typed.output.replace("│", "").split("Invalid value for", 1)[1]


@pytest.mark.parametrize("request_", INSIDE)
def test_the_rooms_below_have_the_same_options(request_: type) -> None:
    inner, apart = INSIDE[request_]
    asked = {field.name: field.option.default for field in fields_of(request_)}
    taken = {field.name: field.default for field in fields(inner)}
    assert asked.keys() ^ taken.keys() == apart
    for name in asked.keys() & taken.keys() - {"metrics", "method", "methods", "out", "protocol"}:
        assert asked[name] == taken[name], name


def test_data_options_are_those_of_a_data_source() -> None:
    known = {field.name: field.default for field in fields(DataSource) if field.name not in ("path", "archive")}
    assert {field.name: field.option.default for field in fields_of(DataOptions)} == known


@pytest.mark.parametrize(
    "field", [one for one in fields_of(TrainOptions) if one.option.recipe], ids=lambda one: one.name
)
def test_short_options_name_keys_of_the_recipe(field: Field) -> None:
    place: Place | None = RECIPE
    *sections, key = str(field.option.recipe).split(".")
    for section in sections:
        keys = keys_of(place) if place is not None else None
        assert keys is not None
        place = keys[section]
    assert place is None or key in (keys_of(place) or ())


def test_a_misspelled_keyword_names_the_nearest() -> None:
    with pytest.raises(
        TypeError, match=r"train\(\) got an unexpected keyword argument 'epoch': did you mean 'epochs'\?"
    ):
        delineate.train("x", method="unet", out="y", epoch=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"train\(\) lacks the keyword argument 'method' and 'out'"):
        delineate.train("x")  # type: ignore[call-arg]


def test_what_is_not_given_has_its_default() -> None:
    full = completed("train", TrainOptions, {"method": "unet", "out": "run"})
    assert full.keys() == {field.name for field in fields_of(TrainOptions)}
    assert recipe_sections(TrainOptions, full) == {}
    some = full | {"steps": 8, "size": 64, "exclude_classes": "1, spleen", "strategy": "mean-teacher"}
    assert recipe_sections(TrainOptions, some) == {
        "strategy": {"name": "mean-teacher"},
        "input": {"size": 64},
        "engine": {"steps": 8},
        "episodes": {"exclude": ["1", "spleen"]},
    }
