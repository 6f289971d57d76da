"""A short form of `benchmarks/serving.py`: good, hostile and leaving clients at once; and bodies of noise."""

from __future__ import annotations

import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import hypothesis
from hypothesis import strategies

from delineate.serve.server import Serving
from http_client import Client, picture

SEGMENT = "/v1/models/one:segment"


def idle(serving: Serving) -> None:
    end = time.monotonic() + 20
    while not serving.service.engine.idle:
        assert time.monotonic() < end
        time.sleep(0.01)


def leave(client: Client, body: bytes, sent: int) -> int:
    with socket.create_connection(("127.0.0.1", client.serving.port), timeout=10) as connection:
        head = f"POST {SEGMENT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:sent])
    return 0


def test_clients_of_all_kinds_at_once(client: Client):
    """Every accepted request is answered or given up, memory is given back, and good masks are what they are alone."""
    engine, drawn = client.serving.service.engine, random.Random(0)
    idle(client.serving)
    before = engine.accepted, engine.answered, engine.given_up
    bodies = [picture(20 + 8 * size, 30, seed=size) for size in range(4)]
    alone = [client.post(SEGMENT, body).content for body in bodies]

    def one(number: int) -> bool:
        body = bodies[number % 4]
        if number % 10 == 9:
            return leave(client, body, drawn.choice((50, len(body)))) == 0
        if number % 20 == 8:
            return client.post(SEGMENT, drawn.choice((b"", b"x" * 3000, body[:90]))).status in (400, 415, 422)
        answer = client.post(SEGMENT, body)
        return (answer.status, answer.content) == (200, alone[number % 4])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(120)))
    idle(client.serving)
    accepted, answered, given_up = (
        now - then for now, then in zip((engine.accepted, engine.answered, engine.given_up), before, strict=True)
    )
    assert accepted == answered + given_up
    assert answered >= 102
    assert all(lane.held == lane.accepted == 0 and not lane.ready for lane in engine.lanes.values())
    left = [path for path in client.serving.service.scratch.folder.iterdir() if path.name != "lock"]
    assert left == []


PREFIXES = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\0",
    b"\x1f\x8b\x08",
    b"PK\x03\x04",
    b"--xyz\r\nContent-Disposition: ",
]


@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(strategies.sampled_from(PREFIXES), strategies.binary(max_size=400), strategies.booleans())
def test_noise_is_refused_with_a_code(client: Client, prefix: bytes, noise: bytes, form: bool):
    kind = "multipart/form-data; boundary=xyz" if form else "application/octet-stream"
    answer = client.post(SEGMENT, prefix + noise, content_type=kind)
    assert answer.status in (400, 413, 415, 422), answer.content
    assert answer.json()["code"] != "internal"
