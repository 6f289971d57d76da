"""The documentation says what the code does: generated parts are fresh, links lead somewhere, commands parse."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from delineate import __all__ as PUBLIC
from delineate.cli import app
from delineate.methods.built_in import BUILT_IN
from delineate.methods.registry import method_class, presets

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The headings of a page as a forge names them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands() -> list[tuple[str, str]]:
    """(page, line) of every `delineate …` in a block of shell commands, be it called so or not."""
    return [
        (named(page), re.split(r"\s#", line)[0].strip())
        for page in PAGES
        for language, body in BLOCK.findall(page.read_text(encoding="utf-8"))
        if language in ("bash", "sh", "console", "")
        for line in body.replace("\\\n", " ").splitlines()
        if line.startswith("delineate ")
    ]


def verbs(command: Any = None, name: str = "delineate") -> list[tuple[str, Any]]:
    """(name, command) of every verb."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        return [(name, command)]
    return [verb for word, inner in command.commands.items() for verb in verbs(inner, f"{name} {word}")]


def help_examples() -> list[tuple[str, str]]:
    """(verb, line) of every example that a verb's help shows."""
    return [
        (name, line.strip())
        for name, command in verbs()
        for line in (command.help or "").splitlines()
        if line.strip().startswith("delineate ")
    ]


def test_generated_parts_are_fresh():
    result = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], check=False)
    assert result.returncode == 0, "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_parse(page, line):
    parse(line)


@pytest.mark.parametrize(("verb", "line"), help_examples())
def test_examples_of_the_help_parse(verb, line):
    parse(line)


@pytest.mark.parametrize(("verb", "command"), verbs())
def test_help_shows_no_mark_of_its_own_making(verb, command):
    assert "\\b" not in (command.help or ""), f"{verb}: the mark before examples is one character"


def test_arguments_are_called_in_capitals_alike():
    arguments = [one for _, command in verbs() for one in command.params if one.param_type_name == "argument"]
    called = {str(one.metavar or one.name) for one in arguments}
    assert {word for word in called if word != word.upper()} == set()


def test_generated_tables_have_whole_rows():
    for page in PAGES:
        for block in re.findall(r"<!-- generated: .*?<!-- end -->", page.read_text(encoding="utf-8"), re.DOTALL):
            rows = [line for line in block.splitlines() if line.startswith("|")]
            assert all(row.endswith(" |") for row in rows), f"{named(page)}: a row that goes on in the next line"


def test_the_page_of_python_names_all_of_it():
    page = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    assert [name for name in PUBLIC if f"`delineate.{name}(" not in page] == []


def of_encoders(preset: str, first_weights: Any) -> set[str]:
    """The methods whose preset starts from pretrained weights that the condition takes."""
    recipes = {name: presets(name).get(preset, {}).get("method", {}) for name in BUILT_IN}
    return {name for name, method in recipes.items() if first_weights(method.get("encoder", {}).get("pretrained"))}


def test_pages_name_the_presets_that_start_from_pretrained_weights():
    packaged = of_encoders("small", lambda weights: isinstance(weights, str))
    few_shot = {name for name in packaged if method_class(name).kind == "episodic"}
    downloaded = of_encoders("paper", lambda weights: weights is True)
    for page, pattern, methods in (
        ("getting-started.md", r" For (.*?) and the few-shot methods it starts", packaged - few_shot),
        ("how-to/pretrained.md", r"The presets `small` of (.*?) start from such an encoder", packaged),
        ("install.md", r"The preset `paper` of (.*?) has it", downloaded),
    ):
        told = re.search(pattern, (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)
        assert told is not None, page
        assert set(re.findall(r"`([a-z-]+)`", told[1])) - {"released"} == methods, page


def test_every_verb_that_takes_something_shows_examples():
    shown = {verb for verb, _ in help_examples()}
    assert {name for name, command in verbs() if command.params} - shown == set()


def parse(line: str) -> None:
    """Raise where a command's words are not what its verb takes."""
    words = shlex.split(line)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("delineate", words)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_python_snippets_are_python_and_name_what_exists(page):
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            compile(body, named(page), "exec")
            assert set(re.findall(r"\bdelineate\.(\w+)\(", body)) <= set(PUBLIC)


def test_readme_needs_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start = readme.partition("## Start")[2].partition("```bash")[2].partition("```")[0]
    assert re.findall(r"\bmake ([\w-]+)", start) == ["demo", "test"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([\w-]+)`", readme)) | {"demo", "test"} <= set(targets)
