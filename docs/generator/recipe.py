"""The recipe: every section with its keys, and what a benchmark lays on all of them."""

from __future__ import annotations

import inspect

from pydantic import BaseModel

from delineate.data.augment.settings import AugmentSettings
from delineate.engine.recipe import Recipe, StageOverride, StageSettings
from delineate.studies.setup import COMMON_AUGMENT
from generator.settings import settings_of, settings_table
from generator.tables import plain, table


def recipe() -> str:
    """A heading and a table for each section, in the order in which a saved recipe has them."""
    sections = {
        name: field.annotation
        for name, field in Recipe.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    text = "".join(
        f"## `{name}`\n\n{_words(model)}{settings_table(model, f'{name}.')}\n" for name, model in sections.items()
    )
    return text + _stages()


def benchmark() -> str:
    """The augmentation that all methods of a benchmark share."""
    unlike = [one for one in settings_of(AugmentSettings) if plain(COMMON_AUGMENT[one.key]) != one.default]
    return table(["Key", "Value"], [[f"`augment.{one.key}`", f"`{plain(COMMON_AUGMENT[one.key])}`"] for one in unlike])


def _stages() -> str:
    """What a stage may have of its own. Its defaults are the run's, so that the table would repeat `engine`."""
    share = StageOverride.model_fields["share"].description
    own = [["`stages.NAME.share`", str(share)]]
    own += [[f"`stages.NAME.{key}`", f"in place of `engine.{key}`"] for key in StageSettings.model_fields]
    own += [
        ["`stages.NAME.augment.KEY`", "in place of `augment.KEY`"],
        ["`stages.NAME.strategy.KEY`", "in place of `strategy.KEY`"],
    ]
    return f"## `stages`\n\n{_words(StageOverride)}{table(['Key', ''], own)}\n"


def _words(model: type[BaseModel]) -> str:
    """What the class says of itself first."""
    first, _, _ = inspect.cleandoc(model.__dict__.get("__doc__") or "").partition("\n\n")
    return f"{' '.join(first.split())}\n\n" if first else ""
