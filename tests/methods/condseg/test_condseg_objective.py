"""Losses of both stages by hand-computed values."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from delineate.data.core.regions import Region
from delineate.methods import registry
from delineate.methods.condseg.objective import (
    Maps,
    bce_dice,
    complement_loss,
    coverage_weight,
    mask_loss,
    reinforcement_terms,
    segmentation_terms,
)
from delineate.methods.contract import Context
from delineate.nn.output import Output

RESNET18 = {"width": 16, "heads": 4, "encoder": {"name": "resnet18"}}


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def coverages(*values: float) -> torch.Tensor:
    return torch.tensor([logit(p) for p in values]).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()


def context(stage: str) -> Context:
    return Context(stage, 0, 10, torch.Generator().manual_seed(0))


def batch(classes: int = 2, size: int = 32):
    torch.manual_seed(0)
    mask = torch.randint(0, classes, (2, size, size))
    mask[:, :3] = 255
    return {
        "image": torch.rand(2, 3, size, size),
        "mask": mask,
        "labeled": torch.ones(2).bool(),
        "sample_id": ["a", "b"],
    }


def test_beta_readings():
    """Twelve images covered by 15 %: 1/tanh(1.8) = 1.056 for the batch's sum, 1/tanh(.15) = 6.716 for each."""
    logits = coverages(*[0.15] * 12)
    assert float(coverage_weight(logits, "batch_sum", detach=True)) == pytest.approx(1.0562, abs=1e-3)
    assert coverage_weight(logits, "per_image", detach=True).tolist() == pytest.approx([6.7165] * 12, abs=1e-3)
    assert coverage_weight(logits, "one", detach=True).tolist() == [1.0] * 12


def test_beta_per_image_is_bounded():
    weights = coverage_weight(coverages(0.001, 0.05, 0.9), "per_image", detach=True)
    assert weights.tolist() == pytest.approx([20.0167, 20.0167, 1.3961], abs=1e-3)


@pytest.mark.parametrize("detach", [True, False])
def test_coverage_gradient(detach):
    logits = coverages(0.2).requires_grad_()
    assert coverage_weight(logits, "per_image", detach=detach).requires_grad is not detach


def test_bce_dice_by_hand():
    """Four pixels of p = .5, two of them foreground: BCE = ln 2, Dice = (2·1 + 1)/(2 + 2 + 1) = .6."""
    target = torch.tensor([[[1, 1], [0, 0]]])
    assert float(bce_dice(torch.zeros(1, 1, 2, 2), target)) == pytest.approx(math.log(2) + 0.4, abs=1e-6)


def test_bce_dice_is_the_mask_loss_image_by_image_and_skips_ignored_pixels():
    torch.manual_seed(0)
    logits, target = torch.randn(3, 1, 6, 5), torch.randint(0, 2, (3, 6, 5))
    target[0, :2] = 255
    target[2] = 255
    values = bce_dice(logits, target)
    assert float(values.mean()) == pytest.approx(float(mask_loss(logits, target, Output(logits.shape[1]))), abs=1e-6)
    assert float(values[2]) == 0
    changed = logits.clone()
    changed[0, :, :2] = 50.0
    assert torch.equal(bce_dice(changed, target), values)


def test_complement_loss_by_hand():
    """Equal maps: 3 · (1/3)² = 1/3. One map far above the others: nothing. Sigmoids first: e/(e + 2) at best."""
    zero, high = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 40.0)
    assert float(complement_loss(Maps(zero, zero, zero, zero), on="logits")) == pytest.approx(1 / 3)
    assert float(complement_loss(Maps(zero, high, -high, -high), on="logits")) == pytest.approx(0, abs=1e-6)
    p = math.e / (math.e + 2)
    rest = (1 - p) / 2
    wanted = 2 * p * rest + rest**2
    assert float(complement_loss(Maps(zero, high, -high, -high), on="probabilities")) == pytest.approx(wanted, abs=1e-6)


def test_stage_two_terms_see_the_union_of_classes_and_its_complement():
    target = torch.tensor([[[0, 1], [2, 255]]])
    sure = torch.where(target == 0, -40.0, 40.0)[:, None]
    mask = 40.0 * F.one_hot(torch.where(target == 255, 0, target), 3).movedim(3, 1).float()
    maps = Maps(mask, sure, -sure, torch.full_like(sure, -40.0))
    terms = segmentation_terms(maps, target, Output(1), beta="one", detach_coverage=False, complement="logits")
    assert {name: round(float(value), 5) for name, value in terms.items()} == dict.fromkeys(
        ("mask", "foreground", "background", "complement"), 0.0
    )


def test_stage_two_weights():
    torch.manual_seed(0)
    maps, target = Maps(*torch.randn(4, 2, 1, 8, 8)), torch.randint(0, 2, (2, 8, 8))
    per_image = segmentation_terms(maps, target, Output(1), beta="per_image", detach_coverage=True, complement="logits")
    weights = coverage_weight(maps.background, "per_image", detach=True)
    assert float(per_image["background"]) == pytest.approx(
        float((weights * bce_dice(maps.background, 1 - target)).mean())
    )


def test_stage_one_consistency_follows_the_other_view():
    plain, strong = torch.randn(2, 2, 1, 4, 4)
    terms = reinforcement_terms(plain, strong, torch.randint(0, 2, (2, 4, 4)), Output(1))
    bce = F.binary_cross_entropy_with_logits
    wanted = bce(plain, (strong > 0).float()) + bce(strong, (plain > 0).float())
    assert float(terms["consistency"]) == pytest.approx(float(wanted), abs=1e-6)


def test_both_stages_learn_regions_by_their_binary_losses():
    """The outer region is the foreground's map; each view follows the other's hard prediction of each region."""
    output = Output(2, (Region(name="outer", classes=(1, 2), paints=1), Region(name="inner", classes=(2,), paints=2)))
    mask = torch.randint(0, 3, (2, 4, 4))
    target = output.target(mask)
    plain, strong = torch.randn(2, 2, 2, 4, 4)
    terms = reinforcement_terms(plain, strong, target, output)
    bce = F.binary_cross_entropy_with_logits
    wanted = bce(plain, (strong > 0).float()) + bce(strong, (plain > 0).float())
    assert float(terms["consistency"]) == pytest.approx(float(wanted), abs=1e-6)
    maps = Maps(plain, *torch.randn(3, 2, 1, 4, 4))
    found = segmentation_terms(maps, target, output, beta="one", detach_coverage=False, complement="logits")
    assert float(found["foreground"]) == pytest.approx(float(bce_dice(maps.foreground, (mask > 0).long()).mean()))
    each = [mask_loss(plain[:, at : at + 1], target[:, at], Output(1)) for at in range(2)]
    assert float(found["mask"]) == pytest.approx(float(torch.stack(each).mean()), abs=1e-6)


@pytest.mark.parametrize(("classes", "labels"), [(1, 2), (4, 4)])
@pytest.mark.parametrize("beta", ["batch_sum", "per_image", "one"])
def test_each_stage_moves_exactly_its_parameters(classes, labels, beta):
    method = registry.build("condseg", classes=classes, options={**RESNET18, "beta": beta})
    for stage in method.stages():
        method.zero_grad()
        terms = method.objective(batch(labels), context(stage.name))
        assert all(torch.isfinite(value) and value.ndim == 0 for value in terms.values())
        sum(terms.values()).backward()
        moved = {name for name, p in method.named_parameters() if p.grad is not None}
        (update,) = stage.updates
        assert moved == {n for n, _ in method.named_parameters() if n.partition(".")[0] in update.modules}
    assert sum(stage.share for stage in method.stages()) == pytest.approx(1)


def test_unlabeled_batches_train_nothing_but_consistency_and_complement():
    method, data = registry.build("condseg", options=RESNET18), batch()
    data["mask"].fill_(255)
    first, second = (method.objective(data, context(stage.name)) for stage in method.stages())
    first, second = ({name: term.item() for name, term in terms.items()} for terms in (first, second))
    assert first["mask"] == first["mask_strong"] == 0 < first["consistency"]
    assert second["mask"] == second["foreground"] == 0 < second["complement"]


def test_objective_is_deterministic_in_eval_mode():
    method, data = registry.build("condseg", options=RESNET18).eval(), batch()
    with torch.no_grad():
        for stage in method.stages():
            runs = [
                method.objective(data, Context(stage.name, step, 10, torch.Generator().manual_seed(step)))
                for step in (0, 7)
            ]
            assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_panels_are_probabilities():
    method = registry.build("condseg", options=RESNET18).eval()
    with torch.no_grad():
        panels = method.panels(batch())
    assert set(panels) == {"foreground", "background", "uncertainty"}
    assert all(p.kind == "heat" and p.tensor.shape == (2, 1, 32, 32) for p in panels.values())
