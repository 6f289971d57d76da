"""Who does the steps of a prediction, and when. An executor knows neither images nor files: it hands items from step to step.

`Threads` is what `predict` uses; `Serial` does one thing after another in the calling thread. A pool of processes, or a cluster, is
one more class with the same `run`: it sends parts of the items to workers, each of which runs them with `Serial`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

ItemT = TypeVar("ItemT")
ReadyT = TypeVar("ReadyT")
MadeT = TypeVar("MadeT")
DoneT = TypeVar("DoneT")
TakenT = TypeVar("TakenT", contravariant=True)
GivenT = TypeVar("GivenT", covariant=True)
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Steps(Protocol[TakenT, ReadyT, MadeT, GivenT]):
    """What is done to each item. A fault of one item is part of what a step returns; what a step raises ends the run."""

    @property
    def batch(self) -> int:
        """How many items `compute` takes at a time."""

    def read(self, item: TakenT) -> ReadyT:
        """Get ready for computing. Called from several threads."""

    def compute(self, ready: Sequence[ReadyT]) -> Sequence[MadeT]:
        """At most `batch` items at once, in one thread, that which consumes the results. As many come out as went in."""

    def write(self, made: MadeT) -> GivenT:
        """Bring the result to where it belongs. Called from several threads."""


class Executor(Protocol):
    """Runs the steps over many items."""

    def run(self, items: Iterable[ItemT], steps: Steps[ItemT, ReadyT, MadeT, DoneT]) -> Generator[DoneT, None, None]:
        """Results in the order of the items. Closing the generator stops the run: what is being written is finished, and nothing
        else is begun. Holds a bounded number of items at a time."""


@dataclass(frozen=True)
class Serial:
    """One batch after another, all in the calling thread: for tests, and inside of workers of another executor."""

    def run(self, items: Iterable[ItemT], steps: Steps[ItemT, ReadyT, MadeT, DoneT]) -> Generator[DoneT, None, None]:
        """As `Executor.run`."""
        for batch in _batches((steps.read(item) for item in items), steps.batch):
            yield from (steps.write(made) for made in steps.compute(batch))


@dataclass(frozen=True)
class Threads:
    """Reads ahead and writes behind while the calling thread computes.

    Held at a time: a batch and `workers` items that are read, a batch that is computed, and a batch that is written.
    """

    workers: int = 2
    """Threads that read, and as many that write: computing has the rest of the machine."""

    def run(self, items: Iterable[ItemT], steps: Steps[ItemT, ReadyT, MadeT, DoneT]) -> Generator[DoneT, None, None]:
        """As `Executor.run`."""
        with ThreadPoolExecutor(self.workers) as readers, ThreadPoolExecutor(self.workers) as writers:
            try:
                ready = _ahead(readers, steps.read, items, depth=steps.batch + self.workers)
                pending: deque[Future[DoneT]] = deque()
                for batch in _batches(ready, steps.batch):
                    pending.extend(writers.submit(steps.write, made) for made in steps.compute(batch))
                    while len(pending) > steps.batch:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                readers.shutdown(wait=False, cancel_futures=True)
                writers.shutdown(wait=False, cancel_futures=True)


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
