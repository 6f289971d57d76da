"""What each strategy for images without masks does beyond its loss: dropout of channels, second networks, parts of a stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from delineate.common.errors import RecipeError
from delineate.data.core.regions import Region
from delineate.engine.parameter_groups import make_optimizer
from delineate.engine.recipe import resolve
from delineate.methods.contract import Batch, Context, Stage
from delineate.methods.dense import FeatureMaps
from delineate.methods.testing.examples import tiny
from delineate.nn.losses import cross_entropy
from delineate.nn.ramps import sigmoid_ramp
from delineate.strategies import registry
from delineate.strategies.bcp.strategy import BidirectionalCopyPaste
from delineate.strategies.contract import Strategy
from delineate.strategies.cps.strategy import CrossPseudoSupervision
from delineate.strategies.testing.examples import FIRST, Trainer, batch, build, place, train
from delineate.strategies.ua_mt.strategy import UncertaintyAwareMeanTeacher, _dropout
from delineate.strategies.unimatch.strategy import UniMatch

LEARN_FROM_IMAGES_ALONE = [name for name in registry.names() if registry.strategy_class(name).info.uses_unlabeled]


def placed(name: str, options: dict[str, Any] | None = None, *, step: int = FIRST, classes: int = 1) -> Any:
    strategy = build(name, options, classes=classes)
    place(strategy, strategy.updates(strategy.stage)[0], step)
    return strategy


@pytest.mark.parametrize("name", LEARN_FROM_IMAGES_ALONE)
def test_masks_of_images_without_masks_are_never_read(name: str) -> None:
    """Whatever stands in their place, the terms are the same."""
    made, other = batch(classes=4), batch(classes=4)
    other["mask"][~other["labeled"]] = 3
    found = [placed(name, classes=4)(one) for one in (made, other)]
    assert {key: float(term.detach()) for key, term in found[0].items()} == {
        key: float(term.detach()) for key, term in found[1].items()
    }


@pytest.mark.parametrize("name", ["condseg", "mslkseg", "unet"])
@pytest.mark.parametrize("strategy", LEARN_FROM_IMAGES_ALONE)
def test_every_stage_of_a_method_is_trained(strategy: str, name: str) -> None:
    """Stages that validate a part of the network, deep supervision, several terms."""
    held = tiny(name, classes=4)
    trained = registry.build(strategy, held).train()
    made = batch(classes=4)
    made["image"], made["mask"] = made["image"].repeat(1, 1, 2, 2), made["mask"].repeat(1, 2, 2)
    for stage in held.stages():
        trained.begin(stage, trained.options)
        for update in trained.updates(stage):
            trained.update = update
            trained.ctx = Context(stage.name, FIRST, 100, torch.Generator().manual_seed(0))
            terms = trained(made)
            total = torch.stack([term.float() for term in terms.values()]).sum()
            total.backward()
            assert bool(torch.isfinite(total))
            assert len(terms) > 1
        trained.after_step(trained.ctx)


@pytest.mark.parametrize("strategy", LEARN_FROM_IMAGES_ALONE)
def test_nested_regions(strategy: str) -> None:
    """Each region has a probability of its own, also in what the networks say to each other."""
    regions = (Region(name="whole", classes=(1, 2), paints=1), Region(name="core", classes=(2,), paints=2))
    held = tiny("unet", classes=2, regions=regions)
    trained = registry.build(strategy, held).train()
    trained.begin(held.stages()[0], trained.options)
    place(trained, trained.updates(trained.stage)[0])
    made = batch(classes=3)
    made["image"], made["mask"] = made["image"].repeat(1, 1, 2, 2), made["mask"].repeat(1, 2, 2)
    terms = trained(made)
    torch.stack([term.float() for term in terms.values()]).sum().backward()
    assert all(bool(torch.isfinite(term)) for term in terms.values())
    assert len(terms) > 2


def test_the_ramp() -> None:
    assert sigmoid_ramp(0, 0) == sigmoid_ramp(1, 1) == sigmoid_ramp(0.9, 0.3) == 1
    assert sigmoid_ramp(0, 1) == pytest.approx(0.0067379, rel=1e-4)


def test_channels_are_divided_between_two_views() -> None:
    strategy = placed("unimatch")
    assert isinstance(strategy, UniMatch)
    maps = FeatureMaps([torch.ones(8, 64, 4, 4), torch.ones(8, 16, 2, 2)], (8, 8))
    for level in strategy.divided(maps).levels:
        one, other = level[:4, :, 0, 0], level[4:, :, 0, 0]
        assert torch.equal(one + other, torch.full_like(one, 2))
        divided = (one != 1).any(1)
        assert int(divided.sum()) == 2, "half of the images"
        assert set(one[divided].unique().tolist()) == {0.0, 2.0}
        assert torch.equal(one[~divided], torch.ones_like(one[~divided]))
    same = [(level[:4, 0, 0, 0] != 1) | (level[:4, 1:, 0, 0] != 1).any(1) for level in strategy.divided(maps).levels]
    assert torch.equal(same[0], same[1]), "the same images at each level"


@pytest.mark.parametrize(("count", "share", "wanted"), [(1, 0.5, 1), (3, 0.5, 2), (5, 0.5, 3), (10, 0.9, 9), (3, 1, 3)])
def test_of_an_odd_number_of_images_the_larger_half_is_divided(count: int, share: float, wanted: int) -> None:
    """As in the authors' code, where the number that stays whole is rounded down; else of a single image nothing was dropped."""
    strategy = placed("unimatch", {"channel_dropout": share})
    level = strategy.divided(FeatureMaps([torch.ones(2 * count, 64, 2, 2)], (8, 8))).levels[0]
    assert int((level[:count, :, 0, 0] != 1).any(1).sum()) == wanted


@pytest.mark.parametrize("count", [1, 3])
def test_unimatch_with_few_images_without_masks(count: int) -> None:
    made = batch(count, labeled="none")
    assert all(bool(torch.isfinite(term)) for term in placed("unimatch")(made).values())


def test_a_stage_that_validates_a_part_drops_no_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = placed("unimatch")
    strategy.begin(replace(strategy.stage, logits="encoder_logits"), strategy.options)
    monkeypatch.setattr(type(strategy.method), "encoder_logits", type(strategy.method).forward, raising=False)
    monkeypatch.setattr(UniMatch, "divided", lambda *_: pytest.fail("channels were dropped"))
    strategy(batch())


def test_only_sure_pixels_count() -> None:
    strategy = placed("fixmatch", {"threshold": 1.0})
    assert float(strategy(batch())["confident"].detach()) == 0
    assert float(placed("fixmatch", {"threshold": 0.0})(batch())["confident"].detach()) > 0


def test_the_teachers_dropout_is_on_in_its_passes_alone() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Dropout2d(0.5)).eval()
    with _dropout(network, True):  # type: ignore[arg-type]
        assert [part.training for part in network] == [True, False, True]
    assert [part.training for part in network] == [False, False, False]
    with _dropout(network, False):  # type: ignore[arg-type]
        assert not any(part.training for part in network)


def test_ua_mt_counts_fewer_pixels_with_a_lower_threshold() -> None:
    strategy = placed("ua-mt", step=0)
    assert isinstance(strategy, UncertaintyAwareMeanTeacher)
    assert strategy.threshold() == pytest.approx(0.75, abs=0.002)
    assert placed("ua-mt", {"least": 0}, step=0).threshold() == pytest.approx(0.0067, abs=1e-4)


# cross pseudo supervision


def cross(options: dict[str, Any] | None = None) -> CrossPseudoSupervision:
    strategy = placed("cps", options)
    assert isinstance(strategy, CrossPseudoSupervision)
    return strategy


def test_the_second_network_begins_with_other_numbers() -> None:
    strategy = cross()
    assert strategy.second is not None
    for (name, one), (_, two) in zip(
        strategy.method.named_parameters(), strategy.second.named_parameters(), strict=True
    ):
        assert one.shape == two.shape
        if one.ndim > 1:
            assert not torch.equal(one, two), name
    assert type(strategy.second) is type(strategy.method)
    assert strategy.second.output == strategy.method.output


def test_both_learn_from_masks_and_from_each_other() -> None:
    strategy = cross()
    terms = strategy(batch())
    own = [name for name in terms if not name.startswith("second_") and name != "cross"]
    assert own
    assert set(terms) == {*own, *(f"second_{name}" for name in own), "cross"}
    (update,) = strategy.updates(strategy.stage)
    assert update.modules == ("method", "second")
    assert cross({"weight": 0}).updates(strategy.stage)[0].modules == ("method",)


def test_the_second_networks_masks_move_the_first_alone() -> None:
    """No gradient flows through the masks."""
    strategy = cross({"ramp": 0})
    assert strategy.second is not None
    output, image = strategy.method.output, batch()["image"]
    found = strategy.added(image)
    first, second = strategy.method(image), strategy.second(image)
    wanted = cross_entropy(first, output.hard_target(second)) + cross_entropy(second, output.hard_target(first))
    torch.testing.assert_close(found, wanted)


def test_rates_of_parts_hold_for_both_networks() -> None:
    held = tiny("unet")
    strategy = registry.build("cps", held)
    strategy.begin(held.stages()[0], strategy.options)
    settings = resolve(
        "unet", "tiny", {"strategy": {"name": "cps"}}, ["engine.lr_scale={encoder: 0.1}"]
    ).stage_settings("train")
    optimizer = make_optimizer(strategy, strategy.updates(strategy.stage)[0], settings)
    names = {id(parameter): name for name, parameter in strategy.named_parameters()}
    slow = {names[id(p)] for group in optimizer.param_groups if group["scale"] == 0.1 for p in group["params"]}
    assert {name.partition(".")[0] for name in slow} == {"method", "second"}
    assert all(name.partition(".")[2].startswith("encoder.") for name in slow)


def test_which_networks_may_become_the_model() -> None:
    strategy = cross()
    assert strategy.candidates() == (strategy.method, strategy.second)
    assert strategy.companion() is None
    assert cross({"kept": "first"}).candidates()[1:] == ()
    both = cross({"kept": "both"})
    assert (both.candidates(), both.companion()) == ((both.method,), both.second)
    assert (both_averaged := cross({"kept": "both", "ema": 0.5})).companion() is both_averaged.second_average
    averaged = cross({"ema": 0.5})
    assert averaged.candidates() == (averaged.average, averaged.second_average)
    strategy.stage = Stage("earlier")
    assert strategy.candidates() == (strategy.method,)
    both.stage = Stage("earlier")
    assert both.companion() is None


def test_both_averages_follow() -> None:
    strategy = cross({"ema": 0.5})
    assert strategy.second is not None
    assert strategy.second_average is not None
    before = {name: value.clone() for name, value in strategy.second_average.named_parameters()}
    train([Trainer(strategy)], {FIRST: batch()})
    for name, value in strategy.second.named_parameters():
        torch.testing.assert_close(strategy.second_average.get_parameter(name), 0.5 * (before[name] + value))
    assert not strategy.train().second_average.training  # type: ignore[union-attr]


def test_a_stage_cannot_ask_for_a_network_that_is_not_there() -> None:
    strategy = build("cps", {"weight": 0})
    with pytest.raises(RecipeError, match="there is no second network"):
        strategy.begin(strategy.stage, registry.checked_options("cps", {"weight": 0.1}))


# copy-paste


def pasting(options: dict[str, Any] | None = None, *, step: int = FIRST) -> BidirectionalCopyPaste:
    strategy = placed("bcp", options, step=step)
    assert isinstance(strategy, BidirectionalCopyPaste)
    return strategy


def recorded(strategy: Strategy, made: Batch, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    seen: list[Batch] = []

    def objective(batch: Batch, ctx: Context) -> dict[str, Tensor]:
        seen.append(batch)
        return {"loss": strategy.method(batch["image"]).mean()}

    monkeypatch.setattr(strategy.method, "objective", objective)
    strategy(made)
    return seen


def test_at_first_images_with_masks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    (seen,) = recorded(pasting(step=24), batch(), monkeypatch)
    assert len(seen["mask"]) == 2
    assert bool((seen["mask"] != 255).all())


@pytest.mark.parametrize("labeled", [1, 2, 3])
def test_then_pairs_of_both_kinds(labeled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are of the more frequent kind; each pixel is learned once, from one of the two images."""
    made = batch(4, labeled="all")
    made["labeled"] = torch.arange(4) < labeled
    made["mask"][~made["labeled"]] = 255
    made["target"] = made["mask"].float()
    own, pseudo = recorded(pasting(step=25), made, monkeypatch)
    assert len(own["mask"]) == max(labeled, 4 - labeled)
    assert torch.equal(own["image"], pseudo["image"])
    given, made_up = own["mask"] != 255, pseudo["mask"] != 255
    assert torch.equal(given, ~made_up)
    assert torch.equal(own["target"], own["mask"].float())
    assert torch.equal(pseudo["target"], pseudo["mask"].float())
    for index in range(len(given)):
        image, where = own["image"][index], given[index]
        assert torch.equal(image[:, where], made["image"][:labeled][index % labeled][:, where])
        assert torch.equal(image[:, ~where], made["image"][labeled:][index % (4 - labeled)][:, ~where])


def test_the_teacher_is_the_student_until_the_second_part() -> None:
    strategy = pasting()
    train([Trainer(strategy)], {step: batch(seed=step) for step in (23, 24)})
    assert strategy.average is not None
    for name, value in strategy.method.named_parameters():
        assert torch.equal(value, strategy.average.get_parameter(name))
    train([Trainer(strategy)], {25: batch()})
    moved = [torch.equal(p, strategy.average.get_parameter(name)) for name, p in strategy.method.named_parameters()]
    assert not any(moved)


def test_a_weight_of_zero_makes_no_second_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(recorded(pasting({"pseudo_weight": 0}), batch(), monkeypatch)) == 1


def test_options_of_a_strategy_are_described_with_their_origin() -> None:
    for name in LEARN_FROM_IMAGES_ALONE:
        for option, field in registry.strategy_class(name).Options.model_fields.items():
            origin = (field.json_schema_extra or {}).get("origin")  # type: ignore[union-attr]
            assert origin in ("paper", "reading") or option in ("ema", "ema_ramp"), f"{name}.{option}"
