"""What a run says at the start of a stage: of parts that learn slower than the rest, later, or not at all; of averages that lag."""

from __future__ import annotations

from collections.abc import Iterator

from delineate.data.core.findings import count
from delineate.engine.freezing import frozen_steps
from delineate.engine.parameter_groups import rate_factors
from delineate.engine.recipe import StageSettings
from delineate.engine.submodules import is_within
from delineate.methods.contract import Method
from delineate.nn.frozen_batchnorm import batchnorms

__all__ = ["averaging_note", "tuning_notes"]


def tuning_notes(method: Method, settings: StageSettings, total: int) -> Iterator[str]:
    """Lines about rates, frozen weights and frozen statistics; none where all learns alike."""
    rates = {name: settings.lr * factor for name, factor in rate_factors(method, settings).items()}
    named = list(dict.fromkeys([*settings.lr_scale, *settings.layer_decay]))
    if named:
        parts = [_rates_of(module, rates) for module in named]
        rest = {rate for name, rate in rates.items() if not any(is_within(name, module) for module in named)}
        yield f"learning rates: {', '.join(parts)}{f', the rest {settings.lr:.3g}' if rest else ''}"
    for module, frozen_for in settings.freeze.items():
        steps = frozen_steps(frozen_for, total)
        if steps == total:
            yield f"frozen: {module}, for all {count(total, 'step')} of the stage"
        elif steps:
            yield f"frozen: {module}, for the first {steps} of {count(total, 'step')}"
        elif frozen_for:
            yield f"not frozen: {module}, since a share of {frozen_for} of {count(total, 'step')} rounds to none"
    for module in settings.freeze_batchnorm:
        layers = sum(1 for _ in batchnorms(method.get_submodule(module)))
        what = (
            f"{count(layers, 'layer')} of {module} keep their statistics" if layers else f"{module} has no such layer"
        )
        yield f"BatchNorm: {what}"


def averaging_note(decay: float, total: int) -> str | None:
    """Whether averaged weights reach back over more than half of a stage of `total` steps: then they lag behind what was learned.

    `decay`: at its end.
    """
    reach = round(1 / (1 - decay)) if decay < 1 else total
    if 2 * reach <= total:
        return None
    return (
        f"the averaged weights, which are the model, reach back about {reach} of its {count(total, 'step')}, and lag far behind; "
        "train longer, or let them follow sooner, with strategy.ema_ramp=10 or a lower strategy.ema"
    )


def _rates_of(module: str, rates: dict[str, float]) -> str:
    own = [rate for name, rate in rates.items() if is_within(name, module)]
    if len(set(own)) == 1:
        return f"{module} {own[0]:.3g}"
    return f"{module} {max(own):.3g} to {min(own):.3g} ({len(set(own))} groups)"
