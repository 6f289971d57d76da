"""The page's files over HTTP, and what it is given of an image."""

from __future__ import annotations

import io
import json
import re
from zipfile import ZipFile

import numpy as np

from delineate.page.linked import modules
from http_client import Client, decoded, picture


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
    for name in (*modules("main-server.js"), "style.css"):
        assert client.get(f"/page/{name}").status == 200
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
