"""Class weights that a recipe leaves to the data: options called `class_weights` that name a rule become numbers, once, from the
masks of the training split. The run's recipe keeps the numbers, `run.json` the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from delineate.common.config import merge
from delineate.common.errors import RecipeError
from delineate.data.core.manifest import IGNORE, ClassTable
from delineate.data.core.samples import Sample
from delineate.engine.recipe import Recipe
from delineate.methods import registry
from delineate.nn.class_weights import Frequency, checked_weights, weights_by_rule
from delineate.nn.output import Output

__all__ = ["frequencies", "rules_of", "settle_class_weights", "weights_like"]

_OPTION = "class_weights"


def settle_class_weights(
    recipe: Recipe, classes: ClassTable, samples: Sequence[Sample], note: Callable[[str], None]
) -> Recipe:
    """The recipe with numbers for each rule; `note` is told them, and of classes that no mask has. Raises `RecipeError` for numbers
    that are not as many as there are classes.

    `samples`: those of training; of their masks only the counts of pixels are used, which are known.
    """
    output = Output.of(classes)
    stated = dict(_stated(registry.checked_options(recipe.name, recipe.method).model_dump()))
    for path, given in stated.items():
        if not isinstance(given, str):
            _check(path, given, output)
    rules = {path: rule for path, rule in stated.items() if isinstance(rule, str)}
    if not rules:
        return recipe
    names = [classes.names[0], *classes.structures]
    seen = frequencies(output.structures, samples)
    for name, one in zip(names, seen, strict=True):
        if not one.share:
            note(
                f"warning: '{name}' is in no training mask: its weight is that of the rarest one, and it cannot be learned"
            )
    method = recipe.method
    for path, rule in rules.items():
        weights = weights_by_rule(rule, seen)
        said = ", ".join(f"{name} {weight:g}" for name, weight in zip(names, weights, strict=True))
        note(f"method.{'.'.join(path)}: {rule} of the training masks: {said}")
        method = merge(method, _nested(path, list(weights)))
    return recipe.model_copy(update={"method": method})


def frequencies(structures: Sequence[tuple[int, ...]], samples: Sequence[Sample]) -> list[Frequency]:
    """How often is seen what lies outside of all structures (sets of class indices), then each of these; over the labeled samples
    that have a valid pixel."""
    shares = [_shares(structures, one) for one in samples if one.labeled]
    columns = list(zip(*(row for row in shares if row is not None), strict=True)) or [()] * (len(structures) + 1)
    found = []
    for column in columns:
        present = [share for share in column if share > 0]
        found.append(Frequency(_mean(column), _mean(present)))
    return found


def rules_of(recipe: Recipe) -> dict[str, str]:
    """Dotted key → the rule that it names."""
    found = _stated(recipe.method)
    return {f"method.{'.'.join(path)}": value for path, value in found if isinstance(value, str)}


def weights_like(recipe: Recipe, saved: Recipe, known: Mapping[str, str]) -> Recipe:
    """The recipe with the numbers of `saved` in the place of the rules that these were made by (`known`: key → rule)."""
    numbers = dict(_stated(saved.method))
    method = recipe.method
    for path, rule in _stated(recipe.method):
        if isinstance(rule, str) and known.get(f"method.{'.'.join(path)}") == rule and path in numbers:
            method = merge(method, _nested(path, numbers[path]))
    return recipe.model_copy(update={"method": method})


def _stated(options: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of each option of that name, also within groups of options."""
    for key, value in options.items():
        if key == _OPTION and value is not None:
            yield (*path, key), value
        elif isinstance(value, Mapping):
            yield from _stated(value, (*path, key))


def _check(path: tuple[str, ...], given: Any, output: Output) -> None:
    try:
        checked_weights(given, output.channels, regions=bool(output.regions))
    except RecipeError as error:
        raise RecipeError(f"method.{'.'.join((*path[:-1], ''))}{error}") from error


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def _shares(structures: Sequence[tuple[int, ...]], sample: Sample) -> tuple[float, ...] | None:
    """Shares of a sample's valid pixels: outside, then of each structure; None without any."""
    height, width = sample.size
    valid = height * width - sample.pixels.get(IGNORE, 0)
    if valid <= 0:
        return None
    marked = sum(number for label, number in sample.pixels.items() if label != IGNORE)
    inside = (sum(sample.pixels.get(label, 0) for label in labels) for labels in structures)
    return max(0.0, 1 - marked / valid), *(min(1.0, number / valid) for number in inside)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
