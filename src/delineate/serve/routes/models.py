"""The models, and a segmentation that the client waits for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from delineate.serve.documented import BODY, DRAWING, FILES
from delineate.serve.drawn import Drawing, Look
from delineate.serve.options import SegmentQuery, WriteQuery
from delineate.serve.problems import Problem
from delineate.serve.segmentation import Segmentation
from delineate.serve.service import Service, response_of

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """The routes of a service."""
    routes = APIRouter(prefix="/v1/models", tags=["models"])

    @routes.get("")
    async def models() -> dict[str, Any]:
        """The models that this server has, whether it keeps corrections, and how many sample images it offers."""
        found = [model.about() for model in service.models.values()]
        return {"models": found, "collects": service.collection is not None, "samples": len(service.samples)}

    @routes.get("/{name}")
    async def model(name: str) -> dict[str, Any]:
        """All that is known of a model: classes with colors, input, scores with intervals, licenses, how masks are made."""
        if name.endswith((":segment", ":view", ":write")):
            raise Problem("method_not_allowed", "send the image to this address with POST; see /openapi.json")
        return service.any_model(name).details()

    @routes.post("/{name}:segment", openapi_extra=BODY, response_class=Response, responses=FILES)
    async def segment(request: Request, name: str, query: Annotated[SegmentQuery, Query()]) -> Response:
        """Segment an image: the body is the file, or a form with it.

        Of a model of named channels, the form has a file for each, under the channel's name. Volumes may take long: send a job
        where that is more than the server's time limit.
        """
        served = service.model(name)
        ticket = await service.accept(
            request,
            name,
            lambda sent: Segmentation(served, query, sent.folder, service.limits, sent.charge, sent.parts),
        )
        return response_of(await service.outcome(request, ticket), ticket)

    @routes.post("/{name}:view", openapi_extra=BODY, response_class=Response, responses=FILES)
    async def view(request: Request, name: str) -> Response:
        """A picture as a viewer shows it, of any format and without a prediction: `image.npy` in a zip, as in `output=view`."""
        served = service.any_model(name)
        ticket = await service.accept(
            request, name, lambda sent: Look(served, sent.folder, service.limits, sent.charge, sent.parts)
        )
        return response_of(await service.outcome(request, ticket), ticket)

    @routes.post("/{name}:write", openapi_extra=DRAWING, response_class=Response, responses=FILES)
    async def write(request: Request, name: str, query: Annotated[WriteQuery, Query()]) -> Response:
        """Write a mask that somebody drew on a view of an image, in the image's own format and on its grid."""
        served = service.model(name)
        ticket = await service.accept(
            request,
            name,
            lambda sent: Drawing(served, sent.folder, service.limits, sent.charge, sent.parts, query.output),
        )
        return response_of(await service.outcome(request, ticket), ticket)

    return routes
