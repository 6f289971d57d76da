"""An exported file behind an address, as any other model."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="fastapi is in the extra `serve`")
pytest.importorskip("onnxruntime", reason="onnxruntime is in the extra `onnx`")

from delineate.inference.files import predict_files
from delineate.inference.variants import variant_of
from delineate.serve.server import Settings
from http_client import Client, exported_model, picture, start


def test_an_exported_file_is_served_like_any_other(exported: Path, tmp_path: Path) -> None:
    model = exported_model(exported)
    serving, thread = start([model], Settings(port=0, workers=2, scratch=tmp_path))
    client, content = Client(serving), picture(41, 57)
    (tmp_path / "image.png").write_bytes(content)
    for asked, threshold in (("", None), ("?threshold=0.2", 0.2)):
        answer = client.post(f"/v1/models/{model.name}:segment{asked}", content)
        out = tmp_path / f"out{threshold}"
        predict_files(variant_of(model.segmenter, threshold), [tmp_path / "image.png"], out)
        assert answer.content == (out / "image.png").read_bytes()
    assert client.post(f"/v1/models/{model.name}:segment?tta=flips", content).json()["code"] == "bad_request"
    serving.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()
