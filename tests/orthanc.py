"""Orthanc, an archive that speaks DICOMweb, on a free port of this machine."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 60
_PLUGIN = "libOrthancDicomWeb.so"


@contextmanager
def orthanc(folder: Path) -> Iterator[str]:
    """The address of an Orthanc that is ours alone; the test is skipped where there is none."""
    program = shutil.which("Orthanc")
    plugins = [
        path for place in ("/usr/share/orthanc/plugins", "/usr/lib/orthanc") for path in Path(place).glob(_PLUGIN)
    ]
    if program is None or not plugins:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "Plugins": [str(plugins[0])],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"t": "t"},
        "DicomServerEnabled": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, str(folder / "settings.json")], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, server, folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait(20)


def call(url: str, data: bytes | None = None, **headers: str) -> tuple[bytes, str]:
    """The body of an answer, and its type."""
    secret = base64.b64encode(b"t:t").decode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, {"Authorization": f"Basic {secret}", **named})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return answer.read(), answer.headers["Content-Type"]


def stored(url: str, content: bytes) -> None:
    """Send an object by STOW-RS."""
    body = b"--part\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--part--\r\n"
    call(f"{url}/dicom-web/studies", body, Content_Type='multipart/related; type="application/dicom"; boundary=part')


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            call(f"{url}/system")
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"Orthanc did not answer: {log.read_text(errors='replace')[-2000:]}")
