"""The contract of few-shot methods: segment a query image as a few annotated support images show.

An episodic method first looks at the support (`condition`) and then segments any number of queries with the state that it kept
(`forward(image, state)`). It knows one foreground class. For several classes the caller conditions on one after another and
merges the results, so that all methods do it by the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from delineate.methods.contract import Batch, Context, Kind, Method, Panel

__all__ = ["EpisodicBatch", "EpisodicMethod", "EpisodicModule", "State", "expand"]

State = Mapping[str, Tensor]
"""What a method keeps of the support: named tensors whose first dimension counts episodes."""


class EpisodicBatch(Batch):
    """B episodes of one class. `image`, `mask` (0, 1, 255 = ignore), `labeled` and `sample_id` are the queries'."""

    support_image: Tensor
    """Float B×K×C×H×W in [0, 1], K shots, after the InputSpec and before mean and standard deviation."""
    support_mask: Tensor
    """Long B×K×H×W: 1 = the class, 0 = everything else, 255 = ignore."""


class EpisodicMethod(Method):
    """Base class of few-shot methods. `classes` is always 1: one foreground logit.

    The state of one episode serves any number of queries. `deploy()` returns an `EpisodicModule`.

    Example:
        >>> method = delineate.create("panet", preset="tiny").eval()
        >>> support_image, support_mask = torch.rand(1, 2, 3, 64, 64), torch.ones(1, 2, 64, 64, dtype=torch.long)
        >>> with torch.no_grad():
        ...     state = method.condition(support_image, support_mask)  # one episode with two shots
        ...     logits = method(torch.rand(5, 3, 64, 64), state)  # five queries
        >>> logits.shape
        torch.Size([5, 1, 64, 64])
    """

    kind: ClassVar[Kind] = "episodic"

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        """Look at the support of B episodes.

        Args:
            support_image: B×K×C×H×W in [0, 1].
            support_mask: Long B×K×H×W: 1 = the class, 0 = everything else, 255 = ignore.

        Returns:
            What `forward` needs. Finite also where a mask is empty.
        """
        raise NotImplementedError

    def forward(self, image: Tensor, state: State) -> Tensor:
        """Segment queries.

        Args:
            image: N×C×H×W in [0, 1].
            state: Of N episodes, or of one that all queries share.

        Returns:
            Logits N×1×H×W.
        """
        raise NotImplementedError

    def objective(self, batch: EpisodicBatch, ctx: Context) -> dict[str, Tensor]:
        raise NotImplementedError

    def panels(self, batch: EpisodicBatch) -> dict[str, Panel]:
        return {}


class EpisodicModule(nn.Module):
    """What `EpisodicMethod.deploy()` returns: the same two functions, for inference alone.

    Example:
        >>> from delineate.methods.episodic import EpisodicModule
        >>> isinstance(delineate.create("panet", preset="tiny").deploy(), EpisodicModule)
        True
    """

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        """As `EpisodicMethod.condition`.

        Args:
            support_image: B×K×C×H×W in [0, 1].
            support_mask: Long B×K×H×W.

        Returns:
            What `forward` needs.
        """
        raise NotImplementedError

    def forward(self, image: Tensor, state: State) -> Tensor:
        """As `EpisodicMethod.forward`.

        Args:
            image: N×C×H×W in [0, 1].
            state: Of N episodes, or of one.

        Returns:
            Logits N×1×H×W.
        """
        raise NotImplementedError


def expand(state: State, queries: int) -> dict[str, Tensor]:
    """Repeat the state of one episode for several queries, without copying.

    Args:
        state: Of one episode, or of as many as there are queries.
        queries: How many.

    Returns:
        The state of `queries` episodes.

    Example:
        >>> from delineate.methods.episodic import expand
        >>> expand({"prototype": torch.rand(1, 64)}, 5)["prototype"].shape
        torch.Size([5, 64])
    """
    return {
        name: tensor if tensor.shape[0] == queries else tensor.expand(queries, *tensor.shape[1:])
        for name, tensor in state.items()
    }
