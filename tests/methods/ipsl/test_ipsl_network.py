"""IPSL as a whole: what the steps are, what a switched-off part takes with it, what does not change the result."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.common.config import merge
from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.contract import Batch
from delineate.methods.episodic import EpisodicBatch, EpisodicModule
from delineate.methods.ipsl.network import IPSL
from delineate.methods.testing.examples import backward, context, example_batch, randomize_norms

ABLATIONS = {
    "tiny-no-encode-decode": set(),
    "tiny-no-peak": {"auxiliary", "auxiliary_support"},
    "tiny-no-mean": set(),
    "tiny-no-interaction": {"interactive"},
    "tiny-no-contrast": {"contrast"},
    "tiny-no-self-learning": {"refined"},
    "tiny-no-low-level": set(),
    "tiny-peak-max": set(),
    "tiny-peak-location": set(),
    "tiny-peak-dense": set(),
    "tiny-parameter-free": set(),
    "tiny-support-only": {"interactive", "refined"},
    "tiny-reference-query": set(),
}
"""Preset → terms that it does without."""
TERMS = {
    "cross_entropy",
    "dice",
    "coarse",
    "interactive",
    "refined",
    "alignment",
    "contrast",
    "auxiliary",
    "auxiliary_support",
}
SMALL = {"encoder": {"name": "resnet18"}, "output_stride": None, "width": 16, "low_width": 4, "decoder_width": 8}


def small(in_channels: int = 3, **options: object) -> IPSL:
    torch.manual_seed(0)
    built = IPSL.Options.model_validate(merge(SMALL, options))
    return IPSL(built, classes=1, in_channels=in_channels)


def episodes(count: int = 2, shots: int = 1, *, in_channels: int = 3, size: int = 64) -> EpisodicBatch:
    shown = example_batch(count * shots, in_channels=in_channels, size=size, seed=1)
    query: Batch = example_batch(count, in_channels=in_channels, size=size)
    return {
        **query,
        "support_image": shown["image"].view(count, shots, in_channels, size, size),
        "support_mask": shown["mask"].view(count, shots, size, size),
    }


def segment(method: IPSL, batch: EpisodicBatch) -> Tensor:
    with torch.no_grad():
        return method(batch["image"], method.condition(batch["support_image"], batch["support_mask"]))


@pytest.mark.parametrize("preset", ABLATIONS)
def test_ablations_change_one_thing_and_train(preset: str) -> None:
    presets = registry.presets("ipsl")
    tiny, ablation = presets["tiny"], presets[preset]
    assert {key: value for key, value in ablation.items() if key != "method"} == {
        key: value for key, value in tiny.items() if key != "method"
    }
    changed = {key: value for key, value in ablation["method"].items() if tiny["method"].get(key) != value}
    assert len(changed) == 1
    method = small(**changed).train()
    found = method.objective(episodes(), context())
    assert torch.isfinite(backward(method, found))
    assert set(found) == TERMS - ABLATIONS[preset]
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_what_is_switched_off_is_not_built() -> None:
    whole = {name.split(".")[1] for name, _ in small().core.levels.named_parameters(prefix="levels")}
    assert whole == {"encoder", "middle", "high", "encode_decode"}
    low = small(peak="none")
    assert not any("layer4" in name for name, _ in low.named_parameters())
    assert low.auxiliary is None
    assert not hasattr(small(mean=False).core.levels, "middle")
    assert not hasattr(small(interaction="none").core, "interaction")
    assert not list(small(interaction="average").core.interaction.parameters())
    assert not hasattr(small(low_level=False).core.completion, "low")
    assert len(small(self_learning={"enabled": False}).core.completion.branches) == 1
    assert small(loss={"auxiliary": 0}).auxiliary is None


def test_coarse_mask_is_the_formula() -> None:
    """20·[λ cos(F_m, p̄_c) + (1 − λ) cos(F_h, p̂_c)], foreground minus background, λ = ½ at the start."""
    method, batch = small().eval(), episodes()
    core = method.core
    with torch.no_grad():
        state = method.condition(batch["support_image"], batch["support_mask"])
        features = core.levels(batch["image"])
        found = core.segment(features, state, (64, 64)).steps
        both = [
            F.cosine_similarity(features.maps[kind][:, None], state[kind][..., None, None], dim=2)
            for kind in ("mean", "peak")
        ]
    scores = 20 * (both[0] + both[1]) / 2
    assert list(found) == ["coarse", "interactive", "refined"]
    assert torch.allclose(found["coarse"], scores[:, 1:] - scores[:, :1], atol=1e-4)


@pytest.mark.parametrize("peak", ["top_k", "channel_max", "location", "dense"])
def test_support_and_query_are_treated_alike(peak: str) -> None:
    """Of the same image and mask, both give the same prototypes, and so each other's place can be taken: the logits stay."""
    method, batch = randomize_norms(small(peak=peak)).eval(), episodes(1)
    assert isinstance(method, IPSL)
    core = method.core
    with torch.no_grad():
        features = core.levels(batch["support_image"][:, 0])
        support = core.support(features, batch["support_mask"])
        hard = support._replace(weights=(support.weights > 0.5).float())
        state, query = core.state(hard), core.query_prototypes(features.maps, hard.weights[:, 1, 0])
        for kind in ("mean", "peak"):
            assert torch.allclose(state[kind], query[kind], atol=1e-5)
        one, two = (core.segment(features, each, (64, 64)).final for each in (state, {**state, **query}))
        assert torch.allclose(one, two, atol=1e-3)


def test_one_state_serves_many_queries_and_shots_have_no_order() -> None:
    method, batch = randomize_norms(small()).eval(), episodes(1, shots=3)
    assert isinstance(method, IPSL)
    queries = example_batch(3)["image"]
    with torch.no_grad():
        state = method.condition(batch["support_image"], batch["support_mask"])
        together = method(queries, state)
        for index in range(3):
            assert torch.allclose(together[index : index + 1], method(queries[index : index + 1], state), atol=1e-4)
        other = method.condition(batch["support_image"].flip(1), batch["support_mask"].flip(1))
        assert torch.allclose(method(queries, other), together, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"output_stride": 8, "self_learning": {"passes": 2}},
        {"encode_decode": "pyramid", "peak": "dense", "residual": False},
        {"encode_decode": "transformer", "mean": False, "normalize": "none"},
        {"bottleneck_attention": True, "low_level": False, "prototypes": "support"},
        {"encoder": {"name": "pvt_v2_b0"}, "peak": "none"},
    ],
)
def test_variants_train_and_deploy_to_the_same_function(options: dict[str, object]) -> None:
    method, batch = small(in_channels=1, **options), episodes(1, shots=2, in_channels=1)
    assert torch.isfinite(backward(method.train(), method.objective(batch, context())))
    assert all(parameter.grad is not None for parameter in method.parameters())
    randomize_norms(method).eval()
    lean = method.deploy()
    assert isinstance(lean, EpisodicModule)
    assert not any("auxiliary" in name for name, _ in lean.named_parameters())
    odd = {**batch, "image": torch.rand(1, 1, 65, 97)}
    with torch.no_grad():
        expected = torch.sigmoid(segment(method, odd))
        found = torch.sigmoid(lean(odd["image"], lean.condition(batch["support_image"], batch["support_mask"])))
    assert expected.shape == (1, 1, 65, 97)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [*({"peak": peak} for peak in ("top_k", "channel_max", "location", "dense")), {"query_prototypes": "reference"}],
)
def test_masks_without_foreground_background_or_labels_are_survived(options: dict[str, object]) -> None:
    method = small(**options).train()
    for label in (0, 1, 255):
        batch = episodes()
        batch["support_mask"].fill_(label)
        batch["mask"].fill_(label)
        found = method.objective(batch, context())
        assert torch.isfinite(backward(method, found))
        assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)
        assert float(found["contrast"].detach()) == 0
        if label == 255:
            assert all(float(value.detach()) == 0 for value in found.values())


def test_ignored_labels_are_never_read() -> None:
    """Pixels marked 255 in the support's mask are neither class: their number does not matter, nor do the query's."""
    method, batch = small().eval(), episodes(1)
    batch["support_mask"][..., :32, :] = 255
    with torch.no_grad():
        state = method.condition(batch["support_image"], batch["support_mask"])
    weights = state["weights"]
    assert torch.all(weights[..., :3, :] == 0)
    assert torch.all(weights.sum(1) <= 1 + 1e-6)


def test_panels_show_the_steps() -> None:
    method, batch = small(in_channels=1).eval(), episodes(in_channels=1)
    with torch.no_grad():
        found = method.panels(batch)
    assert list(found) == ["support", "support mask", "prior", "coarse", "interactive", "refined", "final"]
    prior = found["prior"].tensor
    assert float(prior.min()) >= 0
    assert 0.9 < float(prior.max()) <= 1
    with torch.no_grad():
        assert "prior" not in small(peak="none").eval().panels(episodes())


def test_final_mask_starts_as_the_prototypes_answer() -> None:
    method, batch = small().eval(), episodes()
    core = method.core
    with torch.no_grad():
        result = core.segment(
            core.levels(batch["image"]), method.condition(batch["support_image"], batch["support_mask"]), (64, 64)
        )
        assert float((result.final - core.enlarged(result.steps["refined"], (64, 64))).abs().mean()) < 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": False, "peak": "none"}, "mean and peak cannot both be off"),
        ({"heads": 3}, "width must be a multiple of heads \\(3\\)"),
        ({"width": 18, "heads": 2, "encode_decode": "transformer"}, "heads of encode_decode"),
        ({"output_stride": 8, "encoder": {"name": "pvt_v2_b0"}}, "cannot be dilated"),
        ({"encoder": {"name": "pit_ti_224"}}, "feature maps"),
    ],
)
def test_impossible_options_are_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        registry.build("ipsl", options=merge(SMALL, options))
    assert "\n" not in str(caught.value)


def test_more_than_one_class_is_refused() -> None:
    with pytest.raises(RecipeError, match="classes must be 1 \\(given: 2\\)"):
        registry.build("ipsl", classes=2, options=SMALL)


def test_every_option_says_where_it_comes_from() -> None:
    for field in IPSL.Options.model_fields.values():
        assert field.json_schema_extra["origin"] in ("paper", "reading")


def test_papers_size_is_the_arithmetics() -> None:
    """ResNet-101 without its classifier 42.50 M; reductions 256·(512 + 1024 + 2048); U: four 3×3 convolutions of 256 → 256 and two
    of 512 → 256, norms and one bias."""
    with torch.device("meta"):
        method = registry.build(
            "ipsl", options={**registry.presets("ipsl")["paper"]["method"], "encoder": {"name": "resnet101"}}
        )
    assert isinstance(method, IPSL)
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in method.core.levels.named_children()}
    assert parts["encoder"] == pytest.approx(42.50e6, rel=1e-3)
    assert parts["middle"] + parts["high"] == 256 * (512 + 1024 + 2048)
    u = 4 * (9 * 256**2 + 512) + (9 * 512 * 256 + 512) + (9 * 512 * 256 + 256)
    assert parts["encode_decode"] == u
