"""Which methods there are, as a table: declared facts, stages, and parameters counted without allocating them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from delineate.methods import registry
from delineate.methods.contract import Method
from delineate.nn.meta_device import on_meta_device


@dataclass(frozen=True)
class MethodRow:
    """One method."""

    name: str
    title: str
    paper: str
    """Citation."""
    year: int
    kind: str
    """"dense": segments an image by itself; "episodic": segments as a few annotated images show (few-shot)."""
    uses_unlabeled: bool
    """Whether it learns from images without masks."""
    stages: tuple[str, ...]
    """Names of the phases of training with the first preset's options."""
    presets: tuple[str, ...]
    parameters: dict[str, int]
    """Preset → trainable numbers of the network for RGB images and one foreground class."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def list_methods(left_out: Callable[[str], object] = lambda _: None) -> list[MethodRow]:
    """All methods, built-in and registered by other packages, by name.

    One of another package that cannot be imported or has no recipe is left out, and `left_out` is told why.
    """
    return sorted(registry.METHODS.usable(_row, left_out), key=attrgetter("name"))


def _row(name: str) -> MethodRow:
    cls = registry.method_class(name)
    info = cls.info
    presets = registry.presets(name)
    built = {preset: _skeleton(name, recipe) for preset, recipe in presets.items()}
    first = next(iter(built.values()))
    return MethodRow(
        name=name,
        title=info.title,
        paper=info.paper,
        year=info.year,
        kind=cls.kind,
        uses_unlabeled=info.uses_unlabeled,
        stages=tuple(stage.name for stage in first.stages()),
        presets=tuple(presets),
        parameters={preset: _count(method) for preset, method in built.items()},
    )


def _skeleton(name: str, recipe: Mapping[str, Any]) -> Method:
    """The method as a preset makes it, without memory for its weights."""
    with on_meta_device():
        return registry.build(name, options=recipe.get("method"))


def _count(method: Method) -> int:
    return sum(parameter.numel() for parameter in method.parameters())
