"""DIN against its formulas, its size and cost against the arithmetic, its variants."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.common.config import merge
from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.contract import Method
from delineate.methods.din.interaction import AttentionOptions, DualInteraction, spatial_attention
from delineate.methods.testing.examples import backward, context, example_batch, randomize_norms, tiny
from delineate.nn.counting import count_cost, count_parameters

ABLATIONS = (
    "tiny-identity",
    "tiny-clahe",
    "tiny-one-encoder",
    "tiny-concatenation",
    "tiny-no-spatial-attention",
    "tiny-no-boundary",
)
SAME_SIZE = ("tiny-identity", "tiny-clahe", "tiny-no-spatial-attention", "tiny-no-boundary")
WIDTHS = (128, 256, 512, 1024)


def paper(**options: object) -> Method:
    """The preset `paper` without memory for its weights."""
    with torch.device("meta"):
        return registry.build("din", options=merge(registry.presets("din")["paper"]["method"], options))


def small(**options: object) -> Method:
    torch.manual_seed(0)
    return registry.build("din", options=merge(registry.presets("din")["tiny"]["method"], options))


def test_interaction_equals_the_figures_formulas() -> None:
    """A = softmax(Q·Kᵀ/√d)·V of the other stream, Y = A + Q, Z = FFN(Y), both ways, on normalized features."""
    torch.manual_seed(0)
    module = DualInteraction(8, AttentionOptions(), 0)
    image, enhanced = torch.randn(2, 2, 8, 3, 5)
    tokens = [norm(x.flatten(2).transpose(1, 2)) for norm, x in zip(module.norms, (image, enhanced), strict=True)]
    for branch, own, other, found in zip(module.branches, tokens, tokens[::-1], module(image, enhanced), strict=True):
        layer = branch.attention
        q, k, v = layer.query(own), layer.key(other), layer.value(other)
        attended = (q @ k.transpose(1, 2) / 8**0.5).softmax(2) @ v
        expected = branch.ffn(attended + q).transpose(1, 2).reshape(2, 8, 3, 5)
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"skip": "query"}, lambda own, q, a, ffn: ffn(a + q)),
        ({"skip": "input"}, lambda own, q, a, ffn: ffn(a + own)),
        ({"skip": "none"}, lambda own, q, a, ffn: ffn(a)),
        ({"ffn": "residual"}, lambda own, q, a, ffn: a + q + ffn(F.layer_norm(a + q, (8,)))),
        ({"norm": False, "skip": "input"}, lambda own, q, a, ffn: ffn(a + own)),
    ],
)
def test_skips_and_norms(options: dict[str, object], expected: object) -> None:
    torch.manual_seed(0)
    module = DualInteraction(8, AttentionOptions.model_validate(options), 0)
    own, other = torch.randn(2, 1, 4, 4, 8)
    x, y = (norm(z) for norm, z in zip(module.norms, (own, other), strict=True))
    branch = module.branches[0]
    attended, query = branch.attention(x, y)
    found = module(own.permute(0, 3, 1, 2), other.permute(0, 3, 1, 2))[0].permute(0, 2, 3, 1)
    assert torch.allclose(found, expected(own, query, attended, branch.ffn), atol=1e-5)


def test_spatial_attention_is_the_sigmoid_of_the_channels_mean() -> None:
    x = torch.tensor([[1.0, 3.0], [-1.0, 1.0]]).view(1, 2, 1, 2)
    assert torch.allclose(spatial_attention(x), torch.sigmoid(torch.tensor([0.0, 2.0])).view(1, 1, 1, 2))


def test_output_is_the_decoder_of_both_streams_gated_sum() -> None:
    method = randomize_norms(small()).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first, second = method.streams(image, torch.log1p(255 * image) / torch.log(torch.tensor(256.0)))
        merged = [
            [conv(torch.cat((x.low, x.high), 1)) for conv, x in zip(merge.levels, stream, strict=True)]
            for merge, stream in zip(method.merge, (first, second), strict=True)
        ]
        levels = [
            sum(z * spatial_attention(z) for z in fusion(*pair))
            for fusion, *pair in zip(method.fusion, *merged, strict=True)
        ]
        assert torch.allclose(method(image), literal_decoder(method, levels, (64, 64)), atol=1e-4)


def literal_decoder(method: Method, levels: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Project, up-sample, join, convolve, normalize, classify, up-sample: in the order of the equations."""
    decoder = method.decoder
    up = [
        F.interpolate(project(x), levels[0].shape[2:], mode="bilinear")
        for project, x in zip(decoder.project, levels, strict=True)
    ]
    return F.interpolate(decoder.head(decoder.fuse(torch.cat(up, 1))), size, mode="bilinear")


def test_streams_are_aligned_and_see_different_images() -> None:
    """With the identity and equal weights both streams give the same features; with the logarithm they do not."""
    image = torch.rand(1, 3, 64, 64)
    for kind, same in (("identity", True), ("log", False)):
        method = small(enhance={"kind": kind}, streams="shared").eval()
        with torch.no_grad():
            first, second = method.streams(image, method.enhance(image))
        assert torch.allclose(first[0].high, second[0].high, atol=1e-5) == same


# Encoders 2·87.56 M. Exchange: per level and stream query, key, value 3C², FFN 8C², merge 2C²: 26·ΣC² = 36.2 M; ratio 2: 18·ΣC²
# = 25.1 M; 3×3 merge: 2·8·2C² more, 44.6 M. Decoder: E·ΣC + 4E² = .75 M, E = 768: 3.8 M.
def test_papers_size_is_the_arithmetics() -> None:
    squares = sum(width**2 for width in WIDTHS)
    method = paper()
    assert count_parameters(method.streams) == pytest.approx(2 * 87.56e6, rel=1e-3)
    exchange = count_parameters(method.merge) + count_parameters(method.fusion)
    assert exchange == pytest.approx(26 * squares, rel=2e-3)
    assert exchange == pytest.approx(36.2e6, rel=5e-3)
    assert count_parameters(method.decoder) == pytest.approx(256 * sum(WIDTHS) + 4 * 256**2, rel=5e-3)
    assert count_parameters(method) == pytest.approx(212e6, rel=5e-3)
    narrow = paper(attention={"ffn_ratio": 2})
    assert count_parameters(narrow.merge) + count_parameters(narrow.fusion) == pytest.approx(25.1e6, rel=5e-3)
    wide = paper(merge_kernel=3)
    assert count_parameters(wide) - count_parameters(method) == 32 * squares == pytest.approx(44.6e6, rel=2e-3)
    assert count_parameters(paper(decoder_width=768).decoder) == pytest.approx(3.9e6, rel=0.03)


# In multiply-adds at 224²: encoders 2·15.4 G, linear layers of the exchange 26·ΣC²·N = 5.3 G, attention products 4·ΣC·N² = 5.7 G,
# and the decoder's projections E·ΣC·N = .19 G. Joined maps of the finest size would cost 4E²·N₁ = .82 G; computed level by
# level it is E²·ΣN = .27 G.
def test_papers_cost_is_the_arithmetics() -> None:
    pixels = [(224 // reduction) ** 2 for reduction in (4, 8, 16, 32)]
    encoders = 30.8e9
    linear = sum(26 * width**2 * n for width, n in zip(WIDTHS, pixels, strict=True))
    products = sum(4 * width * n**2 for width, n in zip(WIDTHS, pixels, strict=True))
    decoder = 256 * sum(width * n for width, n in zip(WIDTHS, pixels, strict=True)) + 256**2 * sum(pixels)
    assert (linear, products) == (pytest.approx(5.3e9, rel=0.01), pytest.approx(5.7e9, rel=0.01))
    found = count_cost(paper(), in_channels=3, size=(224, 224)).flops / 2
    assert found == pytest.approx(encoders + linear + products + decoder, rel=5e-3)
    literal = found - 256**2 * sum(pixels) + 4 * 256**2 * pixels[0]
    assert literal == pytest.approx(43e9, rel=0.02)


def test_tinys_size_and_cost() -> None:
    cost = count_cost(tiny("din"), in_channels=3, size=(128, 128))
    assert cost.parameters == 6_119_873
    assert cost.gigaflops == pytest.approx(0.938, abs=5e-4)


@pytest.mark.parametrize("preset", ABLATIONS)
def test_ablations_change_one_thing_and_train(preset: str) -> None:
    presets = registry.presets("din")
    assert {key: value for key, value in presets[preset].items() if key != "method"} == {
        key: value for key, value in presets["tiny"].items() if key != "method"
    }
    plain = presets["tiny"]["method"]
    changed = {key: value for key, value in presets[preset]["method"].items() if plain.get(key) != value}
    assert len(changed) == 1
    method = registry.build("din", options=presets[preset]["method"]).train()
    found = method.objective(example_batch(2), context())
    assert torch.isfinite(backward(method, found))
    assert ("boundary" in found) == (preset != "tiny-no-boundary")
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_ablations_sizes() -> None:
    def parameters(preset: str) -> int:
        return count_parameters(registry.build("din", options=registry.presets("din")[preset]["method"]))

    whole = parameters("tiny")
    assert all(parameters(preset) == whole for preset in SAME_SIZE)
    assert parameters("tiny-one-encoder") < parameters("tiny-concatenation") < whole
    shared = count_parameters(small(streams="shared"))
    assert whole - shared == count_parameters(small().streams.enhanced)


@pytest.mark.parametrize(
    "options",
    [
        {"streams": "shared", "enhance": {"kind": "equalize"}},
        {"attention": {"heads": [1, 2, 4, 8], "reduction": [8, 4, 2, 1], "scaled": False}},
        {"merge_kernel": 3, "low": "downsampling", "enhance": {"kind": "clahe", "color": "luminance"}},
        {"encoder": {"name": "pvt_v2_b0"}, "decoder_width": 32, "dropout": 0},
        {"encoder": {"name": "resnet18"}, "attention": {"ffn": "residual", "skip": "input"}, "normalize": "none"},
    ],
)
@pytest.mark.parametrize(("in_channels", "gray"), [(1, "replicate"), (1, "learned"), (3, "replicate"), (4, "learned")])
def test_variants_deploy_to_the_same_function(options: dict[str, object], in_channels: int, gray: str) -> None:
    torch.manual_seed(0)
    everything = {"encoder": {"name": "convnext_zepto_rms"}, "gray": gray, **options}
    method = randomize_norms(registry.build("din", classes=3, in_channels=in_channels, options=everything)).eval()
    image = torch.rand(1, in_channels, 33, 64)
    with torch.no_grad():
        expected, found = method(image).softmax(1), method.deploy()(image).softmax(1)
    assert expected.shape == (1, 3, 33, 64)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["log", "clahe", "equalize"])
def test_deployed_network_exports_with_its_enhancement(kind: str) -> None:
    lean = small(enhance={"kind": kind}).deploy()
    image = torch.rand(1, 3, 40, 64)
    with torch.no_grad():
        graph = torch.export.export(lean, (image,)).module()
        assert torch.allclose(graph(image), lean(image), atol=1e-4)


def test_deploy_leaves_one_linear_step_per_level_and_no_norm_to_fold() -> None:
    lean = tiny("din").deploy()
    names = {name for name, _ in lean.decoder.named_parameters()}
    assert {name.split(".")[0] for name in names} == {"levels", "head"}
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in lean.modules())


def test_panels_show_what_the_second_stream_sees() -> None:
    method, batch = tiny("din", classes=4).eval(), example_batch(2, classes=4)
    with torch.no_grad():
        found = method.panels(batch)
    assert set(found) == {"enhanced", "attention", "boundary"}
    assert torch.equal(found["enhanced"].tensor, method.enhance(batch["image"]))
    assert float(found["attention"].tensor.std()) > 0


def test_layer_scales_start_open_unless_told() -> None:
    def scales(method: Method) -> set[float]:
        return {round(float(p.detach()[0]), 8) for name, p in method.named_parameters() if name.endswith(".gamma")}

    assert scales(small()) == {1.0}
    assert scales(small(layer_scale=None)) == {1e-6}


def test_heads_that_do_not_divide_a_levels_channels() -> None:
    with pytest.raises(
        RecipeError, match="32 channels of level 1 of encoder 'convnext_zepto_rms' cannot be divided among 3"
    ):
        small(attention={"heads": [3, 1, 1, 1]})


def test_every_option_says_where_it_comes_from() -> None:
    for field in registry.method_class("din").Options.model_fields.values():
        assert field.json_schema_extra["origin"] in ("paper", "reading")
