"""The engine by itself: what happens to requests that are stopped, that fail, and to batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from delineate.artefact.format import Artefact
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.predictor import Predictor
from delineate.serve import warmup
from delineate.serve.engine import Engine
from delineate.serve.lane import Lane
from delineate.serve.problems import CODES, Problem, problem_of
from delineate.serve.work import Opened, Ticket
from micro_method import brightness


class Plain:
    """Work without images."""

    def __init__(
        self, opening: Callable[[], Any] = lambda: None, finishing: Callable[[], Any] = lambda: "done"
    ) -> None:
        self.opening, self.finishing, self.closed = opening, finishing, 0

    def open(self) -> Opened:
        self.opening()
        return Opened((), None, None)

    def finish(self, results: Sequence[Any]) -> Any:
        return self.finishing()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine([Lane("m", queue=3, memory=100)], workers=2)
    yield made
    made.close()


def rest(engine: Engine) -> None:
    end = time.monotonic() + 5
    while not engine.idle:
        assert time.monotonic() < end
        time.sleep(0.002)
    assert engine.lanes["m"].held == 0
    assert engine.accepted == engine.answered + engine.given_up


def begun(engine: Engine, work: Plain) -> Ticket:
    ticket = engine.admit("m")
    engine.run(ticket, work)
    return ticket


def test_work_is_done_and_closed(engine: Engine):
    work = Plain()
    assert begun(engine, work).result.result(5) == "done"
    rest(engine)
    assert (work.closed, engine.answered) == (1, 1)


@pytest.mark.parametrize("where", ["opening", "finishing"])
def test_a_fault_is_that_of_one_request(engine: Engine, where: str):
    def fault() -> None:
        raise RuntimeError("no")

    bad, good = Plain(**{where: fault}), Plain()
    tickets = [begun(engine, bad), begun(engine, good)]
    with pytest.raises(RuntimeError):
        tickets[0].result.result(5)
    assert tickets[1].result.result(5) == "done"
    rest(engine)
    assert (bad.closed, good.closed) == (1, 1)


def test_what_was_stopped_is_not_begun(engine: Engine):
    """A job may be cancelled while its series is still fetched."""
    ticket, work = engine.admit("m"), Plain()
    engine.charge(ticket, 60)
    engine.stop(ticket, Problem("job_cancelled", "its client cancelled it"))
    with pytest.raises(Problem, match="cancelled"):
        engine.charge(ticket, 1)
    engine.run(ticket, work)
    rest(engine)
    assert work.closed == 1
    with pytest.raises(Problem):
        ticket.result.result(0)


def test_queue_and_memory_have_ends(engine: Engine):
    going = threading.Event()
    tickets = [begun(engine, Plain(opening=lambda: going.wait(5))) for _ in range(3)]
    with pytest.raises(Problem) as full:
        engine.admit("m")
    assert (full.value.code, full.value.further["limit"]) == ("queue_full", 3)
    assert full.value.retry_after is not None
    assert full.value.retry_after >= 1
    engine.charge(tickets[0], 70)
    with pytest.raises(Problem) as held:
        engine.charge(tickets[1], 40)
    assert held.value.code == "memory_full"
    with pytest.raises(Problem) as alone:
        engine.charge(tickets[1], 101)
    assert alone.value.code == "too_large_for_memory"
    engine.drain()
    going.set()
    assert [ticket.result.result(5) for ticket in tickets] == ["done"] * 3
    rest(engine)
    with pytest.raises(Problem) as draining:
        engine.admit("m")
    assert draining.value.status == 503


def test_a_call_runs_on_the_thread_of_its_device(engine: Engine):
    assert engine.call("cpu", lambda: threading.current_thread().name) == "delineate-cpu"
    with pytest.raises(ZeroDivisionError):
        engine.call("cpu", lambda: 1 / 0)


@pytest.mark.parametrize(("times", "batch"), [([8, 8, 8, 8, 8], 16), ([1, 2, 4, 8, 16], 1), ([4, 4, 8, 16, 32], 2)])
def test_the_fastest_batch_is_found(times: list[float], batch: int, monkeypatch: pytest.MonkeyPatch):
    """`times`: of batches of 1, 2, 4 …, in milliseconds."""
    now = [0.0]

    def forward(worker: Any, prepared: Sequence[Any]) -> list[Any]:
        now[0] += times[int(np.log2(len(prepared)))] / 1000
        return []

    predictor = Predictor(Artefact(brightness(), InputSpec(size=(8, 8)), ClassTable()), "cpu")
    monkeypatch.setattr(warmup.Worker, "forward", forward)
    assert warmup.measured_batch(predictor, lambda: now[0]) == batch


def test_every_problem_has_its_status():
    assert all(Problem(code, "x").content["status"] == status for code, (status, _) in CODES.items())
    assert problem_of(KeyError("secret")).content["code"] == "internal"
    assert "secret" not in str(problem_of(KeyError("secret")).content)
