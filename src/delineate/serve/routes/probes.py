"""Whether the server lives, whether it is ready, its metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response

from delineate.serve.problems import Problem
from delineate.serve.service import Service

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """The routes of a service."""
    routes = APIRouter(tags=["server"])

    @routes.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "ok"}

    @routes.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Whether requests are accepted: the models have predicted once, and the server is not shutting down."""
        if service.engine.draining:
            raise Problem("draining", "the server finishes what it has accepted and stops", retry_after=5)
        if not service.ready:
            raise Problem("warming_up", service.fault or "the models are being warmed up", retry_after=2)
        return {"status": "ready"}

    @routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        text = service.metrics.text(service.engine.lanes.values())
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes
