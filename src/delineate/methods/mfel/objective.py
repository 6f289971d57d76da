"""The loss of MFEL: L = segmentation + λ·reconstruction, and how λ and the weights of both may change over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from delineate.methods.mfel.options import MFELLossOptions
from delineate.nn.ssim import ssim

__all__ = ["DynamicWeights", "reconstruction_terms", "reconstruction_weight"]


def reconstruction_terms(made: Tensor, image: Tensor, options: MFELLossOptions) -> dict[str, Tensor]:
    """Error of the reconstruction B×C×H×W, means over samples, before λ: `reconstruction`, and `ssim` where α > 0."""
    made, image = made.float(), image.float()
    error = F.l1_loss(made, image) if options.kind == "l1" else F.mse_loss(made, image)
    found = {"reconstruction": error}
    if options.ssim:
        found["ssim"] = options.ssim * (1 - ssim(made, image)).mean()
    return found


def reconstruction_weight(progress: float, options: MFELLossOptions) -> float:
    """λ when `progress` (0..1) of training is done."""
    rising = options.schedule == "ramp"
    return options.reconstruction * (min(1.0, progress / options.ramp) if rising else 1.0)


class DynamicWeights(nn.Module):
    """Dynamic weight averaging (Liu, Johns, Davison, CVPR 2019, equation 7), for two losses and steps instead of epochs.

    w_i = 2·softmax(r_i / T), r_i = L_i(t−1) / L_i(t−2): the loss that falls more slowly gets the larger weight. The losses
    are kept in buffers, so that a resumed run continues with them; before two steps are done both weights are 1.
    """

    sums: Tensor
    counts: Tensor
    history: Tensor

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("sums", torch.zeros(2))
        self.register_buffer("counts", torch.zeros(2))
        self.register_buffer("history", torch.zeros(2, 2))

    def forward(self) -> Tensor:
        """The two weights of this step; they sum to 2."""
        latest, earlier = self.history
        ratio = torch.where(earlier > 0, latest / earlier.clamp_min(torch.finfo(earlier.dtype).tiny), 1.0)
        return 2 * (ratio / self.temperature).softmax(0)

    def record(self, index: int, loss: Tensor) -> None:
        """Keep the value of a loss (index 0 or 1); several within one step are averaged."""
        self.sums[index] += loss.detach()
        self.counts[index] += 1

    def step(self) -> None:
        """End of a step. A loss that was not recorded in it keeps its last two values."""
        is_recorded = self.counts > 0
        now = torch.stack((self.sums / self.counts.clamp_min(1), self.history[0]))
        self.history.copy_(torch.where(is_recorded, now, self.history))
        self.sums.zero_()
        self.counts.zero_()
