"""One server for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from delineate.methods import registry
from delineate.serve.limits import Limits
from delineate.serve.models import ServedModel
from delineate.serve.server import Serving, Settings
from http_client import FOUR, Client, served, served_few, start


@pytest.fixture(scope="session")
def micro_models(tmp_path_factory: pytest.TempPathFactory) -> list[ServedModel]:
    """Models of pictures with one class and with four, of volumes, and one that segments by examples."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:  # afterwards the registry is as it was: other tests list what it has
        patch.syspath_prepend(str(Path(__file__).parents[1] / "fewshot"))
        patch.setitem(registry.BUILT_IN, "micro", "micro_method:Micro")
        patch.setitem(registry.BUILT_IN, "few", "few_method:Few")
        return [
            served(folder, "one"),
            served(folder, "four", FOUR),
            served(folder, "volumes", channels="gray", axis=2, intensity="percentile"),
            served_few(folder),
        ]


@pytest.fixture(scope="session")
def serving(micro_models: list[ServedModel], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    scratch = tmp_path_factory.mktemp("scratch")
    collection = tmp_path_factory.mktemp("collected")
    limits = Limits(pixels=4_000_000, slices=40, files=60, body=4 << 20, unpacked=8 << 20, shots=4)
    settings = Settings(port=0, batch=4, workers=2, scratch=scratch, collection=collection, limits=limits)
    made, thread = start(micro_models, settings)
    yield made
    made.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert list(scratch.iterdir()) == [], "nothing is left of any request"


@pytest.fixture(scope="session")
def client(serving: Serving) -> Client:
    return Client(serving)
