"""The description of the API as a page for people."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.responses import HTMLResponse

from delineate.serve.api_page import API_STYLE, api_page
from delineate.serve.service import Service

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """`/docs` and its style."""
    routes = APIRouter()

    @routes.get("/docs", include_in_schema=False)
    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(api_page(request.app.openapi(), "/docs/style.css"))

    @routes.get("/docs/style.css", include_in_schema=False)
    async def style() -> Response:
        return Response(API_STYLE, media_type="text/css; charset=utf-8")

    return routes
