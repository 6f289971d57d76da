"""Plain supervised training: the method's own objective on what it learns from."""

from __future__ import annotations

from delineate.strategies.contract import Strategy, StrategyInfo, StrategyOptions

__all__ = ["Supervised"]


class Supervised(Strategy):
    """The base class as it is."""

    info = StrategyInfo(
        name="supervised",
        title="Supervised",
        paper="none: the method's own objective, on images with masks",
        year=2026,
        kinds=("dense", "episodic"),
    )
    Options = StrategyOptions
