"""What every request passes on its way in and out: whether it is for this server, whose key it has, what the answer's headers
forbid a browser, one line in the log, and an answer for whatever went wrong.

The log has the method, the template of the address, the status, the time and the key's name: no query, no body, no name of a file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from delineate.serve.auth import Keys
from delineate.serve.body import ClientGone, Receive
from delineate.serve.metrics import Metrics
from delineate.serve.problems import Problem, problem_of

__all__ = ["HEADERS", "LOG", "Guard"]

LOG = logging.getLogger("delineate.serve")
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Of every answer: nothing is stored, loaded from elsewhere, or shown inside of another page."""
_OPEN = ("/healthz", "/readyz", "/", "/favicon.ico")
"""What needs no key: probes of the machine, and the page, which asks for one."""
_OPEN_UNDER = "/page/"
_LINGER = 30.0
"""Seconds for which the rest of a body is read and thrown away behind an early answer; a client that is cut off while it sends
would often not see the answer."""


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: Any, *, hosts: frozenset[str], keys: Keys | None, metrics: Metrics) -> None:
        """
        Args:
            app: What is guarded.
            hosts: What the server may be called in the `Host` header, in lower case and without a port.
            keys: Who may use it; None: everyone who reaches it.
            metrics: Told of every answer.
        """
        self.app, self.hosts, self.keys, self.metrics = app, hosts, keys, metrics

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """As ASGI says."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})

    async def _request(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        exchange = _Exchange(receive, send, secrets.token_hex(6))
        scope.setdefault("state", {})["request_id"] = exchange.id
        self.metrics.began()
        try:
            scope["state"]["key"] = self._admitted(scope)
            await self.app(scope, exchange.receive, exchange.send)
            if (problem := scope["state"].get("problem")) is not None and exchange.status is None:
                await exchange.answer(problem)
        except ClientGone:
            exchange.status = exchange.status or 499
            self.metrics.cancelled()
        except Exception as error:
            problem = problem_of(error)
            if problem.code == "internal":
                LOG.error("id=%s fault=%s at %s", exchange.id, type(error).__name__, _place(error))
            if exchange.status is None:
                await exchange.answer(problem)
        finally:
            self._tell(scope, exchange)

    def _admitted(self, scope: MutableMapping[str, Any]) -> str | None:
        """The name of the request's key. Raises `Problem`."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        name = _without_port(host)
        if name not in self.hosts:
            raise Problem(
                "host_not_allowed", "the server does not answer to this Host; start it with --allow-host NAME"
            )
        origin = headers.get("origin")
        if headers.get("sec-fetch-site") == "cross-site" or (origin is not None and origin.partition("://")[2] != host):
            raise Problem(
                "cross_origin", "requests of pages of other sites are refused; call the server from its own page"
            )
        path = scope["path"]
        if self.keys is None or path in _OPEN or path.startswith(_OPEN_UNDER):
            return None
        owner = self.keys.owner(headers.get("authorization", ""))
        if owner is None:
            raise Problem("unauthorized", "send the header 'Authorization: Bearer KEY' with a key of this server")
        return owner

    def _tell(self, scope: MutableMapping[str, Any], exchange: _Exchange) -> None:
        route = scope["state"].get("route") or getattr(scope.get("route"), "path", "other")
        model = scope["state"].get("model", "")
        seconds = time.monotonic() - exchange.begun
        code = exchange.status or 500
        self.metrics.answered(model, route, code, seconds)
        quiet = route in ("/healthz", "/readyz", "/metrics") and code < 400
        LOG.log(
            logging.DEBUG if quiet else logging.INFO,
            "%s %s %d %.0fms id=%s%s%s",
            scope["method"] if scope["method"] in _METHODS else "OTHER",
            route,
            code,
            1000 * seconds,
            exchange.id,
            f" model={model}" if model else "",
            f" key={scope['state'].get('key')}" if scope["state"].get("key") else "",
        )


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class _Exchange:
    """A request and its answer."""

    def __init__(self, receive: Receive, send: Send, id: str) -> None:
        self._receive, self._send, self.id = receive, send, id
        self.begun = time.monotonic()
        self.status: int | None = None
        self._whole = False
        """Whether the body was read to its end, or the client is gone."""

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._whole |= message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = {name.lower() for name, _ in message.get("headers", ())}
            added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
            added.append((b"x-request-id", self.id.encode()))
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)

    async def answer(self, problem: Problem) -> None:
        """Also where the body was not read: the rest of it is thrown away behind the answer."""
        content = json.dumps(problem.content, ensure_ascii=False, allow_nan=False).encode()
        headers = {"content-type": "application/problem+json", "content-length": str(len(content)), **problem.headers}
        if not self._whole:
            headers["connection"] = "close"
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": content, "more_body": True})
        try:
            async with asyncio.timeout(_LINGER):
                while not self._whole:
                    await self.receive()
        except TimeoutError:
            pass
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})


def _without_port(host: str) -> str:
    """`[::1]:8000` → `[::1]`, in lower case and without the dot that a full name may end with."""
    name = host[: host.rindex("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
    return name.lower().rstrip(".")


def _place(error: BaseException) -> str:
    """Module and line of our code where a fault arose; its text may hold what a client sent."""
    at, trace = "?", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name.startswith("delineate."):
            at = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return at
