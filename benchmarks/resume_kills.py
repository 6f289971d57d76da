"""Exact resume under real kills: training is killed (SIGKILL) at random moments and resumed each time; its weights must be those of
a run that was left alone, bit for bit.

    python benchmarks/resume_kills.py [--method condseg] [--kills 5] [--seed 0]     # one run
    python benchmarks/resume_kills.py --processes 2                                # of two processes (gloo, on the CPU)
    python benchmarks/resume_kills.py --benchmark                                  # a benchmark: two methods, two folds

A run is killed after a further state was saved, at most `--patience` seconds later; a benchmark within as many seconds after its
start. Kills hit training, the writing of states and what belongs to the end of a run alike.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from delineate.common.folder_lock import folder_holder
from delineate.data.cases.phantom import write_phantoms


@dataclass(frozen=True)
class Setting:
    """What is killed."""

    folder: Path
    method: str
    benchmark: bool
    processes: int
    size: int
    epochs: int

    def command(self, out: str, *, resume: bool) -> list[str]:
        small = ["engine.batch_size=4", "engine.save_minutes=0.005", f"engine.devices={self.processes}"]
        settings = [word for setting in small for word in ("--set", setting)]
        shared = ["--preset", "tiny", "--size", str(self.size), "--epochs", str(self.epochs), *settings]
        shared += ["--out", str(self.folder / out), "--cache-dir", str(self.folder / "cache")]
        data = str(self.folder / "data")
        if self.benchmark:
            verb = ["benchmark", data, "--methods", f"unet,{self.method}", "--folds", "2", "--metrics", "dice"]
        else:
            verb = ["train", data, "--method", self.method, *(["--device", "cpu"] if self.processes > 1 else [])]
        return [sys.executable, "-m", "delineate", *verb, *shared, *(["--resume"] if resume else [])]

    def results(self, out: str) -> dict[str, bytes]:
        """What must be equal: weights of all runs; of a benchmark also the scores."""
        folder = self.folder / out
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("scores.csv")}

    def same_weights(self, one: str, other: str) -> bool:
        models = sorted(path.relative_to(self.folder / one) for path in (self.folder / one).rglob("model.safetensors"))
        return bool(models) and all(_equal(self.folder / one / path, self.folder / other / path) for path in models)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="condseg")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--benchmark", action="store_true")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--patience", type=float, default=4.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        setting = Setting(Path(name), asked.method, asked.benchmark, asked.processes, asked.size, asked.epochs)
        write_phantoms(setting.folder / "data", count=40, size=asked.size, seed=0)
        if asked.benchmark:  # folds are dealt; the lists that the phantoms bring would keep a test split apart
            for path in (setting.folder / "data").glob("*.txt"):
                path.unlink()
        subprocess.run(setting.command("whole", resume=False), check=True, capture_output=True)
        kills = run_with_kills(setting, asked.kills, asked.patience, random.Random(asked.seed))
        equal = setting.same_weights("whole", "killed") and setting.results("whole") == setting.results("killed")
        print(f"killed {kills} times and resumed: weights and scores bit-equal: {equal}")
        sys.exit(not (equal and kills == asked.kills))


def run_with_kills(setting: Setting, kills: int, patience: float, rng: random.Random) -> int:
    """Kill so often, then let the last resumption finish. Returns the kills made."""
    out = setting.folder / "killed"
    for done in range(kills):
        process = subprocess.Popen(
            setting.command(out.name, resume=begun(setting, out)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        where = wait_for_work(setting, out, process)
        time.sleep(rng.uniform(0, patience))
        if process.poll() is not None:
            assert process.stderr is not None
            print(
                f"ended before kill {done + 1} with code {process.returncode}: {process.stderr.read().decode()[-300:]}"
            )
            return done
        process.kill()
        process.wait()
        left = wait_for_children(out)
        print(f"kill {done + 1}: {where}{left}; {standing(out)}", flush=True)
    finished = subprocess.run(setting.command(out.name, resume=True), capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(finished.stderr)
    return kills


def begun(setting: Setting, out: Path) -> bool:
    """Whether there is something to go on with."""
    return (out / "plan.json").exists() if setting.benchmark else (out / "steps" / "latest.json").exists()


def wait_for_work(setting: Setting, out: Path, process: subprocess.Popen[bytes]) -> str:
    """Until a further state is saved (a run), or the benchmark has a plan."""
    if setting.benchmark:
        while process.poll() is None and not (begun(setting, out) and folder_holder(out)):
            time.sleep(0.02)
        return "benchmark"
    pointer = out / "steps" / "latest.json"
    before = pointer.read_bytes() if pointer.exists() else None
    while process.poll() is None and not (pointer.exists() and pointer.read_bytes() != before):
        time.sleep(0.02)
    return "run"


def wait_for_children(out: Path) -> str:
    """The processes that a killed one has started end by themselves; how long that took, if it was noticed."""
    start = time.perf_counter()
    while (others := _working_on(out)) and time.perf_counter() - start < 60:
        time.sleep(0.1)
    return f", and {len(others)} processes stayed" if others else ""


def _working_on(out: Path) -> list[int]:
    """Processes that have the folder among their words (Linux; elsewhere none are found)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"\0{out}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def standing(out: Path) -> str:
    """How far it is."""
    summaries = [json.loads(path.read_bytes())["status"] for path in sorted(out.rglob("run.json"))]
    states = sorted(path.parent.name for path in out.rglob("steps/*-*/state.json"))
    return f"run.json says {', '.join(summaries) or 'nothing yet'}; states {', '.join(states) or 'none'}"


def _equal(one: Path, other: Path) -> bool:
    if not other.exists():
        return False
    ours, theirs = load_file(one), load_file(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


if __name__ == "__main__":
    main()
