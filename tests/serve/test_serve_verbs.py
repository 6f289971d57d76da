"""The command line: what it refuses before it serves, keys, and a signal in the middle of work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

import delineate
from delineate.api.serving import named
from delineate.artefact.format import Artefact, save
from delineate.cli.root import main
from delineate.common.errors import DelineateError
from delineate.common.quantities import as_bytes, as_seconds
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.methods.registry import create
from http_client import picture


def run(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["delineate", *words])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_keys_are_made_listed_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file = str(tmp_path / "keys.txt")
    assert run("serve-keys", "add", "ward3", "--keys", file, monkeypatch=monkeypatch) == 0
    key = capsys.readouterr().out.strip()
    assert key.startswith("dlk_")
    assert key not in Path(file).read_text()
    assert run("serve-keys", "add", "ward3", "--keys", file, monkeypatch=monkeypatch) == 2
    assert run("serve-keys", "add", "a b", "--keys", file, monkeypatch=monkeypatch) == 2
    assert run("serve-keys", "list", "--keys", file, monkeypatch=monkeypatch) == 0
    assert "ward3" in capsys.readouterr().out
    assert run("serve-keys", "remove", "other", "--keys", file, monkeypatch=monkeypatch) == 2
    assert run("serve-keys", "remove", "ward3", "--keys", file, monkeypatch=monkeypatch) == 0
    assert run("serve-keys", "list", "--keys", str(tmp_path / "none"), monkeypatch=monkeypatch) == 2


WRONG = [
    ({"host": "0.0.0.0"}, "--insecure"),
    ({"keys": "none.txt"}, "cannot read the keys"),
    ({"memory": "much"}, "--memory much: give 2GiB"),
    ({"keep": "0m"}, "--keep 0m: give 15m"),
    ({"pacs": "archive"}, "--pacs: give the root"),
    ({"allow_host": ["https://seg.example/"]}, "without port or path"),
    ({"port": 1}, "cannot listen at 127.0.0.1:1|^$"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "unet.safetensors"
    method = create("unet", preset="tiny")
    save(path, Artefact(method.eval(), InputSpec(size=(32, 32)), ClassTable()))
    return path


@pytest.mark.parametrize(("options", "words"), WRONG[:-1])
def test_what_cannot_be_served_is_one_line(model: Path, options: dict, words: str):
    with pytest.raises(DelineateError, match=words) as told:
        delineate.serve_models(model, port=0, **{"device": "cpu", **options})
    assert "\n" not in str(told.value)


def test_a_missing_package_is_named(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(DelineateError, match=r"serving needs uvicorn: pip install 'delineate-seg\[serve\]'"):
        delineate.serve_models(model)


def test_names_of_models():
    assert named([("", Path("runs/polyps")), ("x", Path("y.onnx"))]) == {
        "polyps": Path("runs/polyps"),
        "x": Path("y.onnx"),
    }
    assert named([("", Path("runs/polyps/model.safetensors"))]).keys() == {"polyps"}
    for pairs in ([], [("a", Path("x")), ("a", Path("y"))], [("a/b", Path("x"))]):
        with pytest.raises(DelineateError):
            named(pairs)


def test_a_name_without_its_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert run("serve", "polyps=", monkeypatch=monkeypatch) == 2
    assert "'polyps=' names no model" in capsys.readouterr().err


def test_quantities():
    assert (as_bytes("2GiB", "x"), as_bytes("1.5 kB", "x"), as_bytes(7, "x")) == (2 << 30, 1500, 7)
    assert (as_seconds("15m", "x"), as_seconds("1h", "x"), as_seconds(0.5, "x")) == (900, 3600, 0.5)
    for text in ("", "2 G", "-1", "1d", "nan"):
        with pytest.raises(DelineateError):
            as_seconds(text, "--keep")


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_a_signal_finishes_what_was_accepted(model: Path, tmp_path: Path):
    """In a process of its own: 20 requests are sent, then SIGTERM comes; each is answered, and the process ends with 0."""
    command = [sys.executable, "-m", "delineate", "serve", f"m={model}", "--port", "0", "--device", "cpu"]
    command += ["--scratch", str(tmp_path), "--batch-size", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "serving m at http://127.0.0.1:" in line, line + process.stderr.read()
        port = int(line.split("127.0.0.1:")[1].split()[0])
        end = time.monotonic() + 60
        while _status(_sent(port, "GET", "/readyz")) != 200:
            assert time.monotonic() < end
            time.sleep(0.1)
        waiting = [_sent(port, "POST", "/v1/models/m:segment", picture(300, 300, seed)) for seed in range(20)]
        while _queued(port) < 1:
            assert time.monotonic() < end
        process.send_signal(signal.SIGTERM)
        statuses = [_status(connection) for connection in waiting]
        assert set(statuses) <= {200, 503}, statuses
        assert 200 in statuses
        assert process.wait(timeout=60) == 0
        told = process.stderr.read()
    assert "Traceback" not in told
    assert "terminate called" not in told
    assert list(tmp_path.iterdir()) == []


def _sent(port: int, method: str, path: str, body: bytes = b"") -> HTTPConnection:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body)
    return connection


def _status(connection: HTTPConnection) -> int:
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def _queued(port: int) -> float:
    connection = _sent(port, "GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("delineate_queue_length{"))
