"""A server without its addresses: models, engine, limits, and how a request waits for its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from delineate.serve.answers import Answer
from delineate.serve.archive import Archive
from delineate.serve.body import ClientGone, Part, receive_body
from delineate.serve.engine import Engine
from delineate.serve.jobs import Jobs
from delineate.serve.limits import Limits
from delineate.serve.metrics import Metrics
from delineate.serve.models import ServedModel
from delineate.serve.problems import Problem
from delineate.serve.scratch import Scratch
from delineate.serve.supports import Supports
from delineate.serve.work import Ticket, Work

__all__ = ["Service", "Upload", "response_of"]

Make = Callable[["Upload"], Work]


@dataclass(frozen=True)
class Upload:
    """What a request sent."""

    ticket: Ticket
    folder: Path
    parts: Sequence[Part]
    texts: dict[str, str]
    charge: Callable[[int], None]
    """Takes memory for the request; raises `Problem` where it is used up."""


@dataclass
class Service:
    """What the routes share."""

    models: dict[str, ServedModel]
    engine: Engine
    limits: Limits
    scratch: Scratch
    metrics: Metrics
    jobs: Jobs
    supports: Supports
    collection: Path | None = None
    """Where corrections are kept; None: nowhere."""
    archive: Archive | None = None
    archive_pool: Executor = field(default_factory=lambda: ThreadPoolExecutor(2, "delineate-archive"))
    """Threads that wait for the archive."""
    samples: Sequence[Path] = ()
    """Images that the page offers to try a model on."""
    ready: bool = False
    """Whether the models have predicted once."""
    fault: str = ""
    """Why they will not be."""

    @property
    def idle(self) -> bool:
        """Whether all that was accepted is done, and results of jobs are fetched."""
        return self.engine.idle and not self.jobs.pending

    def any_model(self, name: str) -> ServedModel:
        """A model by its name. Raises `Problem` where there is none."""
        found = self.models.get(name)
        if found is None:
            raise Problem("model_not_found", f"there are: {', '.join(self.models)}")
        return found

    def model(self, name: str, *, fewshot: bool = False) -> ServedModel:
        """The same; raises `Problem` also where it is of the other kind."""
        found = self.any_model(name)
        if found.fewshot and not fewshot:
            raise Problem("bad_request", "this model segments by examples: send them to /v1/fewshot/supports first")
        if fewshot and not found.fewshot:
            raise Problem("bad_request", "this model segments an image alone, without examples: use :segment")
        return found

    def check_room(self, model: str, coming: int = 0) -> None:
        """As `Engine.check_room`; before the models are ready, nothing is accepted."""
        self._check_ready()
        self.engine.check_room(model, coming)

    def admit(self, model: str) -> Ticket:
        """As `Engine.admit`; raises `Problem` as `check_room`."""
        self._check_ready()
        return self.engine.admit(model)

    def _check_ready(self) -> None:
        if not self.ready:
            raise Problem(
                "warming_up", self.fault or "the models are being warmed up; try again in a moment", retry_after=2
            )

    async def accept(self, request: Request, model: str, make: Make) -> Ticket:
        """Accept a request, store its body, and begin. Raises `Problem`, or `ClientGone` where the client left meanwhile."""
        request.state.model = model
        ticket = self.admit(model)
        folder = None
        try:
            folder = self.scratch.new()
            charge = partial(self.engine.charge, ticket)
            length = request.headers.get("content-length", "")
            if length.isdigit() and int(length) > self.limits.body:
                raise Problem(
                    "body_too_large",
                    f"the body has more than {self.limits.body / 1e6:g} MB, which is the limit",
                    limit=self.limits.body,
                )
            kind = request.headers.get("content-type", "")
            parts, texts = await receive_body(request.receive, kind, folder, self.limits, charge)
            work = make(Upload(ticket, folder, parts, texts, charge))
        except BaseException as error:
            if folder is not None:
                Scratch.remove(folder)
            self.engine.stop(ticket, error)
            ticket.result.exception()  # it is raised here
            if isinstance(error, OSError):
                words = "the folder for uploads is full; try again later, or start the server with --scratch DIR"
                raise Problem("no_room", words) from None
            raise
        self.engine.run(ticket, work)
        return ticket

    async def outcome(self, request: Request, ticket: Ticket) -> Any:
        """Wait for the answer, as long as the client waits and the time is not over. Raises what the work raised, `Problem`
        (`timeout`), or `ClientGone`."""
        left = self.limits.timeout - (time.monotonic() - ticket.accepted)
        gone = asyncio.create_task(_gone(request))
        answer = asyncio.wrap_future(_shielded(ticket.result))
        try:
            await asyncio.wait((gone, answer), timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                self.engine.stop(ticket, ClientGone())
                raise ClientGone
            late = Problem(
                "timeout",
                f"the answer was not ready within {self.limits.timeout:g} s; send a job for large images, or try again when the "
                "server has less to do",
                limit=self.limits.timeout,
            )
            self.engine.stop(ticket, late)
            raise late
        finally:
            gone.cancel()
            answer.cancel()
            if ticket.result.done() and not ticket.stopped:
                self.metrics.finished(ticket)


def response_of(answer: Answer, ticket: Ticket) -> Response:
    """An answer over HTTP, with how long its phases took."""
    phases = vars(ticket.phases).items()
    timing = ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in phases)
    named = {"content-disposition": f'inline; filename="{answer.name}"', "server-timing": timing}
    return Response(answer.content, media_type=answer.media_type, headers={**answer.headers, **named})


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _shielded(inner: Future[Any]) -> Future[Any]:
    """A copy that can be cancelled without the engine's own being cancelled."""
    outer: Future[Any] = Future()

    def pass_on(done: Future[Any]) -> None:
        if outer.set_running_or_notify_cancel():
            if (error := done.exception()) is not None:
                outer.set_exception(error)
            else:
                outer.set_result(done.result())

    inner.add_done_callback(pass_on)
    return outer
