"""Confidence and entropy for all three meanings of channels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from delineate.data.core.regions import Region
from delineate.nn.certainty import confidence, entropy, entropy_of_mean, largest_entropy
from delineate.nn.components import largest_components
from delineate.nn.output import Output

REGIONS = (Region(name="whole", classes=(1, 2), paints=1), Region(name="core", classes=(2,), paints=2))
OUTPUTS = {"binary": Output(1), "classes": Output(4), "regions": Output(2, REGIONS)}


@given(name=st.sampled_from(sorted(OUTPUTS)), seed=st.integers(0, 99), scale=st.sampled_from([0.0, 1.0, 200.0]))
def test_bounds_and_agreement(name: str, seed: int, scale: float) -> None:
    output = OUTPUTS[name]
    logits = scale * torch.randn(2, output.channels, 3, 5, generator=torch.Generator().manual_seed(seed))
    found, sure = entropy(logits, output), confidence(logits, output)
    assert found.shape == (2, 3, 5)
    assert sure.shape == output.hard_target(logits).shape
    assert bool(((found >= 0) & (found <= largest_entropy(output) + 1e-6)).all())
    assert bool(((sure >= (1 / max(2, output.channels)) - 1e-6) & (sure <= 1)).all())
    torch.testing.assert_close(found, entropy_of_mean(output.probabilities(logits), output), rtol=1e-4, atol=1e-5)
    if scale == 0:
        torch.testing.assert_close(found, torch.full_like(found, largest_entropy(output)))


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_the_gradient_of_entropy_is_finite_where_a_probability_is_zero(name: str) -> None:
    output = OUTPUTS[name]
    logits = (1e3 * torch.randn(1, output.channels, 4, 4)).requires_grad_()
    entropy(logits, output).sum().backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


def test_half_precision_is_computed_in_float32() -> None:
    logits = torch.full((1, 4, 1, 1), 3.0, dtype=torch.bfloat16)
    assert entropy(logits, Output(4)).dtype == torch.float32
    assert float(entropy(logits, Output(4))) == pytest.approx(math.log(4))


def test_the_largest_component_of_each_class() -> None:
    mask = torch.tensor(
        [[[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 1], [2, 2, 2, 0]], [[0] * 4, [3] * 4, [0] * 4, [3] * 4]]
    )
    wanted = torch.tensor(
        [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [2, 2, 2, 0]], [[0] * 4, [3] * 4, [0] * 4, [0] * 4]]
    )
    before = mask.clone()
    assert torch.equal(largest_components(mask), wanted)  # corners touch; of equal ones the first
    assert torch.equal(mask, before)
    assert torch.equal(largest_components(wanted), wanted)
