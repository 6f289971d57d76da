"""Artefacts of earlier formats load for ever, bit for bit, and predict what they predicted (`make_old_artefacts.py` made them)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from make_old_artefacts import CLASSES, DATA, OPTIONS, picture

from delineate.artefact.format import read_tensors
from delineate.inference.predictor import load

OLD = sorted(DATA.glob("*.safetensors"))


def test_they_are_there():
    assert {path.name.partition("-")[0] for path in OLD} == set(OPTIONS)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_old_artefact(path: Path):
    model = load(path, "cpu")
    assert model.classes.names == CLASSES[path.name.partition("-")[0]]
    assert (model.spec.size, model.spec.fit) == ((64, 64), "letterbox")
    assert (model.artefact.threshold, model.artefact.temperature) == (0.3, 2.0)
    state = model.method.state_dict()
    for name, value in read_tensors(path).items():
        assert torch.equal(state[name], value), name
    golden = np.load(path.with_suffix(".npy"))
    probabilities = model.probabilities(picture())
    assert np.abs(probabilities - golden).max() < 1e-4
    expected = golden[..., 0] >= 0.3 if golden.shape[-1] == 1 else golden.argmax(-1)
    assert (model.predict(picture()) == expected).mean() > 0.999
