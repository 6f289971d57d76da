"""Which strategies there are, as a table of declared facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from delineate.strategies import registry


@dataclass(frozen=True)
class StrategyRow:
    """One strategy."""

    name: str
    title: str
    paper: str
    """Citation."""
    year: int
    uses_unlabeled: bool
    """Whether it learns from images without masks."""
    kinds: tuple[str, ...]
    """Of methods that it can train."""
    needs_encode_decode: bool
    """Whether it needs methods with `encode` and `decode`."""
    options: dict[str, Any]
    """Option → default."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def list_strategies(left_out: Callable[[str], object] = lambda _: None) -> list[StrategyRow]:
    """All strategies, built-in and registered by other packages, by name.

    One of another package that cannot be imported is left out, and `left_out` is told why.
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
        options=cls.Options().model_dump(mode="json"),
    )
