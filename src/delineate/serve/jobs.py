"""Jobs: work that takes longer than a client waits. It is accepted like any other, and its result is kept for a while."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from delineate.serve.answers import Answer
from delineate.serve.limits import Limits
from delineate.serve.problems import Problem, problem_of
from delineate.serve.work import Ticket

__all__ = ["Job", "Jobs"]

State = Literal["running", "done", "failed", "cancelled"]


@dataclass
class Job:
    """One of them."""

    model: str
    owner: str | None
    """The key that it was sent with: others do not see it."""
    ticket: Ticket
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    created: float = field(default_factory=time.time)
    state: State = "running"
    step: str = "segmenting"
    """What is being done."""
    answer: Answer | None = None
    problem: Problem | None = None
    fetched: bool = False
    ended: float | None = None
    task: asyncio.Task[None] | None = None

    def about(self, keep: float) -> dict[str, Any]:
        """What a client is told of it."""
        return {
            "id": self.id,
            "model": self.model,
            "state": self.state,
            "step": self.step if self.state == "running" else None,
            "progress": 1.0 if self.state == "done" else round(self.ticket.progress, 4),
            "seconds": round((self.ended or time.time()) - self.created, 3),
            "expires_in": None if self.ended is None else max(0, round(self.ended + keep - time.time())),
            "problem": None if self.problem is None else self.problem.content,
        }


class Jobs:
    """Those of a server. All methods are called on the loop of events."""

    def __init__(self, limits: Limits, cancelled: Callable[[], None]) -> None:
        """
        Args:
            limits: How many are kept, and how long.
            cancelled: Told when a client cancels one.
        """
        self._limits, self._cancelled = limits, cancelled
        self._jobs: dict[str, Job] = {}

    def check_room(self) -> None:
        """Raise `Problem` where no job can be taken. What was fetched already makes room, the oldest first."""
        if len(self._jobs) < self._limits.jobs:
            return
        fetched = [job for job in self._jobs.values() if job.fetched]
        if not fetched:
            raise Problem(
                "jobs_full",
                f"{self._limits.jobs} jobs are running or have results that nobody has fetched; fetch or delete some",
                retry_after=10,
                limit=self._limits.jobs,
            )
        self._jobs.pop(min(fetched, key=lambda job: job.created).id)

    def add(self, job: Job, work: Callable[[Job], Awaitable[Answer]]) -> None:
        """Keep a job and run its work."""
        self._jobs[job.id] = job
        job.task = asyncio.get_running_loop().create_task(self._run(job, work))

    async def _run(self, job: Job, work: Callable[[Job], Awaitable[Answer]]) -> None:
        try:
            answer = await work(job)
            if job.state == "running":
                job.answer, job.state = answer, "done"
        except Exception as error:
            if job.state == "running":
                job.problem, job.state = problem_of(error), "failed"
        job.ended = time.time()
        asyncio.get_running_loop().call_later(self._limits.keep, self._jobs.pop, job.id, None)

    def get(self, id: str, owner: str | None) -> Job:
        """A job of this owner. Raises `Problem`."""
        job = self._jobs.get(id)
        if job is None or job.owner != owner:
            raise Problem("job_not_found", "it never was, was deleted, or its result was kept long enough")
        return job

    def result(self, id: str, owner: str | None) -> Answer:
        """The answer of a job that is done. Raises `Problem`: it is not, or why there is none."""
        job = self.get(id, owner)
        if job.state == "running":
            raise Problem("job_not_done", "ask /v1/jobs/ID until its state is 'done'", retry_after=1)
        if job.answer is None:
            assert job.problem is not None, "it has failed"
            raise job.problem
        job.fetched = True
        return job.answer

    def remove(self, id: str, owner: str | None, stop: Callable[[Ticket], None]) -> Job:
        """Cancel a job that runs, and forget it. Raises `Problem`."""
        job = self.get(id, owner)
        if job.state == "running":
            job.state, job.ended = "cancelled", time.time()
            stop(job.ticket)
            self._cancelled()
        self._jobs.pop(id, None)
        return job

    @property
    def pending(self) -> bool:
        """Whether a job runs, or has a result that nobody has fetched."""
        return any(job.state == "running" or (job.state == "done" and not job.fetched) for job in self._jobs.values())
