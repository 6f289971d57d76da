"""Modulation and fusion: the properties that their formulas promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from delineate.methods.mfel.fusion import Fusion, GatedExchange
from delineate.methods.mfel.options import FusionOptions, ModulationOptions
from delineate.methods.mfel.reconstruction import Modulation


def modulation(**options: str) -> Modulation:
    torch.manual_seed(0)
    return Modulation(8, ModulationOptions.model_validate(options)).eval()


def test_weights_of_foreground_and_background_sum_to_one() -> None:
    afm = modulation()
    front, back = afm.weights(3 * torch.randn(2, 8, 5, 5), torch.randn(2, 8, 5, 5))
    assert front.shape == (2, 8, 1, 1)
    torch.testing.assert_close(front + back, torch.ones(2, 8, 1, 1))
    assert (front != back).any()


def test_a_map_of_one_half_leaves_an_ordinary_residual_of_two_branches() -> None:
    afm = modulation()
    x = torch.randn(2, 8, 6, 5)
    front, back = afm.foreground(x / 2), afm.background(x / 2)
    a, b = afm.weights(front, back)
    torch.testing.assert_close(afm(x, torch.full((2, 1, 6, 5), 0.5)), x + a * front + b * back)


def test_where_all_is_foreground_the_background_branch_sees_nothing() -> None:
    afm = modulation()
    x = torch.randn(1, 8, 6, 5, requires_grad=True)
    seen: list[torch.Tensor] = []
    afm.background.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    afm(x, torch.ones(1, 1, 6, 5))
    assert not seen[0].any()


def test_own_map_is_used_where_none_is_given() -> None:
    afm = modulation()
    x = torch.randn(2, 8, 6, 5)
    assert torch.equal(afm(x), afm(x, afm.map(x)))


def test_film_starts_as_the_identity_and_needs_no_weights() -> None:
    afm = modulation(kind="film", source="coarse")
    x = torch.randn(2, 8, 6, 5)
    assert torch.equal(afm(x, torch.rand(2, 1, 6, 5)), x)
    assert not hasattr(afm, "choice")
    assert afm.own is None


def test_the_gate_divides_between_both_directions() -> None:
    torch.manual_seed(0)
    exchange = GatedExchange(4, both=True).eval()
    for part in (exchange.channel[2], exchange.spatial):
        assert isinstance(part, nn.Conv2d)
        nn.init.zeros_(part.weight)
        assert part.bias is not None
        nn.init.constant_(part.bias, 30.0)  # both attentions wide open
    s, r = torch.randn(1, 4, 3, 3), torch.randn(1, 4, 3, 3)
    gate = torch.sigmoid(exchange.gate(torch.cat((s, r), 1)))
    to_s, to_r = exchange(s, r)
    torch.testing.assert_close(to_s, s + gate * r)
    torch.testing.assert_close(to_r, r + (1 - gate) * s)


@pytest.mark.parametrize("kind", ["gate", "cross_attention"])
def test_one_way_leaves_the_reconstruction_unchanged(kind: str) -> None:
    torch.manual_seed(0)
    s, r = torch.randn(1, 8, 4, 4), torch.randn(1, 8, 4, 4)
    for directions in ("one-way", "both"):
        fusion = Fusion(8, FusionOptions.model_validate({"kind": kind, "directions": directions})).eval()
        fused, returned = fusion(s, r)
        assert torch.equal(returned, r) == (directions == "one-way")
        assert not torch.equal(fused, fusion(s, 2 * r)[0])


def test_the_simpler_kinds() -> None:
    s, r = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    assert all(map(torch.equal, Fusion(4, FusionOptions(kind="sum"))(s, r), (s + r, r)))
    assert all(map(torch.equal, Fusion(4, FusionOptions(kind="none"))(s, r), (s, r)))
