"""The engine: accepts requests up to a limit, and runs the steps of a prediction on many of them at once.

    admit → charge …          while the body comes in; refused at once where the queue or the memory is full
    run                       open, read and prepare in a bounded pool of threads
    batches                   parts of whatever requests that fit into one batch, on one thread per device
    write, finish, close      in the pool again; the result is in the ticket

The steps are those of `predict` (`inference.steps`): the engine is one more executor for them, which takes requests as they come.
It knows neither HTTP nor a loop of events. A fault of one request is that request's alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any

from delineate.common.errors import DeviceError
from delineate.inference.segment import Failure
from delineate.inference.segmenter import Prepared
from delineate.inference.steps import Step
from delineate.serve.lane import Lane
from delineate.serve.listener import Listener
from delineate.serve.priority import stand_back
from delineate.serve.problems import Problem
from delineate.serve.work import Ready, Ticket, Work

__all__ = ["Engine"]


class Engine:
    """Runs requests. All of its public methods return at once, and can be called from any thread."""

    def __init__(
        self, lanes: Iterable[Lane], *, workers: int = 4, wait: float = 0.005, listener: Listener | None = None
    ) -> None:
        """
        Args:
            lanes: One for each model.
            workers: Threads that decode and encode.
            wait: Seconds that the first part of a batch waits for others that are being decoded.
            listener: Told of what happens, for metrics.
        """
        self.lanes = {lane.name: lane for lane in lanes}
        self.listener = listener or Listener()
        self._wait, self._workers = wait, workers
        self._pool = ThreadPoolExecutor(workers, "delineate-files", stand_back)
        self._changed = threading.Condition()
        self._draining = self._closing = False
        self.accepted = self.answered = self.given_up = 0
        """Requests so far. In the end, the first is the sum of the others."""
        self._threads: dict[str, threading.Thread] = {}
        self._calls: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}
        for lane in self.lanes.values():
            self.add_device(lane.device)

    def add_device(self, device: str) -> None:
        """Start the thread that computes on a device, if there is none."""
        if device not in self._threads:
            thread = threading.Thread(target=self._compute_all, args=(device,), name=f"delineate-{device}", daemon=True)
            self._threads[device], self._calls[device] = thread, deque()
            thread.start()

    def call(self, device: str, function: Callable[[], Any]) -> Any:
        """Run a function on the thread of a device, before what waits for it; returns its result, or raises what it raised. Not
        from that thread itself."""
        future: Future[Any] = Future()
        with self._changed:
            self._calls[device].append((future, function))
            self._changed.notify_all()
        return future.result()

    @property
    def draining(self) -> bool:
        """Whether nothing more is accepted."""
        return self._draining

    @property
    def idle(self) -> bool:
        """Whether all that was accepted is done."""
        with self._changed:
            return not any(lane.accepted for lane in self.lanes.values())

    def check_room(self, model: str, coming: int = 0) -> None:
        """Raise `Problem` where a request behind `coming` others would not be accepted: `draining`, or `queue_full` with the time
        after which there should be room."""
        with self._changed:
            self._check_room(self.lanes[model], coming)

    def _check_room(self, lane: Lane, coming: int = 0) -> None:
        if self._draining:
            self.listener.rejected("draining")
            raise Problem(
                "draining", "the server finishes what it has accepted and stops; ask another one", retry_after=5
            )
        if lane.accepted + coming >= lane.queue:
            self.listener.rejected("queue")
            raise Problem(
                "queue_full",
                f"{lane.queue} requests of this model are being worked on, which is the limit; try again later",
                retry_after=lane.seconds_for(lane.accepted),
                limit=lane.queue,
            )

    def admit(self, model: str) -> Ticket:
        """Accept a request, before its body is read. Raises `Problem` as `check_room`."""
        with self._changed:
            lane = self.lanes[model]
            self._check_room(lane)
            lane.accepted += 1
            self.accepted += 1
            return Ticket(model)

    def charge(self, ticket: Ticket, size: int) -> None:
        """Take memory for a request: bytes of its body as they come, then those of its decoded images.

        Raises:
            Problem: `memory_full`, or `too_large_for_memory` where the request alone is beyond the limit. Give it up then.
        """
        with self._changed:
            lane = self.lanes[ticket.model]
            if ticket.stopped:
                raise Problem("job_cancelled", "it was cancelled meanwhile")
            if ticket.charged + size > lane.memory:
                self.listener.rejected("memory")
                raise Problem(
                    "too_large_for_memory",
                    f"the request needs {(ticket.charged + size) / 1e6:.0f} MB, and the server gives {lane.memory / 1e6:.0f} MB to "
                    "all of a model: send a smaller image, or start the server with more --memory",
                    limit=lane.memory,
                )
            if lane.held + size > lane.memory:
                self.listener.rejected("memory")
                raise Problem(
                    "memory_full",
                    f"{lane.memory / 1e6:.0f} MB of images of this model are being worked on, which is the limit; try again later",
                    retry_after=lane.seconds_for(lane.accepted),
                    limit=lane.memory,
                )
            lane.held += size
            ticket.charged += size

    def run(self, ticket: Ticket, work: Work) -> None:
        """Begin. The outcome comes by `ticket.result`; `work.close` is called in any case."""
        with self._changed:
            begins = not ticket.stopped
            if begins:
                ticket.work, ticket.feeding = work, True
                self.lanes[ticket.model].feeding += 1
        if begins:
            self._pool.submit(self._feed, ticket)
        else:
            work.close()

    def stop(self, ticket: Ticket, reason: BaseException) -> None:
        """Give a request up: what of it waits is dropped, what is being computed is thrown away."""
        with self._changed:
            if ticket.stopped or ticket.settled:
                return
            ticket.stopped = True
            self._drop(ticket)
        if not ticket.result.done():
            ticket.result.set_exception(reason)
        self._settle(ticket)

    def drain(self) -> None:
        """Accept nothing more, and finish what was accepted."""
        with self._changed:
            self._draining = True

    def close(self) -> None:
        """End the threads. What is not done is given up."""
        with self._changed:
            self._draining = self._closing = True
            self._changed.notify_all()
        for device, thread in self._threads.items():
            thread.join(timeout=5)
            for future, _ in self._calls[device]:
                future.set_exception(Problem("draining", "the server has stopped"))
        self._pool.shutdown(wait=True, cancel_futures=True)

    # In the pool: from the request to parts that are ready for the network

    def _feed(self, ticket: Ticket) -> None:
        """Read parts of a request until enough of them are on their way."""
        try:
            if ticket.parts is None:
                self._open(ticket)
            assert ticket.parts is not None
            assert ticket.opened is not None
            steps = ticket.opened.steps
            while not ticket.stopped and ticket.flying < self._ahead(ticket):
                start = time.monotonic()
                part = next(ticket.parts, None)
                if part is None or steps is None:
                    ticket.exhausted = True
                    break
                step = steps.read(part)
                ticket.phases.decode += time.monotonic() - start
                self._queue(ticket, step)
        except Exception as error:
            self.stop(ticket, error)
        with self._changed:
            ticket.feeding = False
            self.lanes[ticket.model].feeding -= 1
            self._changed.notify_all()
        self._settle(ticket)

    def _open(self, ticket: Ticket) -> None:
        assert ticket.work is not None
        start = time.monotonic()
        opened = ticket.work.open()
        self.charge(ticket, opened.bytes)
        ticket.opened = opened
        ticket.parts = iter(()) if opened.steps is None else chain.from_iterable(map(opened.steps.parts, opened.items))
        ticket.phases.decode += time.monotonic() - start

    def _ahead(self, ticket: Ticket) -> int:
        """Parts of one request that are on their way: two batches, so that the next one is ready when one is done."""
        return 2 * self.lanes[ticket.model].batch + self._workers

    def _queue(self, ticket: Ticket, step: Step) -> None:
        """Hand a part to the network; what has failed already needs none."""
        with self._changed:
            if ticket.stopped:
                return
            ticket.flying += 1
            if not isinstance(step.made, Failure):
                assert ticket.opened is not None
                key = (ticket.opened.network, _shape(step))
                self.lanes[ticket.model].ready.setdefault(key, deque()).append(Ready(ticket, step, time.monotonic()))
                self._changed.notify_all()
                return
        self._write(ticket, step)

    def _write(self, ticket: Ticket, step: Step) -> None:
        """Bring what the network made to its file."""
        try:
            if not ticket.stopped:
                assert ticket.opened is not None
                assert ticket.opened.steps is not None
                start = time.monotonic()
                result = ticket.opened.steps.write(step)
                with ticket.lock:
                    ticket.phases.encode += time.monotonic() - start
                    ticket.done += 1 / step.part.siblings
                    if result is not None:
                        ticket.results.append(result)
        except Exception as error:
            self.stop(ticket, error)
        with self._changed:
            ticket.flying -= 1
        self._settle(ticket)

    def _settle(self, ticket: Ticket) -> None:
        """Read on where there is room; finish where everything is done. Called whenever something of the request has ended."""
        with self._changed:
            if ticket.settled or ticket.feeding:
                return
            begun = ticket.work is not None
            if begun and not ticket.stopped and not ticket.exhausted:
                if ticket.flying <= self._ahead(ticket) // 2:
                    ticket.feeding = True
                    self.lanes[ticket.model].feeding += 1
                    self._pool.submit(self._feed, ticket)
                return
            if ticket.flying:
                return
            ticket.settled = True
        if threading.current_thread() in self._threads.values():
            self._pool.submit(self._finish, ticket)
        else:
            self._finish(ticket)

    def _finish(self, ticket: Ticket) -> None:
        """The answer; then the files and the memory go."""
        outcome: Any = None
        fault: BaseException | None = None
        if not ticket.stopped:
            try:
                assert ticket.work is not None
                assert ticket.opened is not None
                order = {item.name: place for place, item in enumerate(ticket.opened.items)}
                start = time.monotonic()
                outcome = ticket.work.finish(sorted(ticket.results, key=lambda one: order[one.name]))
                ticket.phases.encode += time.monotonic() - start
            except Exception as error:
                fault = error
        if ticket.work is not None:
            ticket.work.close()
        with self._changed:
            lane = self.lanes[ticket.model]
            lane.accepted -= 1
            lane.held -= ticket.charged
            if ticket.stopped or fault is not None:
                self.given_up += 1
            else:
                self.answered += 1
                lane.finished(time.monotonic())
            self._changed.notify_all()
        if ticket.result.done():
            return
        if fault is not None:
            ticket.result.set_exception(fault)
        else:
            ticket.result.set_result(outcome)

    # On the thread of a device

    def _compute_all(self, device: str) -> None:
        stand_back()
        while (batch := self._next_batch(device)) is not None:
            if batch:
                self._compute(batch)
            self._answer_calls(device)

    def _answer_calls(self, device: str) -> None:
        while self._calls[device]:
            future, function = self._calls[device].popleft()
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

    def _next_batch(self, device: str) -> list[Ready] | None:
        """Wait for parts that can be computed together; none where there is a call; None at the end."""
        with self._changed:
            while True:
                if self._closing:
                    return None
                if self._calls[device]:
                    return []
                found = self._oldest(device)
                if found is None:
                    self._changed.wait()
                    continue
                lane, key = found
                group = lane.ready[key]
                left = group[0].since + self._wait - time.monotonic()
                if len(group) < lane.batch and lane.feeding and left > 0:
                    self._changed.wait(left)
                    continue
                batch = [group.popleft() for _ in range(min(lane.batch, len(group)))]
                if not group:
                    del lane.ready[key]
                return batch

    def _oldest(self, device: str) -> tuple[Lane, Hashable] | None:
        """The group whose first part waits longest."""
        groups = [
            (group[0].since, lane, key)
            for lane in self.lanes.values()
            if lane.device == device
            for key, group in lane.ready.items()
        ]
        if not groups:
            return None
        _, lane, key = min(groups, key=lambda one: one[0])
        return lane, key

    def _compute(self, batch: list[Ready]) -> None:
        """One batch. Where it cannot be computed, each part is tried by itself, so that a fault is that of one request."""
        start = time.monotonic()
        first = batch[0].ticket
        assert first.opened is not None
        assert first.opened.steps is not None
        try:
            made = first.opened.steps.compute([one.step for one in batch])
        except Exception as error:
            if len(batch) == 1:
                self.stop(first, error)
                self._landed(first)
                return
            if isinstance(error, DeviceError):
                self.lanes[first.model].shrink()
            for one in batch:
                self._compute([one])
            return
        spent = time.monotonic() - start
        self.listener.computed(first.model, [start - one.since for one in batch], spent)
        for one, step in zip(batch, made, strict=True):
            if not one.ticket.done:  # of a volume, the time before its first slice
                one.ticket.phases.queue = max(one.ticket.phases.queue, start - one.since)
            one.ticket.phases.infer += spent / len(batch)
            self._pool.submit(self._write, one.ticket, step)

    def _landed(self, ticket: Ticket) -> None:
        with self._changed:
            ticket.flying -= 1
        self._settle(ticket)

    def _drop(self, ticket: Ticket) -> None:
        """Take what waits of a request out of the queues."""
        ready = self.lanes[ticket.model].ready
        for key, group in list(ready.items()):
            kept = deque(one for one in group if one.ticket is not ticket)
            ticket.flying -= len(group) - len(kept)
            if kept:
                ready[key] = kept
            else:
                del ready[key]


def _shape(step: Step) -> Hashable:
    """By which parts can be in one batch; what is read by windows is computed by itself."""
    if not isinstance(step.made, Prepared):
        return id(step)
    return step.made.input.shape, str(step.made.input.dtype)
