"""What a request passes before it is routed: there is room for it, and its query says each thing once.

A full server has to refuse many at once, and of two values of an option the framework would silently take the last.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from delineate.serve.body import Receive
from delineate.serve.problems import Problem
from delineate.serve.service import Service

__all__ = ["Gate"]

_OF_IMAGES = re.compile(r"/v1/models/([^/]+):(segment|view|write)")
_PROBES = ("/healthz", "/readyz")
"""What balancers also ask for with HEAD."""


class Gate:
    """ASGI middleware between the guard and the application. Routing and reading a query cost three times what refusing does."""

    def __init__(self, app: Any, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Any) -> None:
        """As ASGI says. Raises `Problem`, for want of room as `Service.admit` would later."""
        if scope["type"] == "http":
            _check_once(scope["query_string"])
            if scope["method"] == "POST":
                self._check_room(scope)
            elif scope["method"] == "HEAD" and scope["path"] in _PROBES:
                scope = {**scope, "method": "GET"}  # the protocol keeps the body back
        await self._app(scope, receive, send)

    def _check_room(self, scope: MutableMapping[str, Any]) -> None:
        found = _OF_IMAGES.fullmatch(scope["path"])
        if found is not None and found[1] in self._service.models:
            state = scope["state"]
            state["model"], state["route"] = found[1], f"/v1/models/{{name}}:{found[2]}"
            self._service.check_room(found[1])


def _check_once(query: bytes) -> None:
    names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Problem("bad_request", f"the query has '{twice[:40]}' more than once; say it once")
