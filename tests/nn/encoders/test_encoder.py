from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from delineate.common.errors import DelineateError, RecipeError
from delineate.nn.encoders import encoder as encoder_module
from delineate.nn.encoders import hub
from delineate.nn.encoders.encoder import Encoder, pyramid
from delineate.nn.encoders.options import EncoderOptions


@pytest.mark.parametrize(
    ("name", "channels", "reductions"),
    [
        ("resnet18", (64, 64, 128, 256), (2, 4, 8, 16)),
        ("resnet50", (64, 256, 512, 1024), (2, 4, 8, 16)),
        ("pvt_v2_b2", (64, 128, 320, 512), (4, 8, 16, 32)),
        ("convnext_tiny", (96, 192, 384, 768), (4, 8, 16, 32)),
        ("swin_tiny_patch4_window7_224", (96, 192, 384, 768), (4, 8, 16, 32)),
        ("hrnet_w18", (64, 128, 256, 512), (2, 4, 8, 16)),
    ],
)
def test_maps_of_any_image_size(name: str, channels: tuple[int, ...], reductions: tuple[int, ...]) -> None:
    encoder = Encoder(name, in_channels=1).eval()
    assert encoder.channels == channels
    assert encoder.reductions == reductions == pyramid(name)[:4]
    with torch.no_grad():
        maps = encoder(torch.rand(1, 1, 65, 97))
    assert [tuple(x.shape) for x in maps] == [
        (1, c, -(-65 // r), -(-97 // r)) for c, r in zip(channels, reductions, strict=True)
    ]


def test_vision_transformers_take_multiples_of_their_patches() -> None:
    """Position embeddings are interpolated; what does not divide is refused before a run, and padded after it, in prediction."""
    encoder = Encoder("vit_tiny_patch16_224", levels=12).eval()
    assert (encoder.patch, set(encoder.reductions)) == (16, {16})
    with torch.no_grad():
        assert encoder(torch.rand(1, 3, 96, 64))[-1].shape == (1, 192, 6, 4)
        assert encoder(torch.rand(1, 3, 90, 64))[-1].shape == (1, 192, 6, 4)
    encoder.check_size((96, 64))
    with pytest.raises(
        RecipeError, match=r"patches of 16×16 pixels, and 250×90 is no multiple of that; use 240×80 or 256×96"
    ):
        encoder.check_size((250, 90))
    Encoder("resnet18").check_size((250, 90))


def test_windows_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(
        RecipeError, match=r"encoder 'maxvit_tiny_tf_224' cannot take images of 256×256 \(.*window.*--size"
    ):
        Encoder("maxvit_tiny_tf_224", levels=3)(torch.rand(1, 3, 256, 256))


def test_later_stages_are_dropped() -> None:
    encoder = Encoder("resnet50", levels=4)
    whole = timm.create_model("resnet50", num_classes=0)
    kept = sum(p.numel() for n, p in whole.named_parameters() if not n.startswith("layer4"))
    assert sum(p.numel() for p in encoder.parameters()) == kept == 8_543_296


def test_residual_branches_start_open() -> None:
    weights = [v for k, v in Encoder("resnet18").named_parameters() if "bn" in k and k.endswith("weight")]
    assert weights
    assert all((weight == 1).all() for weight in weights)


def test_wrong_names_and_too_few_levels() -> None:
    with pytest.raises(RecipeError, match="unknown encoder 'resnt50': did you mean 'resnet50'"):
        Encoder("resnt50")
    with pytest.raises(RecipeError, match="unknown encoder 'hf-hub:someone/net'"):
        Encoder("hf-hub:someone/net")
    with pytest.raises(RecipeError, match=r"'pvt_v2_b2' gives fewer than the 5 feature maps"):
        Encoder("pvt_v2_b2", levels=5)
    with pytest.raises(RecipeError, match="'vit_tiny_patch16_224' cannot be dilated"):
        Encoder("vit_tiny_patch16_224", output_stride=8)


def test_options_are_closed() -> None:
    assert EncoderOptions().pretrained is False
    assert EncoderOptions(pretrained="weights.safetensors").pretrained == "weights.safetensors"
    with pytest.raises(ValueError, match="extra"):
        EncoderOptions(pretraind=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["resnet18", "pvt_v2_b2"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_local_weights_of_the_whole_network(name: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = timm.create_model(name)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(whole.state_dict(), path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in whole.state_dict().items()}}, path)
    encoder = Encoder(name, levels=len(pyramid(name)))
    encoder.load_pretrained(str(path))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(encoder.eval()(image)[-1], whole.eval().forward_features(image), atol=1e-5)


def test_local_weights_for_other_channels_are_adapted(tmp_path: Path) -> None:
    state = timm.create_model("resnet18").state_dict()
    save_file(state, tmp_path / "w.safetensors")
    encoder = Encoder("resnet18", in_channels=1)
    encoder.load_pretrained(str(tmp_path / "w.safetensors"))
    adapted = dict(encoder.network.named_parameters())["conv1.weight"]
    assert torch.allclose(adapted, state["conv1.weight"].sum(1, keepdim=True), atol=1e-6)


def test_faulty_local_weights_are_named(tmp_path: Path) -> None:
    encoder = Encoder("resnet18", levels=2)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    state = timm.create_model("resnet18").state_dict()
    path = tmp_path / "w.safetensors"

    save_file({k: v for k, v in state.items() if k != "layer1.0.conv1.weight"}, path)
    with pytest.raises(DelineateError, match=r"w.safetensors does not fit.*missing layer1.0.conv1.weight"):
        encoder.load_pretrained(str(path))
    save_file({**state, "bn1.weight": torch.ones(3)}, path)
    with pytest.raises(DelineateError, match=r"bn1.weight is 3, not 64"):
        encoder.load_pretrained(str(path))
    path.write_bytes(b"not a weights file")
    with pytest.raises(DelineateError, match=r"cannot read weights from .*w\.safetensors"):
        encoder.load_pretrained(str(path))
    with pytest.raises(DelineateError, match="does not exist"):
        encoder.load_pretrained(str(tmp_path / "absent.pth"))
    (tmp_path / "a.pth").write_bytes(b"\x80\x02nonsense")
    with pytest.raises(DelineateError, match=r"cannot read weights from .*a\.pth"):
        encoder.load_pretrained(str(tmp_path / "a.pth"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DelineateError, match="does not hold a state dict"):
        encoder.load_pretrained(str(tmp_path / "list.pth"))
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def test_offline_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder("resnet18", levels=2)

    def offline(*_: object, **kwargs: object) -> None:
        assert kwargs["pretrained"] is True
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "_check_reachable", lambda name: None)
    monkeypatch.setattr(encoder_module.timm, "create_model", offline)
    with pytest.raises(DelineateError, match=r"'resnet18' \(no route to host\).*encoder\.pretrained=false"):
        encoder.load_pretrained(True)
    encoder.load_pretrained(False)


def test_no_connection_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_connection(address: tuple[str, int], timeout: float) -> None:
        raise OSError(f"no route to {address[0]}")

    monkeypatch.setattr(hub.socket, "create_connection", no_connection)
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda repository, file: None)
    with pytest.raises(DelineateError, match=r"cannot fetch the pretrained weights of 'resnet18' \(no route to"):
        Encoder("resnet18", levels=2).load_pretrained(True)


def test_dilation_holds_the_resolution_with_the_same_weights() -> None:
    plain, dilated = Encoder("resnet18", levels=5), Encoder("resnet18", levels=5, output_stride=8)
    dilated.load_state_dict(plain.state_dict())
    assert dilated.reductions == (2, 4, 8, 8, 8)
    assert dilated.eval()(torch.rand(1, 3, 65, 97))[-1].shape == (1, 512, 9, 13)


def test_an_encoder_that_cannot_be_dilated_says_so() -> None:
    with pytest.raises(RecipeError, match="'pvt_v2_b0' cannot be dilated to an output stride of 8"):
        Encoder("pvt_v2_b0", output_stride=8)


def test_weights_of_a_segmentation_networks_backbone_are_found(tmp_path: Path) -> None:
    encoder = Encoder("resnet18", levels=2)
    weights = {f"backbone.{key}": torch.randn_like(value) for key, value in encoder.network.named_parameters()}
    buffers = {f"backbone.{key}": value for key, value in encoder.network.named_buffers()}
    torch.save({**weights, **buffers, "classifier.weight": torch.zeros(1)}, tmp_path / "segmentation.pth")
    encoder.load_pretrained(str(tmp_path / "segmentation.pth"))
    assert torch.equal(encoder.network.conv1.weight, weights["backbone.conv1.weight"])
