"""Corrections are kept as a data set that training reads."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.data.cases.pixels import case_image, case_mask
from delineate.data.loading.open_data import open_data
from http_client import Client, decoded, picture, volume


def png(mask: np.ndarray) -> bytes:
    return cv2.imencode(".png", mask.astype(np.uint8))[1].tobytes()


@pytest.fixture
def collected(client: Client) -> Path:
    folder = client.serving.settings.collection
    assert folder is not None
    return folder


def test_pictures_become_cases(client: Client, collected: Path):
    masks = []
    for seed in range(3):
        masks.append((decoded(picture(seed=seed)).mean(2) // 64).astype(np.uint8))
        sent = client.form("/v1/corrections?model=four", [("image", picture(seed=seed)), ("mask", png(masks[-1]))])
        assert sent.status == 201, sent.content
        assert sent.json()["pixels"] == np.bincount(masks[-1].ravel(), minlength=4).tolist()
    manifest, _ = open_data(collected / "four", validation=False)
    assert manifest.classes.names == ("background", "a", "b", "c")
    found = [(case_image(manifest, case), case_mask(manifest, case)) for case in manifest.cases]
    for seed, mask in enumerate(masks):
        assert any(
            np.array_equal(image, decoded(picture(seed=seed))) and np.array_equal(its, mask) for image, its in found
        )


def test_volumes_become_cases(client: Client, collected: Path, tmp_path: Path):
    pytest.importorskip("nibabel")
    for seed in range(3):
        content = volume(tmp_path, seed=seed)
        mask = client.post("/v1/models/volumes:segment", content).content
        sent = client.form("/v1/corrections?model=volumes", [("image", content), ("mask", mask)])
        assert sent.status == 201, sent.content
    manifest, _ = open_data(collected / "volumes", validation=False)
    assert len(manifest.cases) == 3
    other = client.form("/v1/corrections?model=volumes", [("image", picture()), ("mask", png(np.zeros((20, 30))))])
    assert other.json()["code"] == "bad_image"


WRONG = [
    ([("image", picture())], "no_input"),
    ([("image", picture()), ("mask", png(np.zeros((8, 8))))], "bad_image"),
    ([("image", picture()), ("mask", png(np.full((20, 30), 7)))], "bad_image"),
]


@pytest.mark.parametrize(("files", "code"), WRONG)
def test_what_is_no_correction_leaves_nothing(
    client: Client, collected: Path, files: list[tuple[str, bytes]], code: str
):
    before = sorted(collected.rglob("*"))
    assert client.form("/v1/corrections?model=one", files).json()["code"] == code
    assert [path for path in sorted(collected.rglob("*")) if path.is_file()] == [
        path for path in before if path.is_file()
    ]
