"""Parts of a batch, by sample."""

from __future__ import annotations

from itertools import compress
from typing import Any, TypeVar, cast

from torch import Tensor

from delineate.methods.contract import Batch

__all__ = ["AnyBatch", "select_samples"]

AnyBatch = TypeVar("AnyBatch", bound=Batch)


def select_samples(batch: AnyBatch, chosen: Tensor) -> AnyBatch | None:
    """Some of the samples of a batch, in order. Costs a GPU synchronization, since the result's length depends on values.

    Args:
        batch: `Batch` or `EpisodicBatch`, B samples.
        chosen: Bool B.

    Returns:
        The batch itself where all are chosen, None where none is.

    Example:
        >>> from delineate.strategies.batches import select_samples
        >>> batch = {
        ...     "image": torch.rand(4, 3, 8, 8),
        ...     "mask": torch.zeros(4, 8, 8, dtype=torch.long),
        ...     "labeled": torch.tensor([True, False, True, False]),
        ...     "sample_id": ["a", "b", "c", "d"],
        ... }
        >>> select_samples(batch, batch["labeled"])["sample_id"]
        ['a', 'c']
    """
    is_chosen = chosen.tolist()
    if all(is_chosen):
        return batch
    if not any(is_chosen):
        return None

    def select(value: Any) -> Any:
        return value[chosen] if isinstance(value, Tensor) else list(compress(value, is_chosen))

    return cast(AnyBatch, {name: select(value) for name, value in batch.items()})
