"""What every few-shot method must keep, as checks that run on any of them; the counterpart of `checks` for `task="episodic"`.

All work on the preset `tiny` at 64 pixels, on the CPU. A broken promise raises `AssertionError`, saying which.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from delineate.common.errors import RecipeError
from delineate.methods import registry
from delineate.methods.declared_checks import card, facts, finite, presets, same, unknown_option
from delineate.methods.episodic import EpisodicBatch, EpisodicMethod, EpisodicModule, State
from delineate.methods.episodic_examples import example_episodes, learn_episodes, part, segment, tiny_episodic
from delineate.methods.examples import IGNORE, backward, context, moves, shake, updates
from delineate.nn.recompute import recompute


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
    """Finite logits N×1×H×W at odd sizes and the smallest, grey and colour, one shot and five; a state's tensors count episodes
    first."""
    for shots, in_channels in ((1, 3), (5, 1)):
        method = tiny_episodic(name, in_channels=in_channels).eval()
        for height, width in _sizes(method):
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
    method, batch = shake(tiny_episodic(name)).eval(), example_episodes(3, shots=2)
    with torch.no_grad():
        state = method.condition(batch["support_image"][:1], batch["support_mask"][:1])
        together = method(batch["image"], state)
        alone = torch.cat([method(batch["image"][i : i + 1], state) for i in range(3)])
    _assert_close(together, alone, "a query's logits depend on the other queries")


def own_support(name: str) -> None:
    """Episodes of one batch do not see each other's support, and a support that shows another class changes the logits."""
    method, batch = shake(tiny_episodic(name)).eval(), example_episodes(3, shots=2)
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
    method, batch = shake(tiny_episodic(name)).eval(), example_episodes(2, shots=5)
    order = torch.tensor([3, 0, 4, 1, 2])
    other = copy.copy(batch)
    other["support_image"], other["support_mask"] = batch["support_image"][:, order], batch["support_mask"][:, order]
    with torch.no_grad():
        _assert_close(segment(method, batch), segment(method, other), "the order of the shots changes the logits")


def ignored(name: str) -> None:
    """A shot whose pixels are all ignored (255) is as good as absent. Where all of a query's pixels are ignored, a term is 0 or has
    nothing to do with its labels; with nothing labelled at all, terms are 0 and gradients finite."""
    method, batch = shake(tiny_episodic(name)).eval(), example_episodes(2, shots=3)
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
    for stage, _, objective in updates(method):
        a, b, c = (objective(x, context(stage.name)) for x in (nothing, batch, other))
        for key, value in a.items():
            free = torch.equal(value, b[key]) and torch.equal(value, c[key])
            assert free or float(value.detach()) == 0, f"term '{key}' is {value.detach():.4g} without any label"
        backward(method, objective(silent, context(stage.name)))
        assert finite(method), "gradients are not finite without any label"


def empty_support(name: str) -> None:
    """Logits, terms and gradients are finite where a support's mask is all background, all foreground or all ignored."""
    for value in (0, 1, IGNORE):
        method, batch = tiny_episodic(name), example_episodes(2)
        batch["support_mask"] = torch.full_like(batch["support_mask"], value)
        with torch.no_grad():
            assert torch.isfinite(segment(method.eval(), batch)).all(), f"logits with a support of {value} alone"
        for stage, _, objective in updates(method.train()):
            total = backward(method, objective(batch, context(stage.name)))
            assert torch.isfinite(total), f"terms with a support of {value} alone are not finite"
            assert finite(method), f"gradients with a support of {value} alone are not finite"


def terms(name: str) -> None:
    """An objective gives named scalars, finite and float32, for one shot and for several."""
    for shots in (1, 3):
        method = tiny_episodic(name).train()
        for stage, _, objective in updates(method):
            found = objective(example_episodes(2, shots=shots), context(stage.name))
            assert found, f"stage '{stage.name}' gives no term"
            for key, value in found.items():
                assert value.ndim == 0, f"term '{key}' is not a scalar"
                assert value.dtype == torch.float32, f"term '{key}' is {value.dtype}"
                assert torch.isfinite(value), f"term '{key}' is not finite"


def gradients(name: str) -> None:
    """Every parameter gets a finite gradient in an update that moves it; also with one episode of several shots."""
    for count, shots in ((2, 1), (1, 3)):
        method = tiny_episodic(name).train()
        reached: set[str] = set()
        for stage, update, objective in updates(method):
            backward(method, objective(example_episodes(count, shots=shots), context(stage.name)))
            assert finite(method), f"gradients of stage '{stage.name}' are not finite"
            named = method.named_parameters()
            reached |= {n for n, p in named if p.grad is not None and moves(update, n)}
        unused = [n for n, _ in method.named_parameters() if n not in reached]
        assert not unused, f"no gradient reaches {', '.join(unused[:5])}"


def determinism(name: str) -> None:
    """Training terms follow from weights, batch and seeds; in eval mode not even the generator matters."""
    batch, method, twin = example_episodes(2), tiny_episodic(name), tiny_episodic(name)
    for (stage, _, first), (_, _, second) in zip(updates(method), updates(twin), strict=True):
        torch.manual_seed(1)
        a = first(batch, context(stage.name, seed=3))
        torch.manual_seed(1)
        b = second(batch, context(stage.name, seed=3))
        assert same(a, b), f"stage '{stage.name}' is not reproducible: {a} and {b}"
    for stage, _, objective in updates(method.eval()):
        with torch.no_grad():
            a, b = objective(batch, context(stage.name, seed=3)), objective(batch, context(stage.name, seed=4))
        assert same(a, b), f"stage '{stage.name}' is random in eval mode: {a} and {b}"


def sample_mean(name: str) -> None:
    """In eval mode the terms of a batch are the means of its episodes' terms, unless the method declares that they are
    coupled."""
    method = shake(tiny_episodic(name)).eval()
    if method.info.couples_samples:
        return
    batch = example_episodes(3, shots=2)
    for stage, _, objective in updates(method):
        with torch.no_grad():
            whole = objective(batch, context(stage.name))
            parts = [objective(part(batch, i), context(stage.name)) for i in range(3)]
        for key, value in whole.items():
            mean = torch.stack([one[key] for one in parts]).mean()
            assert torch.allclose(value, mean, rtol=1e-4, atol=1e-5), f"term '{key}': batch {value}, mean {mean}"


def deploy(name: str) -> None:
    """`deploy()` gives the same probabilities to 1e-4 and leaves the method as it was."""
    method = shake(tiny_episodic(name))
    before, modes = copy.deepcopy(method.state_dict()), [m.training for m in method.modules()]
    lean = method.deploy()
    assert not lean.training, "deploy() must return a module in eval mode"
    assert [m.training for m in method.modules()] == modes, "deploy() changed the method's mode"
    assert same(before, method.state_dict()), "deploy() changed the method's weights"
    method.eval()
    for shots, size in ((1, 65), (3, 96)):
        batch = example_episodes(2, shots=shots, size=-(-size // method.info.divisor) * method.info.divisor)
        with torch.no_grad():
            expected, found = (torch.sigmoid(_segment(module, batch)) for module in (method, lean))
        gap = float((expected - found).abs().max())
        assert gap <= 1e-4, f"deploy() differs by {gap:.1e} with {shots} shots at {size}×{size}"
        assert float(expected.std()) > 1e-4, "the check is void: the method's output is constant"


def recomputation(name: str) -> None:
    """Activation checkpointing changes neither gradients nor what is kept in buffers."""
    plain, lean = tiny_episodic(name).train(), tiny_episodic(name).train()
    if not plain.info.checkpoint_modules:
        return
    recompute(lean, lean.info.checkpoint_modules)
    batch = example_episodes(2)
    for stage, update, _ in updates(plain):
        for method in (plain, lean):
            torch.manual_seed(1)
            backward(method, getattr(method, update.objective)(batch, context(stage.name)))
        for (key, a), (_, b) in zip(plain.named_parameters(), lean.named_parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None), f"gradient of {key}"
            if a.grad is not None and b.grad is not None:
                assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-6), f"gradient of {key} differs"
    assert same(dict(plain.named_buffers()), dict(lean.named_buffers())), "buffers differ"


def bf16(name: str) -> None:
    """Under bfloat16 autocast terms and gradients are finite and probabilities near those of float32."""
    method, batch = tiny_episodic(name).train(), example_episodes(2)
    for stage, _, objective in updates(method):
        with torch.autocast("cpu", torch.bfloat16):
            found_terms = objective(batch, context(stage.name))
        assert torch.isfinite(backward(method, found_terms)), f"stage '{stage.name}': not finite in bfloat16"
        assert finite(method), f"stage '{stage.name}': gradients are not finite in bfloat16"
    method.eval()
    with torch.no_grad():
        expected = torch.sigmoid(segment(method, batch))
        with torch.autocast("cpu", torch.bfloat16):
            found = torch.sigmoid(segment(method, batch).float())
    assert float((expected - found).abs().mean()) < 0.05


def panels(name: str) -> None:
    """Each panel is of its declared kind: shape and range."""
    for shots, in_channels in ((1, 3), (2, 1)):
        method = tiny_episodic(name, in_channels=in_channels).eval()
        batch = example_episodes(2, shots=shots, in_channels=in_channels)
        with torch.no_grad():
            found = method.panels(batch)
        for key, panel in found.items():
            channels = {"image": (1, 3), "heat": (1,), "mask": ()}[panel.kind]
            fits = panel.tensor.ndim == 3 if panel.kind == "mask" else panel.tensor.shape[1] in channels
            assert fits, f"panel '{key}' ({panel.kind}) has the shape {tuple(panel.tensor.shape)}"
            assert panel.tensor.shape[0] == 2
            assert panel.tensor.shape[-2:] == batch["image"].shape[-2:], f"panel '{key}' is not of the image's size"
            if panel.kind != "mask":
                assert 0 <= float(panel.tensor.min()) <= float(panel.tensor.max()) <= 1, f"panel '{key}' leaves [0, 1]"


def overfit(name: str) -> None:
    """The stages, one after another, learn a few episodes to a query Dice above .9, though it is the support alone that tells the
    class."""
    method, batch = tiny_episodic(name), example_episodes(4)
    score = 0.0
    for stage in method.stages():
        score = learn_episodes(method, stage, batch, steps=200, enough=0.9)
    assert score > 0.9, f"four episodes: Dice {score:.3f} after 200 steps of each stage"


CHECKS: dict[str, Callable[[str], None]] = {
    run.__name__: run
    for run in (
        facts,
        presets,
        card,
        unknown_option,
        one_class,
        shapes,
        many_queries,
        own_support,
        order_of_shots,
        ignored,
        empty_support,
        terms,
        gradients,
        determinism,
        sample_mean,
        deploy,
        recomputation,
        bf16,
        panels,
        overfit,
    )
}


def _segment(module: Any, batch: EpisodicBatch) -> Tensor:
    state: State = module.condition(batch["support_image"], batch["support_mask"])
    logits: Tensor = module(batch["image"], state)
    return logits


def _assert_close(a: Tensor, b: Tensor, what: str) -> None:
    gap = float((a - b).abs().max())
    assert gap <= 1e-4 * max(1.0, float(b.abs().max())), f"{what}, by up to {gap:.1e}"


def _sizes(method: EpisodicMethod) -> list[tuple[int, int]]:
    """An odd size (where the method takes any), and the smallest."""
    step = method.info.divisor
    return [(-(-65 // step) * step, -(-97 // step) * step), (method.info.min_size, method.info.min_size)]
