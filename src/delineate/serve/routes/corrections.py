"""Corrections, where the server collects them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from delineate.serve.corrections import Correction
from delineate.serve.documented import CORRECTION
from delineate.serve.problems import Problem
from delineate.serve.service import Service

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """The routes of a service."""
    routes = APIRouter(prefix="/v1/corrections", tags=["corrections"])

    @routes.post("", status_code=201, openapi_extra=CORRECTION)
    async def send(request: Request, model: str) -> dict[str, Any]:
        """Keep an image with its mended mask as a case to train on: a form with files `image` and `mask`.

        The mask holds class indices, or the values that the server writes. Only where the server was started with --collect.
        """
        served = service.model(model)
        collection = service.collection
        if collection is None:
            raise Problem(
                "not_collecting", "the server keeps nothing that it is sent; its owner can start it with --collect DIR"
            )
        ticket = await service.accept(
            request,
            model,
            lambda sent: Correction(served, sent.folder, collection, service.limits, sent.charge, sent.parts),
        )
        kept: dict[str, Any] = await service.outcome(request, ticket)
        return kept

    return routes
