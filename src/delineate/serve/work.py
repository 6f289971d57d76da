"""What a request asks of the engine, and how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from delineate.inference.plan import Item
from delineate.inference.results import FileResult
from delineate.inference.steps import FileSteps, Step

__all__ = ["Opened", "Phases", "Ticket", "Work"]


@dataclass(frozen=True)
class Opened:
    """The plan of a request."""

    items: Sequence[Item]
    steps: FileSteps | None
    """None where nothing is to be predicted: `Work.finish` is all that there is."""
    network: Hashable
    """Parts that are equal in this can be in one batch, if their inputs have one shape."""
    bytes: int = 0
    """That its images need while they are worked on."""


class Work(Protocol):
    """A request. The engine calls each method in a thread of its pool, one after the other."""

    def open(self) -> Opened:
        """Look at what was sent. Raises `Problem` or `DelineateError` for what cannot be done."""

    def finish(self, results: Sequence[FileResult]) -> Any:
        """Make the answer of the results of all items, in their order; the files are there. Raises as `open`."""

    def close(self) -> None:
        """Remove all files. Called once at the end, however it came, when no thread uses them any more."""


@dataclass
class Phases:
    """Seconds that a request spent."""

    queue: float = 0.0
    """Waiting for the network."""
    decode: float = 0.0
    infer: float = 0.0
    """Its share of the batches."""
    encode: float = 0.0


@dataclass(eq=False)
class Ticket:
    """An accepted request. Its fields are the engine's; others read `result`, `phases` and `progress`."""

    model: str
    accepted: float = field(default_factory=time.monotonic)
    result: Future[Any] = field(default_factory=Future)
    """What `Work.finish` returned, or why there is nothing."""
    phases: Phases = field(default_factory=Phases)
    done: float = 0.0
    """Images that are done; of volumes the share of slices."""
    charged: int = 0
    stopped: bool = False
    """Nothing more is begun for it."""

    work: Work | None = None
    opened: Opened | None = None
    parts: Iterator[Any] | None = None
    feeding: bool = False
    """Whether a thread reads parts."""
    exhausted: bool = False
    """Whether all parts were read."""
    flying: int = 0
    """Parts that were read and are not done."""
    settled: bool = False
    results: list[FileResult] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def progress(self) -> float:
        """Share of the images that is done."""
        return 0.0 if self.opened is None else min(1.0, self.done / max(1, len(self.opened.items)))


@dataclass(frozen=True)
class Ready:
    """A part that waits for the network."""

    ticket: Ticket
    step: Step
    since: float
