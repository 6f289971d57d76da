"""Agreement with MONAI, MedPy, surface-distance and scikit-learn: as written down, and live where they are installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import peers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import masks, ours

from delineate.evaluation.metrics.calibration import Probabilities, brier
from delineate.evaluation.metrics.instances import Instances
from delineate.evaluation.metrics.masks import Masks
from delineate.evaluation.metrics.registry import INSTANCE_METRICS

GOLDEN = Path(__file__).parent / "golden"
UNDEFINED = {"specificity", "iou"}
"""Of these some libraries say NaN for some masks: there is no background at all."""


def written_masks():
    """The golden pairs with their tolerance, and name → the peers' values."""
    with np.load(GOLDEN / "masks.npz") as file:
        columns = {key.removeprefix("value "): file[key] for key in file.files if key.startswith("value ")}
        bits, cases = np.unpackbits(file["bits"]).astype(bool), []
        for shape, spacing, tolerance in zip(file["shapes"], file["spacings"], file["tolerances"], strict=True):
            size = shape[shape > 0]
            pair, bits = bits[: 2 * size.prod()].reshape(2, *size), bits[2 * size.prod() :]
            cases.append((Masks.of(*pair, spacing=spacing[spacing > 0]), float(tolerance)))
    return cases, columns


CASES, COLUMNS = written_masks()


@pytest.mark.parametrize("column", COLUMNS)
def test_masks_as_written_down(column):
    name = column.split()[0]
    theirs = COLUMNS[column]
    values = np.array([ours(name, of, tolerance) for of, tolerance in CASES])
    defined = np.isfinite(theirs)
    assert defined.sum() >= 100
    assert defined.all() or name in UNDEFINED
    np.testing.assert_allclose(values[defined], theirs[defined], rtol=1e-6, atol=1e-6)


def test_instances_as_written_down():
    with np.load(GOLDEN / "instances.npz") as file:
        for index, (prediction, reference) in enumerate(file["maps"]):
            of = Instances.of(prediction, reference)
            for name in ("pq", "sq", "rq"):
                assert INSTANCE_METRICS[name].value(of) == pytest.approx(file[name][index], abs=1e-6), (name, index)


def test_brier_as_written_down():
    with np.load(GOLDEN / "probabilities.npz") as file:
        for index, (probabilities, classes) in enumerate(zip(file["several"], file["classes"], strict=True)):
            assert brier(Probabilities.of(probabilities, classes)) == pytest.approx(file["brier"][index], abs=1e-9)
            binary = Probabilities.of(probabilities[1], classes == 1)
            assert brier(binary) == pytest.approx(file["brier_binary"][index], abs=1e-9)


@pytest.mark.parametrize("peer", peers.MASK_PEERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(of=masks(longest=9), tolerance=st.floats(0.05, 9))
@pytest.mark.filterwarnings("ignore")
def test_masks_live(peer, of, tolerance):
    if find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed")
    theirs = getattr(peers, peer)(of.prediction, of.reference, of.spacing, tolerance)
    for name, value in theirs.items():
        if np.isfinite(value) or name not in UNDEFINED:
            assert ours(name, of, tolerance) == pytest.approx(value, rel=1e-6, abs=1e-6), name
