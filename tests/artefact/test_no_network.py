"""Reading a model file reaches no network and takes no memory for sizes that it only claims, whatever it says."""

from __future__ import annotations

import json
import resource
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from delineate.artefact.format import Artefact, load, save
from delineate.common.errors import ArtefactError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.methods import registry
from delineate.nn.encoders.options import EncoderOptions

ADDRESSES = [
    "hf-hub:evil/repo",
    "hf_hub:evil/repo",
    "local-dir:/tmp",
    "timm/resnet18",
    "tu-hf-hub:evil/repo",
    "../resnet18",
]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to reach a network fails and is noted."""
    made: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        made.append(arguments[:2])
        raise OSError("no network in this test")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    return made


def evil(path: Path, method: Any, options: Any, changes: dict[str, Any]) -> Path:
    content = {
        "format": 1,
        "method": method,
        "options": options,
        "classes": 1,
        "in_channels": 3,
        "input": {},
        "class_names": ["background", "foreground"],
    }
    save_file({"x": torch.zeros(1)}, path, metadata={"delineate": json.dumps(content | changes)})
    return path


@pytest.mark.parametrize("name", ["unet", "condseg", "resenc", "panet"])
def test_models_are_read_without(name: str, calls: list[Any], tmp_path: Path) -> None:
    options = dict(registry.presets(name)["tiny"].get("method", {}))
    if "encoder" in registry.method_class(name).Options.model_fields:
        options["encoder"] = {"name": options.get("encoder", {}).get("name", EncoderOptions().name), "pretrained": True}
    method = registry.build(name, options=options)
    save(tmp_path / "model.safetensors", Artefact(method, InputSpec(), ClassTable()))
    load(tmp_path / "model.safetensors")
    assert calls == []


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("method", ["unet", "condseg"])
def test_addresses_are_no_encoders(name: str, method: str, calls: list[Any], tmp_path: Path) -> None:
    path = evil(tmp_path / "evil.safetensors", method, {"encoder": {"name": name}}, {})
    with pytest.raises(ArtefactError, match="cannot be rebuilt"):
        load(path)
    assert calls == []


@pytest.mark.parametrize("name", [f"smp:unet/{kind}{address}" for kind in ("tu-", "") for address in ADDRESSES])
def test_addresses_are_no_methods(name: str, calls: list[Any], tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="cannot be rebuilt"):
        load(evil(tmp_path / "evil.safetensors", name, {}, {}))
    assert calls == []


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"decoder_channels": [200_000, 200_000, 8, 8, 8]}, {}),
        ({"decoder_channels": [-1, 0, 8, 8, 8]}, {}),
        ({}, {"classes": 10**6, "class_names": [str(number) for number in range(10**6)]}),
    ],
)
def test_sizes_that_are_only_claimed_take_no_memory(
    options: dict[str, Any], changes: dict[str, Any], tmp_path: Path
) -> None:
    path = evil(tmp_path / "evil.safetensors", "unet", {"encoder": {"name": "resnet10t"}, **options}, changes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtefactError):
        load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 3},
        {"class_names": ["a", "b", "c"]},
        {"in_channels": 1},
        {"method": 3},
        {"options": []},
        {"format": 2},
    ],
)
def test_headers_that_contradict_themselves(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ArtefactError):
        load(evil(tmp_path / "evil.safetensors", "unet", {}, changes))
