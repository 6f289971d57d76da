"""What every dense method must keep, as checks that run on any of them.

A method's author calls `check("name")`, or makes one test of each entry of `CHECKS` (for a few-shot method those of
`episodic_checks`). All work on the preset `tiny` at 64 pixels, on the CPU. A broken promise raises `AssertionError`, saying
which.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from delineate.methods import episodic_checks, registry
from delineate.methods.contract import Batch, Method
from delineate.methods.declared_checks import card, facts, finite, presets, same, unknown_option
from delineate.methods.examples import (
    IGNORE,
    as_batch,
    backward,
    context,
    example_batch,
    learn,
    moves,
    probabilities,
    shake,
    tiny,
    updates,
)
from delineate.nn.recompute import recompute


def check(name: str) -> None:
    """Run all checks of its task on the method registered as `name`; the first broken promise raises `AssertionError`."""
    for run in checks_of(name).values():
        run(name)


def checks_of(name: str) -> dict[str, Callable[[str], None]]:
    """The checks for the task of the method registered as `name`."""
    episodic = registry.method_class(name).info.task == "episodic"
    return episodic_checks.CHECKS if episodic else CHECKS


def shapes(name: str) -> None:
    """Finite logits B×K×H×W at odd sizes and the smallest, for grey and colour, 1 and 4 classes, a batch of one, and any memory
    format."""
    for classes, in_channels in ((1, 3), (4, 1)):
        method = tiny(name, classes=classes, in_channels=in_channels).eval()
        for stage in method.stages():
            logits = getattr(method, stage.logits)
            for height, width in _sizes(method):
                image = torch.rand(1, in_channels, height, width)
                with torch.no_grad():
                    result = logits(image)
                    other = logits(image.to(memory_format=torch.channels_last))
                assert tuple(result.shape) == (1, classes, height, width), f"{tuple(result.shape)} at {height}×{width}"
                assert torch.isfinite(result).all()
                assert torch.allclose(result, other, atol=1e-3), "the memory format changes the result"


def gradients(name: str) -> None:
    """Every parameter gets a finite gradient in an update that moves it; also with a batch of one."""
    for classes, count in ((1, 2), (4, 1)):
        method = tiny(name, classes=classes).train()
        batch = example_batch(count, classes=classes)
        reached: set[str] = set()
        for stage, update, objective in updates(method):
            backward(method, objective(batch, context(stage.name)))
            for parameter_name, parameter in method.named_parameters():
                if parameter.grad is not None and moves(update, parameter_name):
                    assert torch.isfinite(parameter.grad).all(), f"gradient of {parameter_name} is not finite"
                    reached.add(parameter_name)
        unused = [n for n, _ in method.named_parameters() if n not in reached]
        assert not unused, f"no gradient reaches {', '.join(unused[:5])}"


def deploy(name: str) -> None:
    """`deploy()` gives the same probabilities to 1e-4 and leaves the method as it was."""
    for classes in (1, 4):
        method = shake(tiny(name, classes=classes))
        before, modes = copy.deepcopy(method.state_dict()), [m.training for m in method.modules()]
        lean = method.deploy()
        assert not lean.training, "deploy() must return a module in eval mode"
        assert [m.training for m in method.modules()] == modes, "deploy() changed the method's mode"
        assert same(before, method.state_dict()), "deploy() changed the method's weights"
        method.eval()
        for height, width in _sizes(method):
            image = torch.rand(2, 3, height, width)
            with torch.no_grad():
                expected, found = probabilities(method(image)), probabilities(lean(image))
            gap = float((expected - found).abs().max())
            assert gap <= 1e-4, f"deploy() differs by {gap:.1e} at {height}×{width}"
            assert float(expected.std()) > 1e-4, "the check is void: the method's output is constant"


def export(name: str) -> None:
    """A method that says so can be exported: its deployed form as a graph of one size gives the same result."""
    method = tiny(name)
    if not method.info.exportable:
        return
    lean, size = method.deploy(), _sizes(method)[1]
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        graph = torch.export.export(lean, (image,)).module()
        assert torch.allclose(graph(image), lean(image), atol=1e-4), "the exported graph gives another result"


def overfit(name: str) -> None:
    """The stages, one after another, learn two images to a Dice above .95; binary and with four classes."""
    for classes in (1, 4):
        method = tiny(name, classes=classes)
        batch = example_batch(2, classes=classes)
        score = 0.0
        for stage in method.stages():
            score = learn(method, stage, batch, steps=200, enough=0.95)
        assert score > 0.95, f"two images with {classes} outputs: Dice {score:.3f} after 200 steps of each stage"


def determinism(name: str) -> None:
    """Training terms follow from weights, batch and seeds; in eval mode not even the generator matters."""
    batch = example_batch(2)
    method, twin = tiny(name), tiny(name)
    for (stage, _, first), (_, _, second) in zip(updates(method), updates(twin), strict=True):
        torch.manual_seed(1)
        a = first(batch, context(stage.name, seed=3))
        torch.manual_seed(1)
        b = second(batch, context(stage.name, seed=3))
        assert same(a, b), f"stage '{stage.name}' is not reproducible: {a} and {b}"
    method.eval()
    for stage, _, objective in updates(method):
        with torch.no_grad():
            a, b = objective(batch, context(stage.name, seed=3)), objective(batch, context(stage.name, seed=4))
        assert same(a, b), f"stage '{stage.name}' is random in eval mode: {a} and {b}"


def terms(name: str) -> None:
    """An objective gives named scalars: finite, float32, on several classes too."""
    for classes in (1, 4):
        method = tiny(name, classes=classes).train()
        for stage, _, objective in updates(method):
            found = objective(example_batch(2, classes=classes), context(stage.name))
            assert found, f"stage '{stage.name}' gives no term"
            for key, value in found.items():
                assert value.ndim == 0, f"term '{key}' is not a scalar"
                assert value.dtype == torch.float32, f"term '{key}' is {value.dtype}"
                assert torch.isfinite(value), f"term '{key}' is not finite"


def sample_mean(name: str) -> None:
    """In eval mode the terms of a batch are the means of its samples' terms, unless the method declares that samples are
    coupled."""
    method = shake(tiny(name)).eval()
    if method.info.couples_samples:
        return
    batch = example_batch(3)
    for stage, _, objective in updates(method):
        with torch.no_grad():
            whole = objective(batch, context(stage.name))
            parts = [objective(_part(batch, i), context(stage.name)) for i in range(3)]
        for key, value in whole.items():
            mean = torch.stack([part[key] for part in parts]).mean()
            assert torch.allclose(value, mean, rtol=1e-4, atol=1e-5), f"term '{key}': batch {value}, mean {mean}"


def ignored(name: str) -> None:
    """Where all pixels are ignored, a term is 0 or has nothing to do with labels; gradients stay finite. An ignored label is
    never read."""
    for classes in (1, 4):
        method = shake(tiny(name, classes=classes)).eval()
        labelled = example_batch(2, classes=classes)
        image = labelled["image"]
        nothing = as_batch(image, torch.full_like(labelled["mask"], IGNORE))
        other = as_batch(image, torch.zeros_like(labelled["mask"]))
        for stage, _, objective in updates(method):
            a, b, c = (objective(x, context(stage.name)) for x in (nothing, labelled, other))
            for key, value in a.items():
                free = torch.equal(value, b[key]) and torch.equal(value, c[key])
                assert free or float(value.detach()) == 0, f"term '{key}' is {value.detach():.4g} without any label"
            backward(method, a)
            assert finite(method), "gradients are not finite without any label"


def bf16(name: str) -> None:
    """Under bfloat16 autocast terms and gradients are finite and probabilities near those of float32."""
    method = tiny(name).train()
    batch = example_batch(2)
    for stage, _, objective in updates(method):
        with torch.autocast("cpu", torch.bfloat16):
            found_terms = objective(batch, context(stage.name))
        assert torch.isfinite(backward(method, found_terms)), f"stage '{stage.name}': not finite in bfloat16"
        assert finite(method), f"stage '{stage.name}': gradients are not finite in bfloat16"
    method.eval()
    with torch.no_grad():
        expected = probabilities(method(batch["image"]))
        with torch.autocast("cpu", torch.bfloat16):
            found = probabilities(method(batch["image"]))
    assert float((expected - found).abs().mean()) < 0.05


def recomputation(name: str) -> None:
    """Activation checkpointing changes neither gradients nor what is kept in buffers."""
    if not tiny(name).info.checkpoint_modules:
        return
    plain, lean = tiny(name).train(), tiny(name).train()
    recompute(lean, lean.info.checkpoint_modules)
    batch = example_batch(2)
    for stage, update, _ in updates(plain):
        for method in (plain, lean):
            torch.manual_seed(1)
            backward(method, getattr(method, update.objective)(batch, context(stage.name)))
        for (key, a), (_, b) in zip(plain.named_parameters(), lean.named_parameters(), strict=True):
            assert (a.grad is None) == (b.grad is None), f"gradient of {key}"
            if a.grad is not None and b.grad is not None:
                assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-6), f"gradient of {key} differs"
    assert same(dict(plain.named_buffers()), dict(lean.named_buffers())), "buffers differ"


def panels(name: str) -> None:
    """Each panel is of its declared kind: shape and range."""
    for classes, in_channels in ((1, 3), (4, 1)):
        method = tiny(name, classes=classes, in_channels=in_channels).eval()
        batch = example_batch(2, classes=classes, in_channels=in_channels)
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


CHECKS: dict[str, Callable[[str], None]] = {
    run.__name__: run
    for run in (
        facts,
        presets,
        card,
        unknown_option,
        shapes,
        terms,
        gradients,
        determinism,
        sample_mean,
        ignored,
        deploy,
        export,
        recomputation,
        bf16,
        panels,
        overfit,
    )
}


def _part(batch: Batch, index: int) -> Batch:
    return as_batch(batch["image"][index : index + 1], batch["mask"][index : index + 1])


def _sizes(method: Method) -> list[tuple[int, int]]:
    """An odd size (where the method takes any), and the smallest."""
    step = method.info.divisor
    return [(-(-65 // step) * step, -(-97 // step) * step), (method.info.min_size, method.info.min_size)]
