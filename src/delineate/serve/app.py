"""The application: addresses → the service. FastAPI reads queries and describes the API; `serve.body` reads bodies."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from delineate.common.errors import DelineateError
from delineate.common.versions import version
from delineate.serve.answers import Answer
from delineate.serve.documented import BODY, PROBLEMS
from delineate.serve.options import SegmentQuery
from delineate.serve.problems import Problem, problem_of
from delineate.serve.segmentation import Segmentation
from delineate.serve.service import Service, Upload
from delineate.serve.work import Ticket

__all__ = ["make_app", "response_of"]

_ABOUT = (
    "Segments medical images with trained models. Research software: not a medical device. Errors are `application/problem+json` "
    "with a stable `code`."
)


def make_app(service: Service) -> FastAPI:
    """The application around a service, without its guard (`serve.guard`)."""
    app = FastAPI(
        title="Delineate", version=version(), description=_ABOUT, docs_url=None, redoc_url=None, responses=PROBLEMS
    )
    app.state.service = service
    app.include_router(_probes(service))
    app.include_router(_models(service))
    for kind in (Problem, DelineateError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _left_to_the_guard)
    return app


class _Unsent(Response):
    """An answer that is the guard's to send, since the rest of the body may have to be read behind it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["problem"] = self.problem


async def _left_to_the_guard(_: Request, error: Exception) -> Response:
    return _Unsent(_problem(error))


def _problem(error: Exception) -> Problem:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(one) for one in first["loc"][1:])
        return Problem("bad_request", f"{place or 'the request'}: {first['msg']}; see /openapi.json")
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        return Problem(code, f"{error.detail}; see /openapi.json for the addresses that there are")
    return problem_of(error)


def _probes(service: Service) -> APIRouter:
    router = APIRouter(tags=["server"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Whether requests are accepted: the models have predicted once, and the server is not shutting down."""
        if service.engine.draining:
            raise Problem("draining", "the server finishes what it has accepted and stops", retry_after=5)
        if not service.ready:
            raise Problem("warming_up", service.fault or "the models are being warmed up", retry_after=2)
        return {"status": "ready"}

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        text = service.metrics.text(service.engine.lanes.values())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _models(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("")
    async def models() -> dict[str, Any]:
        """The models that this server has."""
        return {"models": [model.about() for model in service.models.values()]}

    @router.get("/{name}")
    async def model(name: str) -> dict[str, Any]:
        """All that is known of a model: classes with colors, input, scores with intervals, licenses, how masks are made."""
        if name not in service.models:
            service.model(name)
        return service.models[name].details()

    @router.post("/{name}:segment", openapi_extra=BODY, response_class=Response)
    async def segment(request: Request, name: str, query: Annotated[SegmentQuery, Query()]) -> Response:
        """Segment an image: the body is the file, or a form with it.

        Of a model of named channels, the form has a file for each, under the channel's name. Volumes may take long: send
        a job where that is more than the server's time limit.
        """
        served = service.model(name)

        def make(upload: Upload) -> Segmentation:
            charge = _charging(service, upload.ticket)
            return Segmentation(served, query, upload.folder, service.limits, charge, upload.parts)

        ticket = await service.accept(request, name, make)
        return response_of(await service.outcome(request, ticket), ticket)

    return router


def _charging(service: Service, ticket: Ticket) -> Any:
    return lambda size: service.engine.charge(ticket, size)


def response_of(answer: Answer, ticket: Ticket | None = None) -> Response:
    """An answer over HTTP, with how long its phases took."""
    headers = {**answer.headers, "content-disposition": f'inline; filename="{answer.name}"'}
    if ticket is not None:
        phases = vars(ticket.phases).items()
        headers["server-timing"] = ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in phases)
    return Response(answer.content, media_type=answer.media_type, headers=headers)
