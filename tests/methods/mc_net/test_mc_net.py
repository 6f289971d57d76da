"""MC-Net+ against the authors' parts and loss, and what only training needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.engine.recipe import resolve
from delineate.methods import registry
from delineate.methods.mc_net.network import MCNet, MCNetOptions
from delineate.methods.testing.examples import context, example_batch, tiny
from delineate.nn.sharpen import sharpen

GOLDEN = Path(__file__).parents[2] / "golden" / "label_efficient.npz"


def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as file:
        return {key.partition("/")[2]: torch.from_numpy(file[key]) for key in file.files if key.startswith("mc-net/")}


def built(*, classes: int = 4, **options: object) -> MCNet:
    return MCNet(MCNetOptions.model_validate(options), classes=classes, in_channels=1)


def test_each_decoder_answers_as_the_authors_does() -> None:
    wanted = golden()
    method = built(widths=(4, 6, 8, 10, 12)).eval()
    theirs = {key: value for key, value in wanted.items() if key.startswith("weights/")}
    ours = {key: value for key, value in method.state_dict().items() if "num_batches" not in key}
    assert [value.shape for value in ours.values()] == [value.shape for value in theirs.values()]
    method.load_state_dict(dict(zip(ours, theirs.values(), strict=True)), strict=False)
    maps = method.encode(wanted["image"])
    for decoder, answer in zip(method.decoders, wanted["answers"], strict=True):
        torch.testing.assert_close(method._decoded(maps, decoder), answer, rtol=1e-4, atol=1e-5)
    assert torch.equal(method(wanted["image"]), method._decoded(maps, method.decoders[0]))


def test_the_decoders_agreement_is_the_authors() -> None:
    wanted = golden()
    method = built(temperature=0.5)
    logits = [one.clone().requires_grad_() for one in wanted["decoders"]]
    loss = method._disagreement(logits)
    torch.testing.assert_close(loss.detach(), wanted["loss"], rtol=1e-5, atol=1e-6)
    found = torch.stack(torch.autograd.grad(loss, logits))
    torch.testing.assert_close(found, wanted["gradient"], rtol=1e-4, atol=1e-8)


def test_the_papers_size() -> None:
    one, three = (
        sum(p.numel() for p in built(decoders=ups).parameters())
        for ups in (("bilinear",), ("bilinear", "transposed", "nearest"))
    )
    assert one == pytest.approx(1.81e6, rel=0.01)
    assert sum(p.numel() for p in built().deploy().parameters()) < one
    assert three > one


def test_masks_of_images_without_masks_do_not_count() -> None:
    method = tiny("mc-net", classes=4)
    made = example_batch(4, classes=4)
    made["labeled"] = torch.tensor([True, False, True, False])
    found = []
    for value in (255, 2):
        made["mask"][1::2] = value
        torch.manual_seed(0)
        found.append({key: float(term.detach()) for key, term in method.objective(made, context(step=50)).items()})
    assert found[0] == found[1]
    assert found[0]["consistency"] > 0


@pytest.mark.parametrize("options", [{"consistency": 0}, {"decoders": ["bilinear"]}])
def test_without_agreement_images_without_masks_are_not_asked_for(options: dict[str, object]) -> None:
    wanted = MCNetOptions.model_validate(options)
    assert not MCNet.uses_unlabeled(wanted)
    method = MCNet(wanted, classes=1, in_channels=3)
    assert "consistency" not in method.objective(example_batch(), context())
    assert MCNet.uses_unlabeled(MCNetOptions())


def test_a_temperature_of_one_sharpens_nothing_and_the_gradient_is_finite_at_the_ends() -> None:
    probability = torch.tensor([0.0, 0.2, 0.5, 1.0], requires_grad=True)
    torch.testing.assert_close(sharpen(probability, 1.0), probability, rtol=0, atol=2e-6)
    sharp = sharpen(probability, 0.1)
    wanted = probability**10 / (probability**10 + (1 - probability) ** 10)
    torch.testing.assert_close(sharp, wanted, rtol=1e-4, atol=1e-6)
    sharp.sum().backward()
    assert bool(torch.isfinite(probability.grad).all())  # type: ignore[arg-type]


def test_a_timm_encoder_in_place_of_the_papers() -> None:
    method = registry.build("mc-net", classes=3, options={"encoder": {"name": "resnet18"}})
    assert method(torch.rand(1, 3, 70, 50)).shape == (1, 3, 70, 50)
    assert resolve("mc-net", "small-scratch", {}).method["normalize"] == "imagenet"
    assert resolve("mc-net", "tiny", {}).method.get("encoder") is None


def test_wrong_options() -> None:
    with pytest.raises(RecipeError, match="dropout has 5 values, and widths 2"):
        registry.build("mc-net", options={"widths": [8, 16]})
    with pytest.raises(RecipeError, match="decoders"):
        registry.build("mc-net", options={"decoders": ["cubic"]})
