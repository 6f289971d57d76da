"""Checks of all methods: how they train, are deployed and draw panels."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from delineate.methods import registry
from delineate.methods.contract import Method
from delineate.methods.testing.examples import (
    AnyBatch,
    backward,
    context,
    finite,
    part,
    randomize_norms,
    sizes,
    train_stage,
    trains,
    updates,
)
from delineate.methods.testing.kind_examples import examples_of
from delineate.nn.frozen_batchnorm import batchnorms
from delineate.nn.recompute import recompute

__all__ = [
    "SHARED",
    "bf16",
    "deploy",
    "determinism",
    "gradients",
    "overfit",
    "panels",
    "reads_no_ignored_label",
    "recomputation",
    "sample_mean",
    "terms",
]


def terms(name: str) -> None:
    """An objective gives named scalars, finite and float32, in every variant of its kind."""
    examples = examples_of(name)
    for variant in examples.variants:
        method = examples.method(name, variant).train()
        for stage, _, objective in updates(method):
            found = objective(examples.batch(2, variant), context(stage.name))
            assert found, f"stage '{stage.name}' gives no term"
            for key, value in found.items():
                assert value.ndim == 0, f"term '{key}' is not a scalar"
                assert value.dtype == torch.float32, f"term '{key}' is {value.dtype}"
                assert torch.isfinite(value), f"term '{key}' is not finite"


def gradients(name: str) -> None:
    """Every parameter gets a finite gradient in an update that moves it; also with a batch of one."""
    examples = examples_of(name)
    for variant, count in zip(examples.variants, (2, 1), strict=True):
        method = examples.method(name, variant).train()
        batch = examples.batch(count, variant)
        reached: set[str] = set()
        for stage, update, objective in updates(method):
            backward(method, objective(batch, context(stage.name)))
            for parameter_name, parameter in method.named_parameters():
                if parameter.grad is not None:
                    assert torch.isfinite(parameter.grad).all(), f"gradient of {parameter_name} is not finite"
                    reached |= {parameter_name} if trains(update, parameter_name) else set()
        unused = [n for n, _ in method.named_parameters() if n not in reached]
        assert not unused, f"no gradient reaches {', '.join(unused[:5])}"


def determinism(name: str) -> None:
    """Training terms follow from weights, batch and seeds; in eval mode not even the generator matters."""
    examples = examples_of(name)
    batch = examples.batch(2, examples.usual)
    method, twin = examples.method(name, examples.usual), examples.method(name, examples.usual)
    for (stage, _, first), (_, _, second) in zip(updates(method), updates(twin), strict=True):
        torch.manual_seed(1)
        a = first(batch, context(stage.name, seed=3))
        torch.manual_seed(1)
        b = second(batch, context(stage.name, seed=3))
        assert _same(a, b), f"stage '{stage.name}' is not reproducible: {a} and {b}"
    for stage, _, objective in updates(method.eval()):
        with torch.no_grad():
            a, b = objective(batch, context(stage.name, seed=3)), objective(batch, context(stage.name, seed=4))
        assert _same(a, b), f"stage '{stage.name}' is random in eval mode: {a} and {b}"


def sample_mean(name: str) -> None:
    """In eval mode the terms of a batch are the means of its samples' terms, unless the method declares that samples are
    coupled."""
    if registry.method_class(name).info.couples_samples:
        return
    examples = examples_of(name)
    method, batch = randomize_norms(examples.method(name, examples.usual)).eval(), examples.batch(3, examples.usual)
    for stage, _, objective in updates(method):
        with torch.no_grad():
            whole = objective(batch, context(stage.name))
            alone = [objective(part(batch, i), context(stage.name)) for i in range(3)]
        for key, value in whole.items():
            mean = torch.stack([one[key] for one in alone]).mean()
            assert torch.allclose(value, mean, rtol=1e-4, atol=1e-5), (
                f"term '{key}' is not a mean over samples (of the batch {value}, mean of its samples {mean}): "
                "make it one, or declare couples_samples=True"
            )


def deploy(name: str) -> None:
    """`deploy()` gives the same probabilities to 1e-4 and leaves the method as it was; deployed again, it is the same network."""
    examples = examples_of(name)
    for variant in examples.variants:
        method = randomize_norms(examples.method(name, variant))
        before, modes = copy.deepcopy(method.state_dict()), [m.training for m in method.modules()]
        lean = method.deploy()
        assert not lean.training, "deploy() must return a module in eval mode"
        assert [m.training for m in method.modules()] == modes, "deploy() changed the method's mode"
        assert _same(before, method.state_dict()), "deploy() changed the method's weights"
        if isinstance(lean, Method):
            assert lean.deploy() is lean, "deploy() of a deployed network must be that network"
        method.eval()
        for height, width in sizes(method):
            batch = examples.batch(2, variant, size=(height, width))
            batch["image"] = torch.rand_like(batch["image"])  # noise leaves no border and no channel quiet
            with torch.no_grad():
                expected, found = (
                    method.output.probabilities(examples.logits(module, batch)) for module in (method, lean)
                )
            gap = float((expected - found).abs().max())
            assert gap <= 1e-4, f"deploy() differs by {gap:.1e} at {height}×{width}"
            assert float(expected.std()) > 1e-4, "the check is void: the method's output is constant"


def recomputation(name: str) -> None:
    """Activation checkpointing changes neither gradients nor what is kept in buffers."""
    parts = registry.method_class(name).info.checkpoint_modules
    if not parts:
        return
    examples = examples_of(name)
    plain, lean = (examples.method(name, examples.usual).train() for _ in range(2))
    recompute(lean, parts)
    batch = examples.batch(2, examples.usual)
    for stage, update, _ in updates(plain):
        for method in (plain, lean):
            torch.manual_seed(1)
            backward(method, getattr(method, update.objective)(batch, context(stage.name)))
        for (key, a), (_, b) in zip(plain.named_parameters(), lean.named_parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None), f"gradient of {key}"
            if a.grad is not None and b.grad is not None:
                assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-6), f"gradient of {key} differs"
    assert _same(dict(plain.named_buffers()), dict(lean.named_buffers())), "buffers differ"


def bf16(name: str) -> None:
    """Under bfloat16 autocast terms and gradients are finite and probabilities near those of float32."""
    examples = examples_of(name)
    method, batch = examples.method(name, examples.usual).train(), examples.batch(2, examples.usual)
    for stage, _, objective in updates(method):
        with torch.autocast("cpu", torch.bfloat16):
            found_terms = objective(batch, context(stage.name))
        assert torch.isfinite(backward(method, found_terms)), f"stage '{stage.name}': not finite in bfloat16"
        assert finite(method), f"stage '{stage.name}': gradients are not finite in bfloat16"
    method.eval()
    with torch.no_grad():
        expected = method.output.probabilities(examples.logits(method, batch))
        with torch.autocast("cpu", torch.bfloat16):
            found = method.output.probabilities(examples.logits(method, batch))
    assert float((expected - found).abs().mean()) < 0.05


def panels(name: str) -> None:
    """Each panel is of its declared kind: shape and range."""
    examples = examples_of(name)
    for variant, in_channels in zip(examples.variants, (3, 1), strict=True):
        method = examples.method(name, variant, in_channels).eval()
        batch = examples.batch(2, variant, in_channels)
        with torch.no_grad():
            found = method.panels(batch)
        for key, panel in found.items():
            channels = {"image": (1, 3, in_channels), "heat": (1,), "mask": ()}[panel.kind]
            fits = panel.tensor.ndim == 3 if panel.kind == "mask" else panel.tensor.shape[1] in channels
            assert fits, f"panel '{key}' ({panel.kind}) has the shape {tuple(panel.tensor.shape)}"
            assert panel.tensor.shape[0] == 2
            assert panel.tensor.shape[-2:] == batch["image"].shape[-2:], f"panel '{key}' is not of the image's size"
            if panel.kind != "mask":
                assert 0 <= float(panel.tensor.min()) <= float(panel.tensor.max()) <= 1, f"panel '{key}' leaves [0, 1]"


def overfit(name: str) -> None:
    """The stages, one after another, overfit a small batch."""
    examples = examples_of(name)
    for case in examples.overfit_cases:
        method, batch = examples.method(name, case.variant), examples.batch(case.count, case.variant)
        norm: Any
        for norm in batchnorms(method):
            norm.momentum = 0.3  # running statistics that lag behind cost some methods steps, one twice as many
        score = 0.0
        for stage in method.stages():
            score = train_stage(method, stage, batch, examples.logits, steps=200, enough=case.dice)
        assert score > case.dice, f"{case.what}: Dice {score:.3f} after 200 steps of each stage"


SHARED = (terms, gradients, determinism, sample_mean, deploy, recomputation, bf16, panels, overfit)


def reads_no_ignored_label(method: Method, nothing: AnyBatch, labeled: AnyBatch, other: AnyBatch) -> None:
    """Where all pixels are ignored (`nothing`), a term is 0 or has nothing to do with labels: it is the same with any. Gradients
    stay finite. The part of both kinds' checks `ignored` that they have in common."""
    for stage, _, objective in updates(method):
        # All are said to be without masks, since a term may be of such images alone.
        batches = (_flagged_as(nothing, batch) for batch in (nothing, labeled, other))
        a, b, c = (objective(batch, context(stage.name)) for batch in batches)
        for key, value in a.items():
            free = torch.equal(value, b[key]) and torch.equal(value, c[key])
            assert free or float(value.detach()) == 0, f"term '{key}' is {value.detach():.4g} without any label"
        backward(method, a)
        assert finite(method), "gradients are not finite without any label"


def _flagged_as(flags: AnyBatch, batch: AnyBatch) -> AnyBatch:
    return cast(AnyBatch, {**batch, "labeled": flags["labeled"]})


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """The same names, with bit-equal tensors?"""
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())
