"""The engine's request from the options that a user gives, for tests that call the engine itself."""

from __future__ import annotations

from typing import Any

from delineate.common.config import merge
from delineate.engine.request import TrainRequest
from delineate.requests.option import fields_of, recipe_sections
from delineate.requests.train import TrainOptions

SHORT = {field.name for field in fields_of(TrainOptions) if field.option.recipe}


def train_request(**given: Any) -> TrainRequest:
    """`steps=8` and the like become recipe sections; all else is the request's own."""
    options = merge(recipe_sections(TrainOptions, given), given.pop("options", {}))
    return TrainRequest(**{name: value for name, value in given.items() if name not in SHORT}, options=options)
