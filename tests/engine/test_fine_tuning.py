"""Parts that learn slower, later or not at all; exact under resume, in one line where the names are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from delineate.common.errors import RecipeError
from delineate.engine.build import build_method
from delineate.engine.checkpoint import pack_optimizer, unpack_optimizer
from delineate.engine.freezing import apply_frozen_statistics, frozen_always
from delineate.engine.loop import StageRun
from delineate.engine.parameter_groups import make_optimizer
from delineate.engine.recipe import Recipe, StageSettings, resolve
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.engine.submodules import nearest_setting
from delineate.engine.tuning_notes import averaging_note, tuning_notes
from delineate.engine.updates import Updates
from delineate.methods.contract import Stage
from delineate.methods.registry import build
from delineate.methods.unet.network import UNet
from delineate.nn.frozen_batchnorm import batchnorms
from delineate.nn.output import Output
from delineate.nn.recompute import recompute
from delineate.strategies import registry as strategies
from delineate.strategies.contract import Strategy

Maker = Callable[..., TrainRequest]
STAGE = Stage("train")


class Killed(BaseException):
    """Stands for a kill."""


@pytest.fixture
def strategy() -> Strategy:
    method = build("unet", options={"encoder": {"name": "resnet10t"}, "decoder_channels": [16, 16, 8, 8, 8]})
    made = strategies.build("supervised", method)
    made.begin(STAGE, made.options)
    return made


def rates(strategy: Strategy, **settings: Any) -> dict[str, tuple[float, float]]:
    """Parameter → (rate, weight decay)."""
    optimizer = make_optimizer(
        strategy, strategy.updates(STAGE)[0], StageSettings(lr=1.0, weight_decay=0.5, **settings)
    )
    of = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    return {name: of[id(p)] for name, p in strategy.method.named_parameters()}


def test_layers_of_the_encoder_learn_at_falling_rates(strategy: Strategy) -> None:
    found = rates(strategy, layer_decay={"encoder": 0.5}, lr_scale={"encoder": 0.1, "decoder": 0.3})
    # resnet10t: four blocks of one convolutional stage each, below them the stem
    expected = {"conv1.0": 5, "bn1": 5, "layer1.0": 4, "layer2.0": 3, "layer3.0": 2, "layer4.0": 1}
    for name, (rate, decay) in found.items():
        depth = next((d for part, d in expected.items() if name.startswith(f"encoder.network.{part}.")), None)
        if name.startswith("encoder."):
            assert depth is not None or ".conv1." in name, name
            assert rate == pytest.approx(0.1 * 0.5 ** (depth or 5)), name
        else:
            assert rate == (0.3 if name.startswith("decoder.") else 1.0), name
        assert decay == (0.5 if strategy.method.get_parameter(name).ndim > 1 else 0.0)


def test_the_innermost_name_decides(strategy: Strategy) -> None:
    settings = {"encoder": 0.1, "encoder.network.layer4": 0.7}
    for order in (settings, dict(reversed(settings.items()))):
        found = rates(strategy, lr_scale=order)
        assert {rate for name, (rate, _) in found.items() if name.startswith("encoder.network.layer4.")} == {0.7}
        assert {rate for name, (rate, _) in found.items() if name.startswith("encoder.network.layer3.")} == {0.1}
    assert nearest_setting("encoders.a", {"encoder": 1}) is None


def test_frozen_weights_have_no_gradient_until_they_thaw(strategy: Strategy) -> None:
    updates = Updates(strategy, STAGE, StageSettings(freeze={"encoder": 2, "encoder.network.layer4": 0}), 4)
    for step in range(4):
        for _ in updates.due(step):
            still = {name for name, p in strategy.method.named_parameters() if not p.requires_grad}
            encoder = {name for name, _ in strategy.method.named_parameters() if name.startswith("encoder.")}
            layer4 = {name for name in encoder if name.startswith("encoder.network.layer4.")}
            assert still == (encoder - layer4 if step < 2 else set())
            maps = strategy.method.encoder(torch.rand(2, 3, 32, 32))  # type: ignore[operator, union-attr]
            assert [x.requires_grad for x in maps[:4]] == [step >= 2] * 4, "no graph below what learns"


@pytest.mark.parametrize(("value", "steps"), [(0, 0), (3, 3), (99, 10), (0.25, 2), ("stage", 10)])
def test_lengths(value: Any, steps: int, strategy: Strategy) -> None:
    updates = Updates(strategy, STAGE, StageSettings(freeze={"encoder": value}), 10)
    learning = []
    weight = strategy.method.get_parameter("encoder.network.conv1.0.weight")
    for step in range(10):
        learning += [weight.requires_grad for _ in updates.due(step)]
    assert learning == [False] * steps + [True] * (10 - steps)


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[StageRun]:
    """The stages that a run goes through."""
    runs: list[StageRun] = []
    original = StageRun.train

    def spy(self: StageRun) -> None:
        runs.append(self)
        original(self)

    monkeypatch.setattr(StageRun, "train", spy)
    return runs


def test_optimizers_know_nothing_of_what_is_frozen(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = recorded(monkeypatch)
    seen = recorder()
    settings = ["engine.freeze={encoder: 3, decoder.blocks.0: stage}", "engine.weight_decay=0.1"]
    train(request_for(settings=settings, steps=5), seen)
    method, (optimizer,) = runs[0].run.method, runs[0].updates._optimizers.values()
    for name, parameter in method.named_parameters():
        made = optimizer.state[parameter].get("step", 0)
        assert made == (2 if name.startswith("encoder.") else 0 if name.startswith("decoder.blocks.0.") else 5), name
    fresh = build_method(Recipe.load(request_for().out / "recipe.yaml"), Output(method.classes), runs[0].run.spec)
    still = {name for name, p in fresh.named_parameters() if torch.equal(p, method.get_parameter(name))}
    assert {name for name, _ in fresh.named_parameters() if name.startswith("decoder.blocks.0.")} <= still
    assert not any(name.startswith("encoder.") for name in still)
    assert seen.notes.count("train: frozen: encoder, for the first 3 of 5 steps") == 1
    assert seen.notes.count("train: frozen: decoder.blocks.0, for all 5 steps of the stage") == 1


def test_statistics_stay_through_validations_while_scales_learn(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, seen = recorded(monkeypatch), recorder()
    modes: set[tuple[bool, bool]] = set()
    original = UNet.objective

    def objective(self: UNet, batch: Any, ctx: Any) -> Any:
        if self.training:
            modes.add(tuple(any(p.training for p in batchnorms(part)) for part in (self.encoder, self.decoder)))  # type: ignore[arg-type]
        return original(self, batch, ctx)

    monkeypatch.setattr(UNet, "objective", objective)
    train(request_for(settings=["engine.freeze_batchnorm=encoder", "engine.validate_every=0.3"], steps=6), seen)
    assert modes == {(False, True)}
    method = runs[0].run.method
    for part in batchnorms(method.get_submodule("encoder")):
        assert part.num_batches_tracked == 0
        assert torch.equal(part.running_var, torch.ones_like(part.running_var))  # type: ignore[arg-type]
    scales = [part.weight for part in batchnorms(method.get_submodule("encoder"))]
    assert not any(torch.equal(scale, torch.ones_like(scale)) for scale in scales)  # type: ignore[arg-type]
    assert any(note.startswith("train: BatchNorm: ") and "of encoder keep" in note for note in seen.notes)


VARIANTS = {
    "sgd": ["engine.accumulate=2", "engine.optimizer=sgd", "engine.lr=0.01", "engine.weight_decay=0.1"],
    "mean-teacher": ["strategy.name=mean-teacher", "strategy.ramp=0", "engine.activation_checkpointing=true"],
}
TUNED = [
    "engine.freeze={encoder: 4}",
    "engine.freeze_batchnorm=[encoder.network.layer1, encoder.network.layer2]",
    "engine.layer_decay.encoder=0.7",
    "engine.lr_scale.encoder=0.5",
    "engine.save_minutes=0.00001",
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_runs_end_with_the_same_bits(variant: str, request_for: Maker, recorder: Any) -> None:
    """Killed while the encoder is frozen (after step 2) and after it has thawed (step 6)."""

    def die(at: int) -> Callable[[int], None]:
        def on_step(step: int) -> None:
            if step == at:
                raise Killed

        return on_step

    settings = [*TUNED, *VARIANTS[variant]]
    train(request_for("whole", settings=settings, steps=8), recorder())
    for kill, resume in ((3, False), (4, True)):
        with pytest.raises(Killed):
            train(request_for("killed", settings=settings, steps=8, resume=resume), recorder(die(kill)))
    train(request_for("killed", settings=settings, steps=8, resume=True), recorder())
    whole, killed = (load_file(request_for(name).out / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(whole[key], killed[key]) for key in whole)


def test_recomputed_activations_change_nothing() -> None:
    found = []
    for lean in (False, True):
        torch.manual_seed(0)
        method = build(
            "unet", options={"encoder": {"name": "resnet10t"}, "decoder_channels": [16, 16, 8, 8, 8]}
        ).train()
        if lean:
            recompute(method, method.info.checkpoint_modules)
        apply_frozen_statistics(method, ["encoder.network.layer1"])
        method.get_submodule("encoder").requires_grad_(False)
        method(torch.rand(2, 3, 32, 32)).square().mean().backward()
        gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
        found.append(gradients | dict(method.named_buffers()))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(plain, found[1][name]) for name, plain in found[0].items())


def test_stages_have_settings_of_their_own() -> None:
    options = ["method.width=8", "method.encoder.name=resnet10t", "engine.freeze_batchnorm=encoder"]
    own = ["stages.segmentation.freeze.encoder=stage", "stages.segmentation.freeze_batchnorm=[]"]
    recipe = resolve("condseg", "tiny", {}, [*options, *own])
    method = build("condseg", options=recipe.method)
    first, second = (list(tuning_notes(method, recipe.stage_settings(one.name), 7)) for one in method.stages())
    assert first == [f"BatchNorm: {sum(1 for _ in batchnorms(method.encoder))} layers of encoder keep their statistics"]  # type: ignore[arg-type]
    assert second == ["frozen: encoder, for all 7 steps of the stage"]
    assert recipe.stage_key("segmentation", "freeze") == "stages.segmentation.freeze"


def test_rates_are_told() -> None:
    method = build("unet", options={"encoder": {"name": "resnet10t"}})
    settings = StageSettings(
        lr=1e-3, lr_scale={"encoder": 0.1}, layer_decay={"encoder": 0.5}, freeze_batchnorm=("head",)
    )
    assert list(tuning_notes(method, settings, 7)) == [
        "learning rates: encoder 5e-05 to 3.13e-06 (5 groups), the rest 0.001",
        "BatchNorm: head has no such layer",
    ]
    assert list(tuning_notes(method, StageSettings(), 7)) == []


def test_what_is_frozen_is_told_part_by_part() -> None:
    method = build("unet", options={"encoder": {"name": "resnet10t"}})
    freeze = {"encoder": 2, "encoder.network.layer4": "stage", "head": 0, "decoder": 0.5}
    assert list(tuning_notes(method, StageSettings(freeze=freeze), 8)) == [
        "frozen: encoder, for the first 2 of 8 steps",
        "frozen: encoder.network.layer4, for all 8 steps of the stage",
        "frozen: decoder, for the first 4 of 8 steps",
    ]


@pytest.mark.parametrize(("share", "total"), [(0.1, 4), (0.1, 5), (0.49, 1)])
def test_a_share_that_rounds_to_no_step_is_told(share: float, total: int) -> None:
    method = build("unet", options={"encoder": {"name": "resnet10t"}})
    assert list(tuning_notes(method, StageSettings(freeze={"encoder": share}), total)) == [
        f"not frozen: encoder, since a share of {share} of {total} step{'s' * (total > 1)} rounds to none"
    ]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["engine.freeze.encodr=5"], r"engine\.freeze: the method has no submodule 'encodr': did you mean 'encoder'\?"),
        (["stages.train.freeze.encodr=5"], r"stages\.train\.freeze: the method has no submodule 'encodr'"),
        (["engine.layer_decay.network=0.5"], "engine.layer_decay: .*did you mean 'encoder.network'"),
        (
            ["engine.freeze_batchnorm=[head]", "engine.lr_scale.bogus=1"],
            "engine.lr_scale: .*no submodule 'bogus': known: ",
        ),
        (["engine.freeze={encoder: 1, decoder: 1, head: stage}"], "is all that stage 'train' trains .* freeze less"),
        (["engine.freeze.encoder=-1"], "engine.freeze.encoder: say for how long: a number of steps"),
        (["engine.freeze.encoder=1.0"], "engine.freeze.encoder: say for how long"),
        (["engine.freeze.encoder=true"], "engine.freeze.encoder: say for how long"),
        (["engine.freeze.encoder=always"], "or stage"),
        (["engine.freeze=encoder"], "engine.freeze: name the part of the method that it is for: freeze.encoder=VALUE"),
        (["engine.layer_decay=0.75"], "engine.layer_decay: name the part .* layer_decay.encoder=VALUE"),
        (["engine.layer_decay.encoder=0"], "engine.layer_decay.encoder: "),
        (["engine.layer_decay.encoder=1.5"], "engine.layer_decay.encoder: "),
        (["engine.freeze_batchnorm=true"], "engine.freeze_batchnorm: name the parts of the method"),
    ],
)
def test_wrong_settings(settings: list[str], line: str, request_for: Maker, recorder: Any) -> None:
    with pytest.raises(RecipeError, match=line) as caught:
        train(request_for(settings=settings), recorder())
    assert "\n" not in str(caught.value)
    assert not request_for().out.exists()


def test_names_may_be_nested_or_dotted() -> None:
    nested = resolve(
        "unet", "tiny", {}, ["engine.lr_scale.encoder.network=0.1", "engine.freeze={a.b: 3, c: {d: stage}}"]
    )
    assert nested.engine.lr_scale == {"encoder.network": 0.1}
    assert nested.engine.freeze == {"a.b": 3, "c.d": "stage"}
    assert Recipe.model_validate(nested.model_dump(mode="json")) == nested


def test_nothing_to_learn_from_the_loss(request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UNet, "objective", lambda self, batch, ctx: {"size": self.encoder(batch["image"])[0].mean()})
    with pytest.raises(
        RecipeError, match=r"engine\.freeze: no term of update 'main' \(objective\) of stage 'train' depends"
    ):
        train(request_for(settings=["engine.freeze.encoder=stage"]), recorder())


def test_other_rates_do_not_mix_up_what_an_optimizer_holds(strategy: Strategy) -> None:
    """A run that diverged may go on with another `lr_scale`: its moments stay with their parameters, in other groups."""
    (update,) = strategy.updates(STAGE)
    before, after = (
        make_optimizer(strategy, update, StageSettings(lr_scale=scale)) for scale in ({}, {"decoder": 0.1})
    )
    named = dict(strategy.method.named_parameters())
    for number, parameter in enumerate(named.values()):
        parameter.grad = torch.full_like(parameter, float(number))
    before.step()
    unpack_optimizer("o", after, named, *pack_optimizer("o", before, named))
    for name, parameter in named.items():
        assert torch.equal(before.state[parameter]["exp_avg"], after.state[parameter]["exp_avg"]), name


def test_states_of_earlier_versions_name_parameters_by_their_place() -> None:
    weights = {"a": nn.Parameter(torch.zeros(2)), "b": nn.Parameter(torch.zeros(3))}
    optimizer = torch.optim.SGD([{"params": [weights["b"]]}, {"params": [weights["a"]]}], lr=0.1, momentum=0.9)
    state = {"o.0.momentum_buffer": torch.ones(3), "o.1.momentum_buffer": torch.full((2,), 2.0)}
    unpack_optimizer("o", optimizer, weights, state, {})
    assert {name: float(optimizer.state[p]["momentum_buffer"][0]) for name, p in weights.items()} == {
        "a": 2.0,
        "b": 1.0,
    }


def test_what_is_never_trained_in_any_stage() -> None:
    method = build("unet", options={"encoder": {"name": "resnet10t"}})
    encoder = {name for name, _ in method.named_parameters() if name.startswith("encoder.")}
    assert frozen_always(method, [{"encoder": "stage"}, {"encoder": "stage", "head": 3}]) == encoder
    assert frozen_always(method, [{"encoder": "stage"}, {"encoder": 10**6}]) == set()


@pytest.mark.parametrize(
    ("decay", "steps", "said"),
    [
        (101 / 102, 100, "about 102 of its 100 steps"),
        (0.99, 199, "about 100 of its 199 steps"),
        (0.99, 200, None),
        (0, 2, None),
    ],
)
def test_averages_that_lag_are_told(decay: float, steps: int, said: str | None) -> None:
    note = averaging_note(decay, steps)
    assert note is None if said is None else note is not None and said in note
