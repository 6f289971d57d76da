"""Networks of segmentation_models.pytorch by name. What needs no network runs on a small stand-in for the package; the contract's
checks run on the package itself, where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from delineate.artefact.format import Artefact, load, save
from delineate.common.errors import ArtefactError, DelineateError, RecipeError
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import ClassTable
from delineate.engine.recipe import resolve
from delineate.methods import registry
from delineate.methods.smp import names
from delineate.methods.smp.network import method_class
from delineate.methods.testing.dense import CHECKS
from delineate.methods.testing.examples import context, example_batch

INSTALLED = find_spec(names.PACKAGE) is not None


class Unet(nn.Module):
    """One strided convolution as encoder, one transposed as decoder: enough to be trained, saved and loaded."""

    def __init__(self, in_channels: int, classes: int, width: int = 4) -> None:
        super().__init__()
        if width > 64:
            raise ValueError("width is at most 64\nand more words")
        self.encoder = nn.Conv2d(in_channels, width, 2, stride=2)
        self.decoder = nn.ConvTranspose2d(width, classes, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        assert image.shape[-1] % 32 == image.shape[-2] % 32 == 0
        return self.decoder(self.encoder(image))


def create_model(
    arch: str, *, encoder_name: str, encoder_weights: str | None, in_channels: int, classes: int, **arguments: Any
) -> nn.Module:
    model = Unet(in_channels, classes, **arguments)
    if encoder_weights is not None:
        if encoder_name == "resnet50":
            raise OSError("no route to host")
        nn.init.constant_(model.encoder.weight, 7)
    return model


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stand-in in place of the package."""
    module = ModuleType(names.PACKAGE)
    module.__spec__ = ModuleSpec(names.PACKAGE, None)
    module.__dict__.update(
        MODEL_ARCHITECTURES_MAPPING={"unet": Unet, "unetplusplus": Unet},
        create_model=create_model,
        encoders=SimpleNamespace(
            get_encoder_names=lambda: ["resnet18", "resnet50", "mobilenet_v2"], get_preprocessing_params=stated_input
        ),
        __version__="0.5.0",
    )
    monkeypatch.setitem(sys.modules, names.PACKAGE, module)
    method_class.cache_clear()
    yield
    method_class.cache_clear()


def stated_input(encoder: str, pretrained: str) -> dict[str, Any]:
    """As the package says it: of one encoder in the values of 8-bit images."""
    if encoder == "mobilenet_v2":
        return {"input_range": [0, 255], "mean": [127.5, 127.5, 127.5], "std": [51.0, 51.0, 51.0]}
    return {"input_range": [0, 1], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.mark.usefixtures("fake")
def test_input_statistics_are_those_of_the_weights() -> None:
    assert registry.build("smp:unet/resnet18").options.normalize == "imagenet"  # type: ignore[attr-defined]
    assert registry.build("smp:unet/mobilenet_v2").options.normalize == "imagenet"  # type: ignore[attr-defined]
    method = registry.build("smp:unet/mobilenet_v2", options={"pretrained": True})
    assert method.options.model_dump()["normalize"] == {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(names, "find_spec", lambda _: None)
    method_class.cache_clear()
    yield
    method_class.cache_clear()


@pytest.mark.usefixtures("absent")
def test_without_the_package_the_error_says_how_to_install_it() -> None:
    with pytest.raises(DelineateError, match=r"not installed; pip install segmentation-models-pytorch"):
        registry.create("smp:unet/resnet18")


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smp:", "has the form smp:ARCH/ENCODER"),
        ("smp:unet", "has the form smp:ARCH/ENCODER"),
        ("smp:/resnet18", "has the form smp:ARCH/ENCODER"),
        ("smp:unett/resnet18", "unknown architecture 'unett': did you mean 'unet'"),
        ("smp:unet/tu-hf-hub:evil/repo", "unknown encoder 'hf-hub:evil/repo'"),
        ("smp:unet/tu-local-dir:/tmp/x", "unknown encoder 'local-dir:/tmp/x'"),
        ("smp:unet/tu-hf_hub:evil/repo", "unknown encoder"),
        ("smp:unet/hf-hub:evil/repo", "unknown encoder 'hf-hub:evil/repo'"),
        ("smp:unet/resnet1", "unknown encoder 'resnet1': did you mean 'resnet18'"),
        ("spm:unet/resnet18", "unknown method 'spm:unet/resnet18': did you mean 'smp'"),
        ("smp", "has the form smp:ARCH/ENCODER"),
    ],
)
def test_faulty_names_are_one_clear_line(name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        registry.create(name)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("fake")
def test_names_are_facts_of_the_method() -> None:
    cls = registry.method_class("smp:UnetPlusPlus/tu-resnet18")
    assert cls is registry.method_class("smp:UnetPlusPlus/tu-resnet18")
    assert cls.info.name == "smp:unetplusplus/tu-resnet18"
    assert "UNet++" in cls.info.paper
    assert cls.info.year == 2018


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"arguments": {"width": 100}},
            r"smp:unet/resnet18': segmentation_models_pytorch refuses these options: width is at most 64$",
        ),
        ({"arguments": {"widht": 1}}, "unknown .widht.: did you mean .width"),
        ({"arguments": {"checkpoint_path": "/etc/passwd"}}, "unknown 'checkpoint_path'"),
        ({"arguments": {"pretrained_cfg": {"hf_hub_id": "evil/repo"}}}, "unknown 'pretrained_cfg'"),
        ({"arguments": {"classes": 3}}, "'classes' is set by Delineate"),
        ({"argument": {}}, "did you mean 'arguments'"),
    ],
)
def test_faulty_options_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        registry.create("smp:unet/resnet18", **options)


@pytest.mark.usefixtures("fake")
def test_pretrained_weights_go_to_the_encoder_or_are_an_error() -> None:
    method = registry.create("smp:unet/resnet18", pretrained=True)
    assert method.get_parameter("network.encoder.weight").eq(7).all()
    assert (
        not registry.build("smp:unet/resnet18", options={"pretrained": True})
        .get_parameter("network.encoder.weight")
        .eq(7)
        .any()
    )
    with pytest.raises(DelineateError, match="ImageNet weights of 'resnet50' cannot be downloaded: no route to host"):
        registry.create("smp:unet/resnet50", pretrained=True)


@pytest.mark.usefixtures("fake")
def test_it_is_trained_saved_and_loaded_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = registry.create("smp:unet/resnet18", classes=4, preset="tiny", arguments={"width": 6})
    batch = example_batch(2, classes=4, size=40)
    assert method.objective(batch, context()).keys() == {"cross_entropy", "dice"}
    assert method.eval().panels(batch)["probability"].tensor.shape == (2, 1, 40, 40)
    path = tmp_path / "model.safetensors"
    save(path, Artefact(method, InputSpec(size=(64, 64)), ClassTable(names=("background", "a", "b", "c"))))
    again = load(path).method
    assert again.info.name == "smp:unet/resnet18"
    with torch.no_grad():
        assert torch.equal(method(batch["image"]), again(batch["image"]))
    method_class.cache_clear()
    monkeypatch.setattr(names, "find_spec", lambda _: None)
    with pytest.raises(ArtefactError, match=r"cannot be rebuilt: .*pip install segmentation-models-pytorch"):
        load(path)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("preset", ["paper", "tiny"])
def test_presets_are_valid_recipes(preset: str) -> None:
    recipe = resolve("smp:unet/resnet18", preset, {})
    recipe.check_stages(registry.build(recipe.name, options=recipe.method).stages())
    assert registry.card(recipe.name).startswith("# Networks of segmentation_models.pytorch")


SLOW = {"overfit"}


@pytest.mark.skipif(not INSTALLED, reason="segmentation_models.pytorch is not installed")
@pytest.mark.parametrize("check", [name for name in CHECKS if name not in SLOW])
@pytest.mark.parametrize("name", ["smp:unetplusplus/resnet18", "smp:deeplabv3plus/mobilenet_v2"])
def test_promise(name: str, check: str) -> None:
    if "deeplab" in name and check == "gradients":
        pytest.skip("its pooled branch under batch normalization cannot train on one image")
    CHECKS[check](name)
