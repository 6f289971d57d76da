"""Means of the training terms between two validations."""

from __future__ import annotations

from collections import defaultdict

from lightning.fabric import Fabric
from torch import Tensor

from delineate.engine.distributed import gather_objects

__all__ = ["LossMeter"]


class LossMeter:
    """Each term added up over the steps since the last validation. What it holds is part of a checkpoint."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.steps = 0

    def add(self, terms: dict[str, Tensor], weight: float) -> None:
        """Add a part of a batch's terms; one synchronization for each."""
        for name, term in terms.items():
            self.sums[name] += float(term.detach()) * weight

    def means(self, fabric: Fabric) -> dict[str, float]:
        """Mean of each term over steps and processes, and their total; starts the sums anew."""
        everywhere = gather_objects(fabric, dict(self.sums))
        names = dict.fromkeys(name for sums in everywhere for name in sums)  # a process may have met no term of a kind
        count = len(everywhere) * max(1, self.steps)
        means = {name: sum(sums.get(name, 0.0) for sums in everywhere) / count for name in names}
        self.sums.clear()
        self.steps = 0
        return {"total": sum(means.values()), **means}
