"""Starting a method from another model's weights: what fits by name and shape is copied, the rest is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from delineate.artefact.format import Artefact
from delineate.common.errors import ArtefactError
from delineate.methods.contract import Method

__all__ = ["Inheritance", "inherit"]


@dataclass(frozen=True)
class Inheritance:
    """Names of parameters and buffers, sorted by what became of them."""

    taken: tuple[str, ...]
    misshapen: tuple[str, ...]
    """In both, with different shapes: left at random."""
    missing: tuple[str, ...]
    """In the new method only: left at random."""
    unused: tuple[str, ...]
    """In the source only."""

    def lines(self) -> list[str]:
        """One line per kind, for the log: how many tensors, by name group."""
        kinds = {
            "taken over": self.taken,
            "not taken over, shape differs": self.misshapen,
            "not taken over, absent from the source": self.missing,
            "unused in the source": self.unused,
        }
        return [f"{kind}: {_groups(names)}" for kind, names in kinds.items() if names]


def inherit(method: Method, source: Artefact) -> Inheritance:
    """Copy into `method` every parameter and buffer of `source` that matches by name and shape.

    Raises `ArtefactError` when no parameter fits (`method` is then unchanged).
    """
    own = method.state_dict()
    given = source.method.state_dict()
    taken = tuple(name for name, value in own.items() if name in given and given[name].shape == value.shape)
    if not {name for name, _ in method.named_parameters()} & set(taken):
        raise ArtefactError(
            f"nothing of the given model fits: it is '{source.method.info.name}', the new one '{method.info.name}', and "
            f"they share no parameter of equal name and shape; choose a model of the same method and encoder"
        )
    with torch.no_grad():
        for name in taken:
            own[name].copy_(given[name])
    return Inheritance(
        taken=taken,
        misshapen=tuple(name for name in own if name in given and name not in taken),
        missing=tuple(name for name in own if name not in given),
        unused=tuple(name for name in given if name not in own),
    )


def _groups(names: Iterable[str]) -> str:
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{group} ({count})" for group, count in counts.items())
