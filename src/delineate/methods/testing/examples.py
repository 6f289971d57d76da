"""Small seeded networks, pictures and training steps, on which methods are checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from delineate.data.core.regions import Region
from delineate.methods import registry
from delineate.methods.contract import Batch, Context, Method, Stage, Update
from delineate.methods.dense import DenseMethod

__all__ = [
    "IGNORE",
    "SIZE",
    "AnyBatch",
    "AnyMethod",
    "as_batch",
    "backward",
    "context",
    "dice",
    "example_batch",
    "finite",
    "part",
    "randomize_norms",
    "sizes",
    "tiny",
    "tiny_dense",
    "train_stage",
    "trains",
    "updates",
]

AnyMethod = TypeVar("AnyMethod", bound=Method)
AnyBatch = TypeVar("AnyBatch", bound=Batch)

IGNORE = 255
SIZE = 64


def tiny(
    name: str, *, classes: int = 1, in_channels: int = 3, seed: int = 0, regions: tuple[Region, ...] = ()
) -> Method:
    """The method with its `tiny` options and seeded random weights."""
    torch.manual_seed(seed)
    presets = registry.presets(name)
    assert "tiny" in presets, f"method '{name}' has no preset 'tiny'"
    options = presets["tiny"].get("method", {})
    return registry.build(name, classes=classes, in_channels=in_channels, options=options, regions=regions)


def tiny_dense(name: str, **made: Any) -> DenseMethod:
    """`tiny` of a dense method."""
    method = tiny(name, **made)
    assert isinstance(method, DenseMethod), f"'{name}' is no DenseMethod"
    return method


def example_batch(
    count: int = 2, *, classes: int = 1, in_channels: int = 3, size: int | tuple[int, int] = SIZE, seed: int = 0
) -> Batch:
    """Images with one bright ellipse per foreground class, each class in its own brightness, and their masks."""
    random = torch.Generator().manual_seed(seed)
    height, width = (size, size) if isinstance(size, int) else size
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    mask = torch.zeros(count, height, width, dtype=torch.long)
    foregrounds = max(1, classes - 1)
    for index in range(count):
        for label in range(1, foregrounds + 1):
            # One column of the picture per class, so that none hides another.
            x = (label - 0.5 + 0.2 * (torch.rand((), generator=random) - 0.5)) * width / foregrounds
            y = (0.35 + 0.3 * torch.rand((), generator=random)) * height
            inside = ((xs - x) / (0.35 * width / foregrounds)) ** 2 + ((ys - y) / (0.28 * height)) ** 2 <= 1
            mask[index][inside] = label
    image = 0.15 + 0.75 * (mask[:, None] / foregrounds).expand(-1, in_channels, -1, -1)
    image = (image + 0.03 * torch.randn(image.shape, generator=random)).clamp(0, 1)
    return as_batch(image, mask)


def context(stage: str = "train", *, step: int = 0, seed: int = 0) -> Context:
    """A place in training, with seeded randomness."""
    return Context(stage, step, 100, torch.Generator().manual_seed(seed))


def updates(method: Method) -> Iterator[tuple[Stage, Update, Callable[[Batch, Context], dict[str, Tensor]]]]:
    """Every objective that training will call."""
    for stage in method.stages():
        for update in stage.updates:
            objective = getattr(method, update.objective, None)
            assert objective is not None, f"stage '{stage.name}': no function is called '{update.objective}'"
            yield stage, update, objective


def dice(logits: Tensor, mask: Tensor) -> float:
    """Mean Dice of the foreground classes over all pixels of the batch."""
    found = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    scores = []
    for label in range(1, max(2, logits.shape[1])):
        a, b = found == label, mask == label
        scores.append(2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum())))
    return sum(scores) / len(scores)


def randomize_norms(method: AnyMethod, seed: int = 0) -> AnyMethod:
    """Random statistics and weights for every BatchNorm, as after training: fresh ones would hide faults of `deploy`."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in method.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.2, generator=random)
                module.running_var.uniform_(0.5, 1.5, generator=random)
                if module.affine:
                    module.weight.uniform_(0.5, 1.5, generator=random)
                    module.bias.normal_(0, 0.2, generator=random)
    return method


def as_batch(image: Tensor, mask: Tensor) -> Batch:
    """A batch of B×C×H×W images and B×H×W masks; a sample is labeled unless all its pixels are ignored."""
    labeled = (mask != IGNORE).flatten(1).any(1)
    return {"image": image, "mask": mask, "labeled": labeled, "sample_id": [f"example-{i}" for i in range(len(mask))]}


def part(batch: AnyBatch, index: int) -> AnyBatch:
    """One sample, or episode, of a batch."""
    one = slice(index, index + 1)
    return cast(AnyBatch, {key: value[one] for key, value in cast(Mapping[str, Any], batch).items()})


def sizes(method: Method) -> list[tuple[int, int]]:
    """An odd size (where the method takes any), and the smallest."""
    step = method.info.divisor
    return [(-(-65 // step) * step, -(-97 // step) * step), (method.info.min_size, method.info.min_size)]


def trains(update: Update, name: str) -> bool:
    """Does `update` train the parameter `name`?"""
    return any(not prefix or name == prefix or name.startswith(f"{prefix}.") for prefix in update.modules)


def backward(method: Method, terms: Mapping[str, Tensor]) -> Tensor:
    """Replace the method's gradients by those of the terms' sum; the sum."""
    method.zero_grad(set_to_none=True)
    total = torch.stack([value.float() for value in terms.values()]).sum()
    if total.requires_grad:
        torch.autograd.backward(total)
    return total


def finite(method: Method) -> bool:
    """Is no gradient infinite or not a number?"""
    return all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in method.parameters())


def train_stage(
    method: Method,
    stage: Stage,
    batch: AnyBatch,
    logits: Callable[[Method, AnyBatch, Stage], Tensor],
    *,
    steps: int,
    enough: float,
) -> float:
    """Train one stage with Adam until the Dice of `logits` in eval mode is enough; the Dice reached. Rates are 1e-3 where an update
    states none."""
    named = dict(method.named_parameters())
    optimizers = [
        torch.optim.Adam(
            [p for n, p in named.items() if trains(update, n)],
            update.lr or 1e-3,
            betas=update.betas or (0.9, 0.999),
            fused=True,
        )
        for update in stage.updates
    ]
    score = 0.0
    for step in range(steps):
        method.train()
        for update, optimizer in zip(stage.updates, optimizers, strict=True):
            if step % update.every:
                continue
            ctx = Context(stage.name, step, steps, torch.Generator().manual_seed(step))
            backward(method, getattr(method, update.objective)(batch, ctx))
            optimizer.step()
        method.after_step(Context(stage.name, step, steps, torch.Generator().manual_seed(step)))
        if step % 10 == 9:
            method.eval()
            with torch.no_grad():
                score = dice(logits(method, batch, stage), batch["mask"])
            if score > enough:
                break
    return score
