"""One server for all tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi")

from delineate.methods import registry
from delineate.serve.models import ServedModel
from delineate.serve.server import Serving, Settings
from http_client import FOUR, Client, served, start


@pytest.fixture(scope="session")
def micro_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServedModel]]:
    """Models of pictures with one class and with four, and of volumes."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.BUILT_IN, "micro", "micro_method:Micro")
        yield [
            served(folder, "one"),
            served(folder, "four", FOUR),
            served(folder, "volumes", channels="gray", axis=2, intensity="percentile"),
        ]


@pytest.fixture(scope="session")
def serving(micro_models: list[ServedModel], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    scratch = tmp_path_factory.mktemp("scratch")
    made, thread = start(micro_models, Settings(port=0, batch=4, workers=2, scratch=scratch))
    yield made
    made.stop()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert list(scratch.iterdir()) == [], "nothing is left of any request"


@pytest.fixture(scope="session")
def client(serving: Serving) -> Client:
    return Client(serving)
