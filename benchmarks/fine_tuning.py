"""How an encoder that comes pretrained should be fine-tuned: training runs that differ in nothing but that, one after another.

    python benchmarks/fine_tuning.py DATA --out runs/tuning [--method unet] [--part encoder] [--steps 300] [--seeds 0 1]
    python benchmarks/fine_tuning.py DATA --out runs/tuning --table      # of the runs that are done

Every run is an ordinary one, in `OUT/ARM-SEED`; a finished one is not made again, one that was stopped goes on.
Runs of one seed see the same batches. Dice is that of the validation split at native resolution, of the weights that are best
by it; "processor" is the time of this process and its threads, with reading and scoring.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import delineate
from delineate.engine.run_folder import RunFolder

ARMS: dict[str, tuple[str, ...]] = {
    "full": (),
    "rate-.3": ("lr_scale={{{part}: 0.3}}",),
    "rate-.1": ("lr_scale={{{part}: 0.1}}",),
    "rate-.03": ("lr_scale={{{part}: 0.03}}",),
    "rate-.01": ("lr_scale={{{part}: 0.01}}",),
    "decay-.9": ("layer_decay={{{part}: 0.9}}",),
    "decay-.75": ("layer_decay={{{part}: 0.75}}",),
    "frozen-first-tenth": ("freeze={{{part}: 0.1}}",),
    "statistics": ("freeze_batchnorm=[{part}]",),
    "rate-.1-statistics": ("lr_scale={{{part}: 0.1}}", "freeze_batchnorm=[{part}]"),
    "rate-.3-statistics": ("lr_scale={{{part}: 0.3}}", "freeze_batchnorm=[{part}]"),
    "frozen": ("freeze={{{part}: stage}}",),
    "frozen-statistics": ("freeze={{{part}: stage}}", "freeze_batchnorm=[{part}]"),
}
"""Name → settings of `engine`."""


def train(options: argparse.Namespace, arm: str, seed: int) -> None:
    """One run, unless it is done."""
    out = options.out / f"{arm}-{seed}"
    if RunFolder(out).status() == "finished":
        return
    settings = [f"engine.{setting.format(part=options.part)}" for setting in ARMS[arm]]
    started = time.process_time()
    run = delineate.train(
        options.data,
        method=options.method,
        preset=options.preset,
        size=options.size,
        steps=options.steps,
        seed=seed,
        device=options.device,
        out=out,
        resume=RunFolder(out).recipe.exists(),
        settings=[*settings, *options.set],
        exclude_classes=options.exclude_classes,
    )
    seconds = time.process_time() - started
    with (options.out / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"arm": arm, "seed": seed, "dice": run.dice, "processor": round(seconds)}) + "\n")


def table(results: Sequence[dict[str, float | str]]) -> str:
    """Mean over seeds, what each seed had, and the difference from `full` seed by seed."""
    by_arm: dict[str, dict[int, dict[str, float]]] = {}
    for result in results:
        by_arm.setdefault(str(result["arm"]), {})[int(result["seed"])] = result  # type: ignore[assignment]
    lines = ["| arm | Dice | seeds | against full | processor s |", "| --- | --- | --- | --- | --- |"]
    full = by_arm.get("full", {})
    for arm in sorted(by_arm, key=list(ARMS).index):
        runs = dict(sorted(by_arm[arm].items()))
        each = " ".join(f"{seed}: {run['dice']:.3f}" for seed, run in runs.items())
        mean = statistics.mean(run["dice"] for run in runs.values())
        gains = [run["dice"] - full[seed]["dice"] for seed, run in runs.items() if seed in full]
        gain = " ".join(f"{value:+.3f}" for value in gains) if arm != "full" else ""
        spent = statistics.mean(run["processor"] for run in runs.values())
        lines.append(f"| {arm} | {mean:.3f} | {each} | {gain} | {spent:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", default="unet")
    parser.add_argument("--part", default="encoder", help="name of the encoder in the method")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="of all runs")
    parser.add_argument("--exclude-classes", nargs="*", default=())
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.table:
        for seed in options.seeds:
            for arm in options.arms:
                train(options, arm, seed)
    done = options.out / "results.jsonl"
    print(table([json.loads(line) for line in done.read_text(encoding="utf-8").splitlines()] if done.exists() else []))


if __name__ == "__main__":
    main()
