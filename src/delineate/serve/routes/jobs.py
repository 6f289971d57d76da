"""Jobs: sent, asked for, fetched, cancelled."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from delineate.serve.documented import BODY, FILES
from delineate.serve.jobs import Job
from delineate.serve.options import JobQuery
from delineate.serve.problems import Problem
from delineate.serve.segmentation import Segmentation
from delineate.serve.service import Service, response_of

__all__ = ["accepted", "router"]


def router(service: Service) -> APIRouter:
    """The routes of a service."""
    routes = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @routes.post("", status_code=202, openapi_extra=BODY)
    async def send(request: Request, query: Annotated[JobQuery, Query()]) -> JSONResponse:
        """Send an image or a volume to be segmented; ask the address in `Location` how far it is."""
        served = service.model(query.model)
        service.jobs.check_room()
        ticket = await service.accept(
            request,
            query.model,
            lambda sent: Segmentation(served, query, sent.folder, service.limits, sent.charge, sent.parts),
        )
        job = Job(query.model, request.state.key, ticket)
        service.jobs.add(job, lambda job: asyncio.wrap_future(job.ticket.result))
        return accepted(service, job)

    @routes.get("/{id}")
    async def ask(request: Request, id: str) -> dict[str, Any]:
        """How far a job is: `state` is running, done or failed; `progress` goes from 0 to 1."""
        return service.jobs.get(id, request.state.key).about(service.limits.keep)

    @routes.get("/{id}/result", response_class=Response, responses=FILES)
    async def result(request: Request, id: str) -> Response:
        """The answer of a job that is done. It can be fetched again until it expires, or its place is needed."""
        job = service.jobs.get(id, request.state.key)
        return response_of(service.jobs.result(id, request.state.key), job.ticket)

    @routes.delete("/{id}")
    async def cancel(request: Request, id: str) -> dict[str, Any]:
        """Cancel a job, and forget it and its result."""

        def stop(ticket: Any) -> None:
            service.engine.stop(ticket, Problem("job_cancelled", "its client cancelled it"))

        return service.jobs.remove(id, request.state.key, stop).about(service.limits.keep)

    return routes


def accepted(service: Service, job: Job) -> JSONResponse:
    """The answer to whoever sent a job."""
    headers = {"location": f"/v1/jobs/{job.id}", "retry-after": "1"}
    return JSONResponse(job.about(service.limits.keep), 202, headers)
