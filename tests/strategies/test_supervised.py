"""Supervised training with views and mixing: what other strategies are fairly compared with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.methods.contract import Batch, Context, MethodOptions
from delineate.nn.views.copy_paste import CopyPaste
from delineate.strategies import registry
from delineate.strategies.contract import Strategy
from delineate.strategies.supervised.strategy import SupervisedOptions
from delineate.strategies.testing.examples import Episodic, batch, build, place
from delineate.strategies.views import Views


def shown(options: dict[str, Any], made: Batch, monkeypatch: pytest.MonkeyPatch, *, training: bool = True) -> Batch:
    """The batch that the method's objective gets."""
    strategy = build("supervised", options).train(training)
    place(strategy, strategy.updates(strategy.stage)[0])
    seen: list[Batch] = []

    def objective(batch: Batch, ctx: Context) -> dict[str, Tensor]:
        seen.append(batch)
        return {"loss": strategy.method(batch["image"]).mean()}

    monkeypatch.setattr(strategy.method, "objective", objective)
    strategy(made)
    return seen[0]


def striped(count: int = 4) -> Batch:
    """A checkerboard of eight by eight fields, whose mask is the image itself; each image of another brightness."""
    rows = torch.arange(32) // 4
    board = ((rows[:, None] + rows[None]) % 2).long()
    mask = torch.stack([board.roll(shift, 0) for shift in range(count)])
    image = mask[:, None].float().expand(-1, 3, -1, -1).clone()
    return Batch(
        image=image,
        mask=mask,
        labeled=torch.ones(count, dtype=torch.bool),
        sample_id=list("abcd"[:count]),
        target=mask.float(),
    )


@pytest.mark.parametrize(
    "options", [{"view": "weak"}, {"mix": "cutmix"}, {"mix": "copy-paste"}, {"view": "weak", "mix": "cutmix"}]
)
def test_image_mask_and_target_move_alike(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made = striped()
    seen = shown(options, made, monkeypatch)
    known = seen["mask"] != 255
    assert not torch.equal(seen["image"], made["image"])
    assert torch.equal(seen["image"][:, 0][known], seen["mask"][known].float())
    assert torch.equal(seen["target"], seen["mask"].float())
    assert torch.equal(made["mask"], striped()["mask"]), "the batch itself was changed"


def test_a_strong_view_leaves_masks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batch(labeled="all")
    seen = shown({"view": "strong"}, made, monkeypatch)
    assert torch.equal(seen["mask"], made["mask"])
    assert not torch.equal(seen["image"], made["image"])


def test_without_options_and_in_eval_mode_it_is_the_batch_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batch(labeled="all")
    assert shown({}, made, monkeypatch) is made
    assert shown({"view": "both", "mix": "cutmix"}, made, monkeypatch, training=False) is made


@pytest.mark.parametrize("options", [{"view": "weak"}, {"mix": "cutmix"}])
def test_few_shot_methods_have_views_of_their_own(options: dict[str, Any]) -> None:
    held = Episodic(MethodOptions(), classes=1, in_channels=3)
    strategy: Strategy = registry.build("supervised", held, SupervisedOptions(**options))
    with pytest.raises(RecipeError, match="few-shot methods have views of their own"):
        strategy.begin(held.stages()[0], strategy.options)


@pytest.mark.parametrize("side", [0.01, 0.5, 2 / 3, 1.0])
def test_the_box_lies_within_the_image_anywhere(side: float) -> None:
    image = torch.zeros(3, 1, 12, 20)
    found = [CopyPaste.draw(image, torch.Generator().manual_seed(seed), side=side).box for seed in range(60)]
    sizes = {(int(box.any(1).sum()), int(box.any(0).sum())) for box in found}
    assert sizes == {(max(1, int(side * 12)), max(1, int(side * 20)))}
    assert all(int(box.sum()) == int(box.any(1).sum()) * int(box.any(0).sum()) for box in found)
    if side in (0.5, 2 / 3):
        assert torch.stack(found).any(0).float().mean() > 0.9


def test_views_that_are_none_draw_nothing() -> None:
    image, generator = torch.rand(2, 3, 8, 8), torch.Generator().manual_seed(0)
    before = generator.get_state()
    views = Views.draw(image, "none", generator)
    assert views.image(image) is image
    assert views.visible() is None
    assert torch.equal(generator.get_state(), before)
