"""From the names that other libraries give to an encoder's weights to timm's.

Known are torchvision (ResNet, VGG, DenseNet, RegNet, MobileNetV2, EfficientNet B0–B4, ConvNeXt, ViT), efficientnet_pytorch
(lukemelas), DINO and DINOv2 (teachers, chunks, registers). Whether the result fits a network is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from delineate.common.errors import DelineateError
from delineate.nn.normalize import IMAGENET, ChannelStatistics

__all__ = ["HEADS", "Renamed", "efficientnet_pytorch_names", "to_timm"]

_Tensors = dict[str, Tensor]
_Places = Sequence[tuple[int, int]]
"""(stage, block) of a network's blocks, as timm counts them, in order."""

HEADS = re.compile(
    r"(head|heads|fc|classifier|aux_classifier|_fc|head_dist|pre_logits|dino_head|ibot_head|projector|linear)\."
)
"""What stands behind an encoder, in any of the libraries."""
_PREFIXES = ("module.", "backbone.", "encoder.")
"""Of the encoder inside a larger network."""

# In stage 0, which has no expansion, `conv_pw` is the projection; in later stages it is the expansion.
_LUKEMELAS_FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LUKEMELAS_LATER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_LUKEMELAS_AROUND = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SQUEEZE = {"fc1": "se.conv_reduce", "fc2": "se.conv_expand"}
_EFFICIENTNET_FIRST = {"0.0": "conv_dw", "0.1": "bn1", "1.fc1": _SQUEEZE["fc1"], "1.fc2": _SQUEEZE["fc2"]} | {
    "2.0": "conv_pw",
    "2.1": "bn2",
}
_EFFICIENTNET_LATER = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2"} | {
    "2.fc1": _SQUEEZE["fc1"],
    "2.fc2": _SQUEEZE["fc2"],
    "3.0": "conv_pwl",
    "3.1": "bn3",
}
_MOBILENET_FIRST = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
_MOBILENET_LATER = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2": "conv_pwl", "3": "bn3"}
_VIT = (
    (r"class_token", "cls_token"),
    (r"conv_proj\.", "patch_embed.proj."),
    (r"encoder\.pos_embedding", "pos_embed"),
    (r"encoder\.ln\.", "norm."),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_([12])\.", r"blocks.\1.norm\2."),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_", r"blocks.\1.attn.qkv."),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.", r"blocks.\1.attn.proj."),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\.", r"blocks.\1.mlp.fc1."),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\.", r"blocks.\1.mlp.fc2."),
)
_REGNET = (
    (r"stem\.0\.", "stem.conv."),
    (r"stem\.1\.", "stem.bn."),
    (r"trunk_output\.block\d+\.block(\d+)-(\d+)\.f\.se\.", r"s\1.b<\2>.se."),
    (r"trunk_output\.block\d+\.block(\d+)-(\d+)\.f\.([abc])\.0\.", r"s\1.b<\2>.conv<\3>.conv."),
    (r"trunk_output\.block\d+\.block(\d+)-(\d+)\.f\.([abc])\.1\.", r"s\1.b<\2>.conv<\3>.bn."),
    (r"trunk_output\.block\d+\.block(\d+)-(\d+)\.proj\.0\.", r"s\1.b<\2>.downsample.conv."),
    (r"trunk_output\.block\d+\.block(\d+)-(\d+)\.proj\.1\.", r"s\1.b<\2>.downsample.bn."),
)


@dataclass(frozen=True)
class Renamed:
    """An encoder's weights under timm's names."""

    tensors: _Tensors
    library: str
    """Whose names they had."""
    statistics: ChannelStatistics | None = None
    """The input statistics that all of that library's weights expect; None: not known."""


def to_timm(found: Mapping[str, Tensor], encoder: str, own: Sequence[str]) -> Renamed:
    """Weights under timm's names.

    Args:
        found: Tensors by name, without wrappers.
        encoder: timm's name of the network, without a tag.
        own: Names of that network's own tensors, for the number of its blocks.

    Returns:
        The weights; those whose names nobody knows keep them.

    Raises:
        DelineateError: Weights of a library that computes something else than timm's network of that name.
    """
    tensors = _inside(dict(found))
    names = list(tensors)
    if any(name.startswith(("_blocks.", "_conv_stem.")) for name in names):
        _refuse_other_padding(encoder)
        return Renamed(efficientnet_pytorch_names(tensors, _places(own)), "efficientnet_pytorch")
    for mark, rename in _TORCHVISION.items():
        if any(re.match(mark, name) for name in names):
            return Renamed(rename(tensors, encoder, _places(own)), "torchvision", IMAGENET)
    if any(name in ("mask_token", "register_tokens") or re.match(r"blocks\.\d+\.\d+\.", name) for name in names):
        return Renamed(_dinov2(tensors), "DINOv2", IMAGENET)
    return Renamed(tensors, "timm")


def efficientnet_pytorch_names(tensors: _Tensors, places: _Places) -> _Tensors:
    """The names of efficientnet_pytorch (`_blocks.0._depthwise_conv`) as timm's; unknown ones stay."""

    def name(key: str) -> str:
        first, *rest = key.split(".")
        if first != "_blocks":
            return ".".join([_LUKEMELAS_AROUND.get(first, first), *rest])
        number, layer, *rest = rest
        if not number.isdigit() or int(number) >= len(places):
            return key
        stage, block = places[int(number)]
        table = _LUKEMELAS_FIRST if stage == 0 else _LUKEMELAS_LATER
        return ".".join(["blocks", str(stage), str(block), table.get(layer, layer), *rest])

    return {name(key): value for key, value in tensors.items()}


def _inside(tensors: _Tensors) -> _Tensors:
    """The encoder's part of a larger network: what is behind one of the prefixes, if all but heads is."""
    for prefix in _PREFIXES:
        behind = [key for key in tensors if key.startswith(prefix)]
        before = [key for key in tensors if not key.startswith(prefix) and not HEADS.match(key)]
        if behind and not before:
            tensors = {key.removeprefix(prefix): tensors[key] for key in behind}
    return tensors


def _places(own: Sequence[str]) -> list[tuple[int, int]]:
    found = {(int(match[1]), int(match[2])) for name in own if (match := re.match(r"blocks\.(\d+)\.(\d+)\.", name))}
    return sorted(found)


def _refuse_other_padding(encoder: str) -> None:
    if not encoder.startswith("tf_"):
        raise DelineateError(
            f"these are weights of efficientnet_pytorch, which pads as TensorFlow does, and '{encoder}' would compute something "
            f"else with them; use --encoder tf_{encoder}"
        )


def _by_rules(rules: Sequence[tuple[str, str]], tensors: _Tensors) -> _Tensors:
    """Each name by the first rule that fits its beginning."""
    renamed = {}
    for key, value in tensors.items():
        rule = next(((pattern, new) for pattern, new in rules if re.match(pattern, key)), None)
        renamed[key if rule is None else re.sub(*rule, key, count=1)] = value
    return renamed


def _vit(tensors: _Tensors, encoder: str, places: _Places) -> _Tensors:
    return _by_rules(_VIT, tensors)


def _regnet(tensors: _Tensors, encoder: str, places: _Places) -> _Tensors:
    renamed = _by_rules(_REGNET, tensors)

    def counted(key: str) -> str:
        """Blocks are counted from 1, and layers have numbers."""
        key = re.sub(r"b<(\d+)>", lambda match: f"b{int(match[1]) + 1}", key)
        return re.sub(r"conv<([abc])>", lambda match: f"conv{'abc'.index(match[1]) + 1}", key)

    return {counted(key): value for key, value in renamed.items()}


def _densenet(tensors: _Tensors, encoder: str, places: _Places) -> _Tensors:
    """The names of files from before torchvision's 0.3."""
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key): one for key, one in tensors.items()}


def _efficientnet(tensors: _Tensors, encoder: str, places: _Places) -> _Tensors:
    if encoder not in {f"efficientnet_b{number}" for number in range(5)}:
        raise DelineateError(
            f"these are weights of torchvision's EfficientNet, and '{encoder}' would compute something else with them (padding, "
            "eps); efficientnet_b0 to efficientnet_b4 are the same networks"
        )
    last = max(stage for stage, _ in places) + 2

    def name(key: str) -> str:
        match = re.fullmatch(r"features\.(\d+)\.(\d+)\.block\.(\d+\.\w+)\.(\w+)", key)
        if match is not None:
            table = _EFFICIENTNET_FIRST if match[1] == "1" else _EFFICIENTNET_LATER
            return f"blocks.{int(match[1]) - 1}.{match[2]}.{table.get(match[3], match[3])}.{match[4]}"
        return _around(key, last)

    return {name(key): value for key, value in tensors.items()}


def _mobilenet_v2(tensors: _Tensors, encoder: str, places: _Places) -> _Tensors:
    last = len(places) + 1

    def name(key: str) -> str:
        match = re.fullmatch(r"features\.(\d+)\.conv\.(\d(?:\.\d)?)\.(\w+)", key)
        if match is not None and 1 <= int(match[1]) < last:
            stage, block = places[int(match[1]) - 1]
            table = _MOBILENET_FIRST if stage == 0 else _MOBILENET_LATER
            return f"blocks.{stage}.{block}.{table.get(match[2], match[2])}.{match[3]}"
        return _around(key, last)

    return {name(key): value for key, value in tensors.items()}


def _around(key: str, last: int) -> str:
    """Before and behind the blocks of torchvision's MobileNet and EfficientNet."""
    ends = {"features.0.0.": "conv_stem.", "features.0.1.": "bn1."}
    ends |= {f"features.{last}.0.": "conv_head.", f"features.{last}.1.": "bn2."}
    old = next((old for old in ends if key.startswith(old)), None)
    return key if old is None else ends[old] + key.removeprefix(old)


def _convnext(tensors: _Tensors, encoder: str, places: _Places) -> _Tensors:
    layers = {"block.0": "conv_dw", "block.2": "norm", "block.3": "mlp.fc1", "block.5": "mlp.fc2"}

    def name(key: str) -> str:
        first, index, *rest = key.removeprefix("features.").split(".")
        if not key.startswith("features.") or not first.isdigit() or not rest:
            return key
        if first == "0":
            return f"stem.{index}.{rest[0]}"
        if int(first) % 2 == 0:
            return f"stages.{int(first) // 2}.downsample.{index}.{rest[0]}"
        inner = ".".join(rest)
        old = next((old for old in layers if inner.startswith(f"{old}.")), None)
        new = inner.replace("layer_scale", "gamma") if old is None else inner.replace(old, layers[old], 1)
        return f"stages.{int(first) // 2}.blocks.{index}.{new}"

    renamed = {name(key): value for key, value in tensors.items()}
    return {key: (value.flatten() if key.endswith(".gamma") else value) for key, value in renamed.items()}


def _dinov2(tensors: _Tensors) -> _Tensors:
    """Chunks of blocks are joined. With registers, timm has no position for the class token: it is added to that token."""
    renamed = {}
    for key, value in tensors.items():
        key = re.sub(r"^blocks\.\d+\.(\d+\.)", r"blocks.\1", key)
        key = key.replace("mlp.w12.", "mlp.fc1.").replace("mlp.w3.", "mlp.fc2.")
        renamed["reg_token" if key == "register_tokens" else key] = value
    renamed.pop("mask_token", None)
    if "reg_token" in renamed and {"cls_token", "pos_embed"} <= renamed.keys():
        positions = renamed["pos_embed"]
        renamed["cls_token"] = renamed["cls_token"] + positions[:, :1]
        renamed["pos_embed"] = positions[:, 1:]
    return renamed


_TORCHVISION: dict[str, Callable[[_Tensors, str, _Places], _Tensors]] = {
    r"encoder\.layers\.encoder_layer_0\.": _vit,
    r"trunk_output\.": _regnet,
    r"features\.denseblock1\.denselayer1\.norm\.1\.": _densenet,
    r"features\.\d+\.\d+\.block\.\d+\.\d+\.\d+\.|features\.\d+\.\d+\.block\.\d+\.\w+\.": _efficientnet,
    r"features\.\d+\.conv\.\d": _mobilenet_v2,
    r"features\.\d+\.\d+\.layer_scale": _convnext,
}
"""The beginning of a name that only such a network has → how its names become timm's. ResNet, VGG and newer DenseNet have them."""
