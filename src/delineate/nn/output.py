"""What the channels of a network's logits mean: the one place that turns logits into probabilities, masks into what losses compare
with, and either into class indices.

one channel       the foreground class, by the sigmoid
several           a channel for each class, the background first, by the softmax
regions           a channel for each region, by a sigmoid of its own; they overlap (`data.core.regions`)

Probabilities are float32 whatever the precision of training, since some that lie close together are compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delineate.data.core.deciding import class_map, painted
from delineate.data.core.manifest import ClassTable
from delineate.data.core.regions import Region
from delineate.nn.losses import IGNORE

__all__ = ["Output"]


@dataclass(frozen=True)
class Output:
    """The meaning of B×K×H×W logits.

    Example:
        >>> from delineate.data.core.regions import Region
        >>> from delineate.nn.output import Output
        >>> heart = Region(name="heart", classes=(1, 2), paints=1), Region(name="cavity", classes=(2,), paints=2)
        >>> output = Output(2, heart)
        >>> output.target(torch.tensor([[[0, 1, 2, 255]]]))[0, :, 0].tolist()
        [[0, 1, 1, 255], [0, 0, 1, 255]]
        >>> output.labels(torch.tensor([[[[-3.0, 3.0, 3.0]], [[-3.0, -3.0, 3.0]]]])).tolist()
        [[[0, 1, 2]]]
    """

    channels: int
    regions: tuple[Region, ...] = ()
    """One for each channel, in the order in which they are painted; none: the channels are classes."""

    @classmethod
    def of(cls, table: ClassTable) -> Self:
        """The output of a network that learns the table's classes, or its regions where it has some. A single region is the one
        foreground class.

        Args:
            table: Names of the classes, and of the regions.

        Returns:
            The meaning of `table.outputs` channels.
        """
        return cls(table.outputs, table.regions if table.outputs > 1 else ())

    @property
    def independent(self) -> bool:
        """Whether each channel has a probability of its own (sigmoid); else they sum to 1 (softmax)."""
        return self.channels == 1 or bool(self.regions)

    @property
    def structures(self) -> tuple[tuple[int, ...], ...]:
        """Class indices of each thing that is learned: of the regions, or of each foreground class."""
        if self.regions:
            return tuple(region.classes for region in self.regions)
        return tuple((index,) for index in range(1, max(2, self.channels)))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of each channel.

        Args:
            logits: B×K×H×W.

        Returns:
            Float32 in [0, 1], of the same shape.
        """
        logits = logits.float()
        return logits.sigmoid() if self.independent else logits.softmax(1)

    def entropy(self, probabilities: Tensor) -> Tensor:
        """How undecided probabilities are; `inference.doubt.entropy_of` is its twin in NumPy.

        Args:
            probabilities: B×K×H×W.

        Returns:
            Float32 B×1×H×W in [0, 1]: 1 where all is equally probable; of regions the mean of theirs.
        """
        found = -torch.xlogy(probabilities, probabilities)
        if self.independent:
            found = found - torch.xlogy(1 - probabilities, 1 - probabilities)
        most = self.channels * math.log(2) if self.independent else math.log(self.channels)
        return found.sum(1, keepdim=True) / most

    def foreground(self, logits: Tensor) -> Tensor:
        """The probability of any foreground class; with regions, the largest of theirs.

        Args:
            logits: B×K×H×W.

        Returns:
            Float32 B×1×H×W in [0, 1].
        """
        found = self.probabilities(logits)
        return found.amax(1, keepdim=True) if self.independent else 1 - found[:, :1]

    def target(self, mask: Tensor) -> Tensor:
        """What the losses (`nn.losses`) compare logits with.

        Args:
            mask: Long B×H×W class indices, 255 = ignore.

        Returns:
            The mask itself; with regions long B×K×H×W: 1 inside of each region, 0 outside, 255 where ignored.
        """
        return self._membership(mask.device)[mask].movedim(-1, 1) if self.regions else mask

    def hard_target(self, logits: Tensor) -> Tensor:
        """The same, of a prediction: what it holds for most probable.

        Args:
            logits: B×K×H×W.

        Returns:
            In the form of `target`, without gradient.
        """
        return (logits > 0).long() if self.regions else self.labels(logits)

    def labels(self, logits: Tensor) -> Tensor:
        """The class of each pixel, where a probability above ½ is enough.

        Args:
            logits: B×K×H×W.

        Returns:
            Long B×H×W class indices; of equally probable classes the first.
        """
        if not self.independent:
            return logits.argmax(1)
        found = torch.zeros_like(logits[:, 0], dtype=torch.long)
        for channel, index in self.painted:
            found = found.masked_fill(logits[:, channel] > 0, index)
        return found

    def class_map(self, planes: Iterable[NDArray[np.float32]], threshold: float) -> NDArray[np.uint8]:
        """The class of each pixel of one image.

        Holds two planes at a time, however many there are.

        Args:
            planes: Probabilities H×W of each channel in turn; the first is overwritten.
            threshold: What is enough for one foreground class, and for each region. Several classes need none: the most probable
                one, the first of equals.

        Returns:
            Class indices uint8 H×W.
        """
        return class_map(planes, self.painted if self.independent else None, threshold)

    def background(self) -> NDArray[np.float32]:
        """The probabilities of a pixel that is surely background.

        Returns:
            Float32 K: zeros, but 1 for the background where it has a channel.
        """
        found = np.zeros(self.channels, np.float32)
        if not self.independent:
            found[0] = 1
        return found

    @property
    def painted(self) -> list[tuple[int, int]]:
        """(channel, class index that it paints), in the order of painting; of outputs with a sigmoid for each channel."""
        return painted(self.channels, self.regions) or []

    def _membership(self, device: torch.device) -> Tensor:
        """256×K: whether each class lies in each region; the row of 255 is 255."""
        table = torch.zeros(IGNORE + 1, self.channels, dtype=torch.long)
        for channel, region in enumerate(self.regions):
            table[list(region.classes), channel] = 1
        table[IGNORE] = IGNORE
        return table.to(device)
