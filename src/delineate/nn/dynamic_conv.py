"""Dynamic convolution: a convolution whose kernel is mixed for each image out of K learned ones.

    y = W(x) * x + b(x),    W(x) = Σ_k π_k(x) W_k,    b(x) = Σ_k π_k(x) b_k,    π(x) = softmax(FC2 ReLU FC1 GAP(x) / T)

(Chen et al., "Dynamic Convolution: Attention over Convolution Kernels", CVPR 2020, arXiv 1912.03458.) A high temperature T
makes all kernels learn at first; training brings it down to 1.

Mixing kernels costs next to nothing, while a sum of K convolutions (the same result) costs K times as much: 3 to 4.5 times
the time of a training step, measured on a CPU. So each image is convolved with its own kernel, except in a graph to
export: there the sum works for batches of any size.
"""

from __future__ import annotations

import copy
import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.nn.batchnorm import scale_and_shift

__all__ = ["DynamicConv2d", "set_temperature"]


class DynamicConv2d(nn.Module):
    """B×in×H×W → B×out×H×W, stride 1, odd kernel, padding that keeps the size. `kernels` = 1 is a plain convolution.

    `reduction`: share of the input's channels in the hidden layer of the attention (at least as wide as there are kernels).
    `weight` is K × (out·k·k·in), a kernel a row, so that mixed kernels lie channels-last, at first normal with variance
    2/(k·k·in) (He et al., ICCV 2015); `bias` is (K·out), at first 0.
    `temperature` is a buffer: it is saved with the weights, and training sets it (`set_temperature`).
    """

    temperature: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, *, kernels: int = 4, reduction: float = 0.25
    ) -> None:
        super().__init__()
        self.kernels, self.kernel = kernels, kernel
        self.in_channels, self.out_channels = in_channels, out_channels
        fan_in = in_channels * kernel * kernel
        self.weight = nn.Parameter(torch.randn(kernels, out_channels * fan_in) * (2 / fan_in) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(kernels * out_channels))
        if kernels > 1:
            hidden = max(kernels, math.ceil(in_channels * reduction))
            self.fc1, self.fc2 = nn.Linear(in_channels, hidden), nn.Linear(hidden, kernels)
        self.register_buffer("temperature", torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias, padding = self.weight, self.bias.view(self.kernels, -1), self.kernel // 2
        if self.kernels == 1:
            return F.conv2d(x, self._shaped(weight)[0], bias[0], padding=padding)
        share = self.attention(x)
        if torch.compiler.is_exporting():
            results = F.conv2d(x, self._shaped(weight).flatten(0, 1), bias.flatten(), padding=padding)
            return (results.view(x.shape[0], self.kernels, -1, *x.shape[2:]) * share[:, :, None, None, None]).sum(1)
        return _conv_per_image(x, self._shaped(share @ weight), share @ bias, padding)

    def attention(self, x: Tensor) -> Tensor:
        """π: B×in×H×W → B×K, each row summing to 1."""
        logits = self.fc2(F.relu(self.fc1(x.mean((2, 3)))))
        return (logits / self.temperature).softmax(1)

    def folded(self, norm: nn.BatchNorm2d) -> Self:
        """A frozen copy with the BatchNorm that follows it merged into every kernel (exact, since π sums to 1) and the
        temperature merged into the attention."""
        scale, shift = scale_and_shift(norm)
        result = copy.deepcopy(self).requires_grad_(False)
        rows = self.weight.double().view(self.kernels, self.out_channels, -1)
        with torch.no_grad():
            result.weight.copy_((rows * scale[:, None]).flatten(1))
            result.bias.copy_((self.bias.double().view(self.kernels, -1) * scale + shift).flatten())
            if self.kernels > 1:
                result.fc2.weight.div_(self.temperature)
                result.fc2.bias.div_(self.temperature)
            result.temperature.fill_(1.0)
        return result

    def _shaped(self, weight: Tensor) -> Tensor:
        """Rows of kernels N×(out·k·k·in) → N×out×in×k×k."""
        shape = (-1, self.out_channels, self.kernel, self.kernel, self.in_channels)
        return weight.view(shape).permute(0, 1, 4, 2, 3)


def set_temperature(module: nn.Module, temperature: float) -> None:
    """Give every dynamic convolution within `module` this temperature."""
    for part in module.modules():
        if isinstance(part, DynamicConv2d):
            part.temperature.fill_(temperature)


def _conv_per_image(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """Image i convolved with kernel i: B×in×H×W, B×out×in×k×k, B×out → B×out×H×W."""
    if x.device.type == "cpu" or x.shape[0] == 1:
        images = zip(torch.split(x, 1), weight, bias, strict=True)
        return torch.cat([F.conv2d(image, w, b, padding=padding) for image, w, b in images])
    batch, _, height, width = x.shape
    # One grouped convolution, the images side by side as channels: a single kernel launch.
    as_channels = x.reshape(1, -1, height, width)
    result = F.conv2d(as_channels, weight.flatten(0, 1), bias.flatten(), padding=padding, groups=batch)
    return result.view(batch, -1, height, width)
