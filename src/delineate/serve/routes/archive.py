"""A series of the archive is segmented, and the segmentation stored beside it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from delineate.serve.answers import Answer
from delineate.serve.archive import UID, Archive
from delineate.serve.body import receive_fields
from delineate.serve.jobs import Job
from delineate.serve.models import ServedModel
from delineate.serve.options import SegmentQuery
from delineate.serve.problems import Problem
from delineate.serve.routes.jobs import accepted
from delineate.serve.scratch import Scratch
from delineate.serve.segmentation import Segmentation
from delineate.serve.service import Service

__all__ = ["router"]

_Uid = Annotated[str, Field(pattern=f"^{UID.pattern}$", max_length=64)]


class SeriesRequest(BaseModel):
    """A series of the archive, and what is to be done with it."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(description="Name of a model of this server.")]
    study: Annotated[_Uid, Field(description="Study Instance UID.")]
    series: Annotated[_Uid, Field(description="Series Instance UID.")]
    store: Annotated[
        bool, Field(description="Whether the segmentation goes to the archive; it is the job's result, too.")
    ] = True


_BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": SeriesRequest.model_json_schema()}}}
}


def router(service: Service) -> APIRouter:
    """The routes of a service."""
    routes = APIRouter(prefix="/v1", tags=["archive"])

    @routes.post("/dicomweb:segment", status_code=202, openapi_extra=_BODY)
    async def segment(request: Request) -> JSONResponse:
        """Segment a series of the archive, as a job. Only where the server was started with --pacs."""
        archive = service.archive
        if archive is None:
            raise Problem("no_pacs", "the server's owner can start it with --pacs URL")
        asked = _asked(await receive_fields(request.receive, service.limits))
        served = service.model(asked.model)
        service.jobs.check_room()
        request.state.model = served.name
        ticket = service.admit(served.name)
        job = Job(served.name, request.state.key, ticket)

        async def work(job: Job) -> Answer:
            return await _segmented(service, archive, served, asked, job)

        service.jobs.add(job, work)
        return accepted(service, job)

    return routes


def _asked(body: bytes) -> SeriesRequest:
    """Raises `Problem` for what is no such request."""
    try:
        return SeriesRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Problem("bad_request", f"{place or 'the body'}: {first['msg']}; see /openapi.json") from None


async def _segmented(service: Service, archive: Archive, served: ServedModel, asked: SeriesRequest, job: Job) -> Answer:
    """Fetched, segmented, stored. The archive is waited for in threads of its own: it may be slow."""
    folder = service.scratch.new()
    loop, engine = asyncio.get_running_loop(), service.engine

    def charge(size: int) -> None:
        if job.ticket.stopped:
            raise Problem("job_cancelled", "its client cancelled it")
        engine.charge(job.ticket, size)

    job.step = "fetching"
    try:
        parts = await loop.run_in_executor(
            service.archive_pool, archive.fetch, asked.study, asked.series, folder, service.limits, charge
        )
    except BaseException as error:
        Scratch.remove(folder)
        engine.stop(job.ticket, error)
        raise
    job.step = "segmenting"
    query = SegmentQuery(output="dicom-seg")
    engine.run(job.ticket, Segmentation(served, query, folder, service.limits, charge, parts))
    answer: Answer = await asyncio.wrap_future(job.ticket.result)
    if asked.store:
        job.step = "storing"
        await loop.run_in_executor(service.archive_pool, _store, service, archive, asked.study, answer)
    return answer


def _store(service: Service, archive: Archive, study: str, answer: Answer) -> None:
    if answer.media_type != "application/dicom":
        raise Problem(
            "bad_image", "the series is several images, whose segmentations are a zip: fetch it, nothing was stored"
        )
    archive.store(study, answer.content)
