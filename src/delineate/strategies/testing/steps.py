"""Checks of training: terms, reference, state, and several processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from unittest.mock import patch

import torch
from torch import Tensor, nn

from delineate.methods.contract import Batch, Context
from delineate.methods.testing.examples import dice
from delineate.strategies import registry
from delineate.strategies.contract import METHOD_PREFIX, Strategy
from delineate.strategies.testing.examples import FIRST, Trainer, batch, build, place, train

__all__ = [
    "STEPS",
    "cost",
    "determinism",
    "gradients",
    "learns",
    "own_state",
    "processes",
    "reference",
    "resume",
    "targets",
    "terms",
]

_Objective = Callable[[Batch, Context], dict[str, Tensor]]


def terms(name: str) -> None:
    """Each update gives named scalars, finite and float32, for 1 class and 4, in float32 and under bfloat16, with images without
    masks among the batch, with these alone, and with none of them."""
    for classes in (1, 4):
        for labeled in ("some", "none", "all"):
            strategy = build(name, classes=classes)
            for update in strategy.updates(strategy.stage):
                place(strategy, update)
                made = batch(labeled=labeled, classes=classes)
                _sound(strategy(made), f"update '{update.name}', {labeled} with masks")
                with torch.autocast("cpu", torch.bfloat16):
                    found = strategy(made)
                _sound(found, f"update '{update.name}' in bfloat16")


def targets(name: str) -> None:
    """What a method asks for beside masks (`DenseMethod.targets`) reaches it, changed as masks are."""
    strategy = build(name)
    for update in strategy.updates(strategy.stage):
        place(strategy, update)
        made, seen = batch(), list[Batch]()
        made["target"] = made["unaugmented_target"] = made["mask"].float()
        with patch.object(strategy.method, "objective", _noting(strategy.method.objective, seen)):
            strategy(made)
        for one in seen:
            for key in ("target", "unaugmented_target"):
                assert key in one, f"the method is given a batch without '{key}', which it may have asked for"
                assert len(one[key]) == len(one["mask"]), f"'{key}' of the batch is of other samples than the masks"
            assert torch.equal(one["target"], one["mask"].float()), (
                "the batch's masks are changed, and its 'target' not alike"
            )


def gradients(name: str) -> None:
    """Every parameter that an update moves gets a finite gradient, also without any mask; the average is moved by none."""
    for labeled in ("some", "none"):
        trainer = Trainer(build(name))
        names = {id(parameter): key for key, parameter in trainer.strategy.named_parameters()}
        for update in trainer.updates:
            moved = trainer.moved[update.name]
            assert moved, f"update '{update.name}' moves nothing"
            trainer.backward(update, batch(labeled=labeled), FIRST, 0)
            for parameter in moved:
                key = names[id(parameter)]
                assert not key.startswith("average."), f"update '{update.name}' moves the average"
                assert parameter.grad is not None, f"no gradient reaches {key} in update '{update.name}'"
                assert torch.isfinite(parameter.grad).all(), f"the gradient of {key} is not finite"


def determinism(name: str) -> None:
    """Terms follow from weights, batch and the context's generator; in eval mode not even the generator matters."""
    first, second = build(name), build(name)
    for update in first.updates(first.stage):
        for mode, seeds in ((True, (3, 3)), (False, (3, 4))):
            found = []
            for strategy, seed in zip((first, second), seeds, strict=True):
                strategy.train(mode)
                place(strategy, update, seed=seed)
                torch.manual_seed(1)
                found.append(strategy(batch()))
            said = "not reproducible" if mode else "random in eval mode"
            assert _same(*found), f"update '{update.name}' is {said}: {found[0]} and {found[1]}"


def reference(name: str) -> None:
    """With its `neutral` options it is its reference, bit for bit: images without masks are not asked for, nothing more is passed
    through a network, no more numbers are drawn."""
    cls = registry.strategy_class(name)
    info = cls.info
    neutral = registry.checked_options(name, info.neutral)
    known = registry.strategy_class(info.reference).Options.model_fields
    shared = {key: value for key, value in neutral.model_dump().items() if key in known}
    other = registry.checked_options(info.reference, {**shared, **info.reference_options})
    wanted = registry.strategy_class(info.reference)
    if not (wanted.info.uses_unlabeled and wanted.uses_unlabeled(other)):
        uses = info.uses_unlabeled and cls.uses_unlabeled(neutral)
        assert not uses, f"with {dict(info.neutral)} it still asks for images without masks"
    mine = build(name, neutral.model_dump())
    theirs = build(info.reference, other.model_dump())
    updates, expected = mine.updates(mine.stage), theirs.updates(theirs.stage)
    assert updates == expected, f"its updates are not those of '{info.reference}'"
    ours, peers = Trainer(mine), Trainer(theirs)
    for step in range(FIRST, FIRST + 4):
        seen = [_trained(trainer, step) for trainer in (ours, peers)]
        assert seen[0][0] == seen[1][0], (
            f"a step passes {seen[0][0]} layers, where '{info.reference}' passes {seen[1][0]}"
        )
        assert seen[0][1] == seen[1][1], f"a step draws other random numbers than '{info.reference}'"
        weights = [trainer.strategy.method.state_dict() for trainer in (ours, peers)]
        assert _same(*weights), f"the weights are not those of '{info.reference}'"
    assert _same(mine.validated().state_dict(), theirs.validated().state_dict()), "another network is validated"


def cost(name: str) -> None:
    """A step costs what is declared (`StrategyInfo.step_cost`), late in a stage and with masks for half of the batch."""
    wanted = registry.strategy_class(name).info.step_cost
    found = _passed(build(name), "some") / _passed(build("supervised"), "all")
    assert abs(found - wanted) < 0.01, (
        f"a step costs {found:.2f} supervised ones, and {wanted} are declared (step_cost)"
    )


def own_state(name: str) -> None:
    """What is handed on is the method, no larger than it was; all else is the strategy's own, and is saved."""
    strategy = build(name)
    plain = _shapes(build("supervised").method)
    train([Trainer(strategy)], _steps(2))
    assert _shapes(strategy.method) == plain, "the method has grown by what only training needs"
    kept = strategy.validated()
    assert type(kept) is type(strategy.method), f"validated() gives a {type(kept).__name__}"
    assert _shapes(kept) == plain, "what is validated is not of the method's shape"
    assert not [key for key in strategy.own_state() if key.startswith(METHOD_PREFIX)], (
        "own_state() holds the method too"
    )


def resume(name: str) -> None:
    """Taken up from what is saved, on one process or two, training goes on with the same bits: all that it needs is saved."""
    for count in (1, 2):
        whole = [Trainer(build(name)) for _ in range(count)]
        train(whole, _steps(3))
        saved = whole[0].state()
        again = [Trainer(build(name, seed=5)) for _ in range(count)]
        for trainer in again:
            trainer.load(saved)
        for trainers in (whole, again):
            train(trainers, _steps(3, FIRST + 3))
        states = [trainers[0].strategy.state_dict() for trainers in (whole, again)]
        lost = [key for key, value in states[0].items() if not torch.equal(value, states[1][key])]
        assert not lost, f"resumed on {count} process(es), it ends with another {lost[0]}"


def processes(name: str) -> None:
    """Two processes hold equal weights. Unless samples are declared to be coupled, they train to those of one process, where no
    random numbers are drawn (in eval mode)."""
    pair = [Trainer(build(name)) for _ in range(2)]
    train(pair, _steps(3))
    for (key, one), (_, two) in zip(*(trainer.strategy.named_parameters() for trainer in pair), strict=True):
        assert torch.equal(one, two), f"{key} differs between two processes"
    if registry.strategy_class(name).info.couples_samples:
        return
    alone, *pair = (Trainer(build(name).eval()) for _ in range(3))
    train([alone], _steps(3))
    train(pair, _steps(3))
    for (key, one), (_, two) in zip(*(t.strategy.named_parameters() for t in (alone, pair[0])), strict=True):
        gap = float((one - two).detach().abs().max())
        assert gap < 1e-5, f"two processes train to another {key} than one, by up to {gap:.1e}"


def learns(name: str) -> None:
    """It teaches the method what the masks of two images show."""
    strategy = build(name)
    trainer, made = Trainer(strategy), batch()
    for optimizer in trainer.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] *= 5
    seen, score = made["labeled"], 0.0
    for first in range(FIRST, FIRST + 200, 20):
        train([trainer], dict.fromkeys(range(first, first + 20), made))
        with torch.no_grad():
            score = dice(strategy.validated()(made["image"][seen]), made["mask"][seen])
        if score > 0.9:
            return
    raise AssertionError(f"Dice {score:.3f} on two images after 200 steps")


STEPS = (terms, targets, gradients, determinism, reference, cost, own_state, resume, processes, learns)


def _steps(count: int, first: int = FIRST) -> dict[int, Batch]:
    return {step: batch(seed=step) for step in range(first, first + count)}


def _noting(objective: _Objective, seen: list[Batch]) -> _Objective:
    """The objective, which notes its batches."""

    def noting(batch: Batch, ctx: Context) -> dict[str, Tensor]:
        seen.append(batch)
        return objective(batch, ctx)

    return noting


def _trained(trainer: Trainer, step: int) -> tuple[int, list[bytes]]:
    """Make a step with masks alone: how often a layer of any network was passed, and the generators' states afterwards."""
    strategy, calls, states = trainer.strategy, [0], []

    def count(*_: object) -> None:
        calls[0] += 1

    hooks = [module.register_forward_hook(count) for module in strategy.modules() if not list(module.children())]
    for update in trainer.updates:
        ctx = trainer.backward(update, batch(labeled="all", seed=step), step, 0)
        trainer.optimizers[update.name].step()
        states += [bytes(state.tolist()) for state in (ctx.generator.get_state(), torch.get_rng_state())]
    strategy.after_step(ctx)
    for hook in hooks:
        hook.remove()
    return calls[0], states


def _passed(strategy: Strategy, labeled: str) -> float:
    """Images that a mean step passes through layers of networks of the method's form: with a gradient as three, without as one."""
    passed, every = 0.0, 1

    def count(_: nn.Module, images: tuple[Tensor, ...], found: Tensor) -> None:
        nonlocal passed
        passed += len(images[0]) * (3 if found.requires_grad else 1) / every

    networks = [network for network in strategy.modules() if isinstance(network, type(strategy.method))]
    hooks = [
        layer.register_forward_hook(count)
        for network in networks
        for layer in network.modules()
        if not list(layer.children())
    ]
    trainer = Trainer(strategy)
    for update in trainer.updates:
        every = update.every
        trainer.backward(update, batch(labeled=labeled), FIRST, 0)
    for hook in hooks:
        hook.remove()
    return passed


def _sound(found: Mapping[str, Tensor], where: str) -> None:
    assert found, f"{where}: no term"
    for key, value in found.items():
        assert value.ndim == 0, f"{where}: term '{key}' is not a scalar"
        assert value.dtype == torch.float32, f"{where}: term '{key}' is {value.dtype}"
        assert torch.isfinite(value), f"{where}: term '{key}' is not finite"


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """The same names, with bit-equal tensors?"""
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())
