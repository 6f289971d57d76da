"""Training that begins at the shares of the classes in the training masks (`engine.output_bias`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import delineate
from delineate.common.errors import RecipeError
from delineate.data.core.manifest import Manifest
from delineate.data.core.regions import Region
from delineate.engine.first_weights import begin_at_shares
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.predictor import load
from delineate.methods import registry
from delineate.nn.class_weights import Frequency
from delineate.nn.output import Output
from delineate.nn.output_bias import LEAST_SHARE, output_bias, set_output_bias

Maker = Callable[..., TrainRequest]
DENSE = ("condseg", "din", "mfel", "mslkseg", "resenc", "unet")
SETTING = "engine.output_bias=class_shares"


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda shares: sum(shares) > 0.1))
def test_the_probabilities_of_the_bias_are_the_shares(shares: list[float]) -> None:
    shares = [share / sum(shares) for share in shares]
    softmax = Output(len(shares)) if len(shares) > 2 else Output(1)
    got = softmax.probabilities(output_bias(shares, softmax)[None, :, None, None]).flatten()
    wanted = torch.tensor(shares if len(shares) > 2 else shares[1:])
    assert torch.allclose(got, wanted, atol=len(shares) * LEAST_SHARE)
    assert torch.isfinite(output_bias(shares, softmax)).all()


def test_regions_have_each_their_own() -> None:
    whole, inner = Region(name="w", classes=(1, 2), paints=1), Region(name="i", classes=(2,), paints=2)
    got = output_bias([0.7, 0.3, 0.1], Output(2, (whole, inner))).sigmoid()
    assert torch.allclose(got, torch.tensor([0.3, 0.1]))


def test_shares_and_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 shares for 1 things"):
        output_bias([0.5, 0.3, 0.2], Output(1))
    for layer in (torch.nn.Conv2d(4, 3, 1), torch.nn.Conv2d(4, 2, 1, bias=False)):
        with pytest.raises(ValueError, match="has 2 channels and a bias"):
            set_output_bias([layer], torch.zeros(2))


@pytest.mark.parametrize("name", DENSE)
def test_every_dense_method_tells_its_last_layers(name: str) -> None:
    """A large bias of one class then wins everywhere, whatever the weights."""
    torch.manual_seed(0)
    method = delineate.create(name, preset="tiny", classes=3).eval()
    set_output_bias(method.output_layers(), torch.tensor([0.0, 0.0, 1e4]))
    assert method(torch.rand(1, 3, 64, 64)).argmax(1).eq(2).all()


def test_a_run_begins_at_the_shares_of_its_training_masks(request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    train(request_for(settings=[SETTING, "engine.lr=1e-12"], steps=1), recorder())
    manifest = Manifest.load(tmp_path / "run" / "manifest.json")
    share = np.mean([(cv2.imread(str(manifest.path(case.masks[0])), 0) > 0).mean() for case in manifest.split("train")])
    (layer,) = load(tmp_path / "run", device="cpu").method.output_layers()
    assert layer.bias.sigmoid().item() == pytest.approx(share, rel=1e-4)


def test_so_does_a_second_network(request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    settings = [SETTING, "engine.lr=1e-12", "strategy.kept=both", "engine.batch_size=2"]
    train(request_for(strategy="cps", settings=settings, steps=1), recorder())
    biases = [load(tmp_path / name, device="cpu").method.output_layers()[0].bias for name in ("run", "run/second")]
    assert biases[0].item() == pytest.approx(biases[1].item(), abs=1e-6)


def test_methods_that_do_not_tell_their_last_layer_are_refused() -> None:
    method = registry.build("unet", classes=1, in_channels=3, options={}, regions=())
    method.output_layers = lambda: ()
    with pytest.raises(
        RecipeError, match=r"^engine.output_bias=class_shares: method 'unet' does not tell its last layer"
    ):
        begin_at_shares(method, [Frequency(0.9, 0.9), Frequency(0.1, 0.1)], Output(1))
