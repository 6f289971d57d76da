"""A whole graph, exported, does what `predict` does: at any size, for each way of preprocessing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from delineate.artefact.format import Artefact
from delineate.artefact.postprocessing import Postprocessing
from delineate.common.errors import ArtefactError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import Region
from delineate.inference.export.contract import IMAGE, MASK, PROBABILITIES, SPACING
from delineate.inference.export.export import graph_inputs
from delineate.inference.export.graph import WholeGraph, channel_names, numbers_of
from delineate.inference.export.onnx_file import Free, GraphInput, build
from delineate.inference.export.parity import open_session
from delineate.inference.export.tiled_file import build_tiled
from delineate.inference.export.tiles import TiledGraph
from delineate.inference.predictor import Predictor
from delineate.nn.output import Output
from micro_method import brightness

WORKING = (24, 40)
SIZES = [WORKING, (48, 80), (31, 45), (9, 11), (70, 13), (13, 90), (97, 131), (1, 7)]
THREE = ClassTable(names=("background", "a", "b"))
NESTED = ClassTable(
    names=THREE.names,
    regions=(Region(name="both", classes=(1, 2), paints=1), Region(name="b", classes=(2,), paints=2)),
)
QUICK = "slices with neighbors, regions"
VARIANTS = {
    "stretch": {},
    "letterbox of 16 bits by percentiles": {"fit": "letterbox", "intensity": "percentile", "source_bits": 16},
    "gray at one spacing": {"fit": "letterbox", "channels": "gray", "spacing": (0.5, 0.6)},
    "floats by z-scores, named": {"channels": ("t1", "flair"), "intensity": "zscore", "source_bits": 32},
    "bgr in a window, three classes": {
        "channels": "bgr",
        "intensity": "window",
        "window_level": 90,
        "window_width": 120,
        "table": THREE,
    },
    "slices with neighbors, regions": {"axis": 2, "channels": "gray", "neighbors": 1, "table": NESTED},
}


def made(table: ClassTable | None = None, **spec: object) -> Predictor:
    details, table = InputSpec(size=WORKING, **spec), table or ClassTable()
    method = brightness(table.outputs, details.in_channels)
    method.output = Output.of(table)
    chosen = Postprocessing(dimensions=2, threshold=0.4) if table.outputs == 1 else None
    return Predictor(Artefact(method, details, table, 0.6, 8.0, chosen), "cpu")


def picture(spec: InputSpec, height: int, width: int, seed: int = 0) -> np.ndarray:
    channels, kind = len(channel_names(spec)), numbers_of(spec)
    smooth = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width, channels)), (0, 0), 2)
    smooth = smooth.reshape(height, width, channels) - smooth.min()
    full = 1000 if kind == "float32" else np.iinfo(kind).max
    return (smooth / max(smooth.max(), 1e-6) * full).astype(kind)


def each(variants: dict[str, dict[str, object]]) -> list[object]:
    """One of them is tried by the quick tests; an export takes seconds."""
    return [pytest.param(name, marks=() if name == QUICK else pytest.mark.more) for name in variants]


@pytest.mark.parametrize("variant", each(VARIANTS))
@pytest.mark.filterwarnings("ignore:RGB image")
def test_an_exported_graph_does_what_predict_does(variant: str) -> None:
    predictor = made(**VARIANTS[variant])
    model = build(WholeGraph(predictor).eval(), graph_inputs(predictor.spec), (PROBABILITIES, MASK), 20)
    shapes = {
        one.name: [dim.dim_param or dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in model.graph.input
    }
    assert shapes[IMAGE] == ["batch", "height", "width", len(channel_names(predictor.spec))]
    session = open_session(model.SerializeToString())
    foreground = 0
    for seed, (height, width) in enumerate(SIZES):
        images = np.stack([picture(predictor.spec, height, width, 2 * seed + at) for at in range(1 + seed % 2)])
        spacing = None if predictor.spec.spacing is None else (0.8, 0.7)
        given = {IMAGE: images} if spacing is None else {IMAGE: images, SPACING: np.array(spacing)}
        probabilities, masks = session.run(None, given)
        assert masks.dtype == np.uint8
        for image, found, mask in zip(images, probabilities, masks, strict=True):
            expected = predictor.probabilities(image, spacing)
            assert found.shape == (predictor.classes.outputs, height, width)
            # One gray level, where a sum lies halfway between two; a level is 50/255/8 in the logits of this method.
            assert np.quantile(np.abs(found.transpose(1, 2, 0) - expected), 0.95) <= 1e-5
            assert np.abs(found.transpose(1, 2, 0) - expected).max() <= 0.02
            assert (mask != predictor.predict(image, spacing)).mean() <= 0.002
            foreground += int(mask.any())
    assert foreground > len(SIZES) // 2


def test_patches_are_refused() -> None:
    with pytest.raises(ArtefactError, match="patches"):
        WholeGraph(made(fit="patch"))


class Fixed(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(image, min(7, image.shape[-1]))


class Broken(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * int(image.sum().item())


@pytest.mark.parametrize("module", [Fixed(), Broken()])
def test_what_came_out_otherwise_than_asked_is_an_error(module: torch.nn.Module) -> None:
    """The first is fixed at the traced width without a word of the exporter."""
    given = GraphInput("image", torch.rand(2, 3, 4, 6), {3: Free("width", 2, 64)})
    with pytest.raises(ArtefactError, match="cannot be exported") as error:
        build(module, [given], ["out"], 20)
    assert len(str(error.value).splitlines()) == 1


def tiled(intensity: str) -> Predictor:
    spec = InputSpec(size=WORKING, fit="patch", intensity=intensity)
    return Predictor(Artefact(brightness(1, 3), spec, ClassTable(), temperature=8.0), "cpu")


@pytest.mark.parametrize("intensity", ["range", pytest.param("percentile", marks=pytest.mark.more)])
def test_the_sliding_window_of_a_model_of_patches_is_inside(intensity: str) -> None:
    predictor = tiled(intensity)
    model = build_tiled(TiledGraph(predictor).eval(), graph_inputs(predictor.spec)[0], 20)
    session = open_session(model.SerializeToString())
    for height, width in SIZES:
        image = picture(predictor.spec, height, width)
        probabilities, mask = session.run(None, {IMAGE: image[None]})
        assert np.abs(probabilities[0] - predictor.probabilities(image).transpose(2, 0, 1)).max() <= 1e-5
        decided = np.abs(probabilities[0, 0] - predictor.threshold) > 1e-5  # else rounding decides
        assert np.array_equal(mask[0][decided], predictor.predict(image)[decided])
        assert decided.mean() > 0.9


def test_models_of_patches_that_resample_are_refused() -> None:
    spec = InputSpec(size=WORKING, fit="patch", scale=0.5)
    predictor = Predictor(Artefact(brightness(1, 3), spec, ClassTable()), "cpu")
    with pytest.raises(ArtefactError, match=r"a model of patches with input\.scale cannot be exported"):
        TiledGraph(predictor)


def test_a_number_that_would_be_rounded_is_refused() -> None:
    class Tenth(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.double() * 0.1

    with pytest.raises(ArtefactError, match=r"0\.1 would be rounded to single precision"):
        build(Tenth().eval(), [GraphInput(IMAGE, torch.ones(2, 3), {0: Free("batch", 1, 9)})], ("out",), 20)
