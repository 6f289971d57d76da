"""Progress without a terminal: a line every so often, with share and time left."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from delineate.common import progress_log
from delineate.common.progress_log import EVERY, FIRST, ProgressLog
from delineate.engine.reporting import ConsoleReporter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_are_few_and_say_how_much_is_left() -> None:
    clock = Clock()
    watch, lines = ProgressLog("train", clock=clock), []
    for done in range(1, 1001):
        clock.now += 0.5
        lines.append(watch.line(done, 1000, "loss 0.5"))
    told = [line for line in lines if line]
    assert told[0] == "train: 20 of 1000 (2 %), loss 0.5, about 8 min left"
    assert len(told) == 1 + (500 - FIRST) // EVERY
    assert "about 70 s left" in told[-1] or "s left" in told[-1]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=200), st.integers(0, 50))
def test_they_are_never_closer_than_promised(waits: list[int], before: int) -> None:
    clock, times = Clock(), []
    watch, total = ProgressLog("x", clock=clock), before + len(waits)
    for at, wait in enumerate(waits, start=before + 1):
        clock.now += wait
        if watch.line(at, total):
            times.append(clock.now)
    assert all(after - earlier >= EVERY for earlier, after in pairwise(times))
    assert not times or times[0] >= FIRST


def test_the_first_item_does_not_count_for_the_time_left() -> None:
    """Eight seconds of warm-up, then one a second: 90 more take 90 seconds, whatever the first took."""
    clock = Clock()
    watch = ProgressLog("predict", clock=clock)
    clock.now = 8.0
    assert watch.line(1, 100) is None
    clock.now = 17.0
    assert watch.line(10, 100) == "predict: 10 of 100 (10 %), about 2 min left"
    slow = ProgressLog("predict", clock=clock)
    clock.now += 300
    assert slow.line(1, 100) == "predict: 1 of 100 (1 %)", "a first item alone says nothing of the others"


def test_quick_work_says_nothing_and_the_end_is_not_told() -> None:
    clock = Clock()
    watch = ProgressLog("x", clock=clock)
    assert watch.line(1, 2) is None
    clock.now = 1000.0
    assert watch.line(2, 2) is None


def test_training_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_log, "FIRST", 0.0)
    stream = io.StringIO()
    reporter = ConsoleReporter(Console(file=stream, force_terminal=False))
    reporter.begin("train", 100, 400)
    for _ in range(100):
        reporter.step(0.5, 8)
    assert stream.getvalue().count("\n") == 1, "the first at once, the next after a minute"
    assert "train: 101 of 400 (25 %), loss 0.5000" in stream.getvalue()
