"""Executors run the steps of a prediction. They know neither images nor files, and pass items from step to step.

`predict` uses `Threads`. `Serial` does one thing after another in the calling thread. A pool of processes, or a cluster, is one
more class with the same `run`: items and steps can be pickled, so it can send both to workers, each of which runs `Serial` on its
share of the items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TypeVar

__all__ = ["Executor", "Serial", "Steps", "Threads"]

_ItemT = TypeVar("_ItemT")
_PartT = TypeVar("_PartT")
_ReadyT = TypeVar("_ReadyT")
_MadeT = TypeVar("_MadeT")
_DoneT = TypeVar("_DoneT")
_TakenT = TypeVar("_TakenT", contravariant=True)
_GivenT = TypeVar("_GivenT", covariant=True)
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Steps(Protocol[_TakenT, _PartT, _ReadyT, _MadeT, _GivenT]):
    """What is done to each item. A fault of one item is part of what a step returns; what a step raises ends the run."""

    @property
    def batch(self) -> int:
        """How many parts `compute` takes at a time."""

    def parts(self, item: _TakenT) -> Iterable[_PartT]:
        """What is computed of an item, at least one part: a picture is one, a volume one for each slice. Called when the parts
        before it are on their way, in the thread that consumes the results."""

    def read(self, part: _PartT) -> _ReadyT:
        """Get ready for computing. Called from several threads."""

    def compute(self, ready: Sequence[_ReadyT]) -> Sequence[_MadeT]:
        """At most `batch` parts at once, in the thread that consumes the results. As many come out as went in."""

    def write(self, made: _MadeT) -> _GivenT | None:
        """Bring the result to where it belongs; the item's result with the last of its parts, else None. Called from several
        threads, in any order."""


class Executor(Protocol):
    """Runs the steps over many items."""

    def run(
        self, items: Iterable[_ItemT], steps: Steps[_ItemT, _PartT, _ReadyT, _MadeT, _DoneT]
    ) -> Generator[_DoneT, None, None]:
        """One result for each item, in their order. Closing the generator stops the run: what is being written is finished, and
        nothing else is begun. Holds a bounded number of parts at a time."""


@dataclass(frozen=True)
class Serial:
    """One batch after another, all in the calling thread: for tests, and inside of workers of another executor."""

    def run(
        self, items: Iterable[_ItemT], steps: Steps[_ItemT, _PartT, _ReadyT, _MadeT, _DoneT]
    ) -> Generator[_DoneT, None, None]:
        """As `Executor.run`."""
        parts = chain.from_iterable(map(steps.parts, items))
        for batch in _batches(map(steps.read, parts), steps.batch):
            for made in steps.compute(batch):
                if (done := steps.write(made)) is not None:
                    yield done


@dataclass(frozen=True)
class Threads:
    """Reads ahead and writes behind while the calling thread computes.

    Held at a time: a batch and `workers` parts that are read, a batch that is computed, and a batch that is written.
    """

    workers: int = 2
    """Threads that read, and as many that write: computing has the rest of the machine."""

    def run(
        self, items: Iterable[_ItemT], steps: Steps[_ItemT, _PartT, _ReadyT, _MadeT, _DoneT]
    ) -> Generator[_DoneT, None, None]:
        """As `Executor.run`."""
        with ThreadPoolExecutor(self.workers) as readers, ThreadPoolExecutor(self.workers) as writers:
            try:
                parts = chain.from_iterable(map(steps.parts, items))
                ready = _ahead(readers, steps.read, parts, depth=steps.batch + self.workers)
                pending: deque[Future[_DoneT | None]] = deque()
                for batch in _batches(ready, steps.batch):
                    pending.extend(writers.submit(steps.write, made) for made in steps.compute(batch))
                    yield from _finished(pending, leave=steps.batch)
                yield from _finished(pending, leave=0)
            finally:
                readers.shutdown(wait=False, cancel_futures=True)
                writers.shutdown(wait=False, cancel_futures=True)


def _finished(pending: deque[Future[_Out | None]], leave: int) -> Iterator[_Out]:
    """The results of what was written, in order, until so many are left. Waits for each."""
    while len(pending) > leave:
        if (done := pending.popleft().result()) is not None:
            yield done


def _ahead(pool: ThreadPoolExecutor, job: Callable[[_In], _Out], items: Iterable[_In], depth: int) -> Iterator[_Out]:
    """The job's results in order, `depth` of them computed ahead of the consumer."""
    pending: deque[Future[_Out]] = deque()
    for item in items:
        pending.append(pool.submit(job, item))
        if len(pending) > depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _batches(items: Iterable[_Out], size: int) -> Iterator[list[_Out]]:
    batch: list[_Out] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
