"""Differences between the kinds of methods, for checks of both: how small methods and batches are made and called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic

from torch import Tensor, nn

from delineate.methods import registry
from delineate.methods.contract import Batch, Method, Stage
from delineate.methods.episodic import EpisodicBatch
from delineate.methods.testing.episodic_examples import example_episodes, segment, tiny_episodic
from delineate.methods.testing.examples import SIZE, AnyBatch, example_batch, tiny

__all__ = ["DenseExamples", "EpisodicExamples", "Examples", "OverfitCase", "examples_of"]


@dataclass(frozen=True)
class OverfitCase:
    """A batch that every method must overfit."""

    what: str
    count: int
    variant: int
    dice: float
    """To be exceeded."""


class Examples(ABC, Generic[AnyBatch]):
    """A kind's methods and batches. A `variant` is the number in which they differ: of classes, or of shots."""

    variants: ClassVar[tuple[int, int]]
    """One, and several."""
    usual: ClassVar[int]
    """The variant of promises that are checked on one alone."""
    overfit_cases: ClassVar[tuple[OverfitCase, ...]]

    @abstractmethod
    def method(self, name: str, variant: int, in_channels: int = 3) -> Method:
        """The method with its `tiny` options and seeded random weights."""

    @abstractmethod
    def batch(self, count: int, variant: int, in_channels: int = 3, size: tuple[int, int] = (SIZE, SIZE)) -> AnyBatch:
        """What an objective is given."""

    @abstractmethod
    def logits(self, module: nn.Module, batch: AnyBatch, stage: Stage | None = None) -> Tensor:
        """The logits of a method, or of its deployed form; with `stage`, by the function that validates this stage."""


class DenseExamples(Examples[Batch]):
    """Images that are segmented alone, into 1 class or 4."""

    variants = (1, 4)
    usual = 1
    overfit_cases = tuple(OverfitCase(f"two images with {classes} outputs", 2, classes, 0.95) for classes in variants)

    def method(self, name: str, variant: int, in_channels: int = 3) -> Method:
        return tiny(name, classes=variant, in_channels=in_channels)

    def batch(self, count: int, variant: int, in_channels: int = 3, size: tuple[int, int] = (SIZE, SIZE)) -> Batch:
        return example_batch(count, classes=variant, in_channels=in_channels, size=size)

    def logits(self, module: nn.Module, batch: Batch, stage: Stage | None = None) -> Tensor:
        return (module if stage is None else getattr(module, stage.logits))(batch["image"])


class EpisodicExamples(Examples[EpisodicBatch]):
    """Episodes of one class, shown by 1 shot or 3. It is the support alone that tells the class."""

    variants = (1, 3)
    usual = 2
    overfit_cases = (OverfitCase("four episodes", 4, 1, 0.9),)

    def method(self, name: str, variant: int, in_channels: int = 3) -> Method:
        return tiny_episodic(name, in_channels=in_channels)

    def batch(
        self, count: int, variant: int, in_channels: int = 3, size: tuple[int, int] = (SIZE, SIZE)
    ) -> EpisodicBatch:
        return example_episodes(count, shots=variant, in_channels=in_channels, size=size)

    def logits(self, module: Any, batch: EpisodicBatch, stage: Stage | None = None) -> Tensor:
        return segment(module, batch, stage)


_BY_KIND: dict[str, Examples[Any]] = {"dense": DenseExamples(), "episodic": EpisodicExamples()}


def examples_of(name: str) -> Examples[Any]:
    """The examples for the kind of the method registered as `name`."""
    return _BY_KIND[registry.method_class(name).kind]
