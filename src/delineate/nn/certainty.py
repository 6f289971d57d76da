"""How sure a network is of each pixel: confidence and entropy, whatever its channels mean (`nn.output`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from delineate.nn.output import Output

__all__ = ["confidence", "entropy", "entropy_of_mean", "largest_entropy"]


def confidence(logits: Tensor, output: Output) -> Tensor:
    """The probability of what is held for most probable.

    Args:
        logits: B×K×H×W.
        output: What the channels mean.

    Returns:
        Float32 B×H×W; with regions B×K×H×W, as each of them has a probability of its own. The shape of `output.hard_target`.

    Example:
        >>> from delineate.nn.certainty import confidence
        >>> from delineate.nn.output import Output
        >>> confidence(torch.tensor([[[[0.0, 100.0, -100.0]]]]), Output(1)).tolist()
        [[[0.5, 1.0, 1.0]]]
    """
    found = output.probabilities(logits)
    if not output.independent:
        return found.amax(1)
    sure = torch.maximum(found, 1 - found)
    return sure if output.regions else sure[:, 0]


def entropy(logits: Tensor, output: Output) -> Tensor:
    """−Σ p ln p over the classes, in nats; of regions the mean of their entropies inside against outside.

    Args:
        logits: B×K×H×W. The gradient stays finite also where a probability is 0.
        output: What the channels mean.

    Returns:
        Float32 B×H×W between 0 and `largest_entropy(output)`.

    Example:
        >>> from delineate.nn.certainty import entropy
        >>> from delineate.nn.output import Output
        >>> float(entropy(torch.zeros(1, 1, 1, 1), Output(1)))  # ln 2
        0.693...
    """
    logits = logits.float()
    if output.independent:
        logits = torch.stack((logits, -logits), -1)  # σ(z) and 1 − σ(z) = σ(−z)
        return -(logits.sigmoid() * F.logsigmoid(logits)).sum(-1).mean(1)
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


def entropy_of_mean(probabilities: Tensor, output: Output) -> Tensor:
    """The same of probabilities, such as the mean over several passes. For targets: its gradient is not finite where one is 0.

    Args:
        probabilities: B×K×H×W, as `output.probabilities` gives them.
        output: What the channels mean.

    Returns:
        Float32 B×H×W in nats.

    Example:
        >>> from delineate.nn.certainty import entropy_of_mean
        >>> from delineate.nn.output import Output
        >>> float(entropy_of_mean(torch.full((1, 4, 1, 1), 0.25), Output(4)))  # ln 4
        1.386...
    """
    if output.independent:
        return (torch.special.entr(probabilities) + torch.special.entr(1 - probabilities)).mean(1)
    return torch.special.entr(probabilities).sum(1)


def largest_entropy(output: Output) -> float:
    """That of equal probabilities.

    Args:
        output: What the channels mean.

    Returns:
        ln K for K classes; ln 2 for one, and for regions.

    Example:
        >>> from delineate.nn.certainty import largest_entropy
        >>> from delineate.nn.output import Output
        >>> largest_entropy(Output(1)) == largest_entropy(Output(2))
        True
    """
    return math.log(2 if output.independent else output.channels)
