"""Checks of what every method declares: facts, presets, card, options."""

from __future__ import annotations

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.testing.examples import tiny, updates

__all__ = ["CARD_HEADINGS", "DECLARED", "card", "facts", "presets", "unknown_option"]

CARD_HEADINGS = ("## Facts", "## Readings", "## Results")


def facts(name: str) -> None:
    """The declared facts agree with each other and with the network."""
    method = tiny(name)
    info, stages = method.info, method.stages()
    assert info.name == name, f"registered as '{name}' but info.name is '{info.name}'"
    assert info.title, "info.title is empty"
    assert info.paper, "info.paper is empty: cite the origin"
    assert info.min_size % info.divisor == 0, "the smallest size must be a multiple of the divisor"
    assert len({stage.name for stage in stages}) == len(stages), "two stages of one name"
    assert abs(sum(stage.share for stage in stages) - 1) < 1e-9, "the stages' shares must sum to 1"
    names = {parameter for parameter, _ in method.named_parameters()} | {module for module, _ in method.named_modules()}
    for stage, update, _ in updates(method):
        assert callable(getattr(method, stage.logits, None)), (
            f"stage '{stage.name}': no function is called '{stage.logits}'"
        )
        for prefix in update.modules:
            assert prefix in names, f"stage '{stage.name}': no module or parameter is called '{prefix}'"
    for part in info.checkpoint_modules:
        method.get_submodule(part)
    for option, field in method.Options.model_fields.items():
        assert field.description, f"option '{option}' has no description"


def presets(name: str) -> None:
    """`paper` and `tiny` exist and their options are valid."""
    known = registry.presets(name)
    assert {"paper", "tiny"} <= known.keys(), f"presets: {sorted(known)}"
    for content in known.values():
        registry.method_class(name).Options.model_validate(content.get("method", {}))


def card(name: str) -> None:
    """The card has its headings."""
    lines = registry.card(name).splitlines()
    missing = [heading for heading in CARD_HEADINGS if heading not in lines]
    assert not missing, f"card.md lacks {missing}"


def unknown_option(name: str) -> None:
    """A misspelled option is an error that names the nearest."""
    for option in registry.method_class(name).Options.model_fields:
        message = ""
        try:
            registry.build(name, options={option + "x": 1})
        except RecipeError as error:
            message = str(error)
        assert f"'{option}'" in message, (
            f"the error for option '{option}x' does not name '{option}': {message or 'none'}"
        )


DECLARED = (facts, presets, card, unknown_option)
