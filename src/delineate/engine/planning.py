"""Planning from the data: once, before the first step, a method chooses what neither preset nor user states.

The choice is laid beneath preset, flags and settings, is part of the run's resolved recipe, and is written for the reader
(`plan.md`) and for resuming (`plan.json`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from delineate.common.config import merge
from delineate.common.errors import RecipeError, TrainingError
from delineate.common.files import read_json, write_json, write_text
from delineate.data.cases.census import Census
from delineate.data.core.manifest import Manifest
from delineate.data.doctor.fingerprint import Fingerprint, take_fingerprint
from delineate.engine.earlier_recipes import in_todays_spelling
from delineate.engine.input_settings import settle_input
from delineate.engine.memory import GIB, training_bytes
from delineate.engine.optimizers import OPTIMIZERS
from delineate.engine.recipe import PlanSection, Recipe
from delineate.engine.request import TrainRequest
from delineate.engine.run_folder import RunFolder
from delineate.methods import registry
from delineate.methods.contract import Budget, Decision, Method
from delineate.nn.counting import count_cost
from delineate.nn.meta_device import on_meta_device

__all__ = ["DataPlan", "plan_from_data", "planned_sections"]


@dataclass(frozen=True)
class DataPlan:
    """What was seen, what was decided and why."""

    method: str
    fingerprint: Fingerprint
    limits: PlanSection
    stated: Mapping[str, Any]
    """The recipe's sections as preset and user state them: they hold."""
    decisions: tuple[Decision, ...]

    @property
    def sections(self) -> dict[str, Any]:
        """The decisions as recipe sections."""
        result: dict[str, Any] = {}
        for decision in self.decisions:
            nested: Any = decision.value
            for key in reversed(decision.key.split(".")):
                nested = {key: nested}
            result = merge(result, nested)
        return result

    def summary(self) -> str:
        """One line for the console."""
        decided = ", ".join(f"{d.key.rpartition('.')[2]} {_shown(d.value)}" for d in self.decisions)
        return f"planned from the data (plan.md says why): {decided}"

    def save(self, folder: RunFolder) -> None:
        """Write `plan.json` and `plan.md`."""
        content = {
            "method": self.method,
            "fingerprint": self.fingerprint.to_json(),
            "limits": self.limits.model_dump(mode="json"),
            "stated": self.stated,
            "decisions": [asdict(decision) for decision in self.decisions],
            "recipe": self.sections,
        }
        write_json(folder.path / "plan.json", content)
        write_text(folder.path / "plan.md", self.to_markdown())

    def to_markdown(self) -> str:
        """For the reader."""
        seen = "\n".join(f"| {key} | {_shown(value)} |" for key, value in self.fingerprint.to_json().items())
        decided = "\n".join(f"| `{d.key}` | {_shown(d.value)} | {d.why} |" for d in self.decisions)
        flops = f"{self.limits.gflops:g} GFLOP an image" if self.limits.gflops else "no limit on arithmetic"
        return (
            f"# Plan of {self.method}\n\n"
            f"Made from the training images, within {self.limits.memory_gib:g} GiB a step, {flops}, at most "
            f"{self.limits.longest_side} pixels a side. What preset and user state was not planned.\n\n"
            f"## Decided\n| setting | value | why |\n|---|---|---|\n{decided}\n\n"
            f"## Seen\n| of the training images | |\n|---|---|\n{seen}\n"
        )


def plan_from_data(
    request: TrainRequest, recipe: Recipe, manifest: Manifest, census: Census
) -> tuple[Recipe, DataPlan]:
    """The recipe with the method's decisions laid beneath what `request` states, and the plan.

    Raises `RecipeError` when the method does not plan or nothing fits the limits.
    """
    method = registry.method_class(recipe.name)
    if recipe.input.spacing is not None:
        raise RecipeError(
            "input.spacing: sizes are planned for images as they are; leave it out, or set plan.from_data=false and --size"
        )
    # Channels and intensity rule do not depend on the sizes, which are still open.
    whole = recipe.input.model_copy(update={"fit": "stretch", "scale": 1.0})
    _, spec = settle_input(recipe.model_copy(update={"input": whole}), census)
    fingerprint = take_fingerprint(manifest, census, spec, max_pixels=request.max_pixels)
    outputs = manifest.classes.outputs
    stated = request.stated()
    decisions = method.plan(fingerprint, _budget(recipe, outputs, spec.in_channels), stated)
    if not decisions:
        raise RecipeError(f"plan.from_data: method '{recipe.name}' does not plan from the data; leave it false")
    plan = DataPlan(recipe.name, fingerprint, recipe.plan, stated, tuple(decisions))
    return request.recipe(plan.sections), plan


def planned_sections(folder: RunFolder) -> dict[str, Any]:
    """The decisions of the run in `folder`, as recipe sections; empty when it was not planned."""
    path = folder.path / "plan.json"
    if not path.exists():
        return {}
    try:
        content = read_json(path)
        return in_todays_spelling(content["recipe"], registry.option_names(str(content.get("method"))))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"cannot read the run's plan {path}: {error}") from error


def _budget(recipe: Recipe, classes: int, in_channels: int) -> Budget:
    def build(options: Mapping[str, Any]) -> Method:
        return registry.build(recipe.name, classes=classes, in_channels=in_channels, options=options)

    def bytes_of(options: Mapping[str, Any], batch: int, size: tuple[int, int]) -> int:
        moments = OPTIMIZERS[recipe.engine.optimizer].state_tensors
        return training_bytes(lambda: build(options), batch, size, moments=moments)

    def flops_of(options: Mapping[str, Any], size: tuple[int, int]) -> float:
        with on_meta_device():
            method = build(options)
        return float(count_cost(method, in_channels=in_channels, size=size).flops)

    limits = recipe.plan
    flops = limits.gflops * 1e9 if limits.gflops else None
    return Budget(round(limits.memory_gib * GIB), flops, limits.longest_side, bytes_of, flops_of)


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_shown(each) for each in value)
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_shown(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
