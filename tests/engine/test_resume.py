"""Exact resume: a run killed at any moment and resumed ends with the very bits of one that was not."""

from __future__ import annotations

import json
import os
import signal
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from delineate.common.errors import Interrupted, RecipeError, TrainingError
from delineate.engine.loop import StageRun
from delineate.engine.request import TrainRequest
from delineate.engine.run import train

Maker = Callable[..., TrainRequest]


class Killed(BaseException):
    """Stands for a kill: nothing of the program gets a say."""


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def metrics(run: Path) -> list[dict[str, Any]]:
    """The log without its clock."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "second" not in key} for line in lines]


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def killer(at: int, signal_number: int | None = None) -> Callable[[int], None]:
    def on_step(step: int) -> None:
        if step == at:
            if signal_number is not None:
                os.kill(os.getpid(), signal_number)
            else:
                raise Killed

    return on_step


VARIANTS = {
    "adamw": ["engine.optimizer=adamw"],
    "sgd-ema-accumulate": ["engine.optimizer=sgd", "engine.lr=0.01", "strategy.ema=0.9", "engine.accumulate=2"],
    "bf16": ["engine.precision=bf16"],
    "plateau-clip": ["engine.schedule=plateau", "engine.plateau_patience=1", "engine.clip_norm=1.0"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_runs_end_with_the_same_bits(variant: str, request_for: Maker, recorder: Any) -> None:
    settings = [*VARIANTS[variant], "engine.save_minutes=0.00001"]
    train(request_for("whole", settings=settings), recorder())
    request = request_for("killed", settings=settings)
    resume = request_for("killed", settings=settings, resume=True)
    with pytest.raises(Killed):
        train(request, recorder(killer(3)))
    with pytest.raises(Killed):
        train(resume, recorder(killer(4)))
    train(resume, recorder())
    assert same(request_for("whole").out, request.out)
    assert metrics(request_for("whole").out) == metrics(request.out)


def test_a_kill_before_the_next_state_repeats_the_steps(request_for: Maker, recorder: Any) -> None:
    train(request_for("whole"), recorder())
    with pytest.raises(Killed):
        train(request_for("killed"), recorder(killer(2)))
    resumed = recorder()
    summary = request_for("killed").out / "run.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"status": "running"}))  # as a kill leaves it
    train(request_for("killed", resume=True), resumed)
    assert any("was killed before" in note and "--set engine.accumulate=2" in note for note in resumed.notes)
    assert resumed.steps == 12  # the only state was that of step 0
    assert same(request_for("whole").out, request_for("killed").out)


def test_two_stages(request_for: Maker, recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in each. The second begins with the parameters of the first, and with the statistics from before it."""
    changes = {"method": "condseg", "steps": 8, "settings": []}
    small = ["engine.batch_size=4", "method.width=8", "method.encoder.name=resnet10t"]
    small += ["method.encoder_statistics=initial", "method.soft_masks=true", "method.background_target=unaugmented"]
    small += ["engine.select_by=miou"]
    states = states_about_hand_on(monkeypatch)
    whole = request_for("whole", **changes)
    make = lambda name, resume: TrainRequest(  # noqa: E731
        **{**whole.__dict__, "out": whole.out.parent / name, "resume": resume, "settings": small}
    )
    train(make("whole", False), recorder())
    first, best, handed = (states[key] for key in ("first", "best", "handed"))
    learned = {name for name in first if not torch.equal(first[name], best[name])}
    statistics = {name for name in learned if "running_" in name or "num_batches" in name}
    assert {name.partition(".")[0] for name in learned} == {"encoder", "reinforcement"}
    assert statistics
    assert all(torch.equal(handed[name], (first if name in statistics else best)[name]) for name in first)
    for kill, resume in ((1, False), (3, True)):
        with pytest.raises(Killed):
            train(make("killed", resume), recorder(killer(kill)))
    train(make("killed", True), recorder())
    assert same(whole.out, whole.out.parent / "killed")
    assert metrics(whole.out) == metrics(whole.out.parent / "killed")


def states_about_hand_on(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, torch.Tensor]]:
    """Filled by the next run: the method's state at the beginning of the first stage, at its end, and as it is handed on."""
    states: dict[str, dict[str, torch.Tensor]] = {}
    begin, hand_on = StageRun.train, StageRun.hand_on

    def note(key: str, run: StageRun) -> None:
        states.setdefault(key, {name: tensor.clone() for name, tensor in run.run.method.state_dict().items()})

    def noting_first(run: StageRun) -> None:
        note("first", run)
        begin(run)

    def noting_both(run: StageRun) -> None:
        note("best", run)
        hand_on(run)
        note("handed", run)

    monkeypatch.setattr(StageRun, "train", noting_first)
    monkeypatch.setattr(StageRun, "hand_on", noting_both)
    return states


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_say_how_to_go_on(number: int, request_for: Maker, recorder: Any) -> None:
    with pytest.raises(Interrupted, match=r"after step 5 .*--resume"):
        train(request_for(), recorder(killer(5, number)))
    run = request_for().out
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    resumed = recorder()
    train(request_for(resume=True), resumed)
    assert resumed.steps == 12 - 5
    assert json.loads((run / "run.json").read_text())["status"] == "finished"


def test_resume_without_a_run(request_for: Maker, recorder: Any) -> None:
    with pytest.raises(TrainingError, match="there is no run in"):
        train(request_for(resume=True), recorder())
    assert not request_for().out.exists()


def test_resume_of_a_finished_run(request_for: Maker, recorder: Any) -> None:
    train(request_for(steps=2), recorder())
    with pytest.raises(TrainingError, match="is finished"):
        train(request_for(steps=2, resume=True), recorder())


def test_resume_with_another_recipe(request_for: Maker, recorder: Any) -> None:
    with pytest.raises(Killed):
        train(request_for(), recorder(killer(2)))
    with pytest.raises(RecipeError, match=r"engine\.lr: .* → 0\.5"):
        train(request_for(resume=True, settings=["engine.lr=0.5"]), recorder())
    train(request_for(resume=True, settings=["data.workers=1"]), recorder())


def test_damaged_state(request_for: Maker, recorder: Any) -> None:
    with pytest.raises(Killed):
        train(request_for(), recorder(killer(2)))
    for path in request_for().out.glob("steps/*/training.safetensors"):
        path.write_bytes(b"broken")
    with pytest.raises(TrainingError, match="damaged"):
        train(request_for(resume=True), recorder())


@pytest.mark.parametrize("lacking", ["plateau", "optimizer.main"])
def test_a_state_that_lacks_what_this_version_needs(lacking: str, request_for: Maker, recorder: Any) -> None:
    with pytest.raises(Killed):
        train(request_for(), recorder(killer(2)))
    for path in request_for().out.glob("steps/*/state.json"):
        content = json.loads(path.read_text())
        del content["values"][lacking], content["checksum"]
        checksum = zlib.crc32(json.dumps(content, sort_keys=True).encode())
        path.write_text(json.dumps({**content, "checksum": checksum}))
    with pytest.raises(TrainingError, match=rf"steps: .*'{lacking}'.*continue with the version") as told:
        train(request_for(resume=True), recorder())
    assert "\n" not in str(told.value)
