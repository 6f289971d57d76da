"""Hidden squares: whole ones, as many as asked for, drawn as in the authors' code; and what strategies do with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.methods.contract import Context
from delineate.nn.views.block_mask import BlockMask
from delineate.strategies import registry
from delineate.strategies.contract import Strategy
from delineate.strategies.testing.examples import batch, build, place


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_squares_of_a_checkerboard_are_hidden_whole() -> None:
    fields = torch.arange(64) // 8
    board = ((fields[:, None] + fields[None]) % 2).float().expand(6, 2, 64, 64) + torch.tensor([0.0, 3.0]).view(2, 1, 1)
    view = BlockMask.draw(board, seeded(), ratio=0.5, side=1 / 8)
    shown = view.image(board)
    means = board.mean((2, 3))
    kinds = []
    for at in range(6):
        for row in range(0, 64, 8):
            for column in range(0, 64, 8):
                square = shown[at, :, row : row + 8, column : column + 8]
                here = bool(view.hidden[at, 0, row, column])
                wanted = means[at] if here else board[at, :, row, column]
                assert torch.equal(square, wanted.view(2, 1, 1).expand(2, 8, 8))
                kinds.append(here)
    assert 0.4 < sum(kinds) / len(kinds) < 0.6


@pytest.mark.parametrize(
    ("height", "width", "side"), [(64, 64, 1 / 16), (64, 96, 1 / 7), (33, 70, 1 / 16), (40, 9, 1.0)]
)
def test_squares_are_drawn_and_stretched_as_in_the_authors_code(height: int, width: int, side: float) -> None:
    """MIC's (Apache-2.0, commit 2f932a9): rand > ratio on a grid of round(H / block) × round(W / block), enlarged by nearest."""
    image, block = torch.rand(3, 1, height, width), side * max(height, width)
    grid = torch.rand(3, 1, max(1, round(height / block)), max(1, round(width / block)), generator=seeded())
    kept = F.interpolate((grid > 0.7).float(), size=(height, width), mode="nearest")
    assert torch.equal(BlockMask.draw(image, seeded(), side=side).hidden, kept == 0)


@pytest.mark.parametrize(("ratio", "share"), [(0.0, 0.0), (0.3, 0.3), (0.999999, 1.0)])
def test_as_many_as_asked_for(ratio: float, share: float) -> None:
    found = BlockMask.draw(torch.rand(16, 1, 64, 64), seeded(), ratio=ratio).hidden.float().mean()
    assert float(found) == pytest.approx(share, abs=0.02)


def test_squares_of_less_than_a_pixel_are_pixels() -> None:
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(
        BlockMask.draw(image, seeded(), side=0.001).hidden, BlockMask.draw(image, seeded(), side=1 / 8).hidden
    )


def seen_by(strategy: Strategy, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the networks of a strategy are shown for its added term."""
    place(strategy, strategy.updates(strategy.stage)[0])
    seen: list[Tensor] = []
    find = strategy.logits_of
    monkeypatch.setattr(strategy, "logits_of", lambda network: lambda x: seen.append(x) or find(network)(x))
    strategy.added(image)  # type: ignore[attr-defined]
    return seen


@pytest.mark.parametrize(
    ("name", "options"),
    [("mean-teacher", {"view": "none"}), ("fixmatch", {"jitter": 0, "hue": 0, "gray": 0, "cutmix": 0})],
)
def test_the_student_sees_an_image_with_hidden_squares_and_the_teacher_all_of_it(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = batch(4)["image"]
    monkeypatch.setattr("delineate.nn.views.strong._blur", lambda image, *_: image)
    strategy = build(name, {**options, "masked": 0.5, "masked_side": 0.25}).train()
    teacher, student = seen_by(strategy, image, monkeypatch)
    assert torch.equal(teacher, image)
    changed = (student - image).abs().amax(1) > 1e-5
    assert 0.25 < float(changed.float().mean()) < 0.75
    plain = build(name, options).train()
    torch.testing.assert_close(seen_by(plain, image, monkeypatch)[1], image)


def test_both_strong_views_of_unimatch_hide_squares_of_their_own() -> None:
    strategy = build("unimatch", {"masked": 0.5, "cutmix": 0}).train()
    place(strategy, strategy.updates(strategy.stage)[0])
    image = batch(4)["image"]
    target = torch.zeros(4, *image.shape[-2:], dtype=torch.long)
    one, other = (strategy.strong(image, target, target == 0) for _ in range(2))  # type: ignore[attr-defined]
    assert not torch.equal(one[0], other[0])
    assert torch.equal(one[1], target)


def test_supervised_training_hides_squares_of_images_and_keeps_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, made, seen = build("supervised", {"masked": 0.5}).train(), batch(labeled="all"), []
    place(strategy, strategy.updates(strategy.stage)[0])

    def objective(shown: Any, ctx: Context) -> dict[str, Tensor]:
        seen.append(shown)
        return {"loss": strategy.method(shown["image"]).mean()}

    monkeypatch.setattr(strategy.method, "objective", objective)
    strategy(made)
    strategy.eval()(made)
    assert not torch.equal(seen[0]["image"], made["image"])
    assert torch.equal(seen[0]["mask"], made["mask"])
    assert seen[1] is made


@pytest.mark.parametrize("options", [{"masked": 1.0}, {"masked": -0.1}, {"masked_side": 0}])
def test_shares_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(registry.RecipeError, match=f"strategy 'mean-teacher': {next(iter(options))}"):
        registry.checked_options("mean-teacher", options)
