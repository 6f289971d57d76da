"""Resume states on disk: whole after a kill at any moment; a flipped byte is seen, and the state before it used."""

from __future__ import annotations

import json
import os
import signal
import time
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from delineate.common.errors import TrainingError
from delineate.engine.checkpoint import Checkpoint, Checkpoints, DamagedCheckpoint, Progress

STAGE = "train"


def state(step: int, best: str | None = None) -> Checkpoint:
    tensors = {"weight": torch.full((40,), float(step))}
    return Checkpoint(Progress(step=step, best_step=step if best else None), tensors, tensors, {"lr": 0.1 * step}, best)


def two_states(folder: Path) -> Checkpoints:
    """Checkpoints of steps 4 and 8, each with best weights of its own."""
    states = Checkpoints(folder)
    for step in (4, 8):
        states.save_best(STAGE, step, {"weight": torch.full((40,), float(-step))})
        states.save(state(step, states.best_name(STAGE, step)))
    return states


def test_the_two_newest_states_stay_with_the_best_weights_they_name(tmp_path: Path) -> None:
    states = two_states(tmp_path)
    states.save(state(12, states.best_name(STAGE, 8)))
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "0-00000008",
        "0-00000012",
        "best-train-00000008.safetensors",
        "latest.json",
    ]
    assert states.load() == state_equal(12)
    assert torch.equal(states.load_best(STAGE, 8)["weight"], torch.full((40,), -8.0))  # type: ignore[index]


class state_equal:  # noqa: N801 - reads as a value
    """Equal to a state of that step with its own content."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Checkpoint)
        expected = state(self.step)
        return (
            other.progress.step == self.step
            and torch.equal(other.model["weight"], expected.model["weight"])
            and torch.equal(other.tensors["weight"], expected.tensors["weight"])
            and other.values == expected.values
        )

    __hash__ = None  # type: ignore[assignment]


FILES = ("model.safetensors", "training.safetensors", "state.json", "../best-train-00000008.safetensors")


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(FILES), at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_file_is_named_and_the_state_before_it_used(
    tmp_path_factory: pytest.TempPathFactory, name: str, at: float, bit: int, cut: bool
) -> None:
    states = two_states(tmp_path_factory.mktemp("states"))
    path = states.folder / "0-00000008" / name
    damage(path, at, bit, cut)
    said: list[str] = []
    assert states.load(said.append) == state_equal(4)
    (line,) = said
    assert Path(name).name in line
    assert line.endswith("going on from the state before it, 0-00000004")
    for file in FILES[:3]:
        damage(states.folder / "0-00000004" / file, at, bit, cut)
    with pytest.raises(DamagedCheckpoint, match=r"damaged.*1 older, damaged too.*remove the folder and start again"):
        states.load()


def damage(path: Path, at: float, bit: int, cut: bool) -> None:
    content = bytearray(path.read_bytes())
    where = int(at * (len(content) - 1))  # a text without its last newline is whole
    if cut:
        content = content[:where]
    else:
        content[where] ^= 1 << bit
    path.write_bytes(content)


def test_a_lost_pointer_does_not_matter(tmp_path: Path) -> None:
    states = two_states(tmp_path)
    (tmp_path / "latest.json").write_bytes(b"\xff")
    assert states.any()
    assert states.load() == state_equal(8)


def test_going_on_from_an_older_state_forgets_what_came_after(tmp_path: Path) -> None:
    states = two_states(tmp_path)
    states.forget_after(Progress(step=4))
    assert states.load() == state_equal(4)


def test_a_state_that_an_earlier_version_wrote(tmp_path: Path) -> None:
    """Format 1: no checksums, one file of best weights for each stage."""
    folder = tmp_path / "1-00000003"
    folder.mkdir()
    save_file({"weight": torch.ones(3)}, folder / "model.safetensors")
    save_file({"optimizer.main.0.exp_avg": torch.ones(3)}, folder / "training.safetensors")
    save_file({"weight": torch.zeros(3)}, tmp_path / "best-train.safetensors")
    progress = {"stage": 1, "step": 3, "best_dice": 0.5, "best_step": 2, "waited": 1, "seconds": 9.0, "images_seen": 12}
    content = {"format": 1, "progress": progress | {"finished": False}, "values": {"summed": 1}}
    (folder / "state.json").write_text(json.dumps(content))
    (tmp_path / "latest.json").write_text(json.dumps({"state": folder.name}))
    (tmp_path / "1-00000006").mkdir()  # a kill while it was written
    states = Checkpoints(tmp_path)
    found = states.load()
    assert found is not None
    assert (found.progress.step, found.progress.best_dice, found.values) == (3, 0.5, {"summed": 1})
    best = states.load_best("train", 2)
    assert best is not None
    assert torch.equal(best["weight"], torch.zeros(3))
    found.best = states.best_name("train", 2)
    states.save(found)
    assert (tmp_path / "best-train.safetensors").exists()


def test_a_state_of_a_later_version_is_not_taken_for_damaged(tmp_path: Path) -> None:
    states = two_states(tmp_path)
    path = tmp_path / "0-00000008" / "state.json"
    content = json.loads(path.read_text()) | {"format": 99}
    del content["checksum"]
    path.write_text(json.dumps({**content, "checksum": zlib.crc32(json.dumps(content, sort_keys=True).encode())}))
    with pytest.raises(TrainingError, match="newer version"):
        states.load()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_writers_that_are_killed_leave_a_whole_state(tmp_path: Path) -> None:
    """Nobody should write twice into one run, and its lock sees to that; but even then no state is lost."""
    torch.set_num_threads(1)
    for trial in range(4):
        folder = tmp_path / str(trial)
        Checkpoints(folder).save(state(0))
        children = []
        for first in (1, 2):
            if (child := os.fork()) == 0:
                _write_for_ever(folder, first)
            children.append(child)
        time.sleep(0.1 + 0.07 * trial)
        ends = []
        for child in children:
            os.kill(child, signal.SIGKILL)
            ends.append(os.waitpid(child, 0)[1])
        assert all(os.WIFSIGNALED(end) for end in ends), "one died of the other"
        found = Checkpoints(folder).load(lambda line: pytest.fail(line))
        assert found == state_equal(found.progress.step)  # type: ignore[union-attr]


def _write_for_ever(folder: Path, step: int) -> None:
    try:
        while True:
            Checkpoints(folder).save(state(step))
            step += 2
    finally:
        os._exit(3)


def test_best_weights_that_are_damaged_are_named(tmp_path: Path) -> None:
    states = two_states(tmp_path)
    assert load_file(tmp_path / "best-train-00000008.safetensors")
    (tmp_path / "best-train-00000008.safetensors").write_bytes(b"\x01")
    with pytest.raises(DamagedCheckpoint, match="best-train-00000008"):
        states.load_best(STAGE, 8)
