"""Parts of a method that do not learn: for the first steps of a stage or for all of it, or only their batch statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from delineate.common.errors import RecipeError
from delineate.engine.submodules import is_within, nearest_setting
from delineate.methods.contract import Method, Stage
from delineate.nn.frozen_batchnorm import freeze_statistics, release_statistics

__all__ = [
    "FrozenFor",
    "apply_frozen_statistics",
    "check_something_learns",
    "first_steps",
    "frozen_always",
    "frozen_steps",
]


def _checked(value: Any) -> Any:
    is_steps = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    is_share = isinstance(value, float) and 0 < value < 1
    if value == "stage" or is_steps or is_share:
        return value
    raise ValueError("say for how long: a number of steps (200), a share of the stage's steps (0.1), or stage")


FrozenFor = Annotated[int | float | Literal["stage"], BeforeValidator(_checked)]
"""Steps of the stage, a share of them below 1, or "stage" for all of it; 0: not at all."""


def first_steps(method: Method, freeze: dict[str, FrozenFor], total: int) -> dict[str, int]:
    """Parameter of the method that is frozen → the step of the stage, of `total`, at which it begins to learn."""
    found = {}
    for name, _ in method.named_parameters():
        setting = nearest_setting(name, freeze)
        if setting is not None and (steps := frozen_steps(setting[1], total)):
            found[name] = steps
    return found


def frozen_always(method: Method, freezes: Sequence[dict[str, FrozenFor]]) -> set[str]:
    """Parameters that are frozen in each of the stages from its beginning to its end."""
    found = {name for name, _ in method.named_parameters()}
    for freeze in freezes:
        setting = {name: nearest_setting(name, freeze) for name in found}
        found = {name for name, own in setting.items() if own is not None and own[1] == "stage"}
    return found


def check_something_learns(method: Method, stage: Stage, freeze: dict[str, FrozenFor], total: int, key: str) -> None:
    """Raise `RecipeError` where an update of the stage would have nothing to move in its first step; `key`: the setting."""
    frozen = first_steps(method, freeze, total)
    for update in stage.updates:
        moved = [
            name for name, _ in method.named_parameters() if any(not m or is_within(name, m) for m in update.modules)
        ]
        if moved and frozen.keys() >= set(moved):
            raise RecipeError(
                f"{key}: {', '.join(freeze)} is all that stage '{stage.name}' trains (update '{update.name}'), so that nothing "
                "would learn; freeze less"
            )


def apply_frozen_statistics(method: Method, modules: Sequence[str]) -> None:
    """BatchNorm layers of these submodules keep their statistics from here on, those of no others."""
    release_statistics(method)
    for module in modules:
        freeze_statistics(method.get_submodule(module))


def frozen_steps(frozen_for: FrozenFor, total: int) -> int:
    """How many of the `total` steps of a stage that means, from the first on."""
    if frozen_for == "stage":
        return total
    assert not isinstance(frozen_for, str)
    return min(total, round(frozen_for * total)) if isinstance(frozen_for, float) else min(total, frozen_for)
