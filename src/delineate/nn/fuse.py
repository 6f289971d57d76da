"""Batch normalization merged into the convolution before it, for inference.

Only where it is certain that a BatchNorm receives the output of its convolution and that nothing else does: two neighbors in
an `nn.Sequential`, two neighbors of timm's feature extractor, and the numbered pairs of timm's ResNet blocks. Everything
else stays as it is, which is slower but right.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from timm.models._features import FeatureDictNet, FeatureListNet
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

Pair = tuple[nn.Module, str, str]
"""A module and the names of its convolution and BatchNorm children."""


def fold_batchnorm(module: nn.Module) -> nn.Module:
    """A frozen copy of `module` in eval mode with each certain Conv2d → BatchNorm2d pair merged into one convolution.

    w' = w · γ/√(σ²+ε), b' = β + (b − μ) · γ/√(σ²+ε), computed in float64. `module` is left as it was.
    """
    result = copy.deepcopy(module).eval().requires_grad_(False)
    uses = Counter(id(child) for _, child in result.named_modules(remove_duplicate=False))
    for parent in list(result.modules()):
        for owner, conv_name, norm_name in _pairs(parent):
            conv, norm = getattr(owner, conv_name, None), getattr(owner, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and _certain(conv, norm, uses):
                setattr(owner, conv_name, _merged(conv, norm))
                setattr(owner, norm_name, nn.Identity())
    return result


def _pairs(parent: nn.Module) -> Iterator[Pair]:
    """Children of which the second is applied to the output of the first, and nothing else is."""
    if type(parent).forward is nn.Sequential.forward:
        names = list(parent._modules)
        yield from ((parent, first, second) for first, second in pairwise(names))
    elif type(parent) in (FeatureListNet, FeatureDictNet):
        names = list(parent._modules)
        taken: Any = parent.return_layers
        yield from ((parent, first, second) for first, second in pairwise(names) if first not in taken)
    elif type(parent) in (BasicBlock, Bottleneck):
        yield from ((parent, f"conv{i}", f"bn{i}") for i in (1, 2, 3))


def _certain(conv: nn.Conv2d, norm: nn.BatchNorm2d, uses: Counter[int]) -> bool:
    """Exactly these types (subclasses may do more), used in one place, watched by no hook, normalizing by running values."""
    plain = type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.running_mean is not None
    alone = uses[id(conv)] == uses[id(norm)] == 1
    watched = any((m._forward_hooks or m._forward_pre_hooks) for m in (conv, norm))
    return plain and alone and not watched


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
    return _with(conv, conv.weight.double() * scale[:, None, None, None], shift)


def _with(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    result = copy.deepcopy(conv)
    dtype = conv.weight.dtype
    result.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    result.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
    return result
