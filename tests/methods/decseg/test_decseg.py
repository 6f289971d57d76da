"""DEC-Seg: its parts by the paper's formulas and sizes, each consistency, and what only training needs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.decseg.layers import LevelAggregation, ScaleFusion
from delineate.methods.decseg.network import DECSeg
from delineate.methods.testing.examples import context, example_batch, randomize_norms
from delineate.nn.blocks import resize
from delineate.nn.meta_device import on_meta_device

TINY = registry.presets("decseg")["tiny"]["method"]
CONSISTENCIES = ("perturbation", "scale", "generation")


def built(*, classes: int = 1, **options: Any) -> DECSeg:
    torch.manual_seed(0)
    method = registry.build("decseg", classes=classes, options={**TINY, "encoder": {"name": "resnet10t"}, **options})
    assert isinstance(method, DECSeg)
    return method


def half_bare(count: int = 4, **made: Any) -> Any:
    """Every second image has no mask."""
    batch = example_batch(count, **made)
    batch["labeled"] = torch.arange(count) % 2 == 0
    batch["mask"][~batch["labeled"]] = 255
    return batch


def millions(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_the_papers_sizes() -> None:
    with on_meta_device():
        method = registry.build("decseg")
        assert isinstance(method, DECSeg)
    assert method.encoder.channels == (64, 256, 512, 1024, 2048)
    assert [round(millions(decoder), 1) for decoder in method.decoders] == [37.0, 37.0]
    assert round(millions(method.fusion), 1) == 324.6
    assert round(millions(method), 1) == 426.3
    assert {join.join.conv.in_channels for join in method.aggregations} == {64}


def test_two_levels_are_joined_as_in_the_paper() -> None:
    """The coarser map is enlarged before its convolution there, and after it here."""
    torch.manual_seed(0)
    part = randomize_norms(LevelAggregation(6, 10, 8)).eval()
    fine, coarse = torch.rand(2, 6, 12, 8), torch.rand(2, 10, 6, 4)
    x = torch.cat((part.fine(fine), part.coarse(resize(coarse, (12, 8), align_corners=True))), 1)
    x = part.join(x)
    wanted = part.refine(x + x * part.gate(F.adaptive_avg_pool2d(x, 1)).sigmoid())
    torch.testing.assert_close(part(fine, coarse), wanted)


def test_fusion_weighs_the_two_scales_at_every_pixel() -> None:
    torch.manual_seed(0)
    part = randomize_norms(ScaleFusion(5)).eval()
    x, other = torch.rand(2, 5, 8, 8), torch.rand(2, 5, 4, 4)
    a, b = part.first(x), part.second(resize(other, (8, 8)))
    a, b = part.first_completed(a + b.sigmoid() * b), part.second_completed(b + a.sigmoid() * a)
    gate = part.weights(torch.cat((a, b), 1)).softmax(1)
    torch.testing.assert_close(part(x, other), a * gate[:, :1] + b * gate[:, 1:])


@pytest.mark.parametrize(("side", "half"), [(32, 32), (64, 64), (96, 64), (160, 96), (352, 192)])
def test_the_smaller_copy(side: int, half: int) -> None:
    padded, small = built()._scales(torch.rand(1, 3, side - 5, side))
    assert padded.shape[-2:] == (side, side)
    assert small.shape[-2:] == (half, half)


def test_each_consistency_is_what_it_says() -> None:
    """In eval mode nothing is perturbed."""
    method = randomize_norms(built(classes=3)).eval()
    assert method.generation is not None
    batch = half_bare(classes=3, size=(96, 90))
    image = batch["image"]
    with torch.no_grad():
        terms = method.objective(batch, context())
        found = method._outputs(*method._scales(image), (96, 90))
        full, half = found.full.softmax(1), resize(found.half.softmax(1), (96, 96))[..., :90]
        made = method.generation(found.fused[1::2], found.fused[1::2])
    apart = (full - half).square().mean((1, 2, 3))
    assert float(terms["perturbation"]) == 0
    torch.testing.assert_close(terms["scale"], apart[::2].mean() + 2 * apart[1::2].mean())
    torch.testing.assert_close(terms["generation"], sum(F.mse_loss(one, image[1::2]) for one in made))
    assert found.half.shape[-2:] == (64, 64)
    assert torch.equal(found.fused, method(image))


def test_all_outputs_learn_the_masks() -> None:
    """With nothing but masks, the loss is that of three outputs, one of them small and of padded images."""
    method = randomize_norms(built(perturbation_weight=0, scale_weight=0, generation_weight=0)).eval()
    batch = example_batch(2, size=(96, 90))
    found = method._outputs(*method._scales(batch["image"]), (96, 90))
    small = F.pad(batch["mask"], (0, 6), value=255)[:, :, None].float()
    small = F.interpolate(small.movedim(2, 1), (64, 64), mode="nearest-exact")[:, 0].long()
    assert bool((small[..., -4:] == 255).all())
    assert bool((small[..., :-4] != 255).all())
    wanted = 0.0
    for logits, mask in zip(found, (batch["mask"], small, batch["mask"]), strict=True):
        valid = mask != 255
        entropy = F.binary_cross_entropy_with_logits(logits[:, 0], (mask == 1).float(), reduction="none")
        wanted += 0.5 * float(((entropy * valid).sum((1, 2)) / valid.sum((1, 2))).mean().detach())
    terms = method.objective(batch, context())
    assert terms.keys() == {"cross_entropy", "dice"}
    assert float(terms["cross_entropy"].detach()) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", CONSISTENCIES)
def test_each_consistency_can_be_left_out(name: str) -> None:
    method = built(**{f"{name}_weight": 0})
    terms = method.objective(half_bare(), context())
    assert terms.keys() == {"cross_entropy", "dice", *CONSISTENCIES} - {name}
    assert (method.generation is None) == (name == "generation")
    assert DECSeg.uses_unlabeled(method.options)


def test_without_any_of_them_images_without_masks_are_not_asked_for() -> None:
    method = built(**{f"{name}_weight": 0 for name in CONSISTENCIES})
    assert not DECSeg.uses_unlabeled(method.options)
    state = context().generator.get_state()
    ctx = context()
    method.objective(example_batch(), ctx)
    assert torch.equal(ctx.generator.get_state(), state), "no random number is drawn"


def objective(method: DECSeg, batch: Any) -> dict[str, float]:
    torch.manual_seed(0)  # of dropout
    return {name: float(term.detach()) for name, term in method.objective(batch, context()).items()}


def test_masks_of_images_without_masks_do_not_count() -> None:
    found = []
    for value in (255, 2):
        batch = half_bare(classes=4)
        batch["mask"][~batch["labeled"]] = value
        found.append(objective(built(classes=4), batch))
    assert found[0] == found[1]
    assert min(found[0].values()) > 0


@pytest.mark.parametrize("labeled", [True, False])
def test_batches_of_one_kind(labeled: bool) -> None:
    batch = example_batch(2)
    if not labeled:
        batch["mask"][:], batch["labeled"] = 255, torch.tensor([False, False])
    terms = objective(built(), batch)
    mean_of_masks = terms["cross_entropy"] + terms["dice"]
    assert (mean_of_masks > 0) is labeled
    assert (terms["perturbation"] > 0) is (terms["generation"] > 0) is (not labeled)
    everywhere = objective(built(on="all"), batch)
    assert everywhere["perturbation"] > 0
    assert everywhere["generation"] > 0


def test_one_image_without_a_mask() -> None:
    """Its pooled maps are single values, of which there are no statistics."""
    assert min(objective(built().train(), half_bare(2)).values()) > 0


def test_the_scales_are_perturbed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = built(on="all").train(), list[tuple[Tensor, Tensor]]()
    outputs = DECSeg._outputs

    def noting(self: DECSeg, padded: Tensor, half: Tensor, size: tuple[int, int]) -> Any:
        seen.append((padded, half))
        return outputs(self, padded, half, size)

    monkeypatch.setattr(DECSeg, "_outputs", noting)
    method.objective(example_batch(2), context())
    (padded, half), (changed, changed_half) = seen
    assert torch.equal(padded, half), "at 64 pixels there is no smaller copy"
    assert not torch.equal(changed, padded)
    assert not torch.allclose(changed, changed_half)
    assert float((changed - padded).abs().max()) < 0.4


def test_without_a_change_there_is_nothing_to_agree_on() -> None:
    assert objective(built(on="all", brightness=0, hue=0), example_batch())["perturbation"] < 1e-8


def test_weights_may_rise() -> None:
    at_once, rising = (objective(built(ramp=ramp), half_bare()) for ramp in (0.0, 1.0))
    for name in CONSISTENCIES:
        assert rising[name] == pytest.approx(0.0067379 * at_once[name], rel=1e-4)
    assert rising["dice"] == at_once["dice"]


def test_the_model_keeps_what_it_needs() -> None:
    method = built()
    lean = method.deploy()
    assert isinstance(lean, DECSeg)
    names = {name.rpartition(".")[0] for name, _ in lean.named_parameters()}
    assert not [
        name for name in names if name.startswith("generation") or name in ("decoders.0.head", "decoders.1.head")
    ]
    assert "fusion.head" in names
    assert method.generation is not None
    assert method.decoders[0].head is not None


def test_panels_show_what_was_drawn() -> None:
    method, batch = built().eval(), example_batch(2, size=(70, 50))
    with torch.no_grad():
        panels = method.panels(batch)
        assert torch.equal(method.panels(batch)["perturbed"].tensor, panels["perturbed"].tensor)
    made = {"perturbed", "perturbed_generated", "image_generated"}
    assert panels.keys() == {"probability", "scale_difference", *made}
    assert not torch.equal(panels["perturbed"].tensor, batch["image"])
    assert panels.keys() - made == built(generation_weight=0).eval().panels(batch).keys()


def test_encoders_of_other_depths() -> None:
    for name in ("convnext_atto", "tf_efficientnet_lite0"):
        method = built(encoder={"name": name}, taps=16)
        assert method.eval()(torch.rand(1, 3, 70, 50)).shape == (1, 1, 70, 50)


def test_wrong_options() -> None:
    with pytest.raises(RecipeError, match="vit_tiny_patch16_224' has maps at 1/16 of the image"):
        built(encoder={"name": "vit_tiny_patch16_224"})
    with pytest.raises(RecipeError, match="width"):
        built(width=10)
    with pytest.raises(RecipeError, match="scale_weight"):
        built(scale_weight=-1)
    with pytest.raises(RecipeError, match="generator_widths"):
        built(generator_widths=[8, 16])
