"""A DICOM archive that speaks DICOMweb: a series comes by WADO-RS, its segmentation goes back by STOW-RS.

What comes is streamed into the request's scratch folder. The archive's address is the server's alone (`--pacs`): a client names
UIDs, so that it cannot send the server anywhere else.
"""

from __future__ import annotations

import base64
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from delineate.common.errors import DelineateError
from delineate.serve.body import Part
from delineate.serve.limits import Limits
from delineate.serve.problems import Problem

__all__ = ["UID", "Archive"]

UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_PIECE = 1 << 18


class Archive:
    """The one of a server."""

    def __init__(self, url: str, seconds: float = 30.0) -> None:
        """
        Args:
            url: Root of its DICOMweb service, with `USER:PASSWORD@` where it asks for them.
            seconds: For which it may be silent.

        Raises:
            DelineateError: Not an address of HTTP.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DelineateError("--pacs: give the root of a DICOMweb service, such as http://127.0.0.1:8042/dicom-web")
        host = parts.netloc.rpartition("@")[2]
        self._root = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._headers: dict[str, str] = {}
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(secret).decode()}"
        self._seconds = seconds

    def fetch(self, study: str, series: str, folder: Path, limits: Limits, charge: Callable[[int], None]) -> list[Part]:
        """Store the files of a series in a folder.

        Args:
            study: UID.
            series: UID.
            folder: Where to.
            limits: Of the server.
            charge: Told the bytes as they come.

        Returns:
            The files.

        Raises:
            Problem: The archive does not answer, has no such series, or it is beyond the limits.
        """
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        request = urllib.request.Request(
            f"{self._root}/studies/{study}/series/{series}", headers={**self._headers, "Accept": accept}
        )
        files = _Files(folder, limits, charge)
        with self._opened(request) as answer:
            _, options = parse_options_header(answer.headers["Content-Type"])
            if not options.get(b"boundary"):
                raise Problem("pacs_failed", "the archive did not answer with the files of a series")
            parser = MultipartParser(options[b"boundary"], files.callbacks())
            try:
                while piece := answer.read(_PIECE):
                    parser.write(piece)
                parser.finalize()
            except MultipartParseError:
                raise Problem("pacs_failed", "the archive's answer is no list of files") from None
            except OSError as error:
                raise _failed(error) from None
        if not files.parts:
            raise Problem("pacs_failed", "the archive has no files of this series")
        return files.parts

    def store(self, study: str, content: bytes) -> None:
        """Send an object to a study. Raises `Problem` where the archive does not take it."""
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = head + content + f"\r\n--{boundary}--\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = {**self._headers, "Content-Type": kind, "Accept": "application/dicom+json"}
        request = urllib.request.Request(f"{self._root}/studies/{study}", body, headers, method="POST")
        with self._opened(request) as answer:
            answer.read(_PIECE)

    def _opened(self, request: urllib.request.Request) -> Any:
        try:
            return _DIRECT.open(request, timeout=self._seconds)
        except urllib.error.HTTPError as error:
            words = {
                404: "has no such study or series",
                401: "asks for a user and a password (--pacs http://USER:PASSWORD@…)",
            }
            said = words.get(error.code, f"answered {error.code}")
            raise Problem("pacs_failed", f"the archive {said}") from None
        except OSError as error:
            raise _failed(error) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An archive that sends elsewhere is not followed: the password would go along."""

    def redirect_request(self, *_: Any) -> None:
        return None


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


class _Files:
    """Parts of an answer, each a file."""

    def __init__(self, folder: Path, limits: Limits, charge: Callable[[int], None]) -> None:
        self.parts: list[Part] = []
        self._folder, self._limits, self._charge = folder, limits, charge
        self._stream: IO[bytes] | None = None
        self._total = 0

    def callbacks(self) -> Any:
        return {"on_part_begin": self._begin, "on_part_data": self._data, "on_part_end": self._end}

    def _begin(self) -> None:
        if len(self.parts) >= self._limits.files:
            raise Problem(
                "too_many_slices", f"the series has more than {self._limits.files} files", limit=self._limits.files
            )
        part = Part("file", self._folder / f"{len(self.parts):05d}.dcm")
        self.parts.append(part)
        self._stream = part.path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        assert self._stream is not None
        self._total += end - start
        if self._total > self._limits.body:
            raise Problem(
                "body_too_large", f"the series has more than {self._limits.body / 1e6:g} MB", limit=self._limits.body
            )
        self._charge(end - start)
        self._stream.write(data[start:end])

    def _end(self) -> None:
        assert self._stream is not None
        self._stream.close()


def _failed(error: OSError) -> Problem:
    reason = getattr(error, "reason", error)
    return Problem(
        "pacs_failed", f"the archive does not answer ({type(reason).__name__}); is it running, and --pacs right?"
    )
