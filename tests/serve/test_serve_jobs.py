"""Volumes, and jobs: sent, asked for, fetched, cancelled."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from delineate.inference.files import predict_files
from delineate.inference.steps import FileSteps
from http_client import Client, decoded, picture, volume

pytest.importorskip("nibabel")


def ended(client: Client, place: str) -> dict[str, Any]:
    end = time.monotonic() + 20
    while (told := client.get(place).json())["state"] == "running":
        assert time.monotonic() < end, told
        time.sleep(0.01)
    return dict(told)


def test_a_volume_is_that_of_predict(client: Client, tmp_path: Path):
    content = volume(tmp_path)
    answer = client.post("/v1/models/volumes:segment", content)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/gzip"), answer.content
    (tmp_path / "image.nii.gz").write_bytes(content)
    model = client.serving.service.models["volumes"].segmenter
    predict_files(model, [tmp_path / "image.nii.gz"], tmp_path / "out", batch_size=4)
    import nibabel

    (tmp_path / "back.nii.gz").write_bytes(answer.content)
    ours, theirs = (nibabel.load(tmp_path / name) for name in ("back.nii.gz", "out/image.nii.gz"))
    assert np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert np.array_equal(ours.affine, theirs.affine)
    assert np.asarray(ours.dataobj).any()


def test_a_job_is_followed_and_fetched(client: Client, tmp_path: Path):
    content = volume(tmp_path)
    sent = client.post("/v1/jobs?model=volumes&output=npz&probabilities=true", content)
    assert (sent.status, sent.json()["state"]) == (202, "running")
    place = sent.headers["location"]
    told = ended(client, place)
    assert (told["state"], told["progress"], told["problem"]) == ("done", 1.0, None)
    assert 0 < told["expires_in"] <= 900
    for _ in range(2):
        with np.load(io.BytesIO(client.get(f"{place}/result").content)) as found:
            assert found["mask"].shape == (20, 24, 7)
            assert (found["probabilities"].shape, found["probabilities"].dtype) == ((1, 20, 24, 7), np.uint16)
            assert np.array_equal(found["probabilities"][0] >= 32768, found["mask"] == 1)
            assert found["spacing"].tolist() == [1, 1, 3]
    assert client("DELETE", place).status == 200
    assert client.get(place).json()["code"] == "job_not_found"


def test_what_a_viewer_needs(client: Client, tmp_path: Path):
    asked = "output=view&probabilities=true&uncertainty=true"
    with ZipFile(io.BytesIO(client.post(f"/v1/models/volumes:segment?{asked}", volume(tmp_path)).content)) as packed:
        arrays = {name: np.load(io.BytesIO(packed.read(f"{name}.npy"))) for name in ("image", "mask", "uncertainty")}
        probabilities = np.load(io.BytesIO(packed.read("probabilities.npy")))
        facts = json.loads(packed.read("result.json"))
        assert all(info.compress_type == 0 for info in packed.infolist()), "scripts read it by its offsets"
    assert {array.shape for array in arrays.values()} == {(7, 24, 20)}
    assert probabilities.shape == (1, 7, 24, 20)
    inside = arrays["mask"] == 1
    assert arrays["image"][inside].mean() > 2 * arrays["image"][~inside].mean()
    assert (probabilities[0][inside] >= 127).all()
    assert (facts["view"]["spacing"], facts["view"]["slice_spacing"]) == ([1, 1], 3)
    content = picture()
    with ZipFile(io.BytesIO(client.post("/v1/models/four:segment?output=view", content).content)) as packed:
        assert np.array_equal(np.load(io.BytesIO(packed.read("image.npy")))[0], decoded(content))
        mask = decoded(client.post("/v1/models/four:segment", content).content)
        assert np.array_equal(np.load(io.BytesIO(packed.read("mask.npy")))[0], mask)


def test_a_job_that_fails_says_why(client: Client):
    place = client.post("/v1/jobs?model=volumes", picture()[:300]).headers["location"]
    told = ended(client, place)
    assert (told["state"], told["problem"]["code"]) == ("failed", "bad_image")
    answer = client.get(f"{place}/result")
    assert (answer.status, answer.json()["code"]) == (422, "bad_image")


def test_a_job_is_cancelled(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    going, original = threading.Event(), FileSteps.compute

    def slow(steps: FileSteps, ready: Any) -> Any:
        going.wait(5)
        return original(steps, ready)

    monkeypatch.setattr(FileSteps, "compute", slow)
    place = client.post("/v1/jobs?model=volumes", volume(tmp_path)).headers["location"]
    assert client.get(f"{place}/result").json()["code"] == "job_not_done"
    assert client("DELETE", place).json()["state"] == "cancelled"
    going.set()
    assert client.get(f"{place}/result").json()["code"] == "job_not_found"
    end = time.monotonic() + 10
    while not client.serving.service.engine.idle:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not client.serving.service.engine.lanes["volumes"].held
