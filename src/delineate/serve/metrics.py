"""Metrics in Prometheus' format, with names that do not change. Labels name models and routes, never files or people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from delineate.serve.lane import Lane
from delineate.serve.listener import Listener
from delineate.serve.models import ServedModel
from delineate.serve.work import Ticket

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_SHARES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


class Metrics(Listener):
    """Of one server: counted as things happen; queues are looked at when they are asked for."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self.registry = CollectorRegistry()
        made: dict[str, Any] = {"registry": self.registry, "namespace": "delineate"}
        self._requests = Counter("requests", "Answers", ["model", "route", "code"], **made)
        self._seconds = Histogram("request_seconds", "Seconds by phase", ["phase"], buckets=_SECONDS, **made)
        self._length = Gauge("queue_length", "Requests that are accepted and not answered", ["model"], **made)
        self._waits = Histogram("queue_wait_seconds", "Waiting for the network", ["model"], buckets=_SECONDS, **made)
        self._batches = Histogram(
            "batch_size", "Images, slices or tiles in one forward pass", ["model"], buckets=_SIZES, **made
        )
        self._inflight = Gauge("inflight", "Requests that are being answered, of whatever kind", **made)
        self._rejected = Counter("rejected", "Requests that were refused", ["reason"], **made)
        self._cancelled = Counter("cancelled", "Requests whose client went away, and jobs that were cancelled", **made)
        self._gpu = Gauge("gpu_memory_bytes", "Memory of the devices that torch has taken", **made)
        self._held = Gauge("held_bytes", "Bodies and decoded images of accepted requests", ["model"], **made)
        self._info = Gauge("model_info", "1 for each model", ["model", "hash", "method"], **made)
        self._share = Histogram(
            "foreground_share",
            "Share of an image that is foreground: watch it for drift",
            ["model"],
            buckets=_SHARES,
            **made,
        )
        self._outside = Counter("outside", "Images that lie outside of the training images", ["model"], **made)
        for model in models:
            self._info.labels(model.name, model.info.sha256, model.info.method).set(1)

    def rejected(self, reason: str) -> None:
        self._rejected.labels(reason).inc()

    def computed(self, model: str, waited: Sequence[float], seconds: float) -> None:
        self._batches.labels(model).observe(len(waited))
        for one in waited:
            self._waits.labels(model).observe(one)

    def began(self) -> None:
        """A request came in."""
        self._inflight.inc()

    def answered(self, model: str, route: str, code: int, seconds: float) -> None:
        """It was answered; `route` is the template of its address."""
        self._inflight.dec()
        self._requests.labels(model, route, str(code)).inc()
        self._seconds.labels("total").observe(seconds)

    def cancelled(self) -> None:
        """A client went away, or cancelled a job."""
        self._cancelled.inc()

    def finished(self, ticket: Ticket) -> None:
        """The phases of a segmentation."""
        for phase in ("queue", "decode", "infer", "encode"):
            self._seconds.labels(phase).observe(getattr(ticket.phases, phase))
        for result in ticket.results:
            self._share.labels(ticket.model).observe(sum(result.percent) / 100)
            self._outside.labels(ticket.model).inc(result.drift is not None and result.drift.outside)

    def text(self, lanes: Iterable[Lane]) -> bytes:
        """All of them, as Prometheus reads them."""
        for lane in lanes:
            self._length.labels(lane.name).set(lane.accepted)
            self._held.labels(lane.name).set(lane.held)
        self._gpu.set(_gpu_bytes())
        return generate_latest(self.registry)


def _gpu_bytes() -> int:
    import torch

    if not torch.cuda.is_available():
        return 0
    return sum(torch.cuda.memory_allocated(device) for device in range(torch.cuda.device_count()))
