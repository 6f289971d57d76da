"""Ctrl-C in any verb: one line that says what was kept, exit code 130."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from delineate.cli import app, main
from delineate.cli.verb import KEPT


def _verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _verbs(inner, (*words, name))
    else:
        yield " ".join(words), command


VERBS = dict(_verbs(get_command(app)))


def test_every_verb_has_its_words() -> None:
    assert VERBS.keys() == KEPT.keys()


@pytest.mark.parametrize("name", VERBS)
def test_a_stop_says_what_was_kept(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    command = VERBS[name]
    for parameter in command.params:  # what is required is not what this is about
        monkeypatch.setattr(parameter, "required", False)
    monkeypatch.setattr("delineate.cli.verb.TyperCommand.invoke", stop)
    arguments = sum(parameter.param_type_name == "argument" for parameter in command.params)
    named = {parameter.opts[0] for parameter in command.params}
    values = {"--out": "o", "--method": "m", "--protocol": "any2d", "--to": "coco", "--encoder": "e", "--license": "l"}
    values["--keys"] = "k"
    if name == "fewshot evaluate":
        values["--episodes"] = "e.json"
    given = ["x"] * arguments + [
        word for option, value in values.items() if option in named for word in (option, value)
    ]
    monkeypatch.setattr(sys, "argv", ["delineate", *name.split(), *given])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 130, said
    assert said == f"stopped by Ctrl-C; {KEPT[name]}\n"


@pytest.mark.parametrize("started", [False, True])
def test_a_stop_of_training_tells_whether_there_is_a_run(
    started: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if started:
        (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr("delineate.cli.verb.TyperCommand.invoke", stop)
    monkeypatch.setattr(sys, "argv", ["delineate", "train", "x", "--method", "unet", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    assert ("--resume" in capsys.readouterr().err) == started


def test_a_wrong_choice_is_told_in_the_words_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["delineate", "predict", "m", "d", "--split", "tests", "--out", "o"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert ended.value.code == 2
    assert "'tests' is not one of" in said
    assert "Value error" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train d --method unet --out o --lr 1", "--lr is a setting of the recipe: --set engine.lr=VALUE"),
        ("benchmark d --out o --learning-rate 1", "is a setting of the recipe: --set engine.lr=VALUE"),
        ("train d --method unet --out o --reume", "No such option: --reume"),
        ("predict m d --out o --lr 1", "No such option: --lr"),
        ("fewshot predict m d --out o --lr 1", "No such option: --lr"),
        ("fewshot train d --method alpnet --out o --lr 1", "--lr is a setting of the recipe: --set engine.lr=VALUE"),
    ],
)
def test_a_setting_that_is_typed_as_an_option(
    words: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["delineate", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert ended.value.code == 2
    assert message in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train d --method unet", "Missing option '--out' (see delineate train --help)"),
        ("predict m --out o", "Missing argument 'INPUT...' (see delineate predict --help)"),
        ("data chek d", "No such command 'chek'. Did you mean 'check'? (see delineate data --help)"),
        ("methods more", "Got unexpected extra argument(s) (more) (see delineate methods --help)"),
    ],
)
def test_what_no_verb_takes_is_one_line(
    words: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["delineate", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = re.sub(r"\(see .*?delineate ", "(see delineate ", capsys.readouterr().err)  # python -m pytest.delineate
    assert said == f"error: {message}\n"


@pytest.mark.parametrize(("words", "code"), [("", 2), ("data", 2), ("--version", 0), ("data check -h", 0)])
def test_help_and_version_are_no_errors(
    words: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["delineate", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.err) == (code, "")
    assert said.out
