"""Every registered few-shot method keeps the contract; and the checks catch what they are there to catch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from delineate.artefact.format import Artefact, load, save
from delineate.data.case import ClassTable
from delineate.data.spec import InputSpec
from delineate.methods import registry
from delineate.methods.episodic import EpisodicMethod
from delineate.methods.episodic_checks import CHECKS
from delineate.methods.episodic_examples import example_episodes, segment, tiny_episodic
from delineate.methods.examples import shake

METHODS = [name for name in sorted(registry.BUILT_IN) if registry.method_class(name).info.task == "episodic"]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", METHODS)
def test_promise(name: str, check: str) -> None:
    CHECKS[check](name)


@pytest.mark.parametrize("name", METHODS)
def test_saved_and_loaded_method_is_bit_equal(name: str, tmp_path: Path) -> None:
    method = shake(tiny_episodic(name)).eval()
    save(tmp_path / "model.safetensors", Artefact(method, InputSpec(size=(64, 64)), ClassTable()))
    again = load(tmp_path / "model.safetensors").method
    assert isinstance(again, EpisodicMethod)
    before, after = method.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    batch = example_episodes(2)
    with torch.no_grad():
        assert torch.equal(segment(method, batch), segment(again, batch))
