"""ConDSeg against its literal form, its size, its variants."""

from __future__ import annotations

import pytest
import torch

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.condseg.authors_checkpoint import fill
from delineate.methods.condseg.cdfa import ContrastAggregation
from delineate.nn.counting import count_cost, count_parameters
from oracles.condseg_literal import LiteralBody, LiteralConDSeg, LiteralStageOne

SMALL = {"width": 16, "heads": 4, "normalize": "none"}
RESNET18 = {**SMALL, "encoder": {"name": "resnet18"}}


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    literal = LiteralConDSeg(16, 4)
    for module in literal.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
    ours = registry.build("condseg", options=SMALL)
    fill(ours, literal.state_dict(), first_stage=False)
    return literal, ours


@pytest.mark.parametrize("training", [True, False])
def test_all_maps_equal_the_literal_network(pair, training):
    literal, ours = (network.train(training) for network in pair)
    image = torch.rand(2, 3, 64, 96)
    for mine, wanted in zip(ours.maps(image), literal(image), strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


def test_gradients_equal_the_literal_network(pair):
    literal, ours = (network.eval() for network in pair)
    image = torch.rand(1, 3, 64, 64)
    sum(x.square().sum() for x in ours.maps(image)).backward()
    sum(x.square().sum() for x in literal(image)).backward()
    twin = registry.build("condseg", options=SMALL)
    gradients = {name: p.grad for name, p in literal.named_parameters()}
    fill(twin, {**literal.state_dict(), **gradients}, first_stage=False)
    wanted = dict(twin.named_parameters())
    for name, parameter in ours.named_parameters():
        if not name.startswith("reinforcement"):
            scale = float(wanted[name].detach().abs().max())
            torch.testing.assert_close(parameter.grad, wanted[name].data, atol=1e-3 * scale + 1e-7, rtol=1e-3)


def test_stage_one_equals_the_literal_network():
    torch.manual_seed(0)
    literal, ours = LiteralStageOne(8), registry.build("condseg", options=SMALL)
    fill(ours, literal.state_dict(), first_stage=True)
    image = torch.rand(2, 3, 64, 64)
    for training in (True, False):
        literal.train(training)
        ours.train(training)
        torch.testing.assert_close(ours.encoder_logits(image), literal(image), atol=1e-4, rtol=1e-4)


def test_size_is_the_papers():
    """45.55 M parameters without stage I's head, 202 GFLOP with all heads; 165 are left in `forward`."""
    ours = registry.build("condseg")
    own = count_parameters(ours) - count_parameters(ours.reinforcement)
    assert own == count_parameters(LiteralConDSeg()) == 45_552_786
    assert count_cost(LiteralConDSeg(), in_channels=3, size=(256, 256)).gigaflops == pytest.approx(202, abs=0.5)
    assert count_cost(ours, in_channels=3, size=(256, 256)).gigaflops == pytest.approx(165, abs=0.5)


def test_pvt_variant_equals_the_literal_body():
    torch.manual_seed(0)
    ours = registry.build("condseg", options={**SMALL, "encoder": {"name": "pvt_v2_b2"}})
    assert ours.encoder.channels == (64, 128, 320, 512)
    literal = LiteralBody(ours.encoder.channels, 16, 4, last=4)
    state = ours.state_dict()
    with pytest.raises(RuntimeError, match="Missing"):
        literal.load_state_dict({})
    literal.load_state_dict(_names_of_pvt(ours, literal, state))
    image = torch.rand(1, 3, 64, 96)
    ours.eval()
    literal.eval()
    with torch.no_grad():
        for mine, wanted in zip(ours.maps(image), literal.body(ours.encoder(image)), strict=True):
            assert mine.shape == (1, 1, 64, 96)
            torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


def _names_of_pvt(ours, literal, state):
    """The released names, with the auxiliary heads' numbers of this variant (convolutions 0, 1, 3, 5, 7, 9 and 11)."""
    from delineate.methods.condseg.authors_checkpoint import authors_name
    from delineate.nn.window_attention import attention_rows

    back = attention_rows(4).argsort()
    result = {}
    for name, value in state.items():
        if name.startswith(("encoder.", "reinforcement.")):
            continue
        if name.startswith("auxiliary."):
            _, branch, *rest = name.split(".")
            short = {"foreground": "fg", "background": "bg", "uncertainty": "uc"}[branch]
            number = 11 if rest[0] == "logit" else (0, 1, 3, 5, 7, 9)[int(rest[1])]
            tail = ".".join(rest[1:] if rest[0] == "logit" else rest[2:])
            tail = tail if rest[0] == "logit" else tail.replace("conv.", "conv.0.").replace("norm.", "conv.1.")
            result[f"aux_head.branch_{short}.{number}.{tail}"] = value
        else:
            result[authors_name(name)] = value[back] if ".logits." in name and "aggregation" in name else value
    return result


@pytest.mark.parametrize("size", [(64, 64), (71, 53), (33, 90)])
@pytest.mark.parametrize("classes", [1, 4])
def test_any_size_and_several_classes(size, classes):
    torch.manual_seed(0)
    ours = registry.build("condseg", classes=classes, options=RESNET18).eval()
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        maps = ours.maps(image)
        assert maps.mask.shape == ours.encoder_logits(image).shape == (1, classes, *size)
        assert maps.uncertainty.shape == (1, 1, *size)
        torch.testing.assert_close(ours.deploy()(image), ours(image), atol=1e-4, rtol=1e-4)


def test_deploy_drops_what_only_training_needs(pair):
    _, ours = pair
    lean = ours.deploy()
    names = {name.partition(".")[0] for name in lean.state_dict()}
    assert not names & {"reinforcement", "auxiliary"}
    assert not any("uncertainty" in name or "norm" in name.split(".") for name in lean.state_dict())
    assert hasattr(ours, "reinforcement")
    image = torch.rand(1, 3, 64, 64)
    ours.eval()
    with torch.no_grad():
        torch.testing.assert_close(lean(image).sigmoid(), ours(image).sigmoid(), atol=1e-5, rtol=0)


def test_aggregation_exports_with_free_size():
    torch.manual_seed(0)
    level = ContrastAggregation(8, 8, 2).eval().requires_grad_(False)
    free = torch.export.Dim.DYNAMIC
    shapes = tuple({0: free, 2: free, 3: free} for _ in range(3))
    program = torch.export.export(level, tuple(torch.rand(3, 2, 8, 6, 9).unbind()), dynamic_shapes=shapes)
    x, foreground, background = torch.rand(3, 1, 8, 7, 5).unbind()
    wanted = level(x, foreground, background)
    torch.testing.assert_close(program.module()(x, foreground, background), wanted, atol=1e-5, rtol=1e-4)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(RecipeError, match="cannot be divided among 3 heads"):
        registry.build("condseg", options={"width": 16, "heads": 3})


def test_every_option_says_where_it_comes_from():
    for field in registry.method_class("condseg").Options.model_fields.values():
        assert field.description
        assert field.json_schema_extra["origin"] in ("paper", "reading")
