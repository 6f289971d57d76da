"""The body of a request → files of its scratch folder, piece by piece, within the limits.

The only copy of what was sent is in those files. Slow clients are dropped by a timer of each piece and a least rate: a server waits
for its accepted requests, and one that drips a byte at a time would hold a place in the queue for ever.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from delineate.serve.limits import Limits
from delineate.serve.problems import Problem
from delineate.serve.sniff import FIRST, suffix_of

__all__ = ["ClientGone", "Part", "Receive", "pieces", "receive_body", "receive_fields"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_RATE = 16 << 10
"""Bytes a second that a body must come with on average, after the first pieces."""
_TEXT = 64 << 10
"""Bytes of a field that is text."""
_NAME = re.compile(r"[\w .+-]{1,64}")


class ClientGone(Exception):  # noqa: N818 - no fault
    """The client has closed the connection: nobody waits for an answer."""


@dataclass
class Part:
    """A file that was sent."""

    field: str
    """Its name in the form; of a bare body, `file`."""
    path: Path
    size: int = 0


@dataclass
class _Form:
    """A form that is being read."""

    folder: Path
    most: int
    parts: list[Part] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    header: bytes = b""
    value: bytes = b""
    name: str = ""
    is_file: bool = False
    text: bytearray = field(default_factory=bytearray)
    stream: IO[bytes] | None = None
    ended: bool = False

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header,
            "on_header_value": self._value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._close,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self.name, self.is_file, self.header, self.value = "", False, b"", b""

    def _header(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def _header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            _, options = parse_options_header(self.value)
            self.name = options.get(b"name", b"").decode("utf-8", "replace")
            self.is_file = b"filename" in options
        self.header, self.value = b"", b""

    def _open(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise Problem(
                "bad_multipart", "each part of the form needs a name of letters, digits, '_', '-', '.' and '+'"
            )
        if len(self.parts) + len(self.texts) >= self.most:
            raise Problem(
                "too_many_files", f"a form may have {self.most} parts; send a zip of the files", limit=self.most
            )
        self.text.clear()
        if self.is_file:
            part = Part(self.name, self.folder / (f"image_{len(self.parts):05d}" if self.parts else "image"))
            self.parts.append(part)
            self.stream = part.path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.stream is not None:
            self.stream.write(data[start:end])
            self.parts[-1].size += end - start
            return
        self.text += data[start:end]
        if len(self.text) > _TEXT:
            raise Problem("body_too_large", f"the field '{self.name}' has more than {_TEXT} bytes of text", limit=_TEXT)

    def _close(self) -> None:
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        else:
            self.texts[self.name] = self.text.decode("utf-8", "replace")

    def _end(self) -> None:
        self.ended = True


async def pieces(receive: Receive, limits: Limits, most: int) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises:
        Problem: `too_slow`, or `body_too_large` as soon as it has more than `most` bytes.
        ClientGone: before its end.
    """
    start, total = time.monotonic(), 0
    while True:
        try:
            message = await asyncio.wait_for(receive(), limits.chunk)
        except TimeoutError:
            raise Problem("too_slow", f"nothing came for {limits.chunk:g} s", limit=limits.chunk) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        total += len(piece)
        if total > most:
            raise Problem("body_too_large", f"the body has more than {most / 1e6:g} MB, which is the limit", limit=most)
        if piece:
            yield piece
        if not message.get("more_body", False):
            return
        spent = time.monotonic() - start
        if spent > limits.chunk and total < _RATE * (spent - limits.chunk):
            raise Problem("too_slow", f"the body must come with {_RATE >> 10} kB a second", limit=_RATE)


async def receive_body(
    receive: Receive, content_type: str, folder: Path, limits: Limits, charge: Callable[[int], None]
) -> tuple[list[Part], dict[str, str]]:
    """Store a bare body, or the files of a form.

    Args:
        receive: Of ASGI.
        content_type: Of the request: `multipart/form-data`, or anything else for a bare body.
        folder: Where the files go.
        limits: Of the server.
        charge: Told the bytes of each piece; raises `Problem` where memory is used up.

    Returns:
        The files, named by their format, and the fields of the form that are text.

    Raises:
        Problem: Whatever is wrong with the body.
        ClientGone: As `pieces`.
    """
    kind, options = parse_options_header(content_type)
    form = _Form(folder, limits.files)
    parser = None
    if kind == b"multipart/form-data":
        if not options.get(b"boundary"):
            raise Problem("bad_multipart", "the Content-Type names no boundary; let your HTTP library make the form")
        parser = MultipartParser(options[b"boundary"], form.callbacks())
    else:
        form.name, form.is_file = "file", True
        form._open()
    try:
        async for piece in pieces(receive, limits, limits.body):
            charge(len(piece))
            if parser is None:
                form._data(piece, 0, len(piece))
            else:
                parser.write(piece)
        if parser is not None:
            parser.finalize()
            if not form.ended:
                raise Problem("bad_multipart", "the form ends in the middle")
    except MultipartParseError:
        raise Problem("bad_multipart", "the form is not as RFC 7578 says; let your HTTP library make it") from None
    finally:
        if form.stream is not None:
            form.stream.close()
    files = [_named(part) for part in form.parts if part.size]
    if not files:
        raise Problem("no_input", "send an image as the body, or as the field 'file' of a form")
    return files, form.texts


async def receive_fields(receive: Receive, limits: Limits) -> bytes:
    """A small body, such as JSON."""
    return b"".join([piece async for piece in pieces(receive, limits, _TEXT)])


def _named(part: Part) -> Part:
    """With the ending of its format."""
    with part.path.open("rb") as stream:
        suffix = suffix_of(stream.read(FIRST))
    if suffix is None:
        raise Problem(
            "unsupported_media_type",
            "the file is none that is read here: send PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000, NIfTI, MetaImage, NRRD, NumPy, "
            "DICOM, or a zip of a DICOM series",
        )
    part.path = part.path.rename(part.path.with_name(part.path.name + suffix))
    return part
