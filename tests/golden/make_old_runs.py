"""Makes `old_runs/`: runs that the version before the strategies left half-way, and what it made of them when it went on itself.

    PYTHONPATH=BEFORE/src OMP_NUM_THREADS=1 python tests/golden/make_old_runs.py

BEFORE is a checkout of commit ff5483e. Of each run there is a zip of its folder, the model that it ended with, and in `ends.json`
its whole log, its weights, and a map that the model makes. A run that is committed is never made again: a new version's are
added. The numbers of a state are cut to three bits, so that they pack well; both versions go on from the rounded ones.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from make_equal_trainings import as_then
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from small_trainings import CONDSEG, GOLDEN, TRAININGS, Training, picture, record

import delineate
from delineate.common.errors import Interrupted

FOLDER = GOLDEN / "old_runs"
ENDS = FOLDER / "ends.json"
RUNS: dict[str, tuple[Training, int]] = {
    "ema": (TRAININGS["ema"], 3),
    "two-stages": (
        replace(
            TRAININGS["two-stages"],
            settings=(
                *CONDSEG,
                "method.encoder.name=test_efficientnet",
                "method.gate_units=1",
                "engine.validate_every=1",
                "engine.optimiser=sgd",
                "engine.momentum=0",
                "stages.reinforcement.share=0.5",
                "stages.reinforcement.strategy.ema=0.5",
                "stages.segmentation.share=0.5",
                "stages.segmentation.lr=0.01",
                "stages.segmentation.augment.flip_vertical=0.5",
            ),
            steps=6,
        ),
        4,
    ),
    "few-shot": (TRAININGS["few-shot"], 3),
}
"""Training → the step, of all stages together, after which it was stopped: in mid-stage, ConDSeg in the first step of its second.

Momentum, averaged and best weights are in the first and third alone, since ConDSeg's would be large."""


def answer(model: Any) -> NDArray[np.float32]:
    """What a model, as `delineate.load` gives it, makes of a picture: foreground probabilities at every fifth pixel."""
    asked, shown = picture(5)[0], picture(3)
    if not hasattr(model, "probabilities"):  # few-shot: of grey slices
        model, asked = model.condition(shown[0][..., 0], shown[1]), asked[..., 0]
    return np.asarray(model.probabilities(asked)[::5, ::5, -1])


class Stopper:
    """A reporter that asks for an end after a step, as a scheduler does."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self, loss: float, images: int) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def shrink(run: Path) -> None:
    """Keep the newest state alone, its numbers rounded, with the checksums of the new files."""
    newest = run / "steps" / json.loads((run / "steps" / "latest.json").read_text())["state"]
    for path in (run / "steps").iterdir():
        if path.is_dir() and path != newest:
            shutil.rmtree(path)
    content = json.loads((newest / "state.json").read_text())
    for path in (run / "steps").glob("best-*"):
        if path.name != content["best"]:
            path.unlink()
    for name in content["files"]:
        path = (newest / name).resolve()
        save_file({key: _rounded(value) for key, value in load_file(path).items()}, path)
        content["files"][name] = zlib.crc32(path.read_bytes())
    del content["checksum"]
    sealed = zlib.crc32(json.dumps(content, sort_keys=True, allow_nan=False).encode())
    (newest / "state.json").write_text(json.dumps({**content, "checksum": sealed}, indent=2))
    (run / "steps" / ".lock").unlink(missing_ok=True)


def anonymise(run: Path) -> None:
    """Another place of the data, and no word of the machine: a run that is gone on with elsewhere."""
    for name in ("manifest.json", "run.json", "environment.json"):
        content = (run / name).read_text(encoding="utf-8").replace(str(run.parent), "/elsewhere")
        told = json.loads(content)
        for key in ("platform", "processor"):
            if key in told:
                told[key] = "another"
        (run / name).write_text(json.dumps(told, indent=1), encoding="utf-8")


def _rounded(value: torch.Tensor) -> torch.Tensor:
    """To three bits after the leading one."""
    return (value.view(torch.int32) & -(1 << 20)).view(torch.float32) if value.dtype == torch.float32 else value


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    ends = json.loads(ENDS.read_text()) if ENDS.exists() else {}
    for name, (training, stop) in RUNS.items():
        if name in ends:
            continue
        with tempfile.TemporaryDirectory() as folder:
            with suppress(Interrupted):
                as_then(training).run(Path(folder), reporter=Stopper(stop))
            shrink(Path(folder) / "run")
            anonymise(Path(folder) / "run")
            shutil.make_archive(str(FOLDER / name), "zip", Path(folder) / "run")
            run = as_then(training).run(Path(folder), resume=True)
            ends[name] = record(run)
            if name != "two-stages":  # artefacts of ConDSeg are kept elsewhere
                shutil.copy(run / "model.safetensors", FOLDER / f"{name}.safetensors")
                ends[name]["answer"] = np.round(answer(delineate.load(run, "cpu")), 5).tolist()
    ENDS.write_text(json.dumps(ends, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
