"""Small seeded episodes and training steps, on which few-shot methods are checked."""

from __future__ import annotations

import torch
from torch import Tensor

from delineate.methods.contract import Context, Stage
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod
from delineate.methods.examples import SIZE, backward, context, dice, moves, tiny

__all__ = ["context", "example_episodes", "learn_episodes", "part", "segment", "tiny_episodic"]


def tiny_episodic(name: str, *, in_channels: int = 3, seed: int = 0) -> EpisodicMethod:
    """The few-shot method with its `tiny` options and seeded random weights."""
    method = tiny(name, in_channels=in_channels, seed=seed)
    assert isinstance(method, EpisodicMethod), f"'{name}' declares task='episodic' but is no EpisodicMethod"
    return method


def example_episodes(
    count: int = 2, *, shots: int = 1, in_channels: int = 3, size: int = SIZE, seed: int = 0
) -> EpisodicBatch:
    """Pictures of a bright and a dim ellipse, side by side at changing places, on dark ground. The class is the bright one in
    even episodes, the dim one in odd: which of them is meant, the support alone tells."""
    random = torch.Generator().manual_seed(seed)
    drawn = [_picture(size, random) for _ in range(count * (shots + 1))]
    image = torch.stack([image for image, _ in drawn]).view(count, shots + 1, 1, size, size)
    image = image.expand(-1, -1, in_channels, -1, -1)
    labels = torch.stack([labels for _, labels in drawn]).view(count, shots + 1, size, size)
    mask = (labels == (torch.arange(count) % 2 + 1)[:, None, None, None]).long()
    return {
        "image": image[:, 0].contiguous(),
        "mask": mask[:, 0],
        "labelled": torch.ones(count, dtype=torch.bool),
        "sample_id": [f"episode-{i}" for i in range(count)],
        "support_image": image[:, 1:].contiguous(),
        "support_mask": mask[:, 1:].contiguous(),
    }


def part(batch: EpisodicBatch, index: int) -> EpisodicBatch:
    """One episode of a batch."""
    one = slice(index, index + 1)
    return {
        "image": batch["image"][one],
        "mask": batch["mask"][one],
        "labelled": batch["labelled"][one],
        "sample_id": batch["sample_id"][one],
        "support_image": batch["support_image"][one],
        "support_mask": batch["support_mask"][one],
    }


def segment(method: EpisodicMethod, batch: EpisodicBatch) -> Tensor:
    """The queries' logits, each by its own support."""
    return method(batch["image"], method.condition(batch["support_image"], batch["support_mask"]))


def learn_episodes(method: EpisodicMethod, stage: Stage, batch: EpisodicBatch, *, steps: int, enough: float) -> float:
    """Train one stage with Adam 1e-3 until the queries' Dice in eval mode is enough; the Dice reached."""
    named = dict(method.named_parameters())
    optimisers = [
        torch.optim.Adam([p for n, p in named.items() if moves(update, n)], 1e-3, fused=True)
        for update in stage.updates
    ]
    score = 0.0
    for step in range(steps):
        method.train()
        ctx = Context(stage.name, step, steps, torch.Generator().manual_seed(step))
        for update, optimiser in zip(stage.updates, optimisers, strict=True):
            backward(method, getattr(method, update.objective)(batch, ctx))
            optimiser.step()
        method.after_step(ctx)
        if step % 10 == 9:
            method.eval()
            with torch.no_grad():
                score = dice(segment(method, batch), batch["mask"])
            if score > enough:
                break
    return score


def _picture(size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """One channel in [0, 1], and labels: 1 the bright ellipse, 2 the dim one."""
    ys, xs = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    labels = torch.zeros(size, size, dtype=torch.long)
    sides = (1, 2) if torch.rand((), generator=random) < 0.5 else (2, 1)
    for label, centre in zip(sides, (0.27, 0.73), strict=True):
        x = (centre + 0.06 * (torch.rand((), generator=random) - 0.5)) * size
        y = (0.4 + 0.2 * torch.rand((), generator=random)) * size
        labels[((xs - x) / (0.2 * size)) ** 2 + ((ys - y) / (0.28 * size)) ** 2 <= 1] = label
    brightness = torch.tensor([0.1, 0.9, 0.5])[labels]
    return (brightness + 0.03 * torch.randn(size, size, generator=random)).clamp(0, 1)[None], labels
