"""Whether labeling suggested images is worth more than labeling random ones: train, suggest, train again.

    python benchmarks/label_suggestions.py DATA --out suggestions [--seeds 3] [--start 20] [--add 20] [--steps 120]
    python benchmarks/label_suggestions.py DATA --out suggestions --table          # of what is done

For each seed, a model is trained with `--start` random labels of the training split. With it, `--add` more images are chosen by
each rule, and a model is trained anew with all of these labels: same seed, steps and settings. Masks of other images are read by
nobody, and no validation labels are used: the averaged weights after the last step are scored, on the test split at native
resolution. Everything is kept in OUT: what is done is not done again, so a study can be stopped and goes on where it was.

The table has the mean test Dice of each rule, and its difference to `random`, paired by case and seed, with 95 % intervals over
test cases (by patient) and seeds, resampled together (`evaluation.statistics.label_gain`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import delineate
from delineate.common.files import write_json
from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.data.loading.open_data import open_data
from delineate.data.splits.label_budget import LabelBudget, read_case_list
from delineate.engine.run_folder import RunFolder
from delineate.evaluation.results.evaluate import EvaluationOptions, evaluate_folders
from delineate.evaluation.results.scores_file import ScoresFile
from delineate.evaluation.statistics.label_gain import Figure, difference, resample
from delineate.inference.dataset_inputs import of_cases
from delineate.inference.files import predict_files
from delineate.report.parts.scores import case_values
from delineate.studies.suggest.measured_pool import MeasuredPool, measure_pool
from delineate.studies.suggest.page import write_suggestions_page
from delineate.studies.suggest.request import SuggestRequest
from delineate.studies.suggest.suggest import suggest, write_list

RULES = {
    "random": {"by": "random"},
    "both": {"by": "both"},
    "doubt": {"by": "doubt"},
    "coverage": {"by": "coverage"},
    "doubt, mean over all pixels": {"by": "doubt", "doubt": "mean"},
}
"""Name → options of `study suggest`."""
LATER = ("doubt, mean over all pixels",)
"""Done after the other rules of all seeds, so that an early end leaves a table of these."""
POOL, SETUP = "manifest.json", "setup.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--start", type=int, default=20, help="labels before")
    parser.add_argument("--add", type=int, default=20, help="labels that are added")
    parser.add_argument("--method", default="unet")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--table", action="store_true", help="only show what is done")
    options = parser.parse_args()
    if not options.table:
        pool = prepare(options)
        for rules in ([name for name in RULES if name not in LATER], LATER):
            for seed in range(options.seeds):
                run_seed(options, pool, seed, rules)
    print_table(options)


def prepare(options: argparse.Namespace) -> Manifest:
    """The data set without its validation cases, and the setup; both are written once, and checked later."""
    setup = {key: value for key, value in vars(options).items() if key not in ("out", "seeds", "table")}
    setup["data"] = str(options.data.resolve())
    path = options.out / SETUP
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != setup:
            raise SystemExit(
                f"{options.out} holds another study ({path.read_text(encoding='utf-8')}); give another --out"
            )
        return Manifest.load(options.out / POOL)
    manifest, _ = open_data(DataSource(options.data), validation=False)
    kept = tuple(case for case in manifest.cases if case.split != "val")
    manifest = manifest.model_copy(update={"cases": kept})
    manifest.save(options.out / POOL)
    write_json(path, setup)
    return manifest


def run_seed(options: argparse.Namespace, pool: Manifest, seed: int, rules: Sequence[str]) -> None:
    """The first model of a seed, and one for each rule."""
    start = LabelBudget(cases=options.start, draw=seed).chosen(pool)
    train(options, pool, seed, "start", start)
    found: dict[str, MeasuredPool] = {}
    for rule in rules:
        listed = options.out / "lists" / f"{name_of(rule, seed)}.csv"
        request = SuggestRequest(
            options.out / "runs" / name_of("start", seed),
            DataSource(options.out / POOL),
            listed,
            options.add,
            seed=seed,
            overwrite=True,
        )
        request = replace(request, **RULES[rule])  # type: ignore[arg-type]
        if not listed.is_file():
            if request.doubt not in found:
                found[request.doubt] = measure_pool(request)
            chosen = suggest(request, found[request.doubt])
            write_suggestions_page(chosen)
            write_list(chosen.result)
        train(options, pool, seed, rule, [*start, *read_case_list(listed)])


def train(options: argparse.Namespace, pool: Manifest, seed: int, rule: str, labeled: Sequence[str]) -> None:
    """Train with these labels and score, unless it is done."""
    name = name_of(rule, seed)
    scores, run = options.out / "scores" / name, options.out / "runs" / name
    if (scores / "scores.json").is_file():
        return
    print(f"{name}: {len(labeled)} labels", flush=True)
    names = set(labeled)
    assert len(names) == len(labeled), "no image is labeled twice"
    cases = tuple(case for case in pool.cases if case.id in names)
    listed = options.out / "lists" / f"{name}.json"
    pool.model_copy(update={"cases": cases}).save(listed)
    if RunFolder(run).status() != "finished":
        delineate.train(
            listed,
            method=options.method,
            preset=options.preset,
            size=options.size,
            steps=options.steps,
            seed=seed,
            out=run,
            resume=RunFolder(run).recipe.exists(),
            cache_dir=options.out / "cache",
            settings=[
                f"engine.batch_size={options.batch}",
                "engine.select_by=last",
                "strategy.ema=0.99",
                "strategy.ema_ramp=10",
                f"engine.validate_steps={options.steps}",
            ],
        )
    tested = pool.model_copy(update={"cases": tuple(case for case in pool.split("test") if case.masks)})
    tested.save(options.out / "scored.json")
    masks = options.out / "masks" / name
    predict_files(delineate.load(run), of_cases(tested, tested.cases), masks, overwrite=True)
    evaluate_folders(masks, options.out / "scored.json", EvaluationOptions(split="all", metrics=("dice",)), out=scores)


def name_of(rule: str, seed: int) -> str:
    return f"{rule.replace(', ', '-').replace(' ', '-')}-{seed}"


def print_table(options: argparse.Namespace) -> None:
    """Of the seeds for which a rule and `random` are both done."""
    scores: dict[str, dict[int, ScoresFile]] = {}
    for rule in ("start", *RULES):
        for seed in range(options.seeds):
            folder = options.out / "scores" / name_of(rule, seed)
            if (folder / "scores.json").is_file():
                scores.setdefault(rule, {})[seed] = ScoresFile.read(folder)
    print(
        f"{'labels chosen by':30} {'labels':>6} {'seeds':>5}  test Dice [95 %]       − random [95 %]          by seed"
    )
    for rule, own in scores.items():
        seeds = sorted(own.keys() & scores.get("random", {}).keys())
        if not seeds:
            continue
        pair = [[scores[name][seed] for seed in seeds] for name in (rule, "random")]
        first = pair[0][0]
        order = first.cases()
        tables = [
            np.array([[[case_values(one, "dice").get(case, np.nan)] for case in order] for one in each])
            for each in pair
        ]
        (mine, random), _ = resample(tables, groups=first.groups())
        labels = options.start + (options.add if rule != "start" else 0)
        gained = difference(mine, random).figure()
        differences = (tables[0] - tables[1]).mean((1, 2))
        by_seed = " ".join(f"{one:+.3f}" for one in differences)
        words = "" if rule == "random" else f"{gained.value:+.3f} {ends(gained)}"
        print(f"{rule:30} {labels:6} {len(seeds):5}  {mine.value:.3f} {ends(mine.figure())}  {words:24} {by_seed}")


def ends(figure: Figure) -> str:
    return "[–]" if figure.low is None or figure.high is None else f"[{figure.low:.3f}, {figure.high:.3f}]"


if __name__ == "__main__":
    main()
