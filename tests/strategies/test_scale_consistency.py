"""Scale consistency: its terms, the networks that draw, and what is left out where a weight is 0."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.nn.blocks import resize
from delineate.strategies import registry
from delineate.strategies.scale_consistency.strategy import ScaleConsistency
from delineate.strategies.testing.examples import FIRST, Trainer, batch, build, place, train

TERMS = {"perturbation", "scale", "generation"}
SMALL = {"generator_widths": (2, 2, 4, 4, 4)}


def placed(options: dict[str, Any] | None = None, *, classes: int = 1) -> ScaleConsistency:
    strategy = build("scale-consistency", {**SMALL, **(options or {})}, classes=classes)
    assert isinstance(strategy, ScaleConsistency)
    place(strategy, strategy.updates(strategy.stage)[0])
    return strategy


@pytest.mark.parametrize("classes", [1, 4])
def test_terms_are_what_they_say(classes: int) -> None:
    """In eval mode the image is not changed."""
    strategy = placed(classes=classes).eval()
    assert strategy.generation is not None
    image, network, output = batch(labeled="none")["image"], strategy.method, strategy.method.output
    logits = network(image)
    half = resize(output.probabilities(network(resize(image, (16, 16)))), (32, 32))
    made = strategy.generation(logits, logits)
    terms = strategy.added_terms(image)
    assert float(terms["perturbation"].detach()) == 0
    torch.testing.assert_close(terms["scale"], (output.probabilities(logits) - half).square().mean())
    torch.testing.assert_close(terms["generation"], sum(F.mse_loss(one, image) for one in made))


@pytest.mark.parametrize("missing", sorted(TERMS))
def test_each_term_can_be_left_out(missing: str) -> None:
    strategy = placed({f"{missing}_weight": 0})
    terms = strategy(batch())
    assert terms.keys() & TERMS == TERMS - {missing}
    assert min(float(terms[name].detach()) for name in TERMS - {missing}) > 0
    assert (strategy.generation is None) == (missing == "generation")


def test_without_any_of_them_it_is_supervised_training() -> None:
    wanted = registry.checked_options("scale-consistency", {f"{name}_weight": 0 for name in TERMS})
    assert not ScaleConsistency.uses_unlabeled(wanted)
    assert not TERMS & placed({f"{name}_weight": 0 for name in TERMS})(batch()).keys()


def test_a_weight_is_a_factor_on_its_term() -> None:
    terms = {}
    for weight in (1.0, 2.0):
        torch.manual_seed(0)
        terms[weight] = placed({"weight": 2.0, "scale_weight": weight})(batch())
    assert float(terms[2.0]["scale"].detach()) == pytest.approx(2 * float(terms[1.0]["scale"].detach()), rel=1e-5)
    assert float(terms[2.0]["perturbation"].detach()) == float(terms[1.0]["perturbation"].detach())


def test_which_images_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those without masks: as they are, at half the size, and changed."""
    strategy, made, seen = placed(), batch(), list[Tensor]()
    whole = type(strategy.method).forward
    monkeypatch.setattr(type(strategy.method), "forward", lambda self, image: seen.append(image) or whole(self, image))
    strategy(made)
    own, image, half, changed = seen
    assert torch.equal(own, made["image"][made["labeled"]])
    assert torch.equal(image, made["image"][~made["labeled"]])
    assert half.shape == (2, 3, 16, 16)
    assert changed.shape == image.shape
    assert not torch.equal(changed, image)


def test_a_size_that_cannot_be_halved_stays() -> None:
    """Half of it would be smaller than twice the smallest that the method takes."""
    strategy = placed({"perturbation_weight": 0, "generation_weight": 0})
    terms = strategy.added_terms(torch.rand(2, 3, 16, 16))
    assert float(terms["scale"].detach()) < 1e-12


def test_what_draws_learns_and_is_no_part_of_the_model() -> None:
    strategy = placed()
    assert strategy.generation is not None
    before = {name: value.clone() for name, value in strategy.generation.named_parameters()}
    train([Trainer(strategy)], {FIRST: batch()})
    assert not torch.equal(before["image.head.weight"], strategy.generation.image.head.weight)
    assert [name for name in strategy.own_state() if name.startswith("generation.")]
    assert not [name for name in strategy.validated().state_dict() if "generation" in name]


def test_a_stage_cannot_ask_for_networks_that_are_not_there() -> None:
    strategy = placed({"generation_weight": 0})
    with pytest.raises(RecipeError, match=r"stages\.train\.strategy: the run makes no images"):
        strategy.begin(strategy.stage, registry.checked_options("scale-consistency", {}))
    strategy = placed()
    strategy.begin(strategy.stage, registry.checked_options("scale-consistency", {"weight": 0}))
    assert strategy.updates(strategy.stage)[0].modules == ("method",)


def test_wrong_options() -> None:
    with pytest.raises(RecipeError, match="hue"):
        registry.checked_options("scale-consistency", {"hue": 0.6})
    with pytest.raises(RecipeError, match="generator_widths"):
        registry.checked_options("scale-consistency", {"generator_widths": [8]})
