"""The how-to's example is a method like any other: its files are taken from the page, installed and checked."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from delineate.artefact.format import Artefact, load, save
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.engine.recipe import resolve
from delineate.methods import registry
from delineate.methods.listing import list_methods
from delineate.methods.testing.checks import CHECKS
from delineate.methods.testing.examples import tiny

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-method.md"
NAME = "dilated-stack"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files, installed as pip would: on the import path, with their entry points registered."""
    root = tmp_path_factory.mktemp("own-method")
    for name, content in re.findall(
        r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content, "utf-8")
    (root / "dilated_stack" / "__init__.py").touch()
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    info = root / "dilated_stack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["delineate.methods"]
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[delineate.methods]\n{lines}")
    sys.path.insert(0, str(root))
    registry.forget_other_packages()
    yield root
    sys.path.remove(str(root))
    for module in [name for name in sys.modules if name.split(".")[0] == "dilated_stack"]:
        del sys.modules[module]
    registry.forget_other_packages()


@pytest.mark.parametrize("check", CHECKS)
def test_example_keeps_the_contract(package: Path, check: str) -> None:
    CHECKS[check](NAME)


def test_example_is_listed_and_its_recipes_are_valid(package: Path) -> None:
    assert NAME in {row.name for row in list_methods()}
    for preset in registry.presets(NAME):
        resolve(NAME, preset, {}).check_stages(tiny(NAME).stages())


def test_example_is_saved_and_loaded(package: Path, tmp_path: Path) -> None:
    method = tiny(NAME).eval()
    save(tmp_path / "model.safetensors", Artefact(method, InputSpec(), ClassTable()))
    again = load(tmp_path / "model.safetensors").method
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(method(image), again(image))


def test_every_file_of_the_page_is_there(package: Path) -> None:
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    wanted = {"pyproject.toml", "test_dilated_stack.py", "dilated_stack/recipe.yaml", "dilated_stack/card.md"}
    assert wanted <= files
    assert "CHECKS[check](" in (package / "test_dilated_stack.py").read_text()
