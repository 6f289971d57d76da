"""Checks of what every strategy declares: facts, card, options, and what it needs of a method."""

from __future__ import annotations

from collections.abc import Callable

from delineate.common.errors import RecipeError
from delineate.methods.contract import Method, MethodOptions
from delineate.methods.testing.declared import CARD_HEADINGS
from delineate.strategies import registry
from delineate.strategies.contract import StrategyOptions
from delineate.strategies.testing.examples import Closed, Episodic, batch, method, place

__all__ = ["DECLARED", "card", "facts", "needs", "unknown_option"]


def facts(name: str) -> None:
    """The declared facts agree with each other, and every option is described."""
    cls = registry.strategy_class(name)
    info = cls.info
    assert info.name == name, f"registered as '{name}' but info.name is '{info.name}'"
    assert info.title
    assert info.paper
    assert info.kinds, "it trains no kind of method"
    assert issubclass(cls.Options, StrategyOptions), "Options must derive from StrategyOptions"
    registry.checked_options(name, info.neutral)
    registry.checked_options(info.reference, info.reference_options)
    assert isinstance(registry.recipe_sections(name), dict)
    for option, field in cls.Options.model_fields.items():
        assert field.description, f"option '{option}' has no description"


def card(name: str) -> None:
    """The card has its headings."""
    lines = registry.card(name).splitlines()
    missing = [heading for heading in CARD_HEADINGS if heading not in lines]
    assert not missing, f"card.md lacks {missing}"


def unknown_option(name: str) -> None:
    """A misspelled option is an error that names the nearest."""
    for option in registry.strategy_class(name).Options.model_fields:
        message = _refusal(lambda option=option: registry.checked_options(name, {option + "x": 1}))  # type: ignore[misc]
        assert f"'{option}'" in message, (
            f"the error for option '{option}x' does not name '{option}': {message or 'none'}"
        )


def needs(name: str) -> None:
    """A method that lacks what the strategy declares to need is refused in one line; what it does not declare it does not need."""
    info = registry.strategy_class(name).info
    if "dense" in info.kinds:
        closed = method(Closed)
        if info.needs_encode_decode:
            _refused(name, closed, "a method without `encode` and `decode`")
        else:
            _train_once(name, closed)
    if "episodic" not in info.kinds:
        _refused(name, Episodic(MethodOptions(), classes=1, in_channels=3), "a few-shot method")


def _train_once(name: str, held: Method) -> None:
    strategy = registry.build(name, held)
    strategy.begin(held.stages()[0], strategy.options)
    for update in strategy.updates(strategy.stage):
        place(strategy, update)
        try:
            strategy.train()(batch())
        except (NotImplementedError, AttributeError) as error:
            raise AssertionError(f"it needs more of a method than it declares: {error}") from error


def _refused(name: str, held: Method, what: str) -> None:
    message = _refusal(lambda: registry.build(name, held))
    assert message, f"{what} must be refused with a RecipeError"
    assert "\n" not in message
    assert name in message


def _refusal(call: Callable[[], object]) -> str:
    """The line of the `RecipeError` that a call ends with; empty where it ends well."""
    try:
        call()
    except RecipeError as error:
        return str(error)
    return ""


DECLARED = (facts, card, unknown_option, needs)
