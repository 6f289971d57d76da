"""Parts of a batch, by sample."""

from __future__ import annotations

from itertools import compress
from typing import Any, TypeVar, cast

from torch import Tensor

from delineate.methods.contract import Batch

AnyBatch = TypeVar("AnyBatch", bound=Batch)


def select_samples(batch: AnyBatch, chosen: Tensor) -> AnyBatch | None:
    """The samples where `chosen` (bool B) is true, in order: the batch itself where all are, None where none is.

    Costs a synchronization: how many samples there are is not known before.
    """
    wanted = chosen.tolist()
    if all(wanted):
        return batch
    if not any(wanted):
        return None

    def part(value: Any) -> Any:
        return value[chosen] if isinstance(value, Tensor) else list(compress(value, wanted))

    return cast(AnyBatch, {name: part(value) for name, value in batch.items()})
