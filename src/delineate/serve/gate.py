"""What a request passes before it is routed: there is room for it, and its query says each thing once.

A full server has to refuse many at once, and of two values of an option the framework would silently take the last.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
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
    """ASGI middleware between the guard and the application.

    Routing and reading a query cost three times what refusing does. So of many that come at once, one is routed in each round of
    the loop, and the rounds are for telling the others that there is no room.
    """

    def __init__(self, app: Any, service: Service) -> None:
        self._app, self._service = app, service
        self._turn = asyncio.Lock()
        self._coming: Counter[str] = Counter()
        """Model → requests that have room and are not routed."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Any) -> None:
        """As ASGI says. Raises `Problem`, for want of room as `Service.admit` would later."""
        if scope["type"] == "http":
            _check_once(scope["query_string"])
            if scope["method"] == "POST":
                await self._enter(scope)
            elif scope["method"] == "HEAD" and scope["path"] in _PROBES:
                scope["state"]["route"] = scope["path"]
                scope = {**scope, "method": "GET"}  # the protocol keeps the body back
        await self._app(scope, receive, send)

    async def _enter(self, scope: MutableMapping[str, Any]) -> None:
        found = _OF_IMAGES.fullmatch(scope["path"])
        if found is None or found[1] not in self._service.models:
            return
        model, state = found[1], scope["state"]
        state["model"], state["route"] = model, f"/v1/models/{{name}}:{found[2]}"
        self._service.check_room(model, self._coming[model])
        self._coming[model] += 1
        try:
            async with self._turn:
                await asyncio.sleep(0)
        finally:
            self._coming[model] -= 1


def _check_once(query: bytes) -> None:
    names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Problem("bad_request", f"the query has '{twice[:40]}' more than once; say it once")
