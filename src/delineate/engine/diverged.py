"""Training whose numbers are not finite any more: what happened, where the last good state is, and what goes on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from delineate.artefact.tensors import not_finite
from delineate.common.errors import Diverged
from delineate.data.core.findings import some

if TYPE_CHECKING:
    from delineate.engine.recipe import Recipe
    from delineate.methods.contract import Batch, Context

__all__ = ["diverged", "loss_fault", "weights_fault"]


def weights_fault(module: nn.Module) -> str | None:
    """What is not finite in parameters and buffers; None where all is. One synchronization."""
    bad = not_finite(module.state_dict())
    return f"weights are not finite ({some(bad, 3)})" if bad else None


def loss_fault(terms: dict[str, Tensor], batch: Batch, ctx: Context, module: nn.Module) -> str:
    """What a loss that is not finite says: the samples, or that the weights had been lost before."""
    where = f"at step {ctx.step + 1} of stage '{ctx.stage}'"
    lost = weights_fault(module)
    bad = ", ".join(name for name, term in terms.items() if not torch.isfinite(term)) or "their sum"
    samples = f"samples: {', '.join(batch['sample_id'])}"
    if lost is not None and ctx.step > 0:
        return f"the loss is not finite {where} (terms: {bad}; {samples}), since the step before left {lost}"
    return f"the loss is not finite {where} (terms: {bad}; {samples})"


def diverged(fault: str, recipe: Recipe, stage: str, saved: int | None) -> Diverged:
    """The error. `saved`: the step of the newest state."""
    settings = recipe.stage_settings(stage)
    ways = [f"--set {recipe.stage_key(stage, 'lr')}={settings.lr / 10:.6g}"]
    if settings.clip_norm is None or settings.clip_norm > 1:
        ways.append(f"--set {recipe.stage_key(stage, 'clip_norm')}=1")
    if recipe.engine.precision != "32":
        ways.append("--set engine.precision=32")
    kept = "no state was saved" if saved is None else f"the state of step {saved} is kept"
    how = "start anew" if saved is None else "go on from it with the same command, --resume"
    return Diverged(f"{fault}; {kept}: {how} and one or more of {', '.join(ways)}")
