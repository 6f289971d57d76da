"""The contract of few-shot methods: segment a query image as a few annotated support images show.

An episodic method is a `Method` that first looks at the support (`condition`) and then segments any number of queries with
what it kept (`forward(image, state)`). It knows one foreground: several classes are conditioned one by one and merged by the
caller, so that every method handles any number of them by the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from delineate.methods.contract import Batch, Context, Kind, Method, Panel

State = Mapping[str, Tensor]
"""What a method keeps of the support: named tensors whose first dimension counts episodes."""


class EpisodicBatch(Batch):
    """B episodes of one class. `image`, `mask` (0, 1, 255 = ignore), `labeled` and `sample_id` are the queries'."""

    support_image: Tensor
    """float B×K×C×H×W in [0, 1], after the InputSpec and before mean/std."""
    support_mask: Tensor
    """long B×K×H×W: 1 = the class, 0 = everything else, 255 = ignore."""


class EpisodicMethod(Method):
    """Base class of few-shot methods. `classes` is always 1: one foreground logit.

    `forward(condition(support))` of one episode may be called with any number of queries; `deploy()` returns an
    `EpisodicModule` too.
    """

    kind: ClassVar[Kind] = "episodic"

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        """B×K×C×H×W and B×K×H×W → what segmenting their queries needs. Finite also where a mask is empty."""
        raise NotImplementedError

    def forward(self, image: Tensor, state: State) -> Tensor:
        """Queries N×C×H×W → logits N×1×H×W. The state's episodes number N, or 1: then all queries share it."""
        raise NotImplementedError

    def objective(self, batch: EpisodicBatch, ctx: Context) -> dict[str, Tensor]:
        raise NotImplementedError

    def panels(self, batch: EpisodicBatch) -> dict[str, Panel]:
        return {}


class EpisodicModule(nn.Module):
    """What `EpisodicMethod.deploy()` returns: the same two functions, for inference alone."""

    def condition(self, support_image: Tensor, support_mask: Tensor) -> State:
        raise NotImplementedError

    def forward(self, image: Tensor, state: State) -> Tensor:
        raise NotImplementedError


def expand(state: State, queries: int) -> dict[str, Tensor]:
    """The state of one episode repeated (without copying) for so many queries; that of as many episodes as it is."""
    return {
        name: tensor if tensor.shape[0] == queries else tensor.expand(queries, *tensor.shape[1:])
        for name, tensor in state.items()
    }
