"""From image to mask at native size, on a method that knows its answer (`micro_method.brightness`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from delineate.artefact.format import Artefact, save
from delineate.common.errors import ArtefactError, DataError, DeviceError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.inference import device as module
from delineate.inference.device import resolve_device
from delineate.inference.predictor import Predictor, load
from micro_method import Micro, brightness

FOUR = ClassTable(names=("background", "a", "b", "c"))


def make(size: tuple[int, int] = (32, 40), classes: int = 1, **spec: object) -> Predictor:
    details = InputSpec(size=size, **spec)
    table = ClassTable() if classes == 1 else FOUR
    return Predictor(Artefact(brightness(classes, details.in_channels), details, table), "cpu")


def square(height: int, width: int, kind: type = np.uint8) -> np.ndarray:
    """Dark, with a bright rectangle in the lower right quarter."""
    image = np.full((height, width), np.iinfo(kind).max // 5, kind)
    image[height // 2 :, width // 2 :] = np.iinfo(kind).max
    return image


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    fit=st.sampled_from(["stretch", "letterbox"]),
    classes=st.sampled_from([1, 4]),
    kind=st.sampled_from(["gray", "one", "rgb", "rgba"]),
)
def test_any_size_comes_back_at_its_own(height, width, fit, classes, kind):
    predictor = make(classes=classes, fit=fit)
    gray = square(height, width)
    image = {"gray": gray, "one": gray[..., None]}.get(kind, np.dstack([gray] * (3 if kind == "rgb" else 4)))
    mask, probabilities = predictor.predict(image), predictor.probabilities(image)
    assert mask.shape == (height, width)
    assert mask.dtype == np.uint8
    assert probabilities.shape == (height, width, 1 if classes == 1 else 4)
    assert probabilities.dtype == np.float32
    expected = probabilities[..., 0] >= 0.5 if classes == 1 else probabilities.argmax(-1)
    assert np.array_equal(mask, expected)
    if classes == 4:
        assert np.allclose(probabilities.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("shape", [(64, 80), (31, 97), (20, 20), (300, 100)])
def test_mask_lies_where_the_object_is(fit, shape):
    image = square(*shape)
    wanted = image == 255
    found = make(fit=fit).predict(image).astype(bool)
    dice = 2 * (wanted & found).sum() / (wanted.sum() + found.sum())
    assert dice > 0.93


def test_classes_by_level():
    levels = np.repeat(np.array([0, 85, 170, 255], np.uint8), 10)
    image = np.tile(levels, (32, 1))
    assert np.array_equal(make((32, 40), classes=4).predict(image), np.tile(np.repeat([0, 1, 2, 3], 10), (32, 1)))


def test_upsampling_comes_before_the_threshold():
    """A threshold at working size would leave 8×8 blocks; ours follows the slope between pixel centers."""
    predictor = make((4, 4))
    ramp = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))
    probabilities = predictor.probabilities(ramp)[..., 0]
    assert len(np.unique(probabilities[0])) > 4
    predictor.artefact.threshold = float(np.sort(probabilities[0])[5])
    assert predictor.predict(ramp)[0].sum() == 32 - 5


def test_threshold_and_temperature():
    predictor = make()
    image = np.full((8, 8), 140, np.uint8)
    before = float(predictor.probabilities(image)[0, 0, 0])
    predictor.artefact.temperature = 10.0
    after = float(predictor.probabilities(image)[0, 0, 0])
    assert np.isclose(np.log(after / (1 - after)) * 10, np.log(before / (1 - before)), rtol=1e-3)
    predictor.artefact.threshold = 0.99
    assert predictor.predict(image).sum() == 0


def test_sixteen_bit_gray_is_remarked_on_and_scaled_by_its_range():
    predictor = make()
    with pytest.warns(UserWarning, match=r"16-bit gray image given to a model trained on 8-bit RGB images; .*0…65535"):
        mask = predictor.predict(square(32, 40, np.uint16))
    assert np.array_equal(mask, predictor.predict(square(32, 40)))


def test_color_given_to_a_gray_model():
    predictor = make(channels="gray")
    with pytest.warns(UserWarning, match="RGB image given to a model trained on gray"):
        predictor.predict(np.dstack([square(8, 8)] * 3))


def test_channel_order():
    predictor = make(channels="bgr")
    with torch.no_grad():
        predictor.method.conv.weight[:, 1:] = 0
        predictor.method.conv.weight[:, 0] = 50
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 2] = 255
    assert predictor.predict(blue).all()
    assert not predictor.predict(blue[..., ::-1].copy()).any()


def test_paths_and_pillow(tmp_path: Path):
    predictor = make()
    image = Image.fromarray(square(20, 30))
    image.save(tmp_path / "image.png")
    wanted = predictor.predict(square(20, 30))
    assert np.array_equal(predictor.predict(tmp_path / "image.png"), wanted)
    assert np.array_equal(predictor.predict(str(tmp_path / "image.png")), wanted)
    assert np.array_equal(predictor.predict(image), wanted)
    assert np.array_equal(predictor.predict(image.convert("P")), wanted)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8)), "uint8 or uint16, not float64"),
        (np.zeros((8, 8, 2), np.uint8), r"not of shape \(8, 8, 2\)"),
        (np.zeros((0, 8), np.uint8), "not of shape"),
        (np.zeros(8, np.uint8), "not of shape"),
        ([[1, 2]], "not list"),
        ("absent.png", "absent.png"),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises(DataError, match=message):
        make().predict(image)


@pytest.mark.usefixtures("micro")
def test_load(tmp_path: Path):
    save(tmp_path / "model.safetensors", make(classes=4).artefact)
    model = load(tmp_path)
    assert isinstance(model.method, Micro)
    assert model.classes == FOUR
    assert model.spec.size == (32, 40)
    assert np.array_equal(model.predict(square(9, 9)), make(classes=4).predict(square(9, 9)))


def test_a_part_of_a_model_cannot_predict():
    artefact = make().artefact
    artefact.complete = False
    with pytest.raises(ArtefactError, match=r"only partly trained.*--init"):
        Predictor(artefact)


def test_out_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch):
    predictor = make()

    class Full(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(Predictor, "network", Full())
    inputs = [predictor.prepare(square(8, 8))] * 4
    with pytest.raises(DeviceError, match="ran out of memory with batch 4 at 32×40; try --batch-size 2"):
        predictor.working_probabilities(inputs)
    assert module.is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not module.is_out_of_memory(RuntimeError("shapes differ"))


def test_bf16_stays_close():
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)
    exact = make()
    rough = Predictor(exact.artefact, "cpu", "bf16")
    assert rough.probabilities(image).dtype == np.float32
    assert np.abs(rough.probabilities(image) - exact.probabilities(image)).max() < 0.15


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(DeviceError, match="unknown device 'gpu'"):
        resolve_device("gpu")
    with pytest.raises(DeviceError, match="precision 16 needs a GPU"):
        Predictor(make().artefact, "cpu", "16")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match=r"cuda is not available.*--device cpu"):
            resolve_device("cuda")


def test_channels_in_bgr_order() -> None:
    """A network that marks where its first channel is bright: blue, where it takes BGR."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16, 2] = 255
    method = brightness(1, 3)
    with torch.no_grad():
        method.conv.weight[:, 1:] = 0
        method.conv.weight *= 3
    for channels, marked in (("bgr", True), ("rgb", False)):
        predictor = Predictor(Artefact(method, InputSpec(channels=channels, size=(32, 32)), ClassTable()), "cpu")
        mask = predictor.predict(image)
        assert mask[:, :16].all() == marked
        assert not mask[:, 16:].any()
