"""The option `query_prototypes`: in training, prototypes of the query by its reference mask; in use never."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.methods.ipsl.network import IPSL
from delineate.methods.testing.examples import context, example_batch

SMALL = {
    "encoder": {"name": "resnet18"},
    "output_stride": None,
    "width": 16,
    "low_width": 4,
    "decoder_width": 8,
    "interaction": "average",
}


def small(query_prototypes: str) -> IPSL:
    torch.manual_seed(0)
    options = IPSL.Options.model_validate({**SMALL, "query_prototypes": query_prototypes})
    return IPSL(options, classes=1, in_channels=1)


def episodes() -> dict[str, Tensor]:
    shown, query = (example_batch(2, in_channels=1, size=64, seed=seed) for seed in (1, 0))
    return {**query, "support_image": shown["image"][:, None], "support_mask": shown["mask"][:, None]}


def test_prototypes_of_four_cells_by_hand() -> None:
    """Foreground weighs 1 and ½ in the first two cells: means (1 + 2·½)/1.5 and ½/1.5. The second query has no foreground: its
    own prediction, sure of the first cell alone, stands in for this class, and only for this one."""
    core = small("reference").core
    mean = torch.tensor([[1.0, 2, 3, 4], [0, 1, 0, 1]]).view(1, 2, 1, 4).expand(2, 2, 1, 4)
    peak = torch.tensor([[5.0, 9, 1, 2], [7, 9, 4, 3]]).view(1, 2, 1, 4).expand(2, 2, 1, 4)
    known = torch.tensor([[[0, 0.5, 1, 1], [1, 0.5, 0, 0]], [[0, 0, 1, 1], [0, 0, 0, 0]]]).view(2, 2, 1, 4)
    probability = torch.tensor([0.9, 0.5, 0.45, 0.2]).view(1, 1, 4).expand(2, 1, 4)
    found = core.query_prototypes({"mean": mean, "peak": peak}, probability, known)
    # Background first. Peaks: the largest tenth of one or two cells is the largest, channel by channel.
    assert torch.allclose(found["mean"][0], torch.tensor([[8 / 2.5, 1.5 / 2.5], [4 / 3, 1 / 3]]), atol=1e-4)
    assert torch.allclose(found["peak"][0], torch.tensor([[2.0, 4], [5, 7]]))
    assert torch.allclose(found["mean"][1], torch.tensor([[3.5, 0.5], [1, 0]]), atol=1e-4)
    assert torch.allclose(found["peak"][1], torch.tensor([[2.0, 4], [5, 7]]))


def test_the_interactive_mask_of_training_is_by_half_of_each_images_own_prototypes() -> None:
    """Written out anew from the features of the same pass: averages over reference masks, ½ + ½ of unit vectors, 20·cosines."""
    method, batch = small("reference").train(), episodes()
    core = method.core
    with torch.no_grad():
        terms = method.objective(batch, context())
        maps = core.levels(torch.cat((batch["support_image"][:, 0], batch["image"]))).maps
        masks = torch.cat((batch["support_mask"][:, 0], batch["mask"]))
        scores = torch.zeros(2, 2, *maps["mean"].shape[-2:])
        for label in (0, 1):
            weight = F.interpolate((masks == label).float()[:, None], size=maps["mean"].shape[-2:], mode="bilinear")[
                :, 0
            ]
            for kind, x in maps.items():
                own = []
                for image in range(4):
                    pixels, share = x[image].flatten(1), weight[image].flatten()
                    inside = pixels[:, share > 0.5]
                    count = max(1, -(-inside.shape[1] // 10))
                    top = inside.sort(1, descending=True).values[:, :count].mean(1)
                    own.append(F.normalize((pixels * share).sum(1) / share.sum() if kind == "mean" else top, dim=0))
                for episode in range(2):
                    joined = (own[episode] + own[episode + 2]) / 2
                    scores[episode, label] += 10 * F.cosine_similarity(x[episode + 2], joined[:, None, None], dim=0)
        logits = F.interpolate((scores[:, 1] - scores[:, 0])[:, None], size=(64, 64), mode="bilinear")[:, 0]
        target = (batch["mask"] == 1).float()
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        kept = batch["mask"] != 255
        weights = torch.where(target == 1, 1.0, 0.05) * kept
        expected = (each * weights).sum() / weights.sum()
    assert torch.allclose(terms["interactive"], expected, rtol=1e-3), (terms["interactive"], expected)
    assert not torch.allclose(
        small("predicted").train().objective(batch, context())["interactive"], expected, rtol=1e-2
    )


def test_in_use_and_in_validation_the_reference_mask_is_not_known() -> None:
    batch, terms, masks = episodes(), [], []
    for choice in ("predicted", "reference"):
        method = small(choice).eval()
        with torch.no_grad():
            terms.append(method.objective(batch, context()))
            masks.append(method(batch["image"], method.condition(batch["support_image"], batch["support_mask"])))
    assert all(torch.equal(terms[0][name], terms[1][name]) for name in terms[0])
    assert torch.equal(*masks)
