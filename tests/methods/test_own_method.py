"""The how-to's example is a method like any other: its files are taken from the page, installed and checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
import torch
from pydantic import Field

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
from delineate.nn.segmentation_loss import LossOptions, Term, segmentation_loss
from package_of_page import HOW_TO, installed

NAME = "dilated-stack"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files as an installed package."""
    with installed("own-method.md", tmp_path_factory.mktemp("own-method")) as root:
        registry.forget_other_packages()
        yield root
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


def test_the_pages_loss_is_added_to_the_sum() -> None:
    page = (HOW_TO / "own-method.md").read_text("utf-8")
    (code,) = (
        found for found in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if "MyLosses" in found
    )
    names = {"Annotated": Annotated, "Field": Field, "LossOptions": LossOptions, "Tensor": torch.Tensor, "Term": Term}
    exec(compile(code, "own-method.md", "exec", dont_inherit=True), names)
    mask = torch.tensor([[[0, 1, 255]]])
    options = names["MyLosses"](cross_entropy=0, dice=0, square=3)  # type: ignore[operator]
    terms = segmentation_loss(torch.zeros(1, 1, 1, 3), mask, options)
    assert {name: float(term) for name, term in terms.items()} == {"square": pytest.approx(3 * (0.25 + 0.25) / 3)}


def test_every_file_of_the_page_is_there(package: Path) -> None:
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    wanted = {"pyproject.toml", "test_dilated_stack.py", "dilated_stack/recipe.yaml", "dilated_stack/card.md"}
    assert wanted <= files
    assert "CHECKS[check]()" in (package / "test_dilated_stack.py").read_text()


def released(classes: int = 3) -> dict[str, torch.Tensor]:
    """Weights as the paper's authors name them."""
    state = registry.build(NAME, classes=classes, options={"width": 8}).state_dict()
    return {name.replace("layers.", "stack.").replace("head.", "out."): value for name, value in state.items()}


def test_authors_checkpoints_are_read(package: Path, tmp_path: Path) -> None:
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
