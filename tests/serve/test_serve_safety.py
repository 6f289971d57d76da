"""What a server refuses, whom it lets in, and what it tells nobody."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from delineate.common.errors import DelineateError
from delineate.inference.steps import FileSteps
from delineate.serve.auth import add_key, remove_key
from delineate.serve.limits import Limits
from delineate.serve.models import ServedModel
from delineate.serve.server import Settings
from http_client import Client, picture, start

SEGMENT = "/v1/models/one:segment"


def huge_png(side: int) -> bytes:
    """A PNG whose header promises more than it has."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"0" * 1000)), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return stream.getvalue()


TOO_MUCH = [
    (huge_png(30_000), "too_many_pixels"),
    (bytes(5 << 20), "body_too_large"),
    (zipped({"a": bytes(9 << 20)}), "unpacks_too_large"),
    (zipped({str(number): b"x" for number in range(70)}), "unpacks_too_large"),
    (zipped({"../a.png": picture()}), "bad_image"),
    (zipped({"a.zip": zipped({"b.png": picture()})}), "bad_image"),
    (zipped({}), "bad_image"),
]


@pytest.mark.parametrize(("body", "code"), TOO_MUCH)
def test_what_is_too_much(client: Client, body: bytes, code: str):
    answer = client.post(SEGMENT, body)
    assert answer.json()["code"] == code, answer.content
    assert answer.status in (413, 422)


def test_a_volume_with_too_many_slices(client: Client, tmp_path: Path):
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "x.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((50, 4, 4), np.uint8), np.eye(4)), path)
    assert client.post("/v1/models/volumes:segment", path.read_bytes()).json()["code"] == "too_many_slices"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_other_names_are_not_answered_to(client: Client, host: str):
    assert client.get("/v1/models", Host=host).json()["code"] == "host_not_allowed"


def test_pages_of_other_sites_are_refused(client: Client):
    answer = client.get("/v1/models", Origin="https://evil.example")
    assert (answer.status, answer.json()["code"]) == (403, "cross_origin")
    assert client.post(SEGMENT, picture(), Sec_Fetch_Site="cross-site").status == 403
    own = f"http://127.0.0.1:{client.serving.port}"
    allowed = client.get("/v1/models", Origin=own)
    assert allowed.status == 200
    assert not any(name.startswith("access-control") for name in allowed.headers)
    assert "default-src 'self'" in allowed.headers["content-security-policy"]
    assert allowed.headers["x-content-type-options"] == "nosniff"


def test_a_form_that_is_none(client: Client):
    kind = "multipart/form-data; boundary=xyz"
    for body in (b"nothing", b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'):
        assert client.post(SEGMENT, body, content_type=kind).json()["code"] == "bad_multipart"
    assert client.post(SEGMENT, b"x", content_type="multipart/form-data").json()["code"] == "bad_multipart"
    assert client.form(SEGMENT, [("fi\tle", picture())]).json()["code"] == "bad_multipart"


@pytest.fixture
def small(micro_models: list[ServedModel], tmp_path: Path) -> Iterator[tuple[Client, threading.Thread]]:
    """A server of its own, with little room, little patience, and keys."""
    keys = tmp_path / "keys.txt"
    key = add_key(keys, "ward3")
    limits = Limits(queue=2, memory=3_000_000, chunk=0.3, timeout=1, grace=10)
    settings = Settings(port=0, batch=1, workers=2, keys=keys, scratch=tmp_path, limits=limits)
    serving, thread = start(micro_models, settings)
    client = Client(serving)
    client.key = key
    yield client, thread
    serving.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_keys(small: tuple[Client, threading.Thread]):
    client, _ = small
    path, key = client.serving.settings.keys, client.key
    assert path is not None
    assert client.get("/healthz").status == client.get("/readyz").status == 200
    for wrong in ("", "Bearer", f"Bearer {key}x", f"Basic {key}", "Bearer "):
        answer = client.get("/v1/models", Authorization=wrong)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get("/v1/models", Authorization=f"Bearer {key}").status == 200
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    second = add_key(path, "ward4")
    remove_key(path, "ward3")
    assert client.get("/v1/models", Authorization=f"Bearer {second}").status == 401, "it is read on SIGHUP"
    client.serving.reload_keys()
    assert client.get("/v1/models", Authorization=f"Bearer {second}").status == 200
    assert client.get("/v1/models", Authorization=f"Bearer {key}").status == 401
    path.write_text("nonsense\n")
    client.serving.reload_keys()
    assert client.get("/v1/models", Authorization=f"Bearer {second}").status == 200, (
        "they stay where the file is broken"
    )


def test_others_need_keys():
    with pytest.raises(DelineateError, match=r"--keys FILE.*--insecure"):
        Settings(host="0.0.0.0").check()
    Settings(host="0.0.0.0", insecure=True).check()
    assert "10.0.0.7" in Settings(host="10.0.0.7").hosts


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The network waits until it is told to go on."""
    going, original = threading.Event(), FileSteps.compute

    def waiting(steps: FileSteps, ready: Any) -> Any:
        going.wait(10)
        return original(steps, ready)

    monkeypatch.setattr(FileSteps, "compute", waiting)
    yield going
    going.set()


def sent(client: Client, body: bytes, path: str = SEGMENT) -> socket.socket:
    """A request whose answer is waited for later."""
    connection = socket.create_connection(("127.0.0.1", client.serving.port), timeout=10)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.key}\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def status_of(connection: socket.socket) -> int:
    with connection, connection.makefile("rb") as stream:
        line = stream.readline()
        return int(line.split()[1]) if line else 0


def accepted(client: Client, count: int) -> None:
    """Wait until so many requests are accepted."""
    end = time.monotonic() + 10
    while client.serving.service.engine.lanes["one"].accepted != count:
        assert time.monotonic() < end, client.serving.service.engine.lanes["one"].accepted
        time.sleep(0.005)


def test_a_full_queue_is_told_at_once(small: tuple[Client, threading.Thread], slow: threading.Event):
    client, _ = small
    waiting = [sent(client, picture()) for _ in range(2)]
    accepted(client, 2)
    begun = time.monotonic()
    answer = client.post(SEGMENT, picture(), Authorization=f"Bearer {client.key}")
    assert (answer.status, answer.json()["code"], answer.json()["limit"]) == (429, "queue_full", 2)
    assert int(answer.headers["retry-after"]) >= 1
    assert time.monotonic() - begun < 1
    assert client.post("/v1/models/other:segment", b"", Authorization=f"Bearer {client.key}").status == 404
    assert client.post(SEGMENT, picture()).status == 401, "who has no key is not told how full it is"
    slow.set()
    assert [status_of(connection) for connection in waiting] == [200, 200]
    accepted(client, 0)
    text = client.get("/metrics", Authorization=f"Bearer {client.key}").content.decode()
    assert 'delineate_rejected_total{reason="queue"} 1.0' in text
    assert re.search(r'code="429"[^\n]*route="/v1/models/{name}:segment"', text), (
        "refused before it was routed, and counted there"
    )


@pytest.mark.parametrize("query", ["?output=png&output=npz", "?threshold=.5&threshold=.6", "?axis=axial", "?a=&a="])
def test_options_that_contradict_or_mean_nothing(client: Client, query: str):
    answer = client.post(SEGMENT + query, picture())
    assert (answer.status, answer.json()["code"]) == (400, "bad_request")


def test_probes_answer_to_head(client: Client, caplog: pytest.LogCaptureFixture):
    for path in ("/healthz", "/readyz"):
        answer = client("HEAD", path)
        assert (answer.status, answer.content) == (200, b"")
    assert "HEAD" not in caplog.text, "asked every second, it would fill the log"


def test_threads_that_work_stand_back(client: Client):
    names = {thread.name: thread.native_id for thread in threading.enumerate()}
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert os.getpriority(os.PRIO_PROCESS, names["delineate-cpu"] or 0) == min(19, own + 3)


def test_memory_is_bounded(small: tuple[Client, threading.Thread], slow: threading.Event):
    client, _ = small
    noise = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (450, 450, 3), np.uint8))[1].tobytes()
    first = sent(client, noise)
    accepted(client, 1)
    lane, end = client.serving.service.engine.lanes["one"], time.monotonic() + 10
    while lane.held <= len(noise):  # until it is decoded
        assert time.monotonic() < end
        time.sleep(0.005)
    second = client.post(SEGMENT, noise, Authorization=f"Bearer {client.key}").json()
    assert (second["code"], second["limit"]) == ("memory_full", 3_000_000)
    accepted(client, 1)
    large = cv2.imencode(".png", np.zeros((1000, 1000, 3), np.uint8))[1].tobytes()
    assert client.post(SEGMENT, large, Authorization=f"Bearer {client.key}").json()["code"] == "too_large_for_memory"
    slow.set()
    assert status_of(first) == 200
    accepted(client, 0)
    assert client.serving.service.engine.lanes["one"].held == 0


def test_work_is_dropped_when_the_client_goes_away(small: tuple[Client, threading.Thread], slow: threading.Event):
    client, _ = small
    first, second = sent(client, picture()), sent(client, picture())
    accepted(client, 2)
    second.close()
    accepted(client, 1)
    slow.set()
    assert status_of(first) == 200
    assert (
        "delineate_cancelled_total 1.0" in client.get("/metrics", Authorization=f"Bearer {client.key}").content.decode()
    )


def test_an_answer_that_takes_too_long(small: tuple[Client, threading.Thread], slow: threading.Event):
    client, _ = small
    answer = client.post(SEGMENT, picture(), Authorization=f"Bearer {client.key}")
    assert (answer.status, answer.json()["code"]) == (504, "timeout")
    slow.set()
    accepted(client, 0)


def test_slow_clients_are_dropped(small: tuple[Client, threading.Thread]):
    client, _ = small
    for head in (
        b"POST ",
        f"POST {SEGMENT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {client.key}\r\nContent-Length: 9\r\n\r\nx".encode(),
    ):
        with socket.create_connection(("127.0.0.1", client.serving.port), timeout=10) as connection:
            connection.sendall(head)
            assert b" 408 " in connection.makefile("rb").readline()
    accepted(client, 0)


def test_a_server_that_stops_finishes_what_it_accepted(small: tuple[Client, threading.Thread], slow: threading.Event):
    client, thread = small
    waiting = sent(client, picture())
    accepted(client, 1)
    client.serving.stop()
    end = time.monotonic() + 10
    while client.get("/readyz").status != 503:
        assert time.monotonic() < end
    assert client.get("/readyz").json()["code"] == "draining"
    assert client.get("/healthz").status == 200
    answer = client.post(SEGMENT, picture(), Authorization=f"Bearer {client.key}")
    assert (answer.status, answer.json()["code"]) == (503, "draining")
    slow.set()
    assert status_of(waiting) == 200
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_nothing_of_a_request_is_in_the_log(
    client: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        client.form(f"{SEGMENT}?output=png", [("file", picture())])
        client.form(f"{SEGMENT}?output=SecretQuery", [("file", picture())])
        client.form(SEGMENT, [("SecretField", picture()[:300])])
        client.post("/v1/SecretPath", b"x")
        client.post("/v1/models/SecretModel:segment", picture())
        client("SECRETMETHOD", "/v1/models")
    told = caplog.text + "".join(capfd.readouterr())
    assert "/v1/models/{name}:segment 200" in told
    assert "ecret" not in told.lower()
    assert "jane" not in told.lower()
    assert "doe" not in told.lower()


def test_a_fault_of_ours_is_told_without_its_text(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object) -> None:
        raise RuntimeError("the patient is Jane Doe")

    monkeypatch.setattr(FileSteps, "compute", broken)
    answer = client.post(SEGMENT, picture())
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert "Jane" not in answer.content.decode() + caplog.text
    assert "RuntimeError" in caplog.text
    assert answer.headers["x-request-id"] in caplog.text
    monkeypatch.undo()
    assert client.post(SEGMENT, picture()).status == 200
