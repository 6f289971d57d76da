"""CMAformer against the released network, and what was mended of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.cmaformer.network import CMAformer, CMAformerOptions

GOLDEN = Path(__file__).parents[2] / "golden" / "cmaformer.npz"
RENAMED = {
    r"^input_layer\.": "stem.",
    r"^input_skip\.0\.": "stem_shortcut.",
    r"^patch_embedding(\d)\.": r"embeddings.\1-.",
    r"\.proj\.": ".projection.",
    r"\.pos\.pa_conv\.": ".gate.",
    r"^squeeze_excite(\d)\.fc\.": r"gates.\1-.gate.",
    r"^residual_conv(\d)\.": r"convs.\1-.",
    r"^up_residual_conv(\d)\.": r"up_convs.\1-.",
    r"\.conv_block\.": ".convs.",
    r"\.conv_skip\.": ".shortcut.",
    r"^EncoderBlock\.layers\.": "encoder_layers.",
    r"^DecoderBlock\.layers\.": "decoder_layers.",
    r"^attn(\d)\.": r"cross_gates.\1-.",
    r"\.conv_encoder\.": ".encoder.",
    r"\.conv_decoder\.": ".decoder.",
    r"\.conv_attn\.": ".gate.",
    r"^FeatureFusion_bridge\.": "bridge.",
    r"^FeatureFusion_out\.": "last.",
    r"\.aspp_block(\d)\.": r".branches.\1-.",
    r"^(bridge|last)\.output\.": r"\1.join.",
    r"^output_layer\.0\.": "head.",
}
"""Pattern of the released name → ours; "1-" is the number before it."""


def ours(name: str) -> str:
    for pattern, new in RENAMED.items():
        name = re.sub(pattern, new, name)
    return re.sub(r"(\d)-", lambda found: str(int(found[1]) - 1), name)


def narrow(**options: object) -> CMAformer:
    wanted = CMAformerOptions.model_validate(
        {"widths": (2, 16, 4, 16, 6, 16), "layers": 1, "positions": False, **options}
    )
    return CMAformer(wanted, classes=4, in_channels=1).eval()


def test_it_answers_as_the_released_network() -> None:
    with np.load(GOLDEN) as file:
        names, flat = [ours(str(name)) for name in file["names"]], torch.from_numpy(file["weights"])
        image, answer = torch.from_numpy(file["image"]), torch.from_numpy(file["answer"])
    method = narrow(tokens="as-released")
    state = method.state_dict()
    assert {name for name in state if "num_batches" not in name} == set(names)
    parts = flat.split([state[name].numel() for name in names])
    method.load_state_dict(
        {name: part.view_as(state[name]) for name, part in zip(names, parts, strict=True)}, strict=False
    )
    torch.testing.assert_close(method(image), answer, rtol=1e-3, atol=1e-4)


def answers(method: CMAformer, images: Tensor) -> Tensor:
    with torch.no_grad():
        return method(images)


def test_an_image_is_segmented_by_itself() -> None:
    """In the released code the attention is over the images of a batch."""
    torch.manual_seed(0)
    images = torch.rand(3, 1, 64, 64)
    sound, released = narrow(), narrow(tokens="as-released")
    torch.testing.assert_close(answers(sound, images)[:1], answers(sound, images[:1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(answers(released, images)[:1], answers(released, images[:1]), rtol=1e-3, atol=1e-4)


def test_tokens_lie_where_their_pixels_lay() -> None:
    method = narrow()
    embedding = method.embeddings[0]
    tokens, height, width = embedding(torch.rand(1, 2, 8, 12))
    found = method._as_map(tokens, height, width)
    assert found.shape == (1, 16, 4, 6)
    assert torch.equal(found[0, :, 2, 3], tokens[0, 2 * 6 + 3])


@pytest.mark.parametrize("size", [(32, 32), (70, 50), (96, 160)])
def test_positions_fit_every_size(size: tuple[int, int]) -> None:
    method = narrow(positions=True)
    assert method.positions is not None
    image = torch.rand(1, 1, *size)
    plain = answers(method, image)
    assert plain.shape == (1, 4, *size)
    with torch.no_grad():
        method.positions.normal_()
    assert not torch.allclose(answers(method, image), plain)


def test_wrong_options() -> None:
    with pytest.raises(RecipeError, match="the last of widths, 100, is not a multiple of heads, 8"):
        registry.build("cmaformer", options={"widths": [8, 16, 24, 32, 64, 100]})
    with pytest.raises(RecipeError, match="normalize: auto is of pretrained weights"):
        registry.build("cmaformer", options={"normalize": "auto"})
