"""Probabilities with features: the same function as prediction, without padding, over tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import delineate
from delineate.artefact.format import Artefact
from delineate.common.errors import DataError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference.features import FeatureReader, ImageFeatures
from delineate.inference.predictor import Predictor
from delineate.inference.segment import Failure, Worker
from delineate.inference.segmenter import Prepared
from micro_method import brightness


def unet(**spec: Any) -> Predictor:
    torch.manual_seed(0)
    method = delineate.create("unet", encoder={"name": "resnet10t"}, decoder_channels=[16, 16, 8, 8, 8])
    return Predictor(Artefact(method.eval(), InputSpec(**{"size": (32, 32), **spec}), ClassTable()), "cpu")


def ready(predictor: Predictor, *images: NDArray[np.uint8]) -> list[Prepared]:
    prepared = [Worker(predictor).prepare(image) for image in images]
    assert not any(isinstance(one, Failure) for one in prepared)
    return prepared  # type: ignore[return-value]


def pictures(number: int, height: int = 40, width: int = 60) -> list[NDArray[np.uint8]]:
    return list(np.random.default_rng(1).integers(0, 255, (number, height, width, 3), np.uint8))


def read(predictor: Predictor, images: list[NDArray[np.uint8]], **options: Any) -> list[ImageFeatures]:
    found = FeatureReader(predictor, **options).read(ready(predictor, *images))
    assert all(isinstance(one, ImageFeatures) for one in found)
    return found  # type: ignore[return-value]


def test_encoder_features_come_with_the_probabilities_of_prediction() -> None:
    predictor, images = unet(), pictures(3)
    found = read(predictor, images)
    for one, image in zip(found, images, strict=True):
        expected = predictor.probabilities_of(predictor.prepare(image))
        assert np.allclose(one.probabilities, expected, atol=1e-5)
        alone = read(predictor, [image])[0]
        assert np.allclose(alone.features, one.features, atol=1e-5)
    maps = predictor.method.eval().encode(torch.from_numpy(predictor.prepare(images[0])).permute(2, 0, 1)[None])  # type: ignore[operator]
    assert found[0].features.shape == (maps.levels[-1].shape[1],)
    assert np.allclose(found[0].features, maps.levels[-1].mean((2, 3))[0].detach().numpy(), atol=1e-5)


def test_padding_is_cut_off() -> None:
    predictor = unet(fit="letterbox")
    (found,) = read(predictor, pictures(1))
    assert found.probabilities.shape == (1, 21, 32)


def test_large_images_are_read_by_tiles() -> None:
    predictor, images = unet(fit="patch"), pictures(1, 70, 50)
    reader = FeatureReader(predictor)
    assert reader.images == 1
    (found,) = reader.read(ready(predictor, *images))
    assert isinstance(found, ImageFeatures)
    assert np.allclose(found.probabilities, predictor.probabilities_of(predictor.prepare(images[0])), atol=1e-5)
    assert found.features.shape == read(unet(), images)[0].features.shape


def test_pooled_features_of_a_method_without_an_encoder() -> None:
    predictor = Predictor(Artefact(brightness(), InputSpec(size=(32, 32)), ClassTable()), "cpu")
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 255
    (found,) = read(predictor, [image])
    assert found.features.shape == (4 * 16,)
    grid = found.features.reshape(4, 4, 4)
    assert np.allclose(grid[:, :, :2], 0, atol=1e-6)
    assert np.allclose(grid[:, :, 2:], 1, atol=1e-6), "three channels of the image, and the probability"
    with pytest.raises(DataError, match="--features pooled"):
        FeatureReader(predictor, "encoder")


def test_an_output_that_is_not_finite_spares_the_others() -> None:
    predictor = Predictor(Artefact(brightness(), InputSpec(size=(32, 32), intensity="range"), ClassTable()), "cpu")
    prepared = ready(predictor, *pictures(3))
    prepared[1].input[0, 0, 0] = np.nan
    found = FeatureReader(predictor).read(prepared)
    assert [isinstance(one, Failure) for one in found] == [False, True, False]
