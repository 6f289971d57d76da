"""Starting a method from another model's weights: what fits by name and shape is copied, the rest is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from delineate.artefact.format import Artefact
from delineate.common.errors import ArtefactError
from delineate.data.core.manifest import ClassTable
from delineate.methods.contract import Method
from delineate.nn.meta_device import on_meta_device

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
    other_meaning: tuple[str, ...] = ()
    """Weights of the outputs, which are classes in one and regions in the other: left at random."""
    renamed: str = ""
    """What the outputs mean there and here, in words, where the weights of the outputs were taken over all the same."""

    def lines(self) -> list[str]:
        """One line per kind, for the log: how many tensors, by name group."""
        kinds = {
            "taken over": self.taken,
            "not taken over, shape differs": self.misshapen,
            "not taken over, classes there and regions here, or the other way round": self.other_meaning,
            "not taken over, absent from the source": self.missing,
            "unused in the source": self.unused,
        }
        said = [f"{kind}: {_groups(names)}" for kind, names in kinds.items() if names]
        return [*said, *([self.renamed] if self.renamed else [])]


def inherit(method: Method, source: Artefact, classes: ClassTable | None = None) -> Inheritance:
    """Copy into `method` every parameter and buffer of `source` that matches by name and shape, but for those of outputs that
    mean something else: a class of a softmax is not a region with a sigmoid.

    `classes`: those that `method` will learn, to tell of outputs that are called otherwise.

    Raises `ArtefactError` when no parameter fits (`method` is then unchanged).
    """
    own = method.state_dict()
    given = source.method.state_dict()
    fitting = [name for name, value in own.items() if name in given and given[name].shape == value.shape]
    same_kind = method.output.independent == source.method.output.independent
    apart = set() if same_kind else _of_outputs(method)
    taken = tuple(name for name in fitting if name not in apart)
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
        misshapen=tuple(name for name in own if name in given and name not in fitting),
        missing=tuple(name for name in own if name not in given),
        unused=tuple(name for name in given if name not in own),
        other_meaning=tuple(name for name in fitting if name in apart),
        renamed=_renamed(source, classes, method) if same_kind and classes is not None else "",
    )


def _of_outputs(method: Method) -> set[str]:
    """Parameters and buffers whose shape follows from the number of outputs."""
    with on_meta_device():
        other = type(method)(method.options, classes=method.classes + 1, in_channels=method.in_channels)
    shapes = {name: value.shape for name, value in other.state_dict().items()}
    return {name for name, value in method.state_dict().items() if shapes.get(name) != value.shape}


def _renamed(source: Artefact, classes: ClassTable, method: Method) -> str:
    """Several outputs of equal number may be other classes, or the same in another order."""
    there, here = source.classes.channels, classes.channels
    if not 1 < method.classes == source.method.classes or there == here:
        return ""
    return (
        f"WARNING: its outputs are {', '.join(there)}, and here they are {', '.join(here)}: each begins with the weights of the "
        "one in the same place"
    )


def _groups(names: Iterable[str]) -> str:
    counts = Counter(name.partition(".")[0] for name in names)
    return ", ".join(f"{group} ({count})" for group, count in counts.items())
