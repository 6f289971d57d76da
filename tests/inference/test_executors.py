"""Executors: order, bounds, and what a fault or a stop leaves behind. Steps here are plain numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from threading import Lock, current_thread

import pytest

from delineate.inference.executors import Executor, Serial, Threads

EACH = pytest.mark.parametrize("executor", [Serial(), Threads(), Threads(workers=5)], ids=["serial", "2", "5"])


@dataclass
class Numbers:
    """Doubles numbers; slow ones first, so that threads would mix them up if they could."""

    batch: int = 3
    bad: int | None = None
    lock: Lock = field(default_factory=Lock)
    begun: int = 0
    written: int = 0
    most: int = 0
    batches: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def parts(self, item: int) -> list[int]:
        return [item]

    def read(self, item: int) -> int:
        with self.lock:
            self.begun += 1
            self.most = max(self.most, self.begun - self.written)
        time.sleep(0.002 * (item % 3 == 0))
        return item

    def compute(self, ready: Sequence[int]) -> list[int]:
        self.batches.append(len(ready))
        self.threads.add(current_thread().name)
        return [2 * each for each in ready]

    def write(self, made: int) -> int:
        time.sleep(0.002 * (made % 5 == 0))
        if made == self.bad:
            raise OSError("the disk is full")
        with self.lock:
            self.written += 1
        return made


@EACH
@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_results_keep_the_order_of_the_items(executor: Executor, count: int):
    steps = Numbers()
    assert list(executor.run(range(count), steps)) == [2 * item for item in range(count)]
    assert sum(steps.batches) == count
    assert all(size == 3 for size in steps.batches[:-1])
    assert steps.threads <= {current_thread().name}


@EACH
def test_few_items_are_held_however_many_there_are(executor: Executor):
    steps = Numbers()
    taken = 0

    def items():
        nonlocal taken
        for taken in range(300):
            assert taken - steps.written < 24, "items are taken as they are needed"
            yield taken

    assert sum(1 for _ in executor.run(items(), steps)) == 300
    assert steps.most <= 24


@EACH
def test_what_a_step_raises_ends_the_run(executor: Executor):
    steps = Numbers(bad=40)
    done = []
    with pytest.raises(OSError, match="disk is full"), closing(executor.run(range(300), steps)) as results:
        done.extend(results)
    assert done == [2 * item for item in range(20)]
    assert steps.begun < 60, "nothing else was begun"


@EACH
def test_a_stop_finishes_what_is_being_written_and_begins_nothing(executor: Executor):
    steps = Numbers()
    with closing(executor.run(range(300), steps)) as results:
        for result in results:
            if result == 20:
                break
    begun = steps.begun
    time.sleep(0.02)
    assert steps.begun == begun < 60


@dataclass
class Words:
    """Spells words letter by letter; a word is done with whichever of its letters is written last."""

    batch: int = 4
    lock: Lock = field(default_factory=Lock)
    written: dict[str, int] = field(default_factory=dict)

    def parts(self, item: str) -> list[tuple[str, str]]:
        return [(item, letter) for letter in item]

    def read(self, part: tuple[str, str]) -> tuple[str, str]:
        return part

    def compute(self, ready: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        return list(ready)

    def write(self, made: tuple[str, str]) -> str | None:
        word, letter = made
        time.sleep(0.001 * (letter in "aeiou"))
        with self.lock:
            self.written[word] = self.written.get(word, 0) + 1
            return word if self.written[word] == len(word) else None


@EACH
def test_items_of_several_parts_have_one_result_each_in_order(executor: Executor):
    words = ["a", "volume", "is", "more", "than", "x", "its", "slices", "oooooooooooooooo", "y"]
    assert list(executor.run(words, Words())) == words
