"""The how-to's example is a method like any other: its files are taken from the page, installed and checked."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from delineate.artefact.foreign import import_checkpoint
from delineate.artefact.format import Artefact, load, save
from delineate.common.errors import ArtefactError, DelineateError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.engine.recipe import resolve
from delineate.methods import registry
from delineate.methods.listing import list_methods
from delineate.methods.testing.checks import checks_of
from delineate.methods.testing.dense import CHECKS
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
    further = re.search(
        r"^Added to `pyproject.toml`:\n\n```toml\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert further is not None
    project = tomllib.loads((root / "pyproject.toml").read_text() + further[1])["project"]
    info = root / "dilated_stack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    assert project["entry-points"].keys() == {"delineate.methods", "delineate.checkpoints"}
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    sys.path.insert(0, str(root))
    registry.forget_other_packages()
    yield root
    sys.path.remove(str(root))
    for module in [name for name in sys.modules if name.split(".")[0] == "dilated_stack"]:
        del sys.modules[module]
    registry.forget_other_packages()


@pytest.mark.parametrize("check", CHECKS)
def test_example_keeps_the_contract(package: Path, check: str) -> None:
    checks_of(NAME)[check]()


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
    assert "CHECKS[check]()" in (package / "test_dilated_stack.py").read_text()


def released(classes: int = 3) -> dict[str, torch.Tensor]:
    """Weights as the paper's authors name them."""
    state = registry.build(NAME, classes=classes, options={"width": 8}).state_dict()
    return {name.replace("layers.", "stack.").replace("head.", "out."): value for name, value in state.items()}


def test_released_checkpoints_are_read(package: Path, tmp_path: Path) -> None:
    state = released()
    torch.save({"state_dict": state}, tmp_path / "theirs.pth")
    imported = import_checkpoint(NAME, tmp_path / "theirs.pth", tmp_path / "ours")
    assert imported.description == "Dilated stack as released with the paper"
    method = load(imported.path).method
    assert method.options.model_dump()["width"] == 8
    assert torch.equal(method.state_dict()["head.weight"], state["out.weight"])


@pytest.mark.parametrize(
    ("lost", "message"), [("out.weight", "not a checkpoint"), ("out.bias", "'head.bias' is missing")]
)
def test_another_checkpoint_is_refused(package: Path, tmp_path: Path, lost: str, message: str) -> None:
    state = released()
    del state[lost]
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(ArtefactError, match=rf"theirs\.pth: .*{message}"):
        import_checkpoint(NAME, tmp_path / "theirs.pth", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_a_reader_that_cannot_be_imported_is_named(package: Path, tmp_path: Path) -> None:
    points = package / "dilated_stack-1.0.dist-info" / "entry_points.txt"
    sound = points.read_text()
    points.write_text(sound.replace("dilated_stack.released", "dilated_stack.absent"))
    registry.forget_other_packages()
    try:
        with pytest.raises(DelineateError, match=r"'dilated-stack' \(dilated_stack.absent:read\) cannot be imported"):
            import_checkpoint(NAME, tmp_path / "theirs.pth", tmp_path / "ours")
    finally:
        points.write_text(sound)
        registry.forget_other_packages()
