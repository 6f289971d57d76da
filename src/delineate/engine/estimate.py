"""How long a stage will take and what memory its steps took, told after its first ones: before the waiting, not after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lightning.fabric import Fabric

from delineate.common.progress_log import in_words
from delineate.data.core.findings import count
from delineate.engine.memory import peak_bytes, shown_bytes

__all__ = ["StageClock", "StageCost", "memory_words"]

_FEWEST, _MOST = 2, 20
"""Steps that are measured: as many as take a second, within these bounds."""
_LONG_ENOUGH = 1.0
_TOO_FAR = 0.25
"""What was told is corrected where it was wrong by a larger share."""


@dataclass(frozen=True)
class StageCost:
    """What is left of a stage; times in seconds."""

    steps: int
    step: float
    validations: int
    validation: float
    is_measured: bool = False
    """Whether a validation was measured; else it is reckoned from a forward pass."""
    may_end_early: bool = False
    thaws: bool = False
    """Whether more is trained in later steps than in those that were measured."""
    validates: bool = True
    """False without validation cases: what comes so often then is a checkpoint."""

    @property
    def seconds(self) -> float:
        """In all."""
        return self.steps * self.step + self.validations * self.validation

    def words(self) -> str:
        """ "about 38 min: 1200 steps of 1.7 s, 10 validations of about 14 s"."""
        parts = [f"{count(self.steps, 'step')} of {_short(self.step)}"]
        if self.validations:
            reckoned = "" if self.is_measured else "about "
            what = "validation" if self.validates else "checkpoint"
            parts.append(f"{count(self.validations, what)} of {reckoned}{_short(self.validation)}")
        bound = "at least " if self.thaws else "at most " if self.may_end_early else "about "
        later = "; steps take longer once the frozen parts learn" if self.thaws else ""
        return f"{bound}{in_words(self.seconds)}: {', '.join(parts)}{later}"


class StageClock:
    """Measures steps from the second on: the first warms up device, network and loader."""

    def __init__(
        self,
        total: int,
        validate_steps: int,
        *,
        may_end_early: bool = False,
        thaws: Collection[int] = (),
        validates: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`total`: steps of the stage; `validate_steps`: between two validations; `thaws`: steps from which on more is trained;
        `validates`: whether there are validation cases."""
        self._total, self._every, self._may_end_early = total, validate_steps, may_end_early
        self._thaws, self._clock, self._validates = frozenset(thaws), clock, validates
        self.step: float | None = None
        """Seconds of a step, once they are known."""
        self._seconds, self._steps = 0.0, 0
        self._latest: float | None = None
        """When the latest step was done."""
        self._validation, self._is_measured = 0.0, False

    def stepped(self, step: int) -> bool:
        """To be called after each step, with the number of those done in the stage: whether its cost has become known."""
        if step in self._thaws:
            self.step, self._seconds, self._steps, self._latest = None, 0.0, 0, None
            return False  # the first of these steps warms up again
        before, now = self._latest, self._clock()
        self._latest = now
        if before is None or self.step is not None:
            return False
        self._seconds, self._steps = self._seconds + now - before, self._steps + 1
        if self._steps >= _MOST or (self._steps >= _FEWEST and self._seconds >= _LONG_ENOUGH):
            self.step = self._seconds / self._steps
        return self.step is not None

    def mark(self) -> None:
        """What took time since the last step was none: a validation, a checkpoint."""
        if self._latest is not None:
            self._latest = self._clock()

    def expect(self, validation: float) -> None:
        """Seconds that a validation is reckoned to take, unless one was measured."""
        if not self._is_measured:
            self._validation = validation

    def validated(self, seconds: float, step: int) -> bool:
        """A validation took so long, after so many steps: whether the cost that was told before was wrong."""
        told = None if self._is_measured or self.step is None else self.cost(step).seconds
        self._validation, self._is_measured = seconds, True
        return told is not None and abs(self.cost(step).seconds - told) > _TOO_FAR * told

    def cost(self, step: int) -> StageCost:
        """Of what is left after so many steps of the stage, the cost of a step being known."""
        assert self.step is not None
        validations = -(-self._total // self._every) - step // self._every if step < self._total else 0
        thaws = any(step < thaw for thaw in self._thaws)
        return StageCost(
            self._total - step,
            self.step,
            validations,
            self._validation,
            self._is_measured,
            self._may_end_early,
            thaws,
            self._validates,
        )


def memory_words(fabric: Fabric) -> str:
    """ "; peak memory 2.1 GiB", of this process so far; empty where it cannot be told."""
    most = peak_bytes(fabric.device)
    if most is None:
        return ""
    return f"; peak memory {shown_bytes(most)}{' a process' if fabric.world_size > 1 else ''}"


def _short(seconds: float) -> str:
    """Two digits, as many as the first steps can tell."""
    if seconds >= 9.95:
        return in_words(seconds)
    return f"{seconds:.1f} s" if seconds >= 0.095 else f"{1000 * seconds:.2g} ms"
