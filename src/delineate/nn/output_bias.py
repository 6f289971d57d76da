"""First biases of the layers that make logits: every pixel begins with the probabilities that are right on average.

With the zeros or small random numbers that layers draw by themselves, each of K classes begins with a probability of about 1/K, and
the first steps of training only learn how rare the classes are (Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017,
§3.3, begin a rare class at a low probability).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from delineate.nn.output import Output

__all__ = ["LEAST_SHARE", "output_bias", "set_output_bias"]

LEAST_SHARE = 1e-4
"""Classes that are seen less than this, or never, begin as if they were seen so often."""


def output_bias(shares: Sequence[float], output: Output) -> Tensor:
    """Logits whose probabilities are the given shares.

    Args:
        shares: Of the pixels, mean over the images: outside of all classes or regions, then of each of them.
        output: What the logits mean.

    Returns:
        Float32 K.

    Raises:
        ValueError: There are not as many shares as things that are learned, and one more.

    Example:
        >>> from delineate.nn.output import Output
        >>> from delineate.nn.output_bias import output_bias
        >>> output_bias([0.75, 0.25], Output(1)).sigmoid().tolist()
        [0.25]
        >>> [round(share, 4) for share in output_bias([0.9, 0.06, 0.04], Output(3)).softmax(0).tolist()]
        [0.9, 0.06, 0.04]
    """
    if len(shares) != len(output.structures) + 1:
        raise ValueError(
            f"{len(shares)} shares for {len(output.structures)} things that are learned and what is outside"
        )
    bounded = torch.tensor(shares, dtype=torch.float64).clamp(LEAST_SHARE, 1 - LEAST_SHARE)
    logits = bounded[1:].logit() if output.independent else bounded.log()
    return logits.float()


def set_output_bias(layers: Sequence[nn.Conv2d], bias: Tensor) -> None:
    """Give each layer this bias, in place.

    Args:
        layers: Convolutions to K channels, each with a bias.
        bias: K numbers.

    Raises:
        ValueError: A layer has no bias, or another number of channels.

    Example:
        >>> import torch
        >>> from delineate.nn.output_bias import set_output_bias
        >>> layer = torch.nn.Conv2d(8, 2, 1)
        >>> set_output_bias([layer], torch.tensor([0.5, -0.5]))
        >>> layer.bias.tolist()
        [0.5, -0.5]
    """
    for layer in layers:
        if layer.bias is None or layer.bias.shape != bias.shape:
            raise ValueError(f"a layer of logits has {len(bias)} channels and a bias, not {layer}")
        with torch.no_grad():
            layer.bias.copy_(bias)
