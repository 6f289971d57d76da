"""`delineate demo --serve`: what the page is given of a demo that is there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from delineate.api.demonstration import served_demo
from delineate.cli.demo import demo
from delineate.common.errors import DelineateError
from delineate.data.cases.phantom import write_phantoms
from delineate.serve.server import samples_of


def test_models_and_test_images_of_a_whole_demo(tmp_path: Path):
    assert served_demo(tmp_path) is None
    data = write_phantoms(tmp_path / "phantoms", count=40, size=32, seed=0)
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "model.safetensors").touch()
    assert served_demo(tmp_path) is None, "it is not whole"
    (tmp_path / "report.html").touch()
    models, samples = served_demo(tmp_path) or ({}, tmp_path)
    assert models == {"unet": tmp_path / "unet"}
    tested = set((data / "test.txt").read_text().split())
    assert {path.stem for path in samples_of(samples)} <= tested
    assert len(samples_of(samples)) == 6
    (samples / "notes.txt").touch()
    assert len(samples_of(samples)) == 6


def test_a_folder_without_images_is_refused(tmp_path: Path):
    for folder, words in ((tmp_path, "no images in it"), (tmp_path / "none", "no such folder")):
        with pytest.raises(DelineateError, match=words):
            samples_of(folder)
    assert samples_of(None) == ()


def test_a_port_in_use_is_told_before_the_training(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(DelineateError, match="give another --port"):
        demo(tmp_path / "demo", serve=True, port=taken.getsockname()[1])
    assert not (tmp_path / "demo").exists()
