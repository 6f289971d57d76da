"""What a stage will cost, told after its first steps; a dry run of all stages; memory that does not suffice."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from delineate.common.errors import DeviceError, RecipeError, TrainingError
from delineate.data.core.input_spec import InputSpec
from delineate.engine import build, estimate, loop
from delineate.engine.dry_run import estimate_training
from delineate.engine.estimate import StageClock, StageCost
from delineate.engine.loop import StageRun
from delineate.engine.memory import peak_bytes, shown_bytes
from delineate.engine.memory_advice import ways_to_save_memory
from delineate.engine.recipe import resolve
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.device import is_out_of_memory
from delineate.methods import registry
from delineate.methods.contract import Stage
from delineate.methods.unet.network import UNet

Maker = Callable[..., TrainRequest]


class Clock:
    """Seconds that a test turns by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def stepped(clock: StageClock, hand: Clock, steps: range, seconds: float) -> list[int]:
    """The steps after which the cost has become known."""
    known = []
    for step in steps:
        hand.now += seconds
        if clock.stepped(step):
            known.append(step)
    return known


def test_steps_are_measured_from_the_second_on() -> None:
    hand = Clock()
    clock = StageClock(100, 30, clock=hand)
    hand.now += 50  # the first step warms up
    assert not clock.stepped(1)
    assert stepped(clock, hand, range(2, 6), 0.6) == [3]
    clock.expect(4.0)
    cost = clock.cost(3)
    assert cost == StageCost(97, pytest.approx(0.6), 4, 4.0)  # validated at 30, 60, 90 and 100
    assert cost.seconds == pytest.approx(97 * 0.6 + 4 * 4)
    assert cost.words() == "about 74 s: 97 steps of 0.6 s, 4 validations of about 4.0 s"
    assert replace(cost, validates=False).words().endswith("97 steps of 0.6 s, 4 checkpoints of about 4.0 s")


def test_quick_steps_are_measured_for_a_second_or_twenty_of_them() -> None:
    hand = Clock()
    assert stepped(StageClock(100, 100, clock=hand), hand, range(1, 50), 0.251) == [5]
    assert stepped(StageClock(100, 100, clock=hand), hand, range(1, 50), 0.001) == [21]
    assert stepped(StageClock(100, 100, clock=hand), hand, range(1, 3), 9) == []


def test_validations_and_checkpoints_are_no_steps() -> None:
    hand = Clock()
    clock = StageClock(10, 1, clock=hand)
    for step in (1, 2, 3):
        hand.now += 2
        clock.stepped(step)
        hand.now += 100
        clock.mark()
    assert clock.step == pytest.approx(2)


@pytest.mark.parametrize(
    ("total", "every", "step", "left"), [(10, 5, 0, 2), (10, 4, 0, 3), (10, 4, 8, 1), (10, 4, 10, 0), (3, 100, 1, 1)]
)
def test_validations_that_are_left(total: int, every: int, step: int, left: int) -> None:
    """Counted as the loop counts them."""
    clock = StageClock(total, every)
    clock.step = 1.0
    assert clock.cost(step).validations == left
    assert left == sum(1 for s in range(step + 1, total + 1) if s % every == 0 or s == total)


def test_the_first_validation_corrects_what_was_told() -> None:
    hand = Clock()
    clock = StageClock(10, 5, clock=hand)
    stepped(clock, hand, range(1, 4), 1.0)
    clock.expect(1.0)
    assert clock.cost(5).seconds == pytest.approx(6)  # 5 steps and a validation
    assert not clock.validated(2.0, 5)  # 7 is near enough
    clock = StageClock(10, 5, clock=hand)
    stepped(clock, hand, range(1, 4), 1.0)
    clock.expect(1.0)
    assert clock.validated(5.0, 5)
    assert clock.cost(5).words() == "about 10 s: 5 steps of 1.0 s, 1 validation of 5.0 s"
    assert not clock.validated(50.0, 6), "corrected once"
    clock.expect(1.0)
    assert clock.cost(5).validation == 50.0, "what was measured is not reckoned any more"


def test_a_thaw_is_measured_anew() -> None:
    hand = Clock()
    clock = StageClock(100, 100, thaws=(10,), clock=hand)
    assert stepped(clock, hand, range(1, 10), 1.0) == [3]
    assert clock.cost(9).words().startswith("at least 2 min: 91 steps of 1.0 s")
    assert "once the frozen parts learn" in clock.cost(9).words()
    assert stepped(clock, hand, range(10, 20), 3.0) == [13]
    assert clock.cost(13).words() == "about 4 min: 87 steps of 3.0 s, 1 validation of about 0 ms"


def test_words() -> None:
    assert StageCost(1, 0.004, 0, 0).words() == "about 0 s: 1 step of 4 ms"
    assert StageCost(1200, 1.7, 10, 14, may_end_early=True).words() == (
        "at most 36 min: 1200 steps of 1.7 s, 10 validations of about 14 s"
    )
    long = StageCost(10, 200, 1, 5000, is_measured=True)
    assert long.words() == "about 1.9 h: 10 steps of 3 min, 1 validation of 83 min"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cost is worth telling, and two steps are measured however quick they are."""
    monkeypatch.setattr(loop, "FIRST", 0.0)
    monkeypatch.setattr(estimate, "_LONG_ENOUGH", 0.0)


def test_a_run_tells_what_is_left_and_is_not_changed_by_that(
    request_for: Maker, recorder: Any, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["strategy.ema=0.9", "engine.early_stop=9", "engine.freeze.encoder=5"]
    told = recorder()
    train(request_for("told", settings=settings), told)
    lines = [note for note in told.notes if "peak memory" in note]
    left = [re.findall(r"(\d+) steps? of [\d.]+ (?:ms|s)", line)[0] for line in lines]
    assert left[0] == "9"
    assert "4" in left, "again after the thaw"
    assert lines[0].startswith("train: at least ")
    assert "of about" in lines[0]
    assert lines[left.index("4")].startswith("train: at most ")
    monkeypatch.setattr(StageClock, "stepped", lambda self, step: False)
    silent = recorder()
    train(request_for("silent", settings=settings), silent)
    assert not any("peak memory" in note for note in silent.notes)
    one, other = (load_file(request_for(name).out / "model.safetensors") for name in ("told", "silent"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_quick_work_says_nothing(request_for: Maker, recorder: Any) -> None:
    seen = recorder()
    train(request_for(steps=4), seen)
    assert not any("peak memory" in note for note in seen.notes)


def test_a_dry_run_measures_every_stage_and_writes_nothing(
    request_for: Maker, tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UNet, "stages", lambda self: (Stage("first", 0.1), Stage("second", 0.9)))
    notes: list[str] = []
    cost = estimate_training(request_for(steps=20, settings=["stages.second.freeze.encoder=4"]), notes.append)
    assert list(cost.stages) == ["first", "second"]
    assert [one.steps for one in cost.stages.values()] == [2, 18]
    assert all(one.step > 0 and one.validation > 0 and one.validations >= 1 for one in cost.stages.values())
    assert cost.seconds == pytest.approx(sum(one.seconds for one in cost.stages.values()))
    assert cost.lines()[0].startswith("first: about ")
    assert re.fullmatch(r"in all about .*, then scores and report; peak memory [\d.]+ [GM]iB", cost.lines()[-1])
    assert any(note.startswith("data: ") for note in notes)
    assert "second: frozen: encoder, for the first 4 of 18 steps" in notes
    assert list(tmp_path.iterdir()) == []


def test_all_processes_of_a_dry_run_make_the_steps_that_the_first_one_wants(
    request_for: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a clock of its own: by these, some would make a step that the others do not, and wait in it for ever."""
    made: list[int] = []
    of_the_first = iter([None, None, None, None, None, 0.25])
    step = StageRun.step

    def noting(self: StageRun, batch: Any) -> None:
        made.append(self.run.progress.step)
        step(self, batch)

    monkeypatch.setattr(StageRun, "step", noting)
    monkeypatch.setattr(loop, "agree_on", lambda fabric, word: next(of_the_first))
    cost = estimate_training(request_for(steps=4))
    assert made == [0, 1, 2, 3, 0, 1], "as in training, so that updates that are due now and then are made now and then"
    assert cost.stages["train"].step == 0.25


def test_a_dry_run_is_one_of_a_new_run(request_for: Maker, recorder: Any) -> None:
    with pytest.raises(RecipeError, match="a dry run is one of a new run, without --resume"):
        estimate_training(request_for(resume=True))
    train(request_for(steps=1), recorder())
    with pytest.raises(TrainingError, match="already holds a run"):
        estimate_training(request_for())


@pytest.mark.parametrize(("device", "images"), [("cpu", 6), ("cuda", 2)])
def test_memory_is_that_of_the_images_in_it(device: str, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes with ten images in micro-batches of two: each GPU has its own memory, and the CPU's is shared."""
    settings = ["engine.batch_size=10", "engine.devices=3", "engine.accumulate=2", "engine.precision=bf16"]
    recipe = resolve("unet", "tiny", {}, settings)
    asked: list[int] = []
    monkeypatch.setattr(build, "training_bytes", lambda build, batch, size, **_: asked.append(batch))
    monkeypatch.setattr(build, "check_memory", lambda *_: None)  # it asks the device
    method, spec = registry.build("unet", options=recipe.method), InputSpec(size=(32, 32))
    build.check_training_memory(recipe, method, spec, torch.device(device))
    assert asked == [images]


def test_a_second_network_takes_as_much_again(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = resolve("unet", "tiny", {"strategy": {"name": "cps"}})
    monkeypatch.setattr(build, "training_bytes", lambda *_, **__: 2**40)
    method, spec = registry.build("unet", options=recipe.method), InputSpec(size=(32, 32))
    with pytest.raises(DeviceError, match=r"a strategy with one network \(--strategy; 'cps' trains 2\)"):
        build.check_training_memory(recipe, method, spec, torch.device("cpu"))
    asked: list[int] = []
    monkeypatch.setattr(build, "check_memory", lambda need, *_: asked.append(need))
    build.check_training_memory(recipe, method, spec, torch.device("cpu"))
    assert asked == [2**41]
    alone = resolve("unet", "tiny", {"strategy": {"name": "cps", "weight": 0}})  # plain training of one network
    build.check_training_memory(alone, method, spec, torch.device("cpu"))
    assert asked == [2**41, 2**40]


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("[enforce fail at alloc_cpu.cpp:72] data. DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 6 GB)"),
        MemoryError("Unable to allocate 2. GiB for an array"),
    ],
)
def test_what_says_that_memory_ran_out(fault: Exception) -> None:
    assert is_out_of_memory(fault)
    assert not is_out_of_memory(RuntimeError("a defect"))


def test_memory_that_runs_out_names_what_helps(
    request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(UNet, "objective", fail)
    with pytest.raises(DeviceError) as caught:
        train(request_for(size=64, settings=["stages.train.batch_size=4"]), recorder())
    assert str(caught.value) == (
        "cpu ran out of memory in stage 'train' with batch 4 at 64×64; try one or more of "
        "--set engine.activation_checkpointing=true, --set engine.accumulate=2, --set engine.precision=bf16, "
        "--set stages.train.batch_size=2, --size 48"
    )


def test_other_errors_keep_their_traceback(request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(UNet, "objective", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        train(request_for(), recorder())


@pytest.mark.parametrize(
    ("settings", "size", "expected"),
    [
        (
            ["engine.batch_size=1"],
            (32, 32),
            ["--set engine.activation_checkpointing=true", "--set engine.precision=bf16"],
        ),
        (
            ["engine.batch_size=6", "engine.devices=3", "engine.accumulate=2", "engine.precision=bf16"],
            (64, 96),
            ["--set engine.activation_checkpointing=true", "--set engine.batch_size=3", "--set input.size=[48,72]"],
        ),
        (
            [
                "engine.batch_size=8",
                "engine.accumulate=3",
                "engine.activation_checkpointing=true",
                "engine.precision=bf16",
            ],
            (32, 32),
            ["--set engine.accumulate=6", "--set engine.batch_size=4"],
        ),
        (
            ["engine.batch_size=1", "engine.activation_checkpointing=true", "engine.precision=bf16"],
            (32, 32),
            ["a smaller network", "another device"],
        ),
    ],
)
def test_ways_to_save_memory(settings: list[str], size: tuple[int, int], expected: list[str]) -> None:
    recipe = resolve("unet", "tiny", {}, settings)
    assert ways_to_save_memory(recipe, "train", UNet.info, size, torch.device("cpu")) == expected


def test_sizes_that_are_advised_can_be_taken() -> None:
    info = replace(UNet.info, divisor=32, min_size=64)
    recipe = resolve("unet", "tiny", {})
    ways = ways_to_save_memory(recipe, "train", info, (224, 224), torch.device("cpu"))
    assert ways[-1] == "--size 160"
    assert "--size" not in " ".join(ways_to_save_memory(recipe, "train", info, (64, 64), torch.device("cpu")))


def test_peak_memory_of_this_process() -> None:
    before = peak_bytes(torch.device("cpu"))
    kept = torch.ones(2**26)  # 256 MiB
    after = peak_bytes(torch.device("cpu"))
    assert before is not None
    assert after is not None
    assert after >= max(before, kept.nbytes)
    assert shown_bytes(640 * 2**20) == "640 MiB"
    assert shown_bytes(int(2.14 * 2**30)) == "2.1 GiB"
