"""How much one client may ask for. Every limit is a number that the answer names when it is met."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Of a server. Sizes are in bytes, times in seconds."""

    queue: int = 64
    """Requests of one model that are accepted and not answered; further ones are refused."""
    memory: int = 2 << 30
    """Bodies and decoded images of all accepted requests of a model."""
    body: int = 512 << 20
    """Of one request."""
    pixels: int = 100_000_000
    """Of a picture, or of a slice."""
    voxels: int = 1 << 30
    """Of a volume."""
    slices: int = 4096
    """Of a volume along its longest axis; files of a series."""
    files: int = 4096
    """In an archive, or in a form."""
    unpacked: int = 2 << 30
    """What the files of an archive may have in all."""
    timeout: float = 60.0
    """From the request's headers to its answer; jobs have none."""
    chunk: float = 10.0
    """Within which the next piece of headers or body must come."""
    connections: int = 1024
    """At a time."""
    header: int = 32 << 10
    """Of a request's headers."""
    jobs: int = 32
    """That are kept: running, or done and not fetched."""
    keep: float = 900.0
    """How long results of jobs are kept, and how long examples are without being used."""
    supports: int = 16
    """Sets of examples that are kept."""
    shots: int = 32
    """Images in one of them."""
    grace: float = 60.0
    """For accepted requests when the server is asked to stop; jobs included."""
