"""The page for people, and the files that it loads: they are in the package, and nothing comes from elsewhere."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.responses import HTMLResponse

from delineate.page.card import card
from delineate.page.served import page_files, served_page
from delineate.serve.problems import Problem
from delineate.serve.service import Service

__all__ = ["router"]

_TYPES = {"js": "text/javascript", "css": "text/css"}


def router(service: Service) -> APIRouter:
    """`/`, `/page/…` and models' cards."""
    routes = APIRouter()
    page, files = served_page(), page_files()

    @routes.get("/", include_in_schema=False)
    async def root() -> HTMLResponse:
        return HTMLResponse(page)

    @routes.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in files:
            raise Problem("not_found", "the page has no such file")
        return Response(files[name], media_type=f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8")

    @routes.get("/v1/models/{name}/card", response_class=HTMLResponse, tags=["models"])
    async def model_card(name: str) -> HTMLResponse:
        """The card of a model as a part of a page."""
        return HTMLResponse(card(service.any_model(name).info, open_=False))

    @routes.get("/v1/samples/{number}", response_class=Response, tags=["models"])
    async def sample(number: int) -> Response:
        """One of the images that the server offers to try a model on (`delineate demo --serve`)."""
        if not 0 <= number < len(service.samples):
            raise Problem("not_found", f"there are {len(service.samples)} sample images, counted from 0")
        path = service.samples[number]
        return Response(path.read_bytes(), media_type="application/octet-stream", headers={"x-name": path.name})

    return routes
