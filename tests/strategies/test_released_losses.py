"""Terms on images without masks against released training scripts, for given logits (`golden/make_label_efficient.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from delineate.methods.contract import Batch, Context
from delineate.nn.losses import cross_entropy
from delineate.nn.ramps import sigmoid_ramp
from delineate.nn.views.copy_paste import CopyPaste
from delineate.nn.views.cutmix import CutMix
from delineate.nn.views.strong import StrongView
from delineate.strategies import registry
from delineate.strategies.bcp.strategy import BidirectionalCopyPaste
from delineate.strategies.confident_labels import ConfidentLabels
from delineate.strategies.contract import Strategy
from delineate.strategies.cps.strategy import CrossPseudoSupervision
from delineate.strategies.testing.examples import method, place
from delineate.strategies.ua_mt.strategy import UncertaintyAwareMeanTeacher

GOLDEN = Path(__file__).parents[1] / "golden" / "label_efficient.npz"


def golden(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN) as file:
        return {key.partition("/")[2]: torch.from_numpy(file[key]) for key in file.files if key.startswith(f"{name}/")}


def begun(name: str, options: Mapping[str, Any], *, step: int = 90) -> Any:
    strategy = registry.build(name, method(classes=4), registry.checked_options(name, options)).train()
    strategy.begin(strategy.method.stages()[0], strategy.options)
    place(strategy, strategy.updates(strategy.stage)[0], step)
    return strategy


def answering(
    strategy: Strategy, student: Tensor, teacher: Iterator[Tensor], monkeypatch: pytest.MonkeyPatch
) -> Tensor:
    """Both networks answer with given logits; those of the student, to be differentiated."""
    student = student.clone().requires_grad_()

    def logits_of(network: object) -> Any:
        return lambda image: student if network is strategy.method else next(teacher)

    monkeypatch.setattr(strategy, "logits_of", logits_of)
    return student


def agrees(loss: Tensor, variables: list[Tensor], wanted: dict[str, Tensor]) -> None:
    torch.testing.assert_close(loss.detach(), wanted["loss"], rtol=1e-5, atol=1e-7)
    found = torch.cat(torch.autograd.grad(loss, variables))
    torch.testing.assert_close(found, wanted["gradient"], rtol=1e-4, atol=1e-8)


def test_mean_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = golden("mean-teacher")
    strategy = begun("mean-teacher", {"view": "none"})
    student = answering(strategy, wanted["student"], iter([wanted["teacher"]]), monkeypatch)
    agrees(strategy.added(torch.rand(2, 1, 12, 12)), [student], wanted)


def test_ua_mt_with_the_authors_entropy_of_two_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = golden("ua-mt")
    strategy = begun("ua-mt", {"largest": "two-classes"}, step=50)
    assert isinstance(strategy, UncertaintyAwareMeanTeacher)
    assert strategy.threshold() == pytest.approx(0.75 + 0.25 * sigmoid_ramp(0.5, 1))
    calls = iter([wanted["teacher"], *wanted["passes"], *wanted["passes"]])
    student = answering(strategy, wanted["student"], calls, monkeypatch)
    loss = strategy.added(image := torch.rand(2, 1, 12, 12))
    assert torch.equal(strategy.sure(image), wanted["counted"].bool())
    assert 0 < wanted["counted"].mean() < 1
    agrees(loss, [student], wanted)


def test_cps(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = golden("cps")
    strategy = begun("cps", {})
    assert isinstance(strategy, CrossPseudoSupervision)
    second = wanted["second"].clone().requires_grad_()
    first = answering(strategy, wanted["first"], iter([second]), monkeypatch)
    agrees(strategy.added(torch.rand(2, 1, 12, 12)), [first, second], wanted)


def test_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs is of ln(p + 1e-6)."""
    wanted = golden("entropy")
    strategy = begun("entropy", {"on": "all"})
    student = answering(strategy, wanted["student"], iter([]), monkeypatch)
    loss = strategy.added(torch.rand(4, 1, 12, 12))
    torch.testing.assert_close(loss.detach(), wanted["loss"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.autograd.grad(loss, student)[0], wanted["gradient"], rtol=1e-3, atol=1e-7)


def test_unimatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other image of a box is the one before, theirs the one at the other end of the batch: of two the same."""
    wanted = golden("unimatch")
    strategy = begun("unimatch", {"channel_dropout": 0})
    assert isinstance(strategy, ConfidentLabels)
    student = answering(strategy, wanted["student"], iter([wanted["teacher"]]), monkeypatch)
    boxes, images = iter(wanted["boxes"].bool()), iter(wanted["images"])
    monkeypatch.setattr(CutMix, "draw", lambda *_, **__: CutMix(next(boxes)))
    monkeypatch.setattr(StrongView, "image", lambda *_: next(images))
    shown: list[Tensor] = []
    plain = strategy.student  # type: ignore[attr-defined]
    monkeypatch.setattr(strategy, "student", lambda image: shown.append(image) or plain(image))
    agrees(strategy.added(torch.rand(2, 3, 12, 12)), [student], wanted)
    torch.testing.assert_close(shown[0], wanted["mixed"].flatten(0, 1), rtol=0, atol=0)


def test_bcp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their loss is a sum over the two kinds of mixed images, ours a mean."""
    wanted = golden("bcp")
    strategy = begun("bcp", {})
    assert isinstance(strategy, BidirectionalCopyPaste)
    student = answering(strategy, wanted["student"], iter([wanted["teacher"]]), monkeypatch)
    monkeypatch.setattr(strategy, "box", lambda _: CopyPaste(wanted["box"].bool()))
    seen: list[Batch] = []

    def objective(batch: Batch, ctx: Context) -> dict[str, Tensor]:
        seen.append(batch)
        return {"cross_entropy": cross_entropy(student, batch["mask"])}

    monkeypatch.setattr(strategy.method, "objective", objective)
    images, masks = wanted["image"], torch.cat((wanted["mask"], torch.full((4, 12, 12), 255)))
    labeled = torch.arange(8) < 4
    terms = strategy(Batch(image=images, mask=masks, labeled=labeled, sample_id=list("abcdefgh")))
    assert sorted(terms) == ["cross_entropy", "pseudo_cross_entropy"]
    assert torch.equal(seen[0]["image"], wanted["mixed"])
    assert torch.equal(torch.where(seen[1]["mask"] == 255, 255, wanted["pseudo"]), seen[1]["mask"])
    assert torch.equal((seen[0]["mask"] == 255), (seen[1]["mask"] != 255))
    agrees(2 * torch.stack(list(terms.values())).sum(), [student], wanted)
