"""Input statistics follow the pretrained weights, and are said where they are assumed or contradicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from delineate.common.errors import DelineateError, RecipeError
from delineate.methods import registry
from delineate.methods.encoder_options import EncoderMethodOptions
from delineate.methods.unet.network import UNetOptions
from delineate.nn.encoders.hub import hub_statistics
from delineate.nn.encoders.options import PORTABLE, EncoderOptions
from delineate.nn.encoders.weights_file import FileWeights
from delineate.nn.normalize import ChannelStatistics, in_words, make_normalize

HALF = ChannelStatistics(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def settled(name: str, pretrained: bool | str, **further: object) -> EncoderMethodOptions:
    return EncoderMethodOptions.model_validate({"encoder": {"name": name, "pretrained": pretrained}, **further})


def test_auto_means_what_the_weights_were_trained_with() -> None:
    assert settled("resnet18", False).normalize == "imagenet"
    assert settled("tf_efficientnet_lite0", False).normalize == "imagenet"
    assert settled("tf_efficientnet_lite0", "package:efficientnet-lite0").normalize == HALF
    assert settled("resnet152", "package:astra-resnet152").normalize == "none"
    assert settled("resnet18", True).normalize == "imagenet"
    assert settled("tf_efficientnet_lite0", True).normalize == HALF
    clip = settled("resnet50_clip.openai", True).normalize
    assert isinstance(clip, ChannelStatistics)
    assert clip.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-3)


def test_many_of_timms_weights_do_not_use_imagenets() -> None:
    """The reason for `auto`; counted over the installed timm, whatever it has."""
    stated = [hub_statistics(name) for name in timm.list_models()]
    known = [each for each in stated if each is not None]
    others = [each for each in known if in_words(each) != "imagenet"]
    assert len(others) > len(known) / 5


def test_options_that_are_made_again_mean_the_same() -> None:
    first = settled("tf_efficientnet_lite0", "package:efficientnet-lite0")
    again = EncoderMethodOptions.model_validate_json(first.model_dump_json())
    assert again == first
    assert UNetOptions(encoder=EncoderOptions(name="resnet18"), normalize="none").normalize == "none"


def test_a_contradiction_is_said() -> None:
    wrong = settled("tf_efficientnet_lite0", "package:efficientnet-lite0", normalize="imagenet")
    (said,) = wrong.remarks()
    assert "mean 0.485, 0.456, 0.406" in said
    assert "were trained with mean 0.5, 0.5, 0.5" in said
    assert settled("tf_efficientnet_lite0", "package:efficientnet-lite0").remarks() == []
    assert settled("tf_efficientnet_lite0", False, normalize="none").remarks() == []


def test_a_file_says_its_statistics_or_they_are_assumed(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"x": torch.ones(1)}, path)
    assumed = settled("resnet18", str(path))
    assert assumed.normalize == "imagenet"
    (said,) = assumed.remarks()
    assert said.startswith("weights.safetensors does not say which mean and std its weights expect")
    config = {
        "architecture": "resnet18",
        "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "license": "mit"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    stated = settled("resnet18", str(path))
    assert stated.normalize == ChannelStatistics(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5))
    assert stated.remarks() == []
    with pytest.raises(
        DelineateError, match=r"holds weights of 'resnet18' .*, and the encoder is 'resnet34'.*name=resnet18"
    ):
        FileWeights(path, "resnet34").check()
    (tmp_path / "config.json").write_text(
        json.dumps({"pretrained_cfg": {"mean": [123, 117, 104], "std": [58, 57, 57]}})
    )
    with pytest.raises(DelineateError, match=r"config\.json: mean and std cannot be used"):
        settled("resnet18", str(path))
    (tmp_path / "config.json").write_text("not JSON")
    assert settled("resnet18", str(path)).normalize == "imagenet"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("efficientnet-lite0", "does not exist; the weights of an installed package are package:efficientnet-lite0"),
        ("Package:efficientnet-lite0", "are package:efficientnet-lite0"),
        ("none", "does not exist; false starts from random weights"),
        ("{folder}", "is a folder; name the file in it"),
        ("{folder}/absent.pth", "does not exist; check the path"),
    ],
)
def test_a_path_that_leads_nowhere_is_answered_with_what_was_meant(tmp_path: Path, given: str, said: str) -> None:
    with pytest.raises(DelineateError, match=said):
        settled("resnet18", given.format(folder=tmp_path)).check_available()


@pytest.mark.parametrize("given", ["", "package:", {"package": None}, None, 3])
def test_what_is_no_source_of_weights_is_told_as_such(given: Any) -> None:
    with pytest.raises(ValueError, match="or the path of a file"):
        EncoderOptions(name="resnet18", pretrained=given)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    save_file({"x": torch.ones(1)}, tmp_path / "w.safetensors")
    FileWeights(Path("~/w.safetensors"), "resnet18").check()


def test_no_folder_leaves_the_machine(tmp_path: Path) -> None:
    options = EncoderOptions(name="resnet18", pretrained=str(tmp_path / "w.pth"))
    assert options.model_dump(context=PORTABLE) == {"name": "resnet18", "pretrained": "w.pth"}
    assert options.model_dump()["pretrained"] == str(tmp_path / "w.pth")
    package = EncoderOptions(name="tf_efficientnet_lite0", pretrained="package:efficientnet-lite0")
    assert package.model_dump(context=PORTABLE)["pretrained"] == "package:efficientnet-lite0"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"mean": [0.5, 0.5, 0.5]}, "std"),
        ({"mean": [0.5], "std": [0.5, 0.5]}, "mean has 1 values and std 2"),
        ({"mean": [123.0], "std": [0.5]}, "divide values of 8-bit images by 255"),
        ({"mean": [0.5], "std": [0.0]}, "std: must be above 0"),
        ({"mean": [0.5], "std": [0.5], "max": 1}, "max"),
        ("imagnet", "imagenet"),
    ],
)
def test_wrong_statistics(given: object, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        EncoderMethodOptions.model_validate({"normalize": given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mean": [0.5]}, r"normalize\.std: Field required"),
        ({"mean": [0.5], "std": [0.5], "stds": 1}, r"unknown option 'normalize\.stds': did you mean 'std'"),
        ("imagnet", r"normalize: Input should be 'auto', 'imagenet' or 'none' \(given: 'imagnet'\)"),
        (3, r"normalize: Input should be 'auto'"),
    ],
)
def test_a_user_is_told_which_part_is_wrong(given: object, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        registry.checked_options("unet", {"normalize": given})


def test_one_for_all_channels_or_one_for_each() -> None:
    image = torch.rand(2, 4, 3, 3)
    one = make_normalize(4, ChannelStatistics(mean=(0.5,), std=(0.25,)))
    assert torch.allclose(one(image), (image - 0.5) / 0.25)
    each = make_normalize(2, ChannelStatistics(mean=(0.1, 0.2), std=(0.5, 1.0)))
    assert torch.allclose(each(image[:, :2])[:, 1], image[:, 1] - 0.2)
    three = make_normalize(1, ChannelStatistics(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5)))
    assert torch.allclose(three(image[:, :1]), (image[:, :1] - 0.2) / 0.5)
    with pytest.raises(RecipeError, match=r"2 values for images of 3 channels; give one for all, or one for each"):
        make_normalize(3, ChannelStatistics(mean=(0.1, 0.2), std=(0.5, 1.0)))
