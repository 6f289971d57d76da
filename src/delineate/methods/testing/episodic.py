"""Checks of few-shot methods, beyond those of all methods."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.episodic import EpisodicModule
from delineate.methods.testing.declared import DECLARED
from delineate.methods.testing.episodic_examples import example_episodes, segment, tiny_episodic
from delineate.methods.testing.examples import IGNORE, backward, context, finite, part, randomize_norms, sizes, updates
from delineate.methods.testing.shared import SHARED, reads_no_ignored_label

__all__ = [
    "CHECKS",
    "empty_support",
    "export",
    "ignored",
    "many_queries",
    "one_class",
    "order_of_shots",
    "own_support",
    "shapes",
]


def one_class(name: str) -> None:
    """One foreground class, trained on episodes; another number of classes is an error."""
    method = tiny_episodic(name)
    assert all(stage.source == "episodes" for stage in method.stages()), "every stage's source must be 'episodes'"
    assert isinstance(method.deploy(), EpisodicModule), "deploy() must return an EpisodicModule"
    try:
        registry.build(name, classes=3)
    except RecipeError:
        return
    raise AssertionError("3 classes must raise RecipeError: a few-shot method segments one at a time")


def shapes(name: str) -> None:
    """Finite logits N×1×H×W at odd sizes and the smallest, gray and color, one shot and five; a state's tensors count episodes
    first."""
    for shots, in_channels in ((1, 3), (5, 1)):
        method = tiny_episodic(name, in_channels=in_channels).eval()
        for height, width in sizes(method):
            image, support = torch.rand(3, in_channels, height, width), torch.rand(3, shots, in_channels, height, width)
            mask = (torch.rand(3, shots, height, width) > 0.5).long()
            with torch.no_grad():
                state = method.condition(support, mask)
                logits = method(image, state)
            for key, value in state.items():
                assert value.shape[0] == 3, f"state '{key}': {tuple(value.shape)} does not begin with 3 episodes"
            assert tuple(logits.shape) == (3, 1, height, width), f"{tuple(logits.shape)} at {height}×{width}"
            assert torch.isfinite(logits).all()


def many_queries(name: str) -> None:
    """The state of one episode serves many queries as it serves each."""
    method, batch = randomize_norms(tiny_episodic(name)).eval(), example_episodes(3, shots=2)
    with torch.no_grad():
        state = method.condition(batch["support_image"][:1], batch["support_mask"][:1])
        together = method(batch["image"], state)
        alone = torch.cat([method(batch["image"][i : i + 1], state) for i in range(3)])
    _assert_close(together, alone, "a query's logits depend on the other queries")


def own_support(name: str) -> None:
    """Episodes of one batch do not see each other's support, and a support that shows another class changes the logits."""
    method, batch = randomize_norms(tiny_episodic(name)).eval(), example_episodes(3, shots=2)
    other = copy.copy(batch)
    other["support_mask"] = 1 - batch["support_mask"]
    with torch.no_grad():
        together = segment(method, batch)
        alone = torch.cat([segment(method, part(batch, i)) for i in range(3)])
        changed = float((together - segment(method, other)).abs().max())
    _assert_close(together, alone, "an episode's logits depend on the other episodes")
    assert changed > 1e-3, "the support's mask does not change the logits"


def order_of_shots(name: str) -> None:
    """A permutation of the shots changes nothing."""
    method, batch = randomize_norms(tiny_episodic(name)).eval(), example_episodes(2, shots=5)
    order = torch.tensor([3, 0, 4, 1, 2])
    other = copy.copy(batch)
    other["support_image"], other["support_mask"] = batch["support_image"][:, order], batch["support_mask"][:, order]
    with torch.no_grad():
        _assert_close(segment(method, batch), segment(method, other), "the order of the shots changes the logits")


def ignored(name: str) -> None:
    """A shot whose pixels are all ignored (255) is as good as absent. Where all of a query's pixels are ignored, a term is 0 or has
    nothing to do with its labels; with nothing labeled at all, terms are 0 and gradients finite."""
    method, batch = randomize_norms(tiny_episodic(name)).eval(), example_episodes(2, shots=3)
    batch["support_mask"][:, 2] = IGNORE
    fewer = copy.copy(batch)
    fewer["support_image"], fewer["support_mask"] = batch["support_image"][:, :2], batch["support_mask"][:, :2]
    with torch.no_grad():
        _assert_close(segment(method, batch), segment(method, fewer), "a shot that is all 255 changes the logits")
    nothing, other = copy.copy(batch), copy.copy(batch)
    nothing["mask"] = torch.full_like(batch["mask"], IGNORE)
    other["mask"] = torch.zeros_like(batch["mask"])
    silent = copy.copy(nothing)
    silent["support_mask"] = nothing["mask"][:, None].expand_as(batch["support_mask"])
    reads_no_ignored_label(method, nothing, batch, other)
    for stage, _, objective in updates(method):
        backward(method, objective(silent, context(stage.name)))
        assert finite(method), "gradients are not finite without any label"


def empty_support(name: str) -> None:
    """Logits, terms and gradients are finite where a support's mask is all background, all foreground or all ignored."""
    method, batch = tiny_episodic(name), example_episodes(2)
    for value in (0, 1, IGNORE):
        batch["support_mask"] = torch.full_like(batch["support_mask"], value)
        with torch.no_grad():
            assert torch.isfinite(segment(method.eval(), batch)).all(), f"logits with a support of {value} alone"
        for stage, _, objective in updates(method.train()):
            total = backward(method, objective(batch, context(stage.name)))
            assert torch.isfinite(total), f"terms with a support of {value} alone are not finite"
            assert finite(method), f"gradients with a support of {value} alone are not finite"


def export(name: str) -> None:
    """A method that says so can be exported: its deployed form as two graphs, of any number of shots, gives the same result."""
    if not registry.method_class(name).info.exportable:
        return
    batch = example_episodes(1, shots=3)
    lean = randomize_norms(tiny_episodic(name)).eval().deploy()
    assert isinstance(lean, EpisodicModule)
    images, masks = batch["support_image"], batch["support_mask"]
    shots = {1: torch.export.Dim("shots", min=1, max=64)}
    with torch.no_grad():
        graph = torch.export.export(_Condition(lean), (images, masks), dynamic_shapes=(shots, shots), strict=False)
        found, state = (look(images[:, :2], masks[:, :2]) for look in (graph.module(), lean.condition))
        for key, value in state.items():
            _assert_close(found[key].float(), value.float(), f"the exported graph gives another state '{key}'")
        graph = torch.export.export(lean, (batch["image"], dict(state)), strict=False)
        _assert_close(
            graph.module()(batch["image"], dict(state)),
            lean(batch["image"], state),
            "the exported graph gives another result",
        )


class _Condition(nn.Module):
    """The first of the two functions as a module."""

    def __init__(self, network: EpisodicModule) -> None:
        super().__init__()
        self.network = network

    def forward(self, support_image: Tensor, support_mask: Tensor) -> dict[str, Tensor]:
        return dict(self.network.condition(support_image, support_mask))


CHECKS: dict[str, Callable[[str], None]] = {
    run.__name__: run
    for run in (
        *DECLARED,
        one_class,
        shapes,
        *SHARED,
        many_queries,
        own_support,
        order_of_shots,
        ignored,
        empty_support,
        export,
    )
}


def _assert_close(a: Tensor, b: Tensor, what: str) -> None:
    gap = float((a - b).abs().max())
    assert gap <= 1e-4 * max(1.0, float(b.abs().max())), f"{what}, by up to {gap:.1e}"
