"""Which strategies there are, as a table of declared facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from delineate.strategies import registry

__all__ = ["StrategyRow", "list_strategies"]


@dataclass(frozen=True)
class StrategyRow:
    """One strategy, as `delineate strategies --json` prints it."""

    name: str
    """What `--strategy` takes."""
    title: str
    """For people."""
    paper: str
    """Citation."""
    year: int
    """Of publication."""
    uses_unlabeled: bool
    """Whether it can learn from images without masks."""
    kinds: tuple[str, ...]
    """Kinds of methods that it can train: "dense" (segment an image by itself), "episodic" (few-shot)."""
    needs_encode_decode: bool
    """Whether it needs methods with `encode` and `decode`."""
    networks: int
    """Networks of the method's size that learn at the same time."""
    step_cost: float
    """Of a training step against a supervised one (`StrategyInfo.step_cost`)."""
    options: dict[str, Any]
    """Name of the option → default."""

    def to_json(self) -> dict[str, Any]:
        """The row as plain values.

        Returns:
            Name of the field → value.
        """
        return asdict(self)


def list_strategies(left_out: Callable[[str], object] = lambda _: None) -> list[StrategyRow]:
    """All strategies, built-in and of other packages.

    Args:
        left_out: Called with one line for each strategy of another package that cannot be imported.

    Returns:
        One row per strategy, sorted by name.
    """
    return sorted(registry.STRATEGIES.usable(_row, left_out), key=attrgetter("name"))


def _row(name: str) -> StrategyRow:
    cls = registry.strategy_class(name)
    info = cls.info
    return StrategyRow(
        name=name,
        title=info.title,
        paper=info.paper,
        year=info.year,
        uses_unlabeled=info.uses_unlabeled,
        kinds=info.kinds,
        needs_encode_decode=info.needs_encode_decode,
        networks=info.networks,
        step_cost=info.step_cost,
        options=cls.Options().model_dump(mode="json"),
    )
