"""Lagrange duality consistency: its terms against released code, dual ascent, and what the multipliers do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.data.core.regions import Region
from delineate.engine.recipe import resolve
from delineate.methods import registry
from delineate.methods.contract import Context
from delineate.nn.output import Output
from delineate.strategies.lagrange.strategy import LagrangeDuality
from delineate.strategies.testing.examples import FIRST, Trainer, batch, build, place, train

GOLDEN = Path(__file__).parents[1] / "golden" / "label_efficient.npz"


def placed(options: dict[str, Any] | None = None, *, classes: int = 1) -> LagrangeDuality:
    strategy = build("lagrange", options, classes=classes)
    assert isinstance(strategy, LagrangeDuality)
    place(strategy, strategy.updates(strategy.stage)[0])
    return strategy


def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as file:
        return {key.partition("/")[2]: torch.from_numpy(file[key]) for key in file.files if key.startswith("lagrange/")}


def test_terms_are_those_of_the_authors_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs has a sigmoid for each of the classes, as nested regions have."""
    wanted = golden()
    strategy = placed({"per": "all", "squares_of": "logits", "squares": 1, "contrast": "as-code"}, classes=3)
    strategy.method.output = Output(3, tuple(Region(name=f"r{k}", classes=(k,), paints=k) for k in range(3)))
    strategy.dual.fill_(0.7)
    student = wanted["student"].clone().requires_grad_()
    found = strategy.held_to_masks(student, wanted["mask"], 1.0)
    torch.testing.assert_close(found["constraint"].detach(), wanted["multiplied"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["constraint"].detach() / 0.7, wanted["constraint"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["squares"].detach(), wanted["squares"], rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(strategy, "logits_of", lambda _: lambda image: wanted["other"])
    contrast = strategy.pairs_agree(student, torch.rand(3, 3, 12, 12))
    torch.testing.assert_close(contrast.detach(), wanted["contrast"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.autograd.grad(contrast, student)[0], wanted["gradient"], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_multiplier_rises_with_its_gap(parts: int) -> None:
    """The mean over the samples with masks, also where they come in parts; clipped."""
    strategy = placed({"dual_step": 0.5, "dual_most": 0.2, "contrast": "none"}, classes=2)
    logits, mask = torch.zeros(4, 2, 8, 8), torch.zeros(4, 8, 8, dtype=torch.long)
    mask[:, :2] = 1
    mask[0, 4:] = 255  # of half an image's pixels
    for one, other in zip(logits.chunk(parts), mask.chunk(parts), strict=True):
        strategy.held_to_masks(one, other, 1.0)
    strategy.after_step(strategy.ctx)
    wanted = 0.5 * (0.5 - (0.5 + 3 * 0.25) / 4)
    torch.testing.assert_close(strategy.dual, torch.tensor([-wanted, wanted]))
    assert not strategy.gap.any()
    for _ in range(9):
        strategy.held_to_masks(logits, mask, 1.0)
        strategy.after_step(strategy.ctx)
    assert strategy.dual.tolist() == pytest.approx([-0.2, 0.2])


def test_the_multiplier_pushes_the_share_to_that_of_the_masks() -> None:
    strategy = placed({"squares": 0, "contrast": "none", "dual_step": 1.0})
    strategy.dual.fill_(1.0)
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    terms = strategy.held_to_masks(logits, torch.zeros(2, 8, 8, dtype=torch.long), 1.0)
    (gradient,) = torch.autograd.grad(terms["constraint"], logits)
    assert bool((gradient > 0).all()), "too much foreground, so that a step lowers it"


@pytest.mark.parametrize(("resets", "at", "kept"), [(True, 99, False), (True, 98, True), (False, 99, True)])
def test_multipliers_may_begin_anew_in_every_epoch(resets: bool, at: int, kept: bool) -> None:
    strategy = placed({"reset_each_epoch": resets})
    strategy.dual.fill_(0.3)
    strategy.after_step(Context("train", at, 1000, torch.Generator(), steps_per_epoch=50))
    assert bool(strategy.dual.any()) is kept


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"dual_step": 0}, "constraint"),
        ({"squares": 0}, "squares"),
        ({"contrast_weight": 0}, "contrast"),
        ({"contrast": "none"}, "contrast"),
    ],
)
def test_each_term_can_be_left_out(options: dict[str, Any], missing: str) -> None:
    terms = placed(options)(batch())
    assert missing not in terms
    assert {"constraint", "squares", "contrast"} - {missing} <= terms.keys()


def test_no_gradient_reaches_the_image_itself() -> None:
    """The strong view learns; with two equal images there is nothing to choose, and the term is ln 2."""
    strategy = placed({"contrast": "views"})
    image = batch(labeled="none")["image"][:1].expand(2, -1, -1, -1)
    assert float(strategy.eval().views_agree(image).detach()) == pytest.approx(np.log(2), abs=1e-4)


def test_multipliers_are_saved_with_the_run_alone() -> None:
    strategy = placed({"dual_step": 0.5})
    train([Trainer(strategy)], {FIRST: batch()})
    assert bool(strategy.own_state()["dual"].any())
    assert not [key for key in strategy.method.state_dict() if "dual" in key]
    assert replace(strategy.ctx).steps_per_epoch is None


def test_a_stage_cannot_have_another_number_of_multipliers() -> None:
    recipe = resolve(
        "unet", "tiny", {"strategy": {"name": "lagrange"}, "stages": {"train": {"strategy": {"per": "all"}}}}
    )
    with pytest.raises(RecipeError, match=r"stages\.train\.strategy\.per is all, and the run's strategy\.per is class"):
        recipe.check_stages(registry.build("unet", options=recipe.method).stages())
    same = resolve(
        "unet", "tiny", {"strategy": {"name": "lagrange"}, "stages": {"train": {"strategy": {"per": "class"}}}}
    )
    same.check_stages(registry.build("unet", options=same.method).stages())
