"""Few-shot models: a set of examples, and images that are segmented as it shows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from delineate.serve.documented import BODY, EXAMPLES, FILES
from delineate.serve.options import SegmentQuery
from delineate.serve.segmentation import Segmentation
from delineate.serve.service import Service, response_of
from delineate.serve.supports import Conditioning

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """The routes of a service."""
    routes = APIRouter(prefix="/v1/fewshot/supports", tags=["few-shot"])

    @routes.post("", status_code=201, openapi_extra=EXAMPLES)
    async def send(request: Request, model: str) -> dict[str, Any]:
        """Send examples: a form with files `image` and `mask`, as many of either, in the same order.

        The field `labels` says what values of masks mean (`0=background,255=lesion`); else they are read by what they hold.
        """
        served = service.model(model, fewshot=True)
        service.supports.check_room()
        owner = request.state.key
        ticket = await service.accept(
            request,
            model,
            lambda sent: Conditioning(
                served,
                sent.folder,
                service.limits,
                sent.parts,
                sent.texts.get("labels"),
                lambda function: service.engine.call(served.device, function),
                owner,
            ),
        )
        examples = await service.outcome(request, ticket)
        service.supports.add(examples)
        return examples.about(service.limits.keep)

    @routes.post("/{id}:segment", openapi_extra=BODY, response_class=Response, responses=FILES)
    async def segment(request: Request, id: str, query: Annotated[SegmentQuery, Query()]) -> Response:
        """Segment an image as a set of examples shows. As `/v1/models/{name}:segment`."""
        examples = service.supports.get(id, request.state.key)
        served = examples.model
        ticket = await service.accept(
            request,
            served.name,
            lambda sent: Segmentation(
                served, query, sent.folder, service.limits, sent.charge, sent.parts, examples.predictor
            ),
        )
        return response_of(await service.outcome(request, ticket), ticket)

    @routes.get("/{id}")
    async def ask(request: Request, id: str) -> dict[str, Any]:
        """What a set shows. Asking keeps it on."""
        return service.supports.get(id, request.state.key).about(service.limits.keep)

    @routes.delete("/{id}", status_code=204)
    async def forget(request: Request, id: str) -> None:
        """Forget a set of examples."""
        service.supports.remove(id, request.state.key)

    return routes
