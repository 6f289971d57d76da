"""Examples over HTTP: sent once, and images segmented as they show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from delineate.fewshot.predictor import FewShotPredictor
from http_client import Client, decoded, picture


def drawn(seed: int) -> bytes:
    """A mask of the brighter half of `picture(seed)`."""
    mask = decoded(picture(seed=seed)).mean(2) > 127
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()


def test_images_are_segmented_as_examples_show(client: Client):
    files = [("image", picture(seed=1)), ("mask", drawn(1)), ("image", picture(seed=2)), ("mask", drawn(2))]
    sent = client.form("/v1/fewshot/supports?model=few", files)
    assert (sent.status, sent.json()["shots"]) == (201, 2), sent.content
    place = f"/v1/fewshot/supports/{sent.json()['id']}"
    query = picture(seed=3)
    answer = client.post(f"{place}:segment", query)
    model = client.serving.service.models["few"].loaded
    assert isinstance(model, FewShotPredictor)
    shown = [decoded(content) for _, content in files]
    expected = model.condition(shown[::2], shown[1::2]).predict(decoded(query))
    assert np.array_equal(decoded(answer.content), expected * 255)
    told = client.post(f"{place}:segment?output=json&uncertainty=true", query).json()["images"][0]
    assert 0 <= told["doubt"]["confidence"] <= 1
    assert client("DELETE", place).status == 204
    assert client.post(f"{place}:segment", query).json()["code"] == "supports_not_found"


def test_two_sets_are_not_mixed(client: Client):
    """Their requests are in one queue, and must not be in one batch."""
    from concurrent.futures import ThreadPoolExecutor

    def inverted(seed: int) -> bytes:
        return cv2.imencode(".png", 255 - decoded(drawn(seed)))[1].tobytes()

    places = []
    for mask in (drawn(1), inverted(1)):
        sent = client.form("/v1/fewshot/supports?model=few", [("image", picture(seed=1)), ("mask", mask)])
        places.append(f"/v1/fewshot/supports/{sent.json()['id']}")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda at: client.post(f"{places[at % 2]}:segment", picture(seed=5)).content, range(16))
        )
    assert len(set(answers[::2])) == len(set(answers[1::2])) == 1
    assert answers[0] != answers[1]


WRONG = [
    ([("image", picture())], "no_input"),
    ([("image", picture()), ("other", picture())], "no_input"),
    ([("image", picture()), ("mask", picture(8, 8))], "bad_image"),
    ([("image", picture()), ("mask", drawn(0))] * 5, "too_many_files"),
]


@pytest.mark.parametrize(("files", "code"), WRONG)
def test_examples_that_cannot_be(client: Client, files: list[tuple[str, bytes]], code: str, tmp_path: Path):
    answer = client.form("/v1/fewshot/supports?model=few", files)
    assert answer.json()["code"] == code, answer.content


def test_each_kind_of_model_has_its_addresses(client: Client):
    assert client.post("/v1/models/few:segment", picture()).json()["code"] == "bad_request"
    files = [("image", picture()), ("mask", drawn(0))]
    assert client.form("/v1/fewshot/supports?model=one", files).json()["code"] == "bad_request"


def test_labels_are_text_and_never_a_file_of_the_server(client: Client, tmp_path: Path):
    """A client could read such a file out by the message, and stop the server with one that has no end."""
    file = tmp_path / "a=b.yaml"
    file.write_text("secret: [word")
    files = [("image", picture()), ("mask", drawn(0))]
    for labels in (str(file), str(tmp_path / "none"), "/dev/zero", ""):
        answer = client.form("/v1/fewshot/supports?model=few", files, {"labels": labels})
        assert answer.json()["code"] == "bad_request", answer.content
        assert b"word" not in answer.content
        assert "--" not in answer.json()["detail"]
    sent = client.form("/v1/fewshot/supports?model=few", files, {"labels": "0=background,255=lesion"})
    assert sent.json()["classes"] == ["background", "lesion"], sent.content
