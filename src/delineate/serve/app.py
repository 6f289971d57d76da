"""The application: addresses → the service. FastAPI reads queries and describes the API; `serve.body` reads bodies."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from delineate.common.errors import DelineateError
from delineate.common.versions import version
from delineate.serve.documented import PROBLEMS
from delineate.serve.problems import Problem, problem_of
from delineate.serve.routes import archive, corrections, description, fewshot, jobs, models, pages, probes
from delineate.serve.service import Service

__all__ = ["make_app"]

_ABOUT = (
    "Segments medical images with trained models. Research software: not a medical device. Errors are application/problem+json "
    "with a stable code."
)

_SILENT: Any = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
"""FastAPI has OpenTelemetry built in, which variables of the environment can switch on: it would tell others of requests. Earlier
versions have none, and ignore this."""


def make_app(service: Service) -> FastAPI:
    """The application around a service, without its guard (`serve.guard`)."""
    app = FastAPI(
        telemetry=_SILENT,
        title="Delineate",
        version=version(),
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
    )
    app.state.service = service
    for kind in (pages, probes, models, jobs, fewshot, corrections, archive, description):
        app.include_router(kind.router(service))
    for fault in (Problem, DelineateError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(fault, _left_to_the_guard)
    _name_models(app, list(service.models))
    return app


def _name_models(app: FastAPI, names: list[str]) -> None:
    """Tell in the description of the API which models there are: wherever one is named."""
    described = app.openapi()
    for path, methods in described["paths"].items():
        of_model = path.startswith("/v1/models/")
        for method in methods.values():
            for parameter in method.get("parameters", ()):
                if parameter["name"] == "model" or (of_model and parameter["name"] == "name"):
                    parameter["schema"]["enum"] = names


class _Unsent(Response):
    """An answer that is the guard's to send, since the rest of the body may have to be read behind it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["problem"] = self.problem


async def _left_to_the_guard(request: Request, error: Exception) -> Response:
    problem = _problem(error)
    if problem.status == 405:
        problem.allow = _allowed(request)
    return _Unsent(problem)


def _allowed(request: Request) -> str:
    """All methods of an address: routes are looked through one by one, and the first names its own alone."""
    found: dict[int, set[str]] = {}
    for path, methods in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path):
            own = len(re.sub(r"\{\w+\}", "", path))  # "…:segment" says more than any name
            found.setdefault(own, set()).update(method.upper() for method in methods)
    return ", ".join(sorted(found[max(found)])) if found else ""


def _problem(error: Exception) -> Problem:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(one) for one in first["loc"][1:])
        return Problem(
            "bad_request", f"{place or 'the request'}: {first['msg'].removeprefix('Value error, ')}; see /openapi.json"
        )
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        return Problem(code, f"{error.detail}; see /openapi.json for the addresses that there are")
    return problem_of(error)
