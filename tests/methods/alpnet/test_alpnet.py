"""ALPNet against the released network (golden/make_alpnet.py says how the arrays were made), and where that one has no answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.methods import registry
from delineate.methods.alpnet.local import background_prototypes, foreground_prototypes, similarity
from delineate.methods.alpnet.network import ALPNet
from delineate.methods.testing.examples import context
from delineate.nn.blocks import resize

GOLDEN = np.load(Path(__file__).parents[2] / "golden" / "alpnet.npz")
INFERENCE = ("inference", "small", "shots")
TRAINING = ("training", "training-small", "training-shots")


class Average(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 8)


def array(case: str, name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[f"{case}/{name}"])


def picture(case: str, name: str) -> Tensor:
    return array(case, name).repeat_interleave(8, -2).repeat_interleave(8, -1)


def network() -> ALPNet:
    method = registry.build("alpnet", in_channels=6, options={"encoder": {"name": "resnet18"}, "grid": 4})
    assert isinstance(method, ALPNet)
    method.features = Average()  # type: ignore[assignment]
    return method


@pytest.mark.parametrize("case", [*INFERENCE, *TRAINING])
def test_scores_equal_those_of_the_released_network(case: str) -> None:
    method = network().train(case in TRAINING)
    support, query, mask = picture(case, "support"), picture(case, "query"), array(case, "mask").long()
    state = method.condition(support[None], mask[None])
    found = resize(method.scores(method.features(query), state), query.shape[-2:])
    torch.testing.assert_close(found[..., 3::5, 3::5], array(case, "scores"), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(method(query, state), found[:, 1:] - found[:, :1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("case", TRAINING)
def test_losses_equal_those_of_the_released_network(case: str) -> None:
    method = network().train()
    mask = array(case, "mask").long()
    target = (mask[:1] == 1).long()
    target[:, :, :5] = 255
    support, query = picture(case, "support"), picture(case, "query")
    found = method.objective(
        {
            "image": query,
            "mask": target,
            "labeled": torch.ones(1, dtype=torch.bool),
            "sample_id": [case],
            "support_image": support[None],
            "support_mask": mask[None],
        },
        context(),
    )
    scores = resize(method.scores(method.features(query), method.condition(support[None], mask[None])), (128, 128))
    expected = F.cross_entropy(scores, target, weight=torch.tensor([0.05, 1.0]), ignore_index=255)
    torch.testing.assert_close(found["query"], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["alignment"], array(case, "alignment"), atol=1e-5, rtol=1e-5)


def test_without_a_window_within_the_background_its_mean_stands_in() -> None:
    features, mask = torch.randn(2, 1, 5, 8, 8), torch.zeros(2, 1, 8, 8)
    mask[0, 0, 3, 3] = 1
    found = background_prototypes(features, mask, (2, 2), 0.95)
    assert found.kept.sum(1).tolist() == [1, 1]
    torch.testing.assert_close(found.vectors[0, -1], features[0, 0, :, 3, 3], atol=1e-4, rtol=1e-4)
    scores = similarity(torch.randn(2, 5, 8, 8), found, 20.0)
    assert torch.equal(scores[1], torch.zeros(1, 8, 8)), "an empty class is like nothing"


def test_a_shot_without_the_class_has_no_prototype() -> None:
    features, mask = torch.randn(1, 2, 5, 8, 8), torch.zeros(1, 2, 8, 8)
    mask[:, 1, 2:] = 1
    query = torch.randn(3, 5, 8, 8)
    both, one = (
        foreground_prototypes(x, m, (2, 2), 0.95) for x, m in ((features, mask), (features[:, 1:], mask[:, 1:]))
    )
    torch.testing.assert_close(similarity(query, both, 20.0), similarity(query, one, 20.0))


def test_a_small_foreground_is_one_prototype_and_a_large_one_has_local_ones_besides() -> None:
    features = torch.randn(1, 2, 5, 8, 8)
    small, large = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    small[:, 1, 2:4, 2:4] = 1
    large[:, 1, 4:, :4] = 1
    assert foreground_prototypes(features, small, (2, 2), 0.95).kept.sum() == 1
    assert foreground_prototypes(features, large, (2, 2), 0.95).kept.sum() == 4 + 1
