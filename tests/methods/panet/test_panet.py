"""PANet against a literal form of its equations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.methods import registry
from delineate.methods.panet.network import PANet
from delineate.methods.testing.episodic_examples import example_episodes
from delineate.methods.testing.examples import context
from delineate.nn.blocks import resize


def network() -> PANet:
    torch.manual_seed(0)
    method = registry.build("panet", options={"encoder": {"name": "resnet18"}, "width": 8})
    assert isinstance(method, PANet)
    return method.eval()


def literal(features: Tensor, masks: Tensor, query: Tensor) -> Tensor:
    """Scores of one episode: features K×C×h×w are raised to the masks' size K×H×W and averaged (eqs. 1 and 2), and cosines
    taken at the features' size (eq. 3). Background first."""
    raised = resize(features, masks.shape[-2:])
    scores = []
    for label in (0, 1):
        inside = (masks == label)[:, None]
        prototype = ((raised * inside).sum((2, 3)) / (inside.sum((2, 3)) + 1e-5)).mean(0)
        scores.append(20 * F.cosine_similarity(query, prototype[:, None, None], dim=0))
    return torch.stack(scores)


def test_logits_and_alignment_are_those_of_the_equations() -> None:
    method, batch = network(), example_episodes(2, shots=3, size=65)
    batch["support_mask"][:, :, :5] = 255
    with torch.no_grad():
        found = method.objective(batch, context())
        logits = method(batch["image"], method.condition(batch["support_image"], batch["support_mask"]))
        query = method.features(batch["image"])
        support = [method.features(shots) for shots in batch["support_image"]]
        alignments = []
        for i in range(2):
            masks = batch["support_mask"][i]
            scores = literal(support[i], masks, query[i])
            difference = resize((scores[1] - scores[0])[None, None], (65, 65))
            torch.testing.assert_close(logits[i : i + 1], difference, atol=1e-4, rtol=1e-4)
            guess = scores.argmax(0)[None]
            assert guess.any()
            for shot, mask in zip(support[i], masks, strict=True):
                back = resize(literal(query[i : i + 1], guess, shot)[None], (65, 65))
                alignments.append(F.cross_entropy(back, mask[None], ignore_index=255))
    torch.testing.assert_close(found["alignment"], torch.stack(alignments).mean(), atol=1e-4, rtol=1e-4)


def test_alignment_leaves_out_episodes_without_predicted_foreground() -> None:
    mask = torch.ones(2, 3, 4, 4, dtype=torch.long)
    guess = torch.zeros(2, 1, 2, 2, dtype=torch.long)
    guess[1, 0, 0, 0] = 1
    target = network().alignment_target(mask, guess)
    assert (target[0] == 255).all()
    assert (target[1] == 1).all()


def test_a_shot_without_the_class_leaves_the_prototype_to_the_others() -> None:
    method, batch = network(), example_episodes(1, shots=2)
    image, mask = batch["support_image"], batch["support_mask"]
    mask[:, 1] = 0
    with torch.no_grad():
        both = method.condition(image, mask)["prototypes"][:, 1]
        one = method.condition(image[:, :1], mask[:, :1])["prototypes"][:, 1]
    torch.testing.assert_close(2 * both, one)


def test_the_paper_preset_is_the_deep_dilated_encoder() -> None:
    with torch.device("meta"):
        method = registry.build("panet", options=registry.presets("panet")["paper"]["method"])
    assert isinstance(method, PANet)
    assert (method.features.reduction, method.features.channels) == (8, 256)
    assert sum(p.numel() for p in method.parameters()) == 42_500_160 + 2048 * 256
