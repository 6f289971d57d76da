"""MFEL: size, what each option changes in the network, what is kept for inference, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from delineate.common.config import merge
from delineate.common.errors import DataError, RecipeError
from delineate.methods import registry
from delineate.methods.mfel.mamba import MultiBranchMamba
from delineate.methods.mfel.network import MFEL
from delineate.methods.mfel.options import MambaOptions
from delineate.methods.testing.examples import as_batch, backward, context, example_batch, randomize_norms, tiny
from delineate.nn.counting import count_cost, count_parameters

SMALL: dict[str, Any] = {
    "widths": [8, 8, 16, 16],
    "decoder_depths": [0, 0, 0],
    "mvm": {"state": 1, "ratio": 1},
    "reconstruction": {"depth": 0},
}


def small(classes: int = 1, seed: int = 0, **options: Any) -> MFEL:
    """The smallest sensible network with some options changed."""
    torch.manual_seed(seed)
    method = registry.build("mfel", classes=classes, options=merge(SMALL, options))
    assert isinstance(method, MFEL)
    return method


def test_cost_of_the_presets() -> None:
    found = count_cost(tiny("mfel"), in_channels=3, size=(128, 128))
    assert (found.parameters, found.flops) == (4_147_895, 531_737_344)
    with torch.device("meta"):
        full = registry.build("mfel", options=registry.presets("mfel")["paper"].get("method", {}))
    found = count_cost(full, in_channels=3, size=(256, 256))
    assert (found.parameters, found.flops) == (5_925_616, 2_610_026_496)


@pytest.mark.parametrize(
    "options",
    [
        {"encoder": "shared", "bfm": {"directions": "one-way"}, "mvm": {"branches": 1, "state": 2}},
        {
            "afm": {"kind": "film"},
            "bfm": {"kind": "cross_attention", "heads": 4},
            "mvm": {"branches": 2, "gate": False},
        },
        {"afm": {"source": "coarse"}, "bfm": {"kind": "cross_attention", "directions": "one-way"}},
        {"afm": {"source": "coarse", "detach": False}, "bfm": {"kind": "none"}, "loss": {"coarse": 0}},
        {"afm": {"kind": "none"}, "bfm": {"kind": "sum"}, "decoder_depths": [0, 1, 0], "mvm": {"inner_gate": True}},
        {"loss": {"reconstruction": 0}, "mvm": {"dilations": False, "ffn_ratio": 0}},
        {"loss": {"reconstruction": 0}, "bfm": {"kind": "none"}},
        {"loss": {"ssim": 0.5, "kind": "mse", "dynamic": True}, "reconstruction": {"noise": 0.1, "masked": 0.3}},
    ],
)
def test_variants_deploy_and_learn(options: dict[str, Any]) -> None:
    method = randomize_norms(small(classes=3, **options))
    image = torch.rand(1, 3, 33, 64)
    with torch.no_grad():
        expected = method.eval()(image).softmax(1)
        torch.testing.assert_close(method.deploy()(image).softmax(1), expected, atol=1e-4, rtol=1e-4)
    backward(method, method.train().objective(example_batch(2, classes=3), context(step=40)))
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in method.parameters())


def test_without_weight_the_network_is_the_one_that_only_segments() -> None:
    """λ = 0 with fusion off leaves one branch; the other has no say in the logits of λ > 0 with fusion off."""
    alone = small(loss={"reconstruction": 0}, bfm={"kind": "none"}).eval()
    assert {name for name, part in alone.named_children() if count_parameters(part)} == {"encoder", "decoder"}
    beside = small(bfm={"kind": "none"}, seed=1).eval()
    beside.load_state_dict(alone.state_dict(), strict=False)
    batch = example_batch(2)
    with torch.no_grad():
        assert torch.equal(alone(batch["image"]), beside(batch["image"]))
        terms = alone.objective(batch, context())
    assert terms.keys() == {"cross_entropy", "dice"}


def test_one_weight_at_zero_keeps_what_the_segmentation_reads() -> None:
    with_it, without = small(), small(loss={"reconstruction": 0})
    parts = {name for name, _ in with_it.named_children()} - {name for name, _ in without.named_children()}
    assert parts == {"reconstruction_decoder"}
    without.load_state_dict({k: v for k, v in with_it.state_dict().items() if not k.startswith("reconstruction_d")})
    image = example_batch(1)["image"]
    with torch.no_grad():
        assert torch.equal(with_it.eval()(image), without.eval()(image))


@pytest.mark.parametrize("branches", [1, 2, 4])
def test_branches_change_the_size_as_arithmetic_says(branches: int) -> None:
    """Projections within a group are K times smaller; what acts on single channels keeps its size."""
    width, state = 32, 2
    part = width // branches
    rank = -(-part // 16)
    projections = 2 * part * part + 4 * (rank + 2 * state) * part + 4 * part * rank
    per_channel = 4 * part * (1 + state + 1) + 2 * part
    depthwise = 10 * part
    rest = 2 * width + 1
    options = MambaOptions(branches=branches, state=state, ratio=1.0, gate=False, ffn_ratio=0)
    found = count_parameters(MultiBranchMamba(width, options))
    assert found == branches * (projections + per_channel + depthwise) + rest


def test_dilations_grow_with_the_branch_and_cost_nothing() -> None:
    wide, narrow = (MultiBranchMamba(16, MambaOptions(dilations=on)) for on in (True, False))
    assert [conv.dilation for conv in wide.scales] == [(k, k) for k in (1, 2, 3, 4)]
    assert {conv.dilation for conv in narrow.scales} == {(1, 1)}
    assert count_parameters(wide) == count_parameters(narrow)


def test_a_branch_sees_its_own_channels_alone() -> None:
    torch.manual_seed(0)
    block = MultiBranchMamba(8, MambaOptions(state=1, ratio=1, gate=False, ffn_ratio=0)).eval()
    block.norm = nn.Identity()  # type: ignore[assignment]
    x = torch.randn(1, 8, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(x)[:, 2:4].square().sum(), x)
    reached = gradient.abs().sum((0, 2, 3)) > 0
    assert reached.tolist() == [False, False, True, True, False, False, False, False]


def test_what_is_kept_for_inference() -> None:
    both, alone = small().deploy(), small(bfm={"kind": "none"}).deploy()
    for lean in (both, alone):
        assert not any(name.startswith(("reconstruction_decoder", "balance")) for name, _ in lean.named_modules())
        assert not any(isinstance(part, nn.BatchNorm2d) for part in lean.modules())
    assert "reconstruction" in str(both.kept)
    assert any(name.startswith("reconstruction_encoder") for name, _ in both.named_modules())
    assert {name for name, part in alone.named_children() if count_parameters(part)} == {"encoder", "decoder"}
    assert count_parameters(both) < count_parameters(small())


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pictures(channels: int) -> None:
    torch.manual_seed(0)
    method = registry.build("mfel", in_channels=channels, options=SMALL).eval()
    image = torch.rand(2, channels, 40, 64)
    batch = as_batch(image, torch.zeros(2, 40, 64, dtype=torch.long))
    with torch.no_grad():
        found = method.panels(batch)
    assert found.keys() == {"probability", "foreground", "input", "reconstruction", "error"}
    assert all(panel.tensor.shape[-2:] == (40, 64) for panel in found.values())
    silent = small(loss={"reconstruction": 0}, afm={"kind": "none"}).eval()
    assert silent.panels(example_batch(1)).keys() == {"probability"}


def test_an_image_that_is_too_small_names_the_smallest_size() -> None:
    with pytest.raises(DataError, match=r"31×64 pixels is too small for 4 scales: the smallest size is 32×32"):
        small()(torch.rand(1, 3, 31, 64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": [8, 16, 32, 34]}, "width 34 cannot be divided among 4 branches of mvm"),
        ({"bfm": {"kind": "cross_attention", "heads": 3}}, "width 32 cannot be divided among 3 heads of bfm"),
        ({"afm": {"source": "coarse"}, "loss": {"coarse": 0}}, "raise loss.coarse above 0 or turn afm.detach off"),
        ({"reconstruction": {"noise": 0.1}, "loss": {"reconstruction": 0}}, "need a reconstruction"),
        ({"reconstruction": {"masked": 0.1}, "encoder": "shared"}, "need encoder 'separate'"),
        ({"mvm": {"branches": 3}}, "mvm.branches"),
        ({"mvm": {"branch": 2}}, "'branches'"),
    ],
)
def test_impossible_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        registry.build("mfel", options=options)


def test_dilated_branches_learn_in_bfloat16():
    torch.manual_seed(0)
    block = MultiBranchMamba(32, MambaOptions(state=1, ratio=1))
    x = torch.rand(16, 32, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        block(x).float().square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in block.parameters())
