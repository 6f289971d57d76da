"""Servers for tests, on a free port of this machine, with models that know their answers; and a client."""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from delineate.artefact.format import Artefact, save
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.fewshot.predictor import load as load_fewshot
from delineate.inference.exported_model import ExportedModel
from delineate.inference.model_info import read_info
from delineate.inference.predictor import load
from delineate.methods import registry
from delineate.serve.models import ServedModel
from delineate.serve.server import Serving, Settings
from micro_method import brightness

FOUR = ClassTable(names=("background", "a", "b", "c"))


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Client:
    """Talks to a server."""

    serving: Serving
    key: str = ""

    def __call__(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.serving.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self("GET", path, None, headers)

    def post(self, path: str, body: bytes = b"", **headers: str) -> Reply:
        return self("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def form(self, path: str, files: list[tuple[str, bytes]], texts: dict[str, str] | None = None) -> Reply:
        """Send a form; names of files are those that must be seen nowhere."""
        parts = [
            f'--xyz\r\nContent-Disposition: form-data; name="{name}"; filename="Jane Doe.png"\r\n\r\n'.encode()
            + content
            for name, content in files
        ]
        parts += [
            f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode()
            for name, text in (texts or {}).items()
        ]
        body = b"\r\n".join([*parts, b"--xyz--\r\n"])
        return self.post(path, body, content_type="multipart/form-data; boundary=xyz")


def served(folder: Path, name: str, classes: ClassTable | None = None, **spec: Any) -> ServedModel:
    """A model whose answer is the brightness of a pixel."""
    table = classes or ClassTable()
    channels = 1 if spec.get("channels") == "gray" else 3
    path = folder / f"{name}.safetensors"
    method = brightness(len(table.names) if classes else 1, channels)
    save(path, Artefact(method, InputSpec(size=(32, 32), **spec), table))
    return ServedModel(name, load(path, "cpu"), read_info(path))


def served_few(folder: Path) -> ServedModel:
    """A model that segments by examples."""
    method = registry.create("few")
    path = folder / "few.safetensors"
    save(path, Artefact(method.eval(), InputSpec(size=(32, 32)), ClassTable()))
    return ServedModel("few", load_fewshot(path, "cpu"), read_info(path))


def exported_model(path: Path) -> ServedModel:
    """An exported file, called as it is."""
    return ServedModel(path.stem, ExportedModel(path, threads=1), read_info(path))


def start(models: list[ServedModel], settings: Settings) -> tuple[Serving, threading.Thread]:
    """A server that is ready."""
    serving = Serving(models, settings)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    end = time.monotonic() + 30
    while not serving.service.ready and time.monotonic() < end:
        time.sleep(0.01)
    assert serving.service.ready, serving.service.fault
    return serving, thread


def volume(folder: Path, shape: tuple[int, int, int] = (20, 24, 7), seed: int = 0) -> bytes:
    """A NIfTI file with a bright block, whose voxels are 1×1×3 mm."""
    import nibabel

    voxels = np.random.default_rng(seed).normal(100, 5, shape).astype(np.float32)
    voxels[4:12, 6:18, 2:5] += 100
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 3, 1])), folder / "volume.nii.gz")
    return (folder / "volume.nii.gz").read_bytes()


def picture(height: int = 20, width: int = 30, seed: int = 0) -> bytes:
    """A PNG of random blocks, so that masks are no mere halves."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    pixels = np.kron(blocks, np.ones((4, 4, 1), np.uint8))[:height, :width]
    return cv2.imencode(".png", pixels)[1].tobytes()


def decoded(content: bytes) -> np.ndarray:
    """The values of a mask, also of one with a palette."""
    return np.array(Image.open(io.BytesIO(content)))
