"""The process: uvicorn around the application, signals, and what is told at the start."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from delineate.common.errors import DelineateError
from delineate.common.files import output_folder
from delineate.data.formats.registry import reads_image
from delineate.serve.app import make_app
from delineate.serve.archive import Archive
from delineate.serve.auth import Keys
from delineate.serve.engine import Engine
from delineate.serve.gate import Gate
from delineate.serve.guard import LOG, Guard
from delineate.serve.jobs import Jobs
from delineate.serve.lane import Lane
from delineate.serve.limits import Limits
from delineate.serve.metrics import Metrics
from delineate.serve.models import ServedModel
from delineate.serve.scratch import Scratch
from delineate.serve.service import Service
from delineate.serve.supports import Supports
from delineate.serve.warmup import measured_batch, warm_up

__all__ = ["LOOPBACK", "Serving", "Settings", "check_address", "guarded_app", "make_service", "warm_all"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
"""Addresses that only this machine reaches."""
_MOST_SAMPLES = 12
_WAITING = 2048
"""Connections that the system keeps until they are accepted."""
_AT_ONCE = 8
"""Connections that are accepted before those that there are have their turn."""
_ANY = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class Settings:
    """Of a server."""

    host: str = "127.0.0.1"
    port: int = 8000
    keys: Path | None = None
    insecure: bool = False
    """Whether others than this machine may use it without keys."""
    allowed_hosts: Sequence[str] = ()
    """Further names in the `Host` header."""
    batch: int | None = None
    """Images in one forward pass; None: measured."""
    workers: int = 4
    scratch: Path | None = None
    collection: Path | None = None
    """Where corrections are kept."""
    samples: Path | None = None
    """Folder of images that the page offers to try the models on."""
    pacs: str | None = None
    """Root of an archive's DICOMweb service."""
    limits: Limits = field(default_factory=Limits)

    @property
    def hosts(self) -> frozenset[str]:
        """What the server may be called."""
        own = () if self.host in _ANY else (f"[{self.host}]" if ":" in self.host else self.host,)
        machine = (socket.gethostname(), socket.getfqdn()) if self.host not in LOOPBACK else ()
        return frozenset(name.lower() for name in (*LOOPBACK[:3], *own, *machine, *self.allowed_hosts))

    def check(self) -> None:
        """Raise `DelineateError` for a server that others reach and anybody may use."""
        if self.host not in LOOPBACK and self.keys is None and not self.insecure:
            raise DelineateError(
                f"--host {self.host} lets other machines in, and nothing says who may use the server: give --keys FILE (made by "
                "`delineate serve-keys add NAME --keys FILE`), or --insecure if the network keeps others out"
            )


def make_service(models: Sequence[ServedModel], settings: Settings) -> Service:
    """The engine with its queues, before the models have predicted."""
    limits = settings.limits
    metrics = Metrics(models)
    lanes = [Lane(model.name, model.device, settings.batch or 1, limits.queue, limits.memory) for model in models]
    engine = Engine(lanes, workers=settings.workers, listener=metrics)
    return Service(
        {model.name: model for model in models},
        engine,
        limits,
        Scratch(settings.scratch),
        metrics,
        Jobs(limits, metrics.cancelled),
        Supports(limits),
        None if settings.collection is None else output_folder(settings.collection),
        None if settings.pacs is None else Archive(settings.pacs),
        samples=samples_of(settings.samples),
    )


def samples_of(folder: Path | None) -> tuple[Path, ...]:
    """The images of a folder, the first 12. Raises `DelineateError` where there are none."""
    if folder is None:
        return ()
    if not folder.is_dir():
        raise DelineateError(f"--samples {folder}: there is no such folder; give one with images")
    found = sorted(path for path in folder.glob("*") if reads_image(path))
    if not found:
        raise DelineateError(f"--samples {folder}: there are no images in it; give a folder with some")
    return tuple(found[:_MOST_SAMPLES])


def warm_all(service: Service, batch: int | None = None) -> None:
    """Let each model predict once and measure its batch; then the service is ready. A fault stays in `Service.fault`."""
    try:
        for model in service.models.values():
            if service.engine.draining:
                return
            ready = warm_up(model)
            service.engine.lanes[model.name].batch = batch or measured_batch(ready)
    except Exception as error:
        service.fault = str(error) if isinstance(error, DelineateError) else f"{type(error).__name__}: {error}"
        LOG.error("not ready: %s", service.fault)
        return
    service.ready = True


def guarded_app(service: Service, settings: Settings, keys: Keys | None = None) -> Guard:
    """The whole application: routes behind their guard. `keys`: of the settings, where they were read before."""
    own = keys or _keys_of(settings)
    return Guard(Gate(make_app(service), service), hosts=settings.hosts, keys=own, metrics=service.metrics)


def _keys_of(settings: Settings) -> Keys | None:
    return None if settings.keys is None else Keys(settings.keys)


class _Protocol(H11Protocol):
    """HTTP, with a timer for the headers: uvicorn would wait for them for ever."""

    most_seconds = 10.0
    _timer: asyncio.TimerHandle | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False  # its lines have queries

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.most_seconds, self._too_slow)

    def handle_events(self) -> None:
        super().handle_events()
        if self._timer is not None and self.cycle is not None:
            self._timer.cancel()
            self._timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()


class _Server(uvicorn.Server):
    """Stops by finishing what was accepted."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self._drained: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. The loop accepts `backlog` connections in one go before it reads from any; more may wait for that."""
        await super().startup(sockets)
        for one in sockets or ():
            one.listen(_WAITING)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Of a signal. It came in the middle of anything: what has to be done is done by the loop."""
        self.loop.call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        """The first time: accept nothing more, and exit when all that was accepted is answered. The second time: exit."""
        if self.service.engine.draining:
            self.should_exit = self.force_exit = True
            return
        LOG.info("stopping: finishing what was accepted; a second signal stops at once")
        self.service.engine.drain()
        self._drained = self.loop.create_task(self._drain())

    async def _drain(self) -> None:
        end = self.loop.time() + self.service.limits.grace
        while not self.service.idle and self.loop.time() < end:
            await asyncio.sleep(0.02)
        self.should_exit = True


class Serving:
    """A server that listens, and serves when it is run: in this thread, or for tests in another one."""

    def __init__(
        self, models: Sequence[ServedModel], settings: Settings, *, told: Callable[[str], None] = lambda _: None
    ) -> None:
        """
        Args:
            models: What is served; at least one.
            settings: Of the server.
            told: Told lines for people: the address, what is unsafe.

        Raises:
            DelineateError: The settings are unsafe, the keys cannot be read, or the address is taken.
        """
        settings.check()
        self.settings = settings
        self._keys = _keys_of(settings)
        self._socket = _listening(settings)
        self.port: int = self._socket.getsockname()[1]
        self.service = make_service(models, settings)
        app = guarded_app(self.service, settings, self._keys)
        self._server = _Server(_config(app, settings.limits), self.service)
        self._told = told

    def run(self) -> None:
        """Serve until a signal, or `stop`. Raises `DelineateError` where a model cannot predict."""
        warming = threading.Thread(target=warm_all, args=(self.service, self.settings.batch), name="delineate-warm-up")
        try:
            warming.start()
            _tell(self.settings, self.service, self.port, self._told)
            asyncio.run(self._serve())
        finally:
            self.service.engine.close()
            warming.join()
            self.service.scratch.close()
            engine = self.service.engine
            LOG.info(
                "stopped: %d accepted, %d answered, %d given up, refused or faulty",
                engine.accepted,
                engine.answered,
                engine.given_up,
            )
        if self.service.fault:
            raise DelineateError(self.service.fault)

    def stop(self) -> None:
        """As the signal does; from any thread."""
        with suppress(RuntimeError):  # it has ended
            self._server.loop.call_soon_threadsafe(self._server.drain)

    async def _serve(self) -> None:
        self._server.loop = asyncio.get_running_loop()
        if (
            self._keys is not None
            and threading.current_thread() is threading.main_thread()
            and hasattr(signal, "SIGHUP")
        ):
            self._server.loop.add_signal_handler(signal.SIGHUP, self.reload_keys)
        await self._server.serve([self._socket])

    def reload_keys(self) -> None:
        """Read the file of keys again; where it cannot be used, they stay as they are."""
        if self._keys is None:
            return
        try:
            LOG.info("keys read again: %d", self._keys.reload())
        except DelineateError as error:
            LOG.error("keys stay as they were: %s", error)


def _config(app: Any, limits: Limits) -> uvicorn.Config:
    _Protocol.most_seconds = limits.chunk
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # its lines may hold what clients sent
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=_AT_ONCE,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=limits.header,
        timeout_graceful_shutdown=10,
    )


def check_address(settings: Settings) -> None:
    """Raise `DelineateError` where nobody can listen at that address now."""
    _listening(settings).close()


def _listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((settings.host, settings.port))
        found.listen(_WAITING)
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise DelineateError(
            f"cannot listen at {settings.host}:{settings.port}: {reason}; give another --port or --host"
        ) from error
    return found


def _tell(settings: Settings, service: Service, port: int, told: Callable[[str], None]) -> None:
    host = "127.0.0.1" if settings.host in _ANY else f"[{settings.host}]" if ":" in settings.host else settings.host
    told(f"serving {', '.join(service.models)} at http://{host}:{port} (the API: /docs)")
    if settings.host not in LOOPBACK and settings.keys is None:
        told("warning: everyone who reaches this address may use it (--insecure)")
    if settings.host not in LOOPBACK:
        told("note: HTTP is not encrypted: put a proxy with TLS before it where others could listen")
    if settings.collection is not None:
        told(f"note: corrections that are sent are kept in {settings.collection}")
    if not service.scratch.in_memory:
        told(f"note: uploads are files in {service.scratch.folder} while they are worked on")
