"""What a pretrained encoder is worth to few-shot methods: untrained, trained from scratch, trained from its weights; IPSL's parts.

    python benchmarks/fewshot_pretrained.py run SLICES OUT [NAME ...] [--seeds 0 1]
    python benchmarks/fewshot_pretrained.py table SLICES OUT [NAME ...] [--seeds 0 1] [--against NAME]

SLICES: slices of patients with their masks, such as cardiac MR. They are dealt by patient: 37 % for testing, of the rest a fifth
for choosing the weights (`data split --folds 5 --test-fraction 0.37`, fold 0). All rows share the division, one file of
episodes (`chunk3`, one shot from training patients, three draws), 128×128 and float32; trained rows also super-pixel
episodes, 250 steps of 4. `run` does what is not done yet, one row and seed after the other, and goes on with a training
that was stopped. NAME may hold *; none: all rows.

`table`: mean over the seeds of the Dice of a volume, with an interval over patients. With --against the difference to another
row, paired by volume: of the methods where both have several seeds, else of these trained models; p is not corrected.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import delineate
from delineate.data.splits.folds import split_data
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.evaluation.statistics.intervals import Interval, mean_interval
from delineate.evaluation.statistics.mixed import NoClaim, compare_methods
from delineate.evaluation.statistics.paired import compare_paired
from delineate.methods import registry

Scores = NDArray[np.float64]
SCRATCH = ("method.encoder.name=tf_efficientnet_lite0",)
PRETRAINED = (*SCRATCH, "method.encoder.pretrained=package:efficientnet-lite0")
NO_PROJECTION = "method.width=null"
STEPS = 250


@dataclass(frozen=True)
class Row:
    """A line of the table: a baseline, a method with its first weights, or a trained one."""

    method: str
    preset: str = ""
    settings: tuple[str, ...] = ()
    trained: bool = False
    seeded: bool = True
    """Whether seeds make a difference."""


def rows() -> dict[str, Row]:
    found = {name: Row(name, seeded=False) for name in ("copy-support-mask", "nearest-color")}
    for method in ("alpnet", "panet"):
        found |= {
            f"{method} untrained random": Row(method, "tiny", SCRATCH),
            f"{method} untrained pretrained": Row(method, "tiny", (*PRETRAINED, NO_PROJECTION), seeded=False),
            f"{method} untrained pretrained projected": Row(method, "tiny", PRETRAINED),
        }
    for method in ("ipsl", "panet", "alpnet"):
        found |= {
            f"{method} scratch": Row(method, "tiny", SCRATCH, trained=True),
            f"{method} pretrained": Row(method, "tiny", PRETRAINED, trained=True),
        }
    for method in ("panet", "alpnet"):
        found[f"{method} pretrained unprojected"] = Row(method, "tiny", (*PRETRAINED, NO_PROJECTION), trained=True)
    for preset in registry.presets("ipsl"):
        if preset.startswith("tiny-"):
            name = f"ipsl pretrained {preset.removeprefix('tiny-')}"
            found[name] = Row("ipsl", preset, PRETRAINED, trained=True)
    return found


class Study:
    """The folder of one study: the division, the episodes, runs and scores."""

    def __init__(self, slices: Path, folder: Path) -> None:
        self.slices, self.folder = slices, folder
        self.division, self.episodes = folder / "division.json", folder / "episodes.json"

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.division.exists():
            split_data(self.slices, folds=5, test_fraction=0.37).manifest.save(self.division)
        if not self.episodes.exists():
            delineate.fewshot_episodes(
                self.division, protocol="chunk3", support_split="train", draws=3, fold=0, out=self.episodes
            )

    def run(self, name: str, row: Row, seed: int) -> None:
        """Train if need be, and score, where that is not done yet."""
        scores = self.scores(name, seed)
        if (scores / "scores.json").exists():
            return
        print(f"{name}, seed {seed}", flush=True)
        if not row.trained:
            model = f"{row.method}@{row.preset}:untrained" if row.preset else row.method
            settings = row.settings
        else:
            model, settings = str(self.trained(name, row, seed)), ()
        delineate.fewshot_evaluate(
            model, self.division, episodes=self.episodes, settings=settings, seed=seed, out=scores, device="cpu"
        )

    def trained(self, name: str, row: Row, seed: int) -> Path:
        run = self.folder / "runs" / _file_name(name, seed)
        if not (run / "model.safetensors").exists():
            delineate.fewshot_train(
                self.division,
                method=row.method,
                preset=row.preset,
                episodes="superpixel",
                settings=row.settings,
                steps=STEPS,
                seed=seed,
                fold=0,
                device="cpu",
                resume=run.exists(),
                out=run,
            )
        return run

    def scores(self, name: str, seed: int) -> Path:
        return self.folder / "scores" / _file_name(name, seed)

    def read(self, name: str, seeds: Sequence[int]) -> tuple[ScoresFile, Scores] | None:
        """A scores file, and the Dice of all: seeds×cases×classes. None: not run yet."""
        there = [seed for seed in seeds if (self.scores(name, seed) / "scores.json").exists()]
        files = [ScoresFile.read(self.scores(name, seed)) for seed in there]
        return (files[0], np.stack([one.values("dice") for one in files])) if files else None


def _file_name(name: str, seed: int) -> str:
    return f"{name.replace(' ', '-')}-{seed}"


def table(study: Study, names: Sequence[str], seeds: Sequence[int], against: str | None) -> Iterator[str]:
    """Lines of Markdown, best first."""
    found = {name: one for name in names if (one := study.read(name, seeds)) is not None}
    if not found:
        yield "nothing has been run yet"
        return
    other = study.read(against, seeds) if against is not None else None
    classes = list(next(iter(found.values()))[0].classes)
    yield f"| | seeds | {' | '.join(classes)} | mean |" + (f" − {against} |" if other else "")
    yield "| --- | --- |" + " --- |" * (len(classes) + 1 + bool(other))
    for name, (file, dice) in sorted(found.items(), key=lambda item: -float(np.nanmean(item[1][1]))):
        groups = [row.group for row in file.rows if row.name == classes[0]]
        each = " | ".join(f"{value:.3f}" for value in np.nanmean(dice, (0, 1)))
        mean = mean_interval(dice.mean(0), groups, bounds=(0, 1))
        spread = f" ± {dice.mean((1, 2)).std(ddof=1):.3f}" if len(dice) > 1 else ""
        line = f"| {name} | {len(dice)} | {each} | {_interval(mean)}{spread} |"
        if other is not None:
            line += " |" if name == against else f" {difference(dice, other[1], groups)} |"
        yield line


def difference(dice: Scores, other: Scores, groups: Sequence[str]) -> str:
    one, two = np.nanmean(dice, 2), np.nanmean(other, 2)
    claim = compare_methods(one, two, groups)
    if isinstance(claim, NoClaim):
        paired = compare_paired(one.mean(0), two.mean(0), groups, bounds=(0, 1))
        return f"{_interval(paired.difference)}, p {paired.permutation_p:.3f} (models)"
    return f"{_interval(claim.difference)}, p {claim.p:.3f}"


def _interval(one: Interval) -> str:
    return f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("run", "table"))
    parser.add_argument("slices", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=["*"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--against")
    given = parser.parse_args()
    known, study = rows(), Study(given.slices, given.out)
    names = [name for name in known if any(fnmatchcase(name, pattern) for pattern in given.names)]
    if given.do == "table":
        print("\n".join(table(study, names, given.seeds, given.against)))
        return
    study.prepare()
    for seed in given.seeds:
        for name in names:
            if known[name].seeded or seed == given.seeds[0]:
                study.run(name, known[name], seed)


if __name__ == "__main__":
    main()
