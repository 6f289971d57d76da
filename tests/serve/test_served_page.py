"""The page's files over HTTP, and what it is given of an image."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from delineate.data.core.geometry import Geometry
from delineate.data.formats.nifti import write_volume_image
from delineate.data.formats.registry import read_mask
from delineate.page.linked import modules
from http_client import Client, decoded, picture
from scanner import write_series


def test_the_page_loads_its_own_files_alone(client: Client):
    page = client.get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    text = page.content.decode()
    assert "<!-- " not in text
    assert not re.search(r"<style|style=\"|<script[^>]*>[^<]| on\w+=\"", text), (
        "the policy forbids what is in the page itself"
    )
    loaded = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert [one for one in loaded if not one.startswith("data:")] == ["page/style.css", "page/main-server.js"]
    files = [client.get(f"/page/{name}") for name in (*modules("main-server.js"), "style.css")]
    assert {file.status for file in files} == {200}
    assert len(page.content) + sum(len(file.content) for file in files) <= 80_000, "what a browser loads"
    assert client.get("/page/main-server.js").headers["content-type"] == "text/javascript; charset=utf-8"
    for name in ("wasm.js", "index.html", "..%2f__init__.py", "none"):
        assert client.get(f"/page/{name}").json()["code"] == "not_found"


def test_a_card_is_a_part_of_a_page(client: Client):
    card = client.get("/v1/models/four/card")
    assert card.headers["content-type"] == "text/html; charset=utf-8"
    assert "Intended use" in card.content.decode()
    assert client.get("/v1/models/none/card").json()["code"] == "model_not_found"


def viewed(content: bytes) -> tuple[dict[str, np.ndarray], dict]:
    with ZipFile(io.BytesIO(content)) as packed:
        arrays = {
            name[:-4]: np.load(io.BytesIO(packed.read(name))) for name in packed.namelist() if name.endswith(".npy")
        }
        return arrays, json.loads(packed.read("result.json"))


def test_a_view_of_a_picture_has_the_probabilities_as_they_are(client: Client):
    content = picture(33, 47)
    asked = "output=view&probabilities=true&uncertainty=true"
    view, told = viewed(client.post(f"/v1/models/four:segment?{asked}", content).content)
    mask = decoded(client.post("/v1/models/four:segment", content).content)
    assert np.array_equal(view["mask"][0], mask)
    assert (view["probabilities"].shape, view["probabilities"].dtype) == ((4, 1, 33, 47), np.float32)
    assert np.array_equal(view["probabilities"][:, 0].argmax(0), mask)
    entropy = -(view["probabilities"] * np.log2(view["probabilities"] + 1e-12)).sum(0) / 2
    assert np.abs(view["uncertainty"] / 255 - entropy).max() <= 0.5 / 255 + 1e-6
    assert 0 < told["images"][0]["doubt"]["confidence"] <= 1
    view, told = viewed(client.post("/v1/models/four:segment?output=view", content).content)
    assert (sorted(view), told["images"][0]["doubt"]) == (["image", "mask"], None)


def as_npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_a_drawn_mask_is_written_as_the_image_is(client: Client, tmp_path: Path):
    """What is shown and sent back unchanged is the file that a segmentation gives, of volumes in any order of axes."""
    content = picture(33, 47)
    view, _ = viewed(client.post("/v1/models/four:segment?output=view", content).content)
    files = [("image", content), ("mask", as_npy(view["mask"]))]
    assert (
        client.form("/v1/models/four:write", files).content == client.post("/v1/models/four:segment", content).content
    )
    voxels = np.random.default_rng(0).integers(0, 900, (6, 7, 4)).astype(np.int16)
    turned = np.array([[0, 0, 3.0, 0], [-0.5, 0, 0, 0], [0, 0.8, 0, 0], [0, 0, 0, 1]])
    for affine in (np.diag([0.5, 0.8, 3.0, 1.0]), turned):
        path = tmp_path / "volume.nii.gz"
        write_volume_image(path, voxels, Geometry.of_ras(affine, voxels.shape))
        view, _ = viewed(client.post("/v1/models/volumes:segment?output=view", path.read_bytes()).content)
        files = [("image", path.read_bytes()), ("mask", as_npy(view["mask"]))]
        found = []
        whole = client.post("/v1/models/volumes:segment", path.read_bytes())
        for answer in (client.form("/v1/models/volumes:write", files), whole):
            assert answer.status == 200, answer.content
            (tmp_path / "mask.nii.gz").write_bytes(answer.content)
            found.append(read_mask(tmp_path / "mask.nii.gz"))
        assert np.array_equal(*found)
        assert 0 < found[0].mean() < 1


def test_a_drawn_mask_of_a_series_is_written_as_the_series_is(client: Client, tmp_path: Path):
    """A folder of slices comes as a zip, which is unpacked when the file is made."""
    voxels = np.random.default_rng(0).integers(0, 900, (6, 7, 4)).astype(np.int16)
    series = write_series(tmp_path / "mr", voxels, modality="MR")
    stream = io.BytesIO()
    with ZipFile(stream, "w") as packed:
        for path in series.iterdir():
            packed.write(path, path.name)
    view, _ = viewed(client.post("/v1/models/volumes:segment?output=view", stream.getvalue()).content)
    files = [("image", stream.getvalue()), ("mask", as_npy(view["mask"]))]
    written = client.form("/v1/models/volumes:write?output=nifti", files)
    assert written.status == 200, written.content
    whole = client.post("/v1/models/volumes:segment?output=nifti", stream.getvalue())
    found = []
    for name, answer in (("drawn", written), ("whole", whole)):
        (tmp_path / f"{name}.nii.gz").write_bytes(answer.content)
        found.append(read_mask(tmp_path / f"{name}.nii.gz"))
    assert np.array_equal(*found)
    assert 0 < found[0].mean() < 1


def test_drawn_masks_that_do_not_fit_are_refused(client: Client):
    content = picture(33, 47)
    for mask, said in (
        (np.zeros((1, 47, 33), np.uint8), "the mask is 1×47×33, and the image 1×33×47"),
        (np.zeros((33, 47), np.uint8), "slices × height × width"),
        (np.full((1, 33, 47), 9, np.uint8), "the value 9, and the model has 4 classes"),
        (np.zeros((1, 33, 47)), "uint8"),
    ):
        answer = client.form("/v1/models/four:write", [("image", content), ("mask", as_npy(mask))])
        assert answer.status == 422
        assert said in answer.json()["detail"]
    assert client.form("/v1/models/four:write", [("image", content)]).json()["code"] == "no_input"
    written = client.form("/v1/models/four:write?output=dicom-seg", [("image", content), ("mask", as_npy(mask))])
    assert written.status == 422


def test_a_picture_is_shown_to_those_who_draw_first(client: Client):
    (view,) = np.load(
        io.BytesIO(ZipFile(io.BytesIO(client.post("/v1/models/few:view", picture(33, 47)).content)).read("image.npy"))
    )
    assert np.array_equal(view, decoded(picture(33, 47)))
    assert client.post("/v1/models/few:view", b"hello").json()["code"] == "unsupported_media_type"
