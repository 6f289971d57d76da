"""Temperature scaling (Guo et al., “On calibration of modern neural networks”, ICML 2017): logits divided by a number, so that
probabilities are as sure as they are right. With a number for each channel, the order of classes may change."""

from __future__ import annotations

from torch import Tensor

__all__ = ["tempered"]


def tempered(logits: Tensor, divisor: float | Tensor) -> Tensor:
    """Divide logits by temperatures.

    Args:
        logits: B×K×H×W.
        divisor: One number, or K×1×1, on any device.

    Returns:
        Float32, of the same shape.

    Example:
        >>> import torch
        >>> from delineate.nn.temperature import tempered
        >>> tempered(torch.tensor([[[[4.0]], [[3.0]]]]), torch.tensor([2.0, 1.0])[:, None, None]).flatten().tolist()
        [2.0, 3.0]
    """
    if isinstance(divisor, Tensor):
        divisor = divisor.to(logits.device)
    return logits.float() / divisor
