"""Small seeded episodes, on which few-shot methods are checked."""

from __future__ import annotations

import torch
from torch import Tensor

from delineate.methods.contract import Stage
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod, EpisodicModule
from delineate.methods.testing.examples import SIZE, tiny

__all__ = ["example_episodes", "segment", "tiny_episodic"]


def tiny_episodic(name: str, *, in_channels: int = 3, seed: int = 0) -> EpisodicMethod:
    """The few-shot method with its `tiny` options and seeded random weights."""
    method = tiny(name, in_channels=in_channels, seed=seed)
    assert isinstance(method, EpisodicMethod), f"'{name}' is no EpisodicMethod"
    return method


def example_episodes(
    count: int = 2, *, shots: int = 1, in_channels: int = 3, size: int | tuple[int, int] = SIZE, seed: int = 0
) -> EpisodicBatch:
    """Pictures of a bright and a dim ellipse, side by side at changing places, on dark ground. The class is the bright one in
    even episodes, the dim one in odd: which of them is meant, the support alone tells."""
    random = torch.Generator().manual_seed(seed)
    height, width = (size, size) if isinstance(size, int) else size
    drawn = [_picture(height, width, random) for _ in range(count * (shots + 1))]
    image = torch.stack([image for image, _ in drawn]).view(count, shots + 1, 1, height, width)
    image = image.expand(-1, -1, in_channels, -1, -1)
    labels = torch.stack([labels for _, labels in drawn]).view(count, shots + 1, height, width)
    mask = (labels == (torch.arange(count) % 2 + 1)[:, None, None, None]).long()
    return {
        "image": image[:, 0].contiguous(),
        "mask": mask[:, 0],
        "labeled": torch.ones(count, dtype=torch.bool),
        "sample_id": [f"episode-{i}" for i in range(count)],
        "support_image": image[:, 1:].contiguous(),
        "support_mask": mask[:, 1:].contiguous(),
    }


def segment(method: EpisodicMethod | EpisodicModule, batch: EpisodicBatch, stage: Stage | None = None) -> Tensor:
    """The queries' logits, each by its own support; those of a stage, if one is named."""
    logits = method if stage is None else getattr(method, stage.logits)
    return logits(batch["image"], method.condition(batch["support_image"], batch["support_mask"]))


def _picture(height: int, width: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """One channel in [0, 1], and labels: 1 the bright ellipse, 2 the dim one."""
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    labels = torch.zeros(height, width, dtype=torch.long)
    sides = (1, 2) if torch.rand((), generator=random) < 0.5 else (2, 1)
    for label, center in zip(sides, (0.27, 0.73), strict=True):
        x = (center + 0.06 * (torch.rand((), generator=random) - 0.5)) * width
        y = (0.4 + 0.2 * torch.rand((), generator=random)) * height
        labels[((xs - x) / (0.2 * width)) ** 2 + ((ys - y) / (0.28 * height)) ** 2 <= 1] = label
    brightness = torch.tensor([0.1, 0.9, 0.5])[labels]
    return (brightness + 0.03 * torch.randn(height, width, generator=random)).clamp(0, 1)[None], labels
