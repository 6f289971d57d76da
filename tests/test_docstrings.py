"""What users call and plugin authors build on is explained: arguments, result, errors, an example that runs.

The names are those of the site's API pages (`docs/generator/api.py`). A docstring has Google's sections:

    Args:
        image: What it is, with shape and unit.

    Returns:
        What comes back, with shape and unit.

    Raises:
        DataError: When.

    Example:
        >>> delineate.load("runs/first").predict(np.zeros((48, 64, 3), np.uint8)).shape
        (48, 64)

Lines after `>>>` are run in the folder that `example_folder` makes, with `delineate`, `np` and `torch` imported. What takes more
than a second, as training does, stands in a block of Python (```python) instead; there, calls of the library are only compared
with its signatures.
"""

from __future__ import annotations

import ast
import dataclasses
import doctest
import inspect
import re
import shutil
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel

import delineate
from delineate.common import errors
from generator.api import public_names

NAMES = public_names()
SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Examples?):\n((?:    .*\n|\n)+)", re.MULTILINE)
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def short(name: str) -> str:
    """A name without its module, which `import delineate` gives with it."""
    return name if name.count(".") == 1 else name.rpartition(".")[2]


def sections(thing: Any) -> dict[str, str]:
    """Title → text of the sections of a docstring."""
    text = (inspect.getdoc(thing) or "") + "\n"
    return {title.removesuffix("s") if title == "Examples" else title: body for title, body in SECTION.findall(text)}


def faults_of_call(name: str, function: Any, example: bool) -> list[str]:
    """What the docstring of a function or method lacks."""
    text = inspect.getdoc(function)
    if not text:
        return [f"{name} has no docstring"]
    told, signature = sections(function), inspect.signature(function)
    faults = faults_of_arguments(name, text, signature)
    if signature.return_annotation not in ("None", None, "NoReturn") and not {"Returns", "Yields"} & set(told):
        faults.append(f"{name} does not tell what it returns")
    if re.search(r"\bRaises? `", text) and "Raises" not in told:
        faults.append(f"{name} tells of errors outside of a section Raises")
    if example and "Example" not in told:
        faults.append(f"{name} has no example")
    return faults


def faults_of_arguments(name: str, text: str, signature: inspect.Signature) -> list[str]:
    """Arguments that are taken and not explained, or the other way round."""
    taken = [one for one in signature.parameters if one not in ("self", "cls")]
    section = dict(SECTION.findall(text + "\n")).get("Args", "")
    explained = re.findall(r"^    \*{0,2}(\w+): ", section, re.MULTILINE)
    faults = [f"{name} does not explain {one}" for one in taken if one not in explained]
    return faults + [f"{name} explains {one}, which it does not take" for one in explained if one not in taken]


def faults_of_class(name: str, cls: type) -> list[str]:
    """What the docstrings of a class and its public methods lack. A method that overrides another may leave it to that one."""
    faults = [] if cls.__doc__ else [f"{name} has no docstring"]
    if needs_example(name, cls) and "Example" not in sections(cls):
        faults.append(f"{name} has no example")
    made_by = vars(cls).get("__init__")
    if inspect.isfunction(made_by) and not dataclasses.is_dataclass(cls) and not issubclass(cls, BaseModel):
        faults += faults_of_arguments(
            name, f"{inspect.getdoc(cls)}\n{inspect.getdoc(made_by)}", inspect.signature(made_by)
        )
    for member, value in vars(cls).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if member.startswith("_") or not inspect.isfunction(function):
            continue
        inherited = any(hasattr(base, member) for base in cls.__mro__[1:])
        if not (inherited and not function.__doc__):
            faults += faults_of_call(f"{name}.{member}", function, example=False)
    return faults


def needs_example(name: str, cls: type) -> bool:
    """Errors, and records that users are given and do not make, are explained by their fields."""
    is_error = issubclass(cls, errors.DelineateError)
    return not is_error and short(name) not in GIVEN


def faults(name: str) -> list[str]:
    thing = NAMES[name]
    return faults_of_class(name, thing) if inspect.isclass(thing) else faults_of_call(name, thing, example=True)


GIVEN = {
    "Comparison",
    "RunResult",
    "ConversionResult",
    "PredictionResult",
    "Evaluation",
    "LabelSuggestions",
    "Leaderboard",
    "DemoResult",
    "MethodRow",
    "ModelInfo",
    "HubResult",
    "ContainerResult",
    "StoredRecord",
    "Sample",
    "SliceStack",
    "Finding",
    "Batch",
    "Context",
    "Budget",
    "EpisodicBatch",
    "Interval",
    "Paired",
    "Suggestion",
    "CalibrationRecord",
    "ExpectedDice",
    "Figure",
    "Measured",
    "ProbabilityFigures",
    "TemperatureStep",
}
"""Records that users are given."""


@pytest.mark.parametrize("name", NAMES)
def test_what_users_call_is_explained(name):
    assert not faults(name)


def test_lists_hold_names_that_are_there():
    assert GIVEN - set(map(short, NAMES)) == set()


def explained(name: str) -> Iterator[tuple[str, Any]]:
    """A name and, of a class, its methods."""
    thing = NAMES[name]
    yield name, thing
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, classmethod | property)):
                yield f"{name}.{member}", value


def examples() -> list[tuple[str, str]]:
    """(name, docstring) of all names with an example that runs."""
    texts = [(name, inspect.getdoc(thing) or "") for group in NAMES for name, thing in explained(group)]
    return [(name, text) for name, text in texts if ">>>" in text]


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What examples find: `polyps/` (phantoms with lists of splits), `masks/` (predictions equal to its masks) and `runs/first`, a
    model with random weights."""
    from delineate.artefact.format import MODEL_FILE, Artefact, save
    from delineate.data.cases.phantom import write_phantoms
    from delineate.data.core.input_spec import InputSpec
    from delineate.data.core.manifest import ClassTable

    folder = tmp_path_factory.mktemp("examples")
    write_phantoms(folder / "polyps", count=8, size=32, seed=0)
    shutil.copytree(folder / "polyps" / "masks", folder / "masks")
    torch.manual_seed(0)
    method = delineate.create(
        "unet", encoder={"name": "resnet10t", "pretrained": False}, decoder_channels=[16, 16, 8, 8]
    )
    (folder / "runs" / "first").mkdir(parents=True)
    table = ClassTable(names=("background", "polyp"))
    save(folder / "runs" / "first" / MODEL_FILE, Artefact(method, InputSpec(size=(32, 32)), table))
    return folder


@pytest.mark.parametrize(("name", "text"), examples(), ids=[name for name, _ in examples()])
def test_example_runs(name, text, example_folder, monkeypatch):
    monkeypatch.chdir(example_folder)
    known = {"delineate": delineate, "np": np, "torch": torch}
    example = doctest.DocTestParser().get_doctest(text, known, name, None, None)
    lines: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=lines.append)
    assert not runner.failures, "".join(lines)


def test_examples_that_are_not_run_fit_the_library():
    things = [thing for name in NAMES for _, thing in explained(name)]
    blocks = [block for thing in things for block in BLOCK.findall(inspect.getdoc(thing) or "")]
    for block in blocks:
        for node in ast.walk(ast.parse(dedent(block))):
            if isinstance(node, ast.Call):
                check_call(node)


def check_call(node: ast.Call) -> None:
    called = ast.unparse(node.func)
    first, _, name = called.partition(".")
    if first != "delineate" or not name.isidentifier():
        return
    signature = inspect.signature(getattr(delineate, name))
    signature.bind(*node.args, **{str(one.arg): one.value for one in node.keywords})


def test_a_docstring_that_lacks_something_is_found():
    def half(image: int, mask: int) -> int:
        """Something. Raises `DataError`.

        Args:
            image: Told.
            gone: Not there.
        """

    def whole(image: int) -> int:
        """Something.

        Args:
            image: Told.

        Returns:
            A number.

        Example:
            >>> 1 + 1
            2
        """

    assert faults_of_call("half", half, example=True) == [
        "half does not explain mask",
        "half explains gone, which it does not take",
        "half does not tell what it returns",
        "half tells of errors outside of a section Raises",
        "half has no example",
    ]
    assert faults_of_call("whole", whole, example=True) == []
    with pytest.raises(TypeError, match="sizee"):
        check_call(ast.parse("delineate.train('a', method='unet', out='b', sizee=3)", mode="eval").body)
