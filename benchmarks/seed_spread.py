"""How far apart trainings lie that differ in their seed alone, and what a change of settings does to that.

    python benchmarks/seed_spread.py DATA --method din --out spread.jsonl
    python benchmarks/seed_spread.py DATA --method din --out spread.jsonl --variant 'ramp: method.loss.boundary_ramp=0.5'
    python benchmarks/seed_spread.py DATA --method din --out spread.jsonl --seeds 5-9 --split test \\
        --variant 'prior: @prior; engine.clip_norm=1'
    python benchmarks/seed_spread.py --table spread.jsonl

A training is one line of the file. One that is there is not repeated, so a study can be stopped and goes on where it was. Every
seed draws other first weights, another order of the images and other augmentations. Settings are tried on one set of seeds and on
the validation split; what seems better is confirmed on other seeds, on the test split and on another dataset.

It trains as `delineate train` does (preset, augmentation, optimizer, schedule), on one thread, and scores the last weights: those
that validation chose would hide a part of the spread. The score is Dice of the pixels of all cases, mean over the classes.
A variant is a list of settings as of `--set`; `@name` is one of the changes of first weights in `EDITS`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from delineate.data.cache.cache import Cache, open_cache
from delineate.data.cache.store import Store
from delineate.data.cases.census import Census
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Manifest
from delineate.data.loading.loader import Loader
from delineate.data.loading.open_data import open_data
from delineate.engine.batch_source import to_torch
from delineate.engine.best_weights import CaseCounts
from delineate.engine.build import build_method, build_strategy, source_of
from delineate.engine.input_settings import settle_input
from delineate.engine.lr_scheduler import Plateau, learning_rate_factor
from delineate.engine.parameter_groups import make_optimizer, set_learning_rate
from delineate.engine.recipe import Recipe, resolve
from delineate.engine.seeds import mix_seed
from delineate.engine.validation import count_cases, evaluating
from delineate.methods.contract import Context, Method, Stage
from delineate.methods.dense import DenseMethod
from delineate.nn.blocks import SpatialAttention
from delineate.nn.output import Output
from delineate.nn.output_bias import output_bias, set_output_bias
from delineate.nn.scsa import SharedSpatialAttention

Edit = Callable[[Method, "Data"], None]
KEY = ("data", "method", "variant", "settings", "seed", "size", "steps", "split")
"""Columns by which a training is known."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--method")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--variant", action="append", help="NAME: setting; setting; @edit (repeatable; default: the preset)"
    )
    parser.add_argument("--seeds", default="0-4", help="first-last")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--table", type=Path, help="only show what is in this file")
    arguments = parser.parse_args()
    if arguments.table:
        print_table(read(arguments.table))
        return
    if not (arguments.data and arguments.method and arguments.out):
        parser.error("DATA, --method and --out are needed (or --table)")
    torch.set_num_threads(1)
    first, last = map(int, arguments.seeds.split("-"))
    for seed in range(first, last + 1):  # all variants of a seed, then the next: a table can be read at any time
        for variant in arguments.variant or ["preset:"]:
            name, _, text = variant.partition(":")
            settings = [part.strip() for part in text.split(";") if part.strip()]
            study_one(arguments, name.strip(), settings, seed)
    print_table(read(arguments.out))


def study_one(arguments: argparse.Namespace, name: str, settings: list[str], seed: int) -> None:
    """Train, score and write a line, unless it is there."""
    row: dict[str, Any] = {
        "data": arguments.data.name,
        "method": arguments.method,
        "variant": name,
        "settings": settings,
        "seed": seed,
        "size": arguments.size,
        "steps": arguments.steps,
        "split": arguments.split,
    }
    if any(all(row[key] == other[key] for key in KEY) for other in read(arguments.out)):
        return
    fixed = {
        "input.size": arguments.size,
        "engine.steps": arguments.steps,
        "engine.batch_size": arguments.batch,
        "engine.seed": seed,
    }
    stated = [f"{key}={value}" for key, value in fixed.items()]
    recipe = resolve(arguments.method, arguments.preset, {}, [*stated, *(one for one in settings if one[0] != "@")])
    data = Data.open(arguments.data, recipe, arguments.split)
    method = build_method(data.recipe, data.output, data.spec)
    if data.recipe.engine.output_bias == "class_shares":
        _prior(method, data)
    for edit in (one[1:] for one in settings if one[0] == "@"):
        EDITS[edit](method, data)
    started = time.process_time()
    row["loss"] = train(method, data)
    row["seconds"] = round(time.process_time() - started)
    row |= score(method, data)
    with arguments.out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{row['method']} {name} seed {seed}: {row['dice']:.3f} ({row['seconds']} s)", flush=True)


@dataclass(frozen=True)
class Data:
    """A dataset at the working size."""

    recipe: Recipe
    spec: InputSpec
    output: Output
    training: Cache
    scored: Cache

    @classmethod
    def open(cls, path: Path, recipe: Recipe, split: Any) -> Data:
        manifest, census = _opened(path)
        recipe, spec = settle_input(recipe, census)
        training, scored = (
            open_cache(manifest, census.samples(manifest.split(one), manifest.labels), spec, Store.at(None))
            for one in ("train", split)
        )
        return cls(recipe, spec, Output.of(manifest.classes), training, scored)

    def class_shares(self) -> list[float]:
        """Of the pixels of the training masks, background first."""
        counts = np.bincount(np.asarray(self.training.masks).ravel(), minlength=256)[: max(2, self.output.channels)]
        return list(counts / counts.sum())


@cache
def _opened(path: Path) -> tuple[Manifest, Census]:
    return open_data(path)


def train(method: Method, data: Data) -> list[float]:
    """All stages, from the last weights of the one before; the mean loss of each tenth of the last stage."""
    strategy, recipe = build_strategy(data.recipe, method), data.recipe
    shares = [recipe.share(stage) for stage in method.stages()]
    losses: list[float] = []
    for index, (stage, share) in enumerate(zip(method.stages(), shares, strict=True)):
        total = round((recipe.engine.steps or 0) * share / sum(shares))
        if total:
            strategy.begin(stage, recipe.strategy_options(stage.name))
            losses = list(train_stage(method, strategy, data, stage, index, total))
    return [round(float(np.mean(part)), 4) for part in np.array_split(losses, 10) if len(part)]


def train_stage(method: Method, strategy: Any, data: Data, stage: Stage, index: int, total: int) -> Iterator[float]:
    recipe, settings = data.recipe, data.recipe.stage_settings(stage.name)
    (update,) = strategy.updates(stage)
    optimizer = make_optimizer(strategy, update, settings)
    moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    source, seed = source_of(recipe, stage, data.training, data.spec, index=index), recipe.engine.seed
    method.train()
    for step, batch in enumerate(source.batches(0, total)):
        set_learning_rate(optimizer, settings.lr * learning_rate_factor(step, total, settings, Plateau()))
        ctx = Context(stage.name, step, total, torch.Generator().manual_seed(mix_seed(seed, index, step, 0) ^ 1))
        torch.manual_seed(mix_seed(seed, index, step, 0))
        optimizer.zero_grad()
        loss = torch.stack(list(getattr(method, stage.updates[0].objective)(batch, ctx).values())).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(moved, settings.clip_norm)
        optimizer.step()
        method.after_step(ctx)
        yield float(loss.detach())


@torch.no_grad()
def score(method: Method, data: Data) -> dict[str, Any]:
    """Dice of the pixels of all cases, of each class and their mean."""
    counted: list[CaseCounts] = []
    with evaluating(method):
        for batch in map(to_torch, Loader(data.scored, data.spec, None, batch_size=16, seed=0).once()):
            counted += count_cases(method(batch["image"]), batch["mask"], data.output)
    whole = CaseCounts.together(counted)
    classes = 2 * whole.both / np.maximum(1, whole.ours + whole.theirs)
    return {"dice": round(float(classes.mean()), 4), "classes": [round(float(one), 4) for one in classes]}


def _prior(method: Method, data: Data) -> None:
    """As `engine.output_bias: class_shares`: every pixel begins with the classes' shares of the training masks."""
    assert isinstance(method, DenseMethod)
    set_output_bias(method.output_layers(), output_bias(data.class_shares(), data.output))


def _open_gates(method: Method, data: Data) -> None:
    """MS-LKSeg's spatial gates at σ(2) = .88 instead of ½."""
    for part in method.modules():
        if isinstance(part, SharedSpatialAttention):
            for norm in (part.norm_height, part.norm_width):
                nn.init.constant_(norm.bias, 2.0)


def _even_gates(method: Method, data: Data) -> None:
    """CBAM's spatial gates at ½ everywhere: their convolutions begin with zeros."""
    for part in method.modules():
        if isinstance(part, SpatialAttention):
            nn.init.zeros_(part.conv.weight)


EDITS: dict[str, Edit] = {"prior": _prior, "open_gates": _open_gates, "even_gates": _even_gates}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def print_table(rows: list[dict[str, Any]]) -> None:
    """Mean, standard deviation and lowest over the seeds; and the mean difference to the preset, where both have the seed."""
    groups: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        groups[tuple(row[key] for key in ("data", "split", "method", "size", "steps", "variant"))][row["seed"]] = row
    for key, seeds in groups.items():
        values = np.array([row["dice"] for row in seeds.values()])
        spread = values.std(ddof=1) if len(values) > 1 else float("nan")
        base = groups.get((*key[:-1], "preset"), {})
        gained = [seeds[seed]["dice"] - base[seed]["dice"] for seed in seeds.keys() & base.keys()]
        difference = (
            f" {np.mean(gained):+.3f} ± {np.std(gained, ddof=1) / len(gained) ** 0.5:.3f}" if len(gained) > 1 else ""
        )
        print(*key, f"n {len(values)} mean {values.mean():.3f} sd {spread:.3f} lowest {values.min():.3f}{difference}")


if __name__ == "__main__":
    main()
