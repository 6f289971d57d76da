"""Batch normalization folded (fused) into the convolution before it, for inference.

Only where it is certain that a BatchNorm receives the output of its convolution and that nothing else does: two neighbors in
an `nn.Sequential`, two neighbors of timm's feature extractor, and the pairs of timm's ResNet and EfficientNet blocks.
Everything else stays as it is, which is slower but right.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from timm.models._efficientnet_blocks import ConvBnAct, DepthwiseSeparableConv, EdgeResidual, InvertedResidual
from timm.models._features import FeatureDictNet, FeatureListNet
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn

from delineate.nn.dilated_conv import DilatedConv2d

__all__ = ["fold_batchnorm"]

_Pair = tuple[nn.Module, str, str]
"""A module and the names of its convolution and BatchNorm children."""

_EFFICIENTNET: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    EfficientNetFeatures: (("conv_stem", "bn1"),),
    ConvBnAct: (("conv", "bn1"),),
    EdgeResidual: (("conv_exp", "bn1"), ("conv_pwl", "bn2")),
    DepthwiseSeparableConv: (("conv_s2d", "bn_s2d"), ("conv_dw", "bn1"), ("conv_pw", "bn2")),
    InvertedResidual: (("conv_s2d", "bn_s2d"), ("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
}
"""timm's blocks with the pairs in them; a block may lack some."""


def fold_batchnorm(module: nn.Module) -> nn.Module:
    """Merge BatchNorm into the convolutions before it, which makes inference faster; batch normalization in eval mode is linear.

    w' = w · γ/√(σ²+ε), b' = β + (b − μ) · γ/√(σ²+ε), computed in float64. Only pairs that certainly follow each other are
    merged: neighbors in `nn.Sequential`, in timm's feature extractors and in timm's ResNet and EfficientNet blocks.

    Args:
        module: A network, on any device. It is left as it was.

    Returns:
        A copy in eval mode, without gradients, that computes the same function to rounding.

    Example:
        >>> from delineate.nn.blocks import ConvBNAct
        >>> from delineate.nn.fuse import fold_batchnorm
        >>> block = ConvBNAct(3, 8).eval()
        >>> lean = fold_batchnorm(block)
        >>> type(lean.norm).__name__
        'Identity'
        >>> image = torch.rand(1, 3, 16, 16)
        >>> torch.allclose(block(image), lean(image), atol=1e-5)
        True
    """
    result = copy.deepcopy(module).eval().requires_grad_(False)
    uses = Counter(id(child) for _, child in result.named_modules(remove_duplicate=False))
    for parent in list(result.modules()):
        for owner, conv_name, norm_name in _pairs(parent):
            conv, norm = getattr(owner, conv_name, None), getattr(owner, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and _is_certain(conv, norm, uses):
                setattr(owner, conv_name, _merged(conv, norm))
                setattr(owner, norm_name, norm.act if isinstance(norm, BatchNormAct2d) else nn.Identity())
    return result


def _pairs(parent: nn.Module) -> Iterator[_Pair]:
    """Children of which the second is applied to the output of the first, and nothing else is."""
    if type(parent).forward is nn.Sequential.forward:
        names = list(parent._modules)
        yield from ((parent, first, second) for first, second in pairwise(names))
    elif type(parent) in (FeatureListNet, FeatureDictNet):
        names = list(parent._modules)
        returned: Any = parent.return_layers  # their outputs are feature maps, which the caller reads too
        yield from ((parent, first, second) for first, second in pairwise(names) if first not in returned)
    elif type(parent) in (BasicBlock, Bottleneck):
        yield from ((parent, f"conv{i}", f"bn{i}") for i in (1, 2, 3))
    yield from ((parent, conv, norm) for conv, norm in _EFFICIENTNET.get(type(parent), ()))


def _is_certain(conv: nn.Conv2d, norm: nn.BatchNorm2d, uses: Counter[int]) -> bool:
    """Exactly these types (subclasses may do more), used in one place, without hooks, with running statistics."""
    plain = type(conv) in (nn.Conv2d, Conv2dSame, DilatedConv2d) and norm.running_mean is not None
    with_act = type(norm) is BatchNormAct2d and type(norm.drop) is nn.Identity
    plain = plain and (type(norm) is nn.BatchNorm2d or with_act)
    used_once = uses[id(conv)] == uses[id(norm)] == 1
    hooked = any((m._forward_hooks or m._forward_pre_hooks) for m in (conv, norm))
    return plain and used_once and not hooked


def _merged(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    if conv.bias is not None:
        shift = shift + conv.bias.double() * scale
    result, dtype = copy.deepcopy(conv), conv.weight.dtype
    weight = conv.weight.double() * scale[:, None, None, None]
    result.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    result.bias = nn.Parameter(shift.to(dtype), requires_grad=False)
    return result
