"""Pictures over HTTP: what comes back is what `predict` writes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

from delineate.data.formats.annotations.run_lengths import decode
from delineate.inference.files import predict_files
from delineate.inference.model_info import read_info
from delineate.serve.sniff import FIRST, suffix_of
from http_client import Client, decoded, picture


def predicted(client: Client, name: str, content: bytes, folder: Path, **options: object) -> Path:
    """The folder that `predict` writes of the same picture."""
    (folder / "image.png").write_bytes(content)
    model = client.serving.service.models[name].variant(options.pop("threshold", None), options.pop("tta", None))  # type: ignore[arg-type]
    predict_files(model, [folder / "image.png"], folder / "out", batch_size=1, **options)  # type: ignore[arg-type]
    return folder / "out"


@pytest.mark.parametrize("name", ["one", "four"])
def test_a_mask_is_byte_for_byte_that_of_predict(client: Client, name: str, tmp_path: Path):
    content = picture(41, 57)
    answer = client.post(f"/v1/models/{name}:segment", content)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == (predicted(client, name, content, tmp_path) / "image.png").read_bytes()
    assert len(np.unique(decoded(answer.content))) > 1
    assert answer.headers["x-model-hash"] == read_info(client.serving.service.models[name].segmenter.source).sha256
    assert {phase.split(";")[0].strip() for phase in answer.headers["server-timing"].split(",")} == {
        "queue", "decode", "infer", "encode",
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("asked", ["threshold=0.2", "tta=flips", "threshold=0.9&tta=flips%2Brotations"])
def test_threshold_and_augmentation_are_those_of_predict(client: Client, asked: str, tmp_path: Path):
    content = picture(seed=3)
    options = dict(part.split("=") for part in asked.replace("%2B", "+").split("&"))
    if "threshold" in options:
        options["threshold"] = float(options["threshold"])
    answer = client.post(f"/v1/models/one:segment?{asked}", content)
    assert answer.content == (predicted(client, "one", content, tmp_path, **options) / "image.png").read_bytes()


def test_a_form_and_a_bare_body_are_the_same(client: Client):
    content = picture()
    bare, form = (
        client.post("/v1/models/one:segment", content),
        client.form("/v1/models/one:segment", [("file", content)]),
    )
    assert bare.content == form.content


def test_several_pictures_come_back_as_a_zip(client: Client):
    answer = client.form("/v1/models/one:segment", [("file", picture(seed=seed)) for seed in range(3)])
    with ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.namelist() == ["image.png", "image_00001.png", "image_00002.png", "result.json"]
        assert len(json.loads(packed.read("result.json"))["images"]) == 3


def test_json_has_the_mask_and_the_maps(client: Client):
    content = picture()
    mask = decoded(client.post("/v1/models/four:segment", content).content)
    told = client.post("/v1/models/four:segment?output=json&probabilities=true&uncertainty=true", content).json()
    (image,) = told["images"]
    for one in image["masks"]:
        assert np.array_equal(decode(one["counts"], one["size"]), mask == one["class"])
    assert [one["name"] for one in image["probabilities"]] == ["background", "a", "b", "c"]
    assert 0 < image["doubt"]["confidence"] <= 1
    assert [one["percent"] for one in image["classes"]] == pytest.approx([100 * (mask == k).mean() for k in (1, 2, 3)])


def test_raw_probabilities_decide_the_same_mask(client: Client):
    content = picture(33, 47)
    answer = client.post("/v1/models/one:segment?output=raw", content)
    shape = [int(number) for number in answer.headers["x-shape"].split(",")]
    planes = np.frombuffer(answer.content, "<f4").reshape(shape)
    assert np.array_equal(planes[0] >= 0.5, decoded(client.post("/v1/models/one:segment", content).content) == 255)


def test_arrays(client: Client):
    content = picture()
    with np.load(
        io.BytesIO(client.post("/v1/models/one:segment?output=npz&probabilities=1", content).content)
    ) as found:
        assert np.array_equal(found["mask"] * 255, decoded(client.post("/v1/models/one:segment", content).content))
        assert (found["probabilities"].shape, found["probabilities"].dtype) == ((1, 20, 30), np.uint16)
        assert found["names"].tolist() == ["background", "foreground"]


def test_a_bad_picture_fails_alone_among_good_ones(client: Client):
    from concurrent.futures import ThreadPoolExecutor

    good = picture()
    bodies = [good[:200] if number % 4 == 1 else good for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda body: client.post("/v1/models/one:segment", body), bodies))
    assert [answer.status for answer in answers] == [422 if number % 4 == 1 else 200 for number in range(12)]
    assert len({answer.content for answer in answers if answer.status == 200}) == 1


WRONG = [
    ("/v1/models/none:segment", picture(), 404, "model_not_found"),
    ("/v1/models/one:segment", b"", 400, "no_input"),
    ("/v1/models/one:segment", b"hello", 415, "unsupported_media_type"),
    ("/v1/models/one:segment", picture()[:300], 422, "bad_image"),
    ("/v1/models/one:segment?outptu=png", picture(), 400, "bad_request"),
    ("/v1/models/one:segment?output=gif", picture(), 400, "bad_request"),
    ("/v1/models/one:segment?threshold=2", picture(), 400, "bad_request"),
    ("/v1/models/one:segment?spacing=0", picture(), 400, "bad_request"),
    ("/v1/jobs?model=one", b"", 400, "no_input"),
    ("/v1/models/one:segment?threshold=nan", picture(), 400, "bad_request"),
    ("/v1/models/four:segment?threshold=0.5", picture(), 400, "bad_request"),
    ("/v1/models/one:segment?axis=all", picture(), 400, "bad_request"),
    ("/v1/models/one:segment?output=nifti", picture(), 422, "bad_image"),
    ("/v1/models/one", b"", 405, "method_not_allowed"),
    ("/v1/nothing", b"", 404, "not_found"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), WRONG)
def test_what_is_wrong_is_said_with_a_code(client: Client, path: str, body: bytes, status: int, code: str):
    answer = client.post(path, body)
    told = answer.json()
    assert (answer.status, told["code"], answer.headers["content-type"]) == (status, code, "application/problem+json")
    assert told["detail"]
    assert "--" not in told["detail"], "options of the command line mean nothing here"
    assert str(client.serving.service.scratch.folder) not in answer.content.decode()


def test_models_and_probes(client: Client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status == 200
    assert [model["name"] for model in client.get("/v1/models").json()["models"]] == ["one", "four", "volumes", "few"]
    assert client.get("/v1/models/one:segment").json()["code"] == "method_not_allowed"
    about = client.get("/v1/models/four").json()
    assert about["masks"]["outputs"] == 4
    assert [one["name"] for one in about["info"]["classes"]] == ["background", "a", "b", "c"]
    assert "delineate_queue_length" in client.get("/metrics").content.decode()
    assert "/v1/models/{name}:segment" in client.get("/openapi.json").json()["paths"]


def test_the_description_of_the_api_is_a_page(client: Client):
    page = client.get("/docs").content.decode()
    assert "POST /v1/models/{name}:segment" in page
    assert "One of one, four, volumes, few" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", ""), "nothing is loaded from elsewhere"
    assert client.get("/docs/style.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm"])
def test_dicom_whose_preamble_is_that_of_a_tiff(name: str):
    pydicom_data = pytest.importorskip("pydicom.data")
    first = Path(pydicom_data.get_testdata_file(name)).read_bytes()[:FIRST]
    assert first[:4] == b"II*\0"
    assert suffix_of(first) == ".dcm"


def test_a_tiff_that_ends_early_is_told_in_plain_words(client: Client):
    _, content = cv2.imencode(".tif", np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    answer = client.post("/v1/models/one:segment", content.tobytes()[:300]).json()
    assert answer["code"] == "bad_image"
    assert "it ends before what it tells of" in answer["detail"]


def test_one_of_several_volumes_is_asked_for(client: Client, tmp_path: Path):
    nibabel = pytest.importorskip("nibabel")
    several = nibabel.Nifti1Image(np.zeros((8, 8, 4, 3), np.float32), np.eye(4))
    detail = client.post("/v1/models/volumes:segment", several.to_bytes()).json()["detail"]
    assert detail.endswith(
        "holds 3 volumes (frames or channels): send the one that the model needs as a file of its own"
    )
