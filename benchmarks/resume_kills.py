"""Exact resume under real kills: `delineate train` is killed (SIGKILL) five times at random moments and resumed each time; its
weights must be those of a run that was left alone, bit for bit.

    python benchmarks/resume_kills.py [--method condseg] [--kills 5] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from delineate.data.phantom import write_phantoms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="condseg")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_phantoms(folder / "data", count=40, size=64, seed=0)

        def command(out: str, resume: bool) -> list[str]:
            words = [
                "train",
                str(data),
                "--method",
                arguments.method,
                "--preset",
                "tiny",
                "--size",
                "64",
                "--epochs",
                "8",
            ]
            words += ["--out", str(folder / out), "--cache-dir", str(folder / "cache"), "--set", "engine.batch_size=4"]
            words += ["--set", "engine.save_minutes=0.03", *(["--resume"] if resume else [])]
            return [sys.executable, "-m", "delineate", *words]

        subprocess.run(command("whole", False), check=True, capture_output=True)
        kills = _run_with_kills(folder / "killed", command, arguments.kills, random.Random(arguments.seed))
        ours, theirs = (load_file(folder / out / "model.safetensors") for out in ("whole", "killed"))
        equal = ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
        print(f"killed {kills} times and resumed: weights bit-equal: {equal}")
        sys.exit(not (equal and kills == arguments.kills))


def _run_with_kills(run: Path, command: Callable[[str, bool], list[str]], kills: int, rng: random.Random) -> int:
    """Kill a random while after training has begun to save; the last resumption is left to finish. Returns the kills made."""
    pointer = run / "steps" / "latest.json"
    for done in range(kills):
        before = pointer.stat().st_mtime_ns if pointer.exists() else 0
        process = subprocess.Popen(command(run.name, done > 0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (pointer.exists() and pointer.stat().st_mtime_ns > before):
            time.sleep(0.02)
        delay = rng.uniform(0, 4)
        time.sleep(delay)
        if process.poll() is not None:
            print(f"finished before kill {done + 1}")
            return done
        process.kill()
        process.wait()
        print(f"kill {done + 1}, {delay:.2f} s after a state was saved")
    finished = subprocess.run(command(run.name, True), capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(finished.stderr)
    return kills


if __name__ == "__main__":
    main()
