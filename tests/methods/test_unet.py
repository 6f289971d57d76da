from __future__ import annotations

import pytest
import torch
from torch import nn

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.testing.examples import example_batch, tiny
from delineate.nn.counting import count_cost


def test_size_is_that_of_the_usual_network() -> None:
    """14,328,209 parameters: the figure of the widely used U-Net with this encoder and these widths."""
    assert count_cost(tiny("unet"), in_channels=3, size=(256, 256)).parameters == 14_328_209


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"encoder": {"name": "pvt_v2_b2"}}, (65, 97)),
        ({"encoder": {"name": "convnext_atto"}, "up": "bilinear"}, (64, 40)),
        ({"encoder": {"name": "vgg11_bn"}, "decoder_channels": [64, 32, 16, 8]}, (33, 64)),
        ({"encoder": {"name": "resnet18"}, "decoder_channels": [32, 16, 8], "normalize": "none"}, (1, 7)),
    ],
)
def test_other_encoders_depths_and_sizes(options: dict[str, object], size: tuple[int, int]) -> None:
    method = registry.build("unet", classes=3, options=options).eval()
    with torch.no_grad():
        assert method(torch.rand(1, 3, *size)).shape == (1, 3, *size)


def test_an_impossible_depth_says_what_the_encoder_gives() -> None:
    with pytest.raises(
        RecipeError, match=r"6 levels need a feature map of 1/64, but encoder 'resnet18' gives 1/2, 1/4"
    ):
        registry.build("unet", options={"encoder": {"name": "resnet18"}, "decoder_channels": [8] * 6})


def test_multiples_of_the_step_are_not_padded_and_others_keep_their_pixels() -> None:
    method = tiny("unet").eval()
    image = example_batch(1, size=96)["image"]
    with torch.no_grad():
        whole, part = method(image), method(image[..., :96, :90])
    assert part.shape == (1, 1, 96, 90)
    assert torch.isfinite(part).all()
    assert whole.shape == (1, 1, 96, 96)


def test_deployed_network_has_no_norm_left() -> None:
    lean = tiny("unet").deploy()
    assert not any(isinstance(part, nn.BatchNorm2d) for part in lean.modules())


def test_probability_panel_is_of_any_foreground() -> None:
    method = tiny("unet", classes=4).eval()
    batch = example_batch(1, classes=4)
    with torch.no_grad():
        panel = method.panels(batch)["probability"]
        expected = method(batch["image"]).softmax(1)[:, 1:].sum(1, keepdim=True)
    assert torch.allclose(panel.tensor, expected, atol=1e-6)
