"""Batches with a fixed number of samples with and without masks, from two endless streams of epochs.

Like everything in the loader, this is a pure function of the position in the stream, so a resumed run gets the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from delineate.common.errors import DataError
from delineate.data.cache.cache import Cache

__all__ = ["Kind", "Mixture"]


class Kind(Enum):
    """A row of samples; the value separates its random numbers from those of the other streams of a loader."""

    LABELED = 3
    UNLABELED = 4


@dataclass(frozen=True)
class Mixture:
    """Which samples there are of each kind, and how many of a batch have masks."""

    members: Mapping[Kind, tuple[int, ...]]
    """Cache indices."""
    batch_size: int
    labeled: int

    @classmethod
    def of(cls, cache: Cache, batch_size: int, share: float) -> Mixture | None:
        """At least `share` of a batch has masks; None where all samples are of one kind.

        Raises `DataError` for a batch without room for both.
        """
        members = {
            kind: tuple(at for at in range(len(cache)) if cache.labeled(at) is (kind is Kind.LABELED)) for kind in Kind
        }
        if not all(members.values()):
            return None
        labeled = math.ceil(share * batch_size - 1e-9)
        if labeled >= batch_size:
            raise DataError(
                f"data.labeled_share {share:g} leaves no place in a batch of {batch_size} for images without masks; lower it or "
                "raise the batch size"
            )
        return cls(members, batch_size, labeled)

    def locate(self, position: int) -> tuple[Kind, int]:
        """A position of the stream of batches → the row that fills it, and the position there; spread evenly over a batch."""
        step, place = divmod(position, self.batch_size)
        before, after = (at * self.labeled // self.batch_size for at in (place, place + 1))
        if after > before:
            return Kind.LABELED, step * self.labeled + before
        return Kind.UNLABELED, step * (self.batch_size - self.labeled) + place - before
