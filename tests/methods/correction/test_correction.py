"""Self-supervised correction: what is erased, what the inpainting learns from, what prediction needs, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.common.config import merge
from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.correction.layers import DecoderBlock, GatedFusion
from delineate.methods.correction.network import Correction, inpainting_error
from delineate.methods.testing.examples import (
    as_batch,
    backward,
    context,
    example_batch,
    finite,
    part,
    randomize_norms,
    tiny,
)
from delineate.nn.counting import count_parameters
from delineate.nn.frozen_batchnorm import batchnorms, freeze_statistics

NARROW: dict[str, Any] = {"encoder": {"name": "resnet10t"}, "width": 4}


def narrow(classes: int = 1, in_channels: int = 3, **options: Any) -> Correction:
    torch.manual_seed(0)
    method = registry.build("correction", classes=classes, in_channels=in_channels, options=merge(NARROW, options))
    assert isinstance(method, Correction)
    return method


def always(method: Correction, logit: float) -> Correction:
    """The method, whose segmentation is the same everywhere."""
    with torch.no_grad():
        for head in method.output_layers():
            head.weight.zero_()
            head.bias.fill_(logit)  # type: ignore[union-attr]
    return method


def mixed(size: int = 64, *, classes: int = 1) -> Any:
    """Four images, of which the first and the third have masks."""
    made = example_batch(4, classes=classes, size=size)
    made["labeled"] = torch.tensor([True, False, True, False])
    made["mask"][1::2] = 255
    return made


def test_the_papers_size() -> None:
    with torch.device("meta"):
        method = registry.build("correction", options=registry.presets("correction")["paper"].get("method", {}))
    parts = {name: count_parameters(part) for name, part in method.named_children() if count_parameters(part)}
    # Per level of C channels the gates have three convolutions 2C → C of 3×3.
    levels = (64, 64, 128, 256, 512)
    assert parts["fusion"] == sum(3 * (2 * c * c * 9 + c) for c in levels)
    assert parts == {"encoder": 21_284_672, "fusion": 19_024_896, "decoder": 3_561_957, "inpainting": 6_737_391}
    assert count_parameters(tiny("correction")) == 5_401_356


@pytest.mark.parametrize(("logit", "found"), [(-100.0, 0), (100.0, 64 * 64)])
def test_nothing_found_and_everything_found_are_defined(logit: float, found: int) -> None:
    """A mean over no pixel would be NaN, which ends training."""
    method, batch = always(narrow(), logit), mixed()
    terms = method.train().objective(batch, context())
    assert torch.isfinite(backward(method, terms))
    assert finite(method)
    assert (float(terms["inpainting"].detach()) > 0) == (found > 0)
    panels = method.eval().panels(batch)
    erased = panels["erased"].tensor
    assert int((erased == 0).all(1)[0].sum()) == found
    assert torch.equal(panels["inpainted"].tensor, batch["image"]) == (found == 0)


def test_a_batch_without_masks_is_learned_from() -> None:
    method, batch = always(narrow(classes=4), 0.1), mixed(classes=4)
    batch["labeled"], batch["mask"] = torch.zeros(4, dtype=torch.bool), torch.full_like(batch["mask"], 255)
    terms = {name: float(term.detach()) for name, term in method.objective(batch, context()).items()}
    assert terms["inpainting"] > 0
    assert (terms["cross_entropy"], terms["dice"]) == (0, 0)


def test_foreground_of_several_classes_is_erased_as_one() -> None:
    method = narrow(classes=3)
    logits = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [1.0, 0.8, 0.8]]).T.view(1, 3, 1, 3)
    found, erased = method._erased(torch.ones(1, 3, 1, 3), logits)
    assert found.flatten().tolist() == [False, True, True]  # of the last, no class is more probable than the background
    assert erased[0, 0, 0].tolist() == [1, 0, 0]


def test_the_error_is_a_mean_over_what_was_found_of_each_image() -> None:
    torch.manual_seed(0)
    image, made = torch.rand(3, 2, 8, 8), [torch.rand(3, 2, 8, 8), torch.rand(3, 2, 4, 4)]
    found = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    found[0, :, 2:6, 3:8] = True
    found[1, :, 1, 1] = True  # of less than half of a pixel at the lower resolution
    error = inpainting_error(made, image, found)
    fine = F.l1_loss(made[0][0][:, found[0, 0]], image[0][:, found[0, 0]])
    halved = F.interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False)
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[1:3, 2:4] = True  # column 1 is found in one of its two pixels: not more than half
    coarse = F.l1_loss(made[1][0][:, inside], halved[0][:, inside])
    torch.testing.assert_close(error[0], fine + coarse)
    torch.testing.assert_close(error[1], (made[0][1, :, 1, 1] - image[1, :, 1, 1]).abs().mean())
    assert float(error[2]) == 0


def test_images_with_masks_are_not_inpainted_unless_wanted() -> None:
    batch = mixed()
    own, every = (always(narrow(inpainting={"images": images}), 5).eval() for images in ("unlabeled", "all"))
    with torch.no_grad():
        own_error, every_error = (float(method.objective(batch, context())["inpainting"]) for method in (own, every))
        alone = [float(every.objective(part(batch, at), context())["inpainting"]) for at in range(4)]
    assert own_error == pytest.approx((alone[1] + alone[3]) / 2, rel=1e-4)
    assert every_error == pytest.approx(sum(alone) / 4, rel=1e-4)


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    method, batch = randomize_norms(narrow()).eval(), mixed()
    with torch.no_grad():
        whole = method.objective(batch, context())
        parts = [method.objective(part(batch, at), replace(context(), labeled_share=0.5)) for at in range(4)]
    assert float(whole["inpainting"]) > 0
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.stack([one[name] for one in parts]).mean(), rtol=1e-4, atol=1e-5)


def test_masks_of_images_without_masks_do_not_count() -> None:
    method, batch, found = narrow(classes=4).eval(), mixed(classes=4), []
    for value in (255, 2):
        batch["mask"][1::2] = value
        with torch.no_grad():
            found.append({name: float(term) for name, term in method.objective(batch, context()).items()})
    assert found[0] == found[1]


def erasing(method: Correction) -> Tensor:
    """Erase this region of images of 64×64, whatever is found."""
    region = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    region[..., 16:48, 16:48] = True
    method._erased = lambda image, first: (region, image.masked_fill(region, 0))  # type: ignore[method-assign]
    return region


@pytest.mark.parametrize(("features", "blind"), [("erased", True), ("fused", False)])
def test_the_inpainting_does_not_see_what_it_paints_unless_it_reads_fused_maps(features: str, blind: bool) -> None:
    method, painted = randomize_norms(narrow(width=16, inpainting={"features": features})).eval(), []
    region = erasing(method)
    with torch.no_grad():
        for inside in (0.2, 0.9):
            maps, second = method._passes(torch.where(region, inside, example_batch(1)["image"]))
            painted.append(method._painted(second, method._fused(maps, second))[0])
    assert torch.equal(*painted) == blind


def test_running_statistics_are_those_of_both_passes() -> None:
    """Were each pass normalized by its own statistics, a network that knows its images by heart would not know them later."""
    method, image = narrow(), example_batch(4)["image"]
    erasing(method)
    for norm in batchnorms(method):
        norm.momentum = 1.0  # type: ignore[assignment]
    with torch.no_grad():
        maps, second = method.train()._passes(image)
        later, second_later = method.eval()._passes(image)
    for wanted, found in ((maps, later), (second.maps, second_later.maps)):
        torch.testing.assert_close(found[0], wanted[0], rtol=0.01, atol=0.01)


def test_the_first_pass_leaves_statistics_and_modes_alone() -> None:
    method, calls = narrow().train(), []
    freeze_statistics(method.decoder)
    modes = [part.training for part in method.modules()]
    method.encoder.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    before = {key: int(value) for key, value in method.state_dict().items() if "num_batches" in key}
    method.objective(mixed(), context())
    assert [part.training for part in method.modules()] == modes
    assert calls == [4, 8]  # the first pass alone, then image and erased image together
    after = {key: int(value) - before[key] for key, value in method.state_dict().items() if "num_batches" in key}
    assert {value for key, value in after.items() if not key.startswith("decoder")} == {1}
    assert {value for key, value in after.items() if key.startswith("decoder")} == {0}


@pytest.mark.parametrize(
    ("options", "passes", "terms"),
    [
        ({}, 2, {"cross_entropy", "dice", "inpainting"}),
        ({"inpainting": {"weight": 0}}, 2, {"cross_entropy", "dice"}),
        ({"fusion": "sum"}, 2, {"cross_entropy", "dice", "inpainting"}),
        ({"fusion": "none"}, 1, {"cross_entropy", "dice", "inpainting"}),
        ({"second_pass": False}, 1, {"cross_entropy", "dice"}),
        ({"sides": False}, 2, {"cross_entropy", "dice", "inpainting"}),
    ],
)
def test_each_part_can_be_left_out(options: dict[str, Any], passes: int, terms: set[str]) -> None:
    method, image = randomize_norms(narrow(classes=3, **options)), torch.rand(1, 3, 33, 70)
    assert Correction.uses_unlabeled(method.options) == ("inpainting" in terms)
    lean, calls = method.deploy(), []
    assert isinstance(lean, Correction)
    lean.encoder.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        torch.testing.assert_close(lean(image).softmax(1), method.eval()(image).softmax(1), atol=1e-4, rtol=1e-4)
    assert len(calls) == passes
    assert lean.inpainting is None
    assert count_parameters(lean) < count_parameters(method)
    found = method.train().objective(mixed(classes=3), context())
    assert found.keys() == terms
    backward(method, found)
    assert all(p.grad is not None for p in method.parameters())


def test_what_is_beyond_an_odd_image_is_not_inpainted() -> None:
    method, image = always(narrow(), 5).eval(), torch.rand(1, 3, 40, 33)
    batch = as_batch(image, torch.full((1, 40, 33), 255))
    with torch.no_grad():
        error = float(method.objective(batch, context())["inpainting"])
        second = method._passes(F.pad(image, (0, 31, 0, 24), mode="replicate"))[1]
        made = method._painted(second, [])
    inside = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    inside[..., :40, :33] = True
    padded = F.pad(image, (0, 31, 0, 24), mode="replicate")
    assert error == pytest.approx(float(inpainting_error(made, padded, inside)), rel=1e-5)


def test_gates_choose_between_the_image_and_what_was_joined() -> None:
    gate, x, erased = GatedFusion(2), torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)
    rows = gate.select.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(2))
    for logit, wanted in ((-100.0, x), (100.0, None)):
        nn.init.zeros_(gate.select.weight)
        nn.init.constant_(gate.select.bias, logit)  # type: ignore[arg-type]
        reset = torch.sigmoid(gate.reset(torch.cat((x, erased), 1)))
        joined = torch.relu(gate.candidate(torch.cat((x, reset * erased), 1)))
        torch.testing.assert_close(gate(x, erased), joined if wanted is None else wanted)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_block_doubles_the_resolution(transposed: bool) -> None:
    block = DecoderBlock(8, 6, transposed=transposed)
    assert block(torch.rand(2, 8, 3, 5)).shape == (2, 6, 6, 10)
    convs = [(part.in_channels, part.out_channels) for part in block.modules() if isinstance(part, nn.Conv2d)]
    assert convs == [(8, 2), (2, 6)]
    assert any(isinstance(part, nn.ConvTranspose2d) for part in block.modules()) == transposed


def test_an_encoder_without_a_map_at_half_the_size_and_one_of_many_channels() -> None:
    method = narrow(in_channels=5, encoder={"name": "convnext_atto"}, width=8)
    image = torch.rand(2, 5, 70, 33)
    with torch.no_grad():
        assert method.eval()(image).shape == (2, 1, 70, 33)
        panels = method.panels(as_batch(image, torch.zeros(2, 70, 33, dtype=torch.long)))
    shapes: dict[str, Tensor] = {name: panel.tensor for name, panel in panels.items()}
    assert {name: value.shape[-2:] for name, value in shapes.items()} == dict.fromkeys(shapes, (70, 33))
    assert list(shapes) == ["probability", "coarse", "erased", "inpainted"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"encoder": {"name": "vit_tiny_patch16_224"}},
            "encoder 'vit_tiny_patch16_224' gives feature maps at 1/16, 1/16",
        ),
        ({"fusion": "none", "inpainting": {"weight": 0}}, "nothing uses the second pass; set second_pass to false"),
        ({"fusion": "none", "inpainting": {"features": "fused"}}, "features: fused needs fused maps"),
        ({"inpainting": {"wieght": 1}}, "weight"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        narrow(**options)
    assert "\n" not in str(error.value)
