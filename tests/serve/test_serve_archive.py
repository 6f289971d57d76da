"""A series of an archive is fetched, segmented, and its segmentation stored: against a small stand-in, and against Orthanc."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

import pydicom

from delineate.common.errors import DelineateError
from delineate.inference.files import predict_files
from delineate.serve.archive import Archive
from delineate.serve.models import ServedModel
from delineate.serve.server import Settings
from http_client import Client, start
from orthanc import orthanc, stored
from scanner import write_series


@dataclass
class StandIn:
    """An archive with the files of one series."""

    series: Path
    stored: list[bytes] = field(default_factory=list)
    url: str = ""
    refuses: bool = False


@pytest.fixture
def series(tmp_path: Path) -> Path:
    voxels = np.random.default_rng(0).normal(100, 5, (24, 20, 6)).astype(np.int16)
    voxels[5:15, 4:14, 1:4] += 500
    return write_series(tmp_path / "ct", voxels)


@pytest.fixture
def stand_in(series: Path) -> Iterator[StandIn]:
    archive = StandIn(series)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.endswith(f"series/{header(series).SeriesInstanceUID}"):
                self.send_error(404)
                return
            parts = [b"--b\r\nContent-Type: application/dicom\r\n\r\n" + one.read_bytes() for one in series.iterdir()]
            self.answer(b"\r\n".join([*parts, b"--b--"]), 'multipart/related; type="application/dicom"; boundary=b')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if archive.refuses:
                self.send_error(409)
                return
            kind = self.headers["Content-Type"]
            (part,) = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body).get_payload()
            archive.stored.append(part.get_payload(decode=True))
            self.answer(b"{}", "application/dicom+json")

        def answer(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    archive.url = f"http://user:secret@127.0.0.1:{server.server_port}/dicom-web"
    yield archive
    server.shutdown()
    server.server_close()


def header(series: Path) -> Any:
    return pydicom.dcmread(next(series.iterdir()), stop_before_pixels=True)


def serving(models: list[ServedModel], pacs: str, folder: Path) -> tuple[Client, threading.Thread]:
    made, thread = start(models, Settings(port=0, batch=4, workers=2, scratch=folder, pacs=pacs))
    return Client(made), thread


def ended(client: Client, place: str) -> dict[str, Any]:
    end = time.monotonic() + 30
    while (told := client.get(place).json())["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.02)
    return dict(told)


def asked(place: Path, **more: Any) -> bytes:
    found = header(place)
    uids = {"study": str(found.StudyInstanceUID), "series": str(found.SeriesInstanceUID)}
    return json.dumps({"model": "volumes", **uids, **more}).encode()


def mask_of(content: bytes, folder: Path) -> np.ndarray:
    """The frames of a segmentation, in a row."""
    (folder / "seg.dcm").write_bytes(content)
    return np.asarray(pydicom.dcmread(folder / "seg.dcm").pixel_array)


def test_a_series_is_fetched_segmented_and_stored(micro_models: list[ServedModel], stand_in: StandIn, tmp_path: Path):
    (tmp_path / "scratch").mkdir()
    client, thread = serving(micro_models, stand_in.url, tmp_path / "scratch")
    sent = client.post("/v1/dicomweb:segment", asked(stand_in.series), content_type="application/json")
    assert sent.status == 202, sent.content
    told = ended(client, sent.headers["location"])
    assert told["state"] == "done", told
    (content,) = stand_in.stored
    assert client.get(f"{sent.headers['location']}/result").content == content
    model = client.serving.service.models["volumes"].segmenter
    predict_files(model, [stand_in.series], tmp_path / "out", batch_size=4)
    (file,) = (tmp_path / "out").glob("*.seg.dcm")
    assert np.array_equal(mask_of(content, tmp_path), mask_of(file.read_bytes(), tmp_path))
    assert pydicom.dcmread(file).StudyInstanceUID == header(stand_in.series).StudyInstanceUID

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for path in stand_in.series.iterdir():
            packed.write(path, f"Jane Doe/{path.name}")
    zipped = client.post("/v1/models/volumes:segment", stream.getvalue())
    assert zipped.headers["content-type"] == "application/dicom"
    assert np.array_equal(mask_of(zipped.content, tmp_path), mask_of(content, tmp_path))

    stand_in.refuses = True
    place = client.post("/v1/dicomweb:segment", asked(stand_in.series), content_type="application/json").headers[
        "location"
    ]
    told = ended(client, place)
    assert (told["state"], told["problem"]["code"]) == ("failed", "pacs_failed")
    place = client.post(
        "/v1/dicomweb:segment", asked(stand_in.series, series="1.2.3"), content_type="application/json"
    ).headers["location"]
    assert ended(client, place)["problem"]["detail"] == "the archive has no such study or series"
    wrong = [asked(stand_in.series, **one) for one in ({"series": "../../x"}, {"model": "none"}, {"other": 1})]
    for body in (*wrong, b"", b"{", b"[]", bytes(1 << 20)):
        answer = client.post("/v1/dicomweb:segment", body, content_type="application/json")
        assert answer.status in (400, 404, 413)
        assert "secret" not in answer.content.decode()
    client.serving.stop()
    thread.join(timeout=20)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_archive_that_is_away(series: Path, tmp_path: Path):
    from delineate.serve.limits import Limits
    from delineate.serve.problems import Problem

    with pytest.raises(Problem, match="the archive does not answer"):
        Archive("http://127.0.0.1:9/dicom-web").fetch("1.2", "1.3", tmp_path, Limits(), lambda _: None)
    for wrong in ("file:///etc", "archive", "http://"):
        with pytest.raises(DelineateError, match="--pacs"):
            Archive(wrong)


def test_without_an_archive(client: Client, series: Path):
    answer = client.post("/v1/dicomweb:segment", asked(series), content_type="application/json")
    assert (answer.status, answer.json()["code"]) == (403, "no_pacs")


@pytest.mark.more
@pytest.mark.skipif(
    shutil.which("Orthanc") is None, reason="Orthanc is not installed: apt-get install orthanc orthanc-dicomweb"
)
def test_orthanc_gives_a_series_and_takes_its_segmentation(
    micro_models: list[ServedModel], series: Path, tmp_path: Path
):
    with orthanc(tmp_path / "orthanc") as url:
        for path in series.iterdir():
            stored(url, path.read_bytes())
        (tmp_path / "scratch").mkdir()
        client, thread = serving(micro_models, f"{url.replace('://', '://t:t@')}/dicom-web", tmp_path / "scratch")
        sent = client.post("/v1/dicomweb:segment", asked(series), content_type="application/json")
        told = ended(client, sent.headers["location"])
        assert told["state"] == "done", told
        content = client.get(f"{sent.headers['location']}/result").content
        found = pydicom.dcmread(io.BytesIO(content))
        back = fetched(url, found)
        assert np.array_equal(mask_of(back, tmp_path), mask_of(content, tmp_path))
        predict_files(client.serving.service.models["volumes"].segmenter, [series], tmp_path / "out", batch_size=4)
        (file,) = (tmp_path / "out").glob("*.seg.dcm")
        assert np.array_equal(mask_of(back, tmp_path), mask_of(file.read_bytes(), tmp_path))
        client.serving.stop()
        thread.join(timeout=20)


def fetched(url: str, found: Any) -> bytes:
    from orthanc import call

    place = f"studies/{found.StudyInstanceUID}/series/{found.SeriesInstanceUID}/instances/{found.SOPInstanceUID}"
    content, kind = call(f"{url}/dicom-web/{place}", Accept='multipart/related; type="application/dicom"')
    (part,) = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + content).get_payload()
    return bytes(part.get_payload(decode=True))
