"""What a run tells whoever watches it. `Reporter` is the interface; `ConsoleReporter` draws on a terminal's stderr."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from delineate.common.progress_log import ProgressLog

__all__ = ["ConsoleReporter", "Reporter", "Silent", "Validated"]


@dataclass(frozen=True)
class Validated:
    """Result of one validation."""

    stage: str
    epoch: float
    step: int
    dice: float | None
    """What the weights are chosen by; None where nothing could be scored, or it is not finite."""
    best: bool
    loss: Mapping[str, float]
    validation_loss: Mapping[str, float]
    """Empty where there are no validation cases."""
    lr: float
    seconds: float
    words: str
    """The Dice, with what is unusual about it."""


class Reporter(Protocol):
    """Receives what happens during a run."""

    def note(self, text: str) -> None:
        """One line worth knowing."""

    def begin(self, stage: str, done: int, total: int) -> None:
        """A stage starts (or goes on) at step `done` of `total`."""

    def step(self, loss: float, images: int) -> None:
        """One step was done."""

    def validated(self, result: Validated) -> None:
        """A validation was done."""

    def close(self) -> None:
        """The run is over or interrupted."""


class Silent:
    """Reports nothing."""

    def note(self, text: str) -> None: ...
    def begin(self, stage: str, done: int, total: int) -> None: ...
    def step(self, loss: float, images: int) -> None: ...
    def validated(self, result: Validated) -> None: ...
    def close(self) -> None: ...


class ConsoleReporter:
    """Progress bar with loss, images/s and time left; one line per validation. Without a terminal, in place of the bar, a line now
    and then."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._rate = _Rate()
        self._smooth: float | None = None
        self._pace: ProgressLog | None = None
        self._done = self._total = 0

    def note(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)

    def begin(self, stage: str, done: int, total: int) -> None:
        self.close()
        self._rate, self._smooth = _Rate(), None
        if not self.console.is_terminal:
            self._pace, self._done, self._total = ProgressLog(stage), done, total
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[rate]} images/s"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._task = self._bar.add_task(stage, total=total, completed=done, loss="–", rate="–")
        self._bar.start()

    def step(self, loss: float, images: int) -> None:
        self._rate.add(images)
        self._smooth = loss if self._smooth is None else 0.95 * self._smooth + 0.05 * loss
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, loss=f"{self._smooth:.4f}", rate=f"{self._rate.value:.0f}")
        if self._pace is not None:
            self._done += 1
            more = f"loss {self._smooth:.4f}, {self._rate.value:.0f} images/s"
            if line := self._pace.line(self._done, self._total, more):
                self.note(line)

    def validated(self, result: Validated) -> None:
        terms = " ".join(f"{name} {value:.3f}" for name, value in result.loss.items() if name != "total")
        validation = ""
        if result.validation_loss:
            validation = (
                f"validation loss {result.validation_loss['total']:.4f}  {result.words}{' ★' if result.best else ''}  "
            )
        self.note(
            f"{result.stage}  epoch {result.epoch:5.1f}  step {result.step:6d}  loss {result.loss['total']:.4f} ({terms})  "
            f"{validation}{self._rate.value:.0f} images/s  {result.seconds / 60:.1f} min"
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = self._pace = None


class _Rate:
    """Images per second over the last half minute or so."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = [(time.perf_counter(), 0)]

    def add(self, images: int) -> None:
        now, total = time.perf_counter(), self._marks[-1][1] + images
        self._marks.append((now, total))
        while len(self._marks) > 2 and now - self._marks[0][0] > 30:
            self._marks.pop(0)

    @property
    def value(self) -> float:
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (last - first) / (end - start) if end > start else 0.0
