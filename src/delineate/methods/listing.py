"""Which methods there are, as a table: declared facts, stages, and parameters counted without allocating them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from delineate.methods import registry
from delineate.nn.counting import count_parameters
from delineate.nn.meta_device import on_meta_device

__all__ = ["MethodRow", "list_methods"]


@dataclass(frozen=True)
class MethodRow:
    """One method, as `delineate methods --json` prints it."""

    name: str
    """What `--method` takes."""
    title: str
    """For people."""
    paper: str
    """Citation."""
    year: int
    """Of publication."""
    kind: str
    """"dense": segments an image by itself; "episodic": segments as a few annotated images show (few-shot)."""
    uses_unlabeled: bool
    """Whether it can learn from images without masks."""
    stages: tuple[str, ...]
    """Names of the phases of training, with the first preset's options."""
    presets: tuple[str, ...]
    """What `--preset` takes."""
    parameters: dict[str, int]
    """Name of the preset → parameters of the network that are trained, for RGB images and one foreground class."""

    def to_json(self) -> dict[str, Any]:
        """The row as plain values.

        Returns:
            Name of the field → value.
        """
        return asdict(self)


def list_methods(left_out: Callable[[str], object] = lambda _: None) -> list[MethodRow]:
    """All methods, built-in and of other packages. Their networks are built without memory, to count parameters.

    Args:
        left_out: Called with one line for each method of another package that cannot be imported or has no recipe.

    Returns:
        One row per method, sorted by name.

    Example:
        >>> [row.kind for row in delineate.list_methods() if row.name == "unet"]
        ['dense']
    """
    return sorted(registry.METHODS.usable(_row, left_out), key=attrgetter("name"))


def _row(name: str) -> MethodRow:
    cls = registry.method_class(name)
    info = cls.info
    presets = registry.presets(name)
    with on_meta_device():
        built = {preset: registry.build(name, options=recipe.get("method")) for preset, recipe in presets.items()}
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
        parameters={preset: count_parameters(method) for preset, method in built.items()},
    )
