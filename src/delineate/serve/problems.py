"""What can go wrong with a request, as the answer says it: `application/problem+json` (RFC 9457) with a stable code.

Codes are for programs and do not change. The detail is for people: what is wrong, the limit, what to do. It goes to the client
alone and is never logged, since it may hold what the client sent.
"""

from __future__ import annotations

from typing import Any

from delineate.common.errors import DataError, DelineateError, DeviceError, NotFiniteError

__all__ = ["CODES", "Problem", "problem_of"]

CODES: dict[str, tuple[int, str]] = {
    "bad_request": (400, "The request cannot be understood"),
    "bad_multipart": (400, "The form in the body cannot be read"),
    "no_input": (400, "There is no image in the request"),
    "unauthorized": (401, "A key is needed"),
    "cross_origin": (403, "Pages of other sites may not use this server"),
    "not_collecting": (403, "This server keeps no corrections"),
    "no_pacs": (403, "This server knows no archive"),
    "not_found": (404, "There is nothing at this address"),
    "model_not_found": (404, "There is no such model"),
    "job_not_found": (404, "There is no such job"),
    "supports_not_found": (404, "There is no such set of examples"),
    "method_not_allowed": (405, "This address does not take that method"),
    "too_slow": (408, "The request came too slowly"),
    "job_not_done": (409, "The job is not done"),
    "job_cancelled": (409, "The job was cancelled"),
    "body_too_large": (413, "The body is too large"),
    "too_many_pixels": (413, "The image has too many pixels"),
    "too_many_slices": (413, "The volume has too many slices"),
    "too_many_files": (413, "There are too many files"),
    "unpacks_too_large": (413, "The archive unpacks to too much"),
    "too_large_for_memory": (413, "The image needs more memory than the server gives"),
    "unsupported_media_type": (415, "The file is of no format that is read here"),
    "host_not_allowed": (421, "The server is not called that"),
    "bad_image": (422, "The image cannot be segmented"),
    "queue_full": (429, "The queue is full"),
    "memory_full": (429, "The memory for images is in use"),
    "jobs_full": (429, "Too many jobs are kept"),
    "supports_full": (429, "Too many sets of examples are kept"),
    "internal": (500, "The server made a mistake"),
    "not_finite": (500, "The network's output is not finite"),
    "pacs_failed": (502, "The archive did not answer as it should"),
    "draining": (503, "The server is shutting down"),
    "warming_up": (503, "The models are not ready yet"),
    "device_memory": (503, "The memory of the device does not suffice"),
    "timeout": (504, "It took too long"),
    "no_room": (507, "There is no room for the request"),
}
"""Code → HTTP status and title."""


class Problem(Exception):  # noqa: N818 - the name of what RFC 9457 defines
    """A request that is not answered as it asked."""

    def __init__(self, code: str, detail: str, *, retry_after: int | None = None, **further: Any) -> None:
        """
        Args:
            code: One of `CODES`.
            detail: What is wrong and what to do, for people.
            retry_after: Seconds after which another try makes sense.
            further: More members of the answer, such as the limit.
        """
        super().__init__(detail)
        self.code, self.detail, self.retry_after, self.further = code, detail, retry_after, further
        self.allow = ""
        """Methods that an address takes, where another one was used."""
        self.status, self.title = CODES[code]

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer."""
        found = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        if self.allow:
            found["allow"] = self.allow
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        return found

    @property
    def content(self) -> dict[str, Any]:
        """The answer's JSON."""
        known = {"type": f"urn:delineate:problem:{self.code}", "title": self.title, "status": self.status}
        retry = {} if self.retry_after is None else {"retry_after": self.retry_after}
        return {**known, "code": self.code, "detail": self.detail, **retry, **self.further}


def problem_of(error: BaseException) -> Problem:
    """What a fault of the engine means for the client."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, NotFiniteError):
        return Problem("not_finite", str(error))
    if isinstance(error, DeviceError):
        return Problem("device_memory", str(error), retry_after=5)
    if isinstance(error, DataError):
        return Problem("bad_image", str(error))
    if isinstance(error, DelineateError) and "disk is full" in str(error):
        return Problem(
            "no_room", "the folder for uploads is full; try again later, or start the server with --scratch DIR"
        )
    if isinstance(error, DelineateError):
        return Problem("bad_request", str(error))
    if isinstance(error, MemoryError):
        return Problem("too_large_for_memory", "the image does not fit into the server's memory; make it smaller")
    return Problem("internal", "an unexpected fault; the server's log has its kind under the request's id")
