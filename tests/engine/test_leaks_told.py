"""Training repeats what lies in more than one split, and its model knows the pictures that it was made from."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from delineate.data.core.manifest import Manifest
from delineate.data.layouts.source import DataSource
from delineate.engine.request import TrainRequest
from delineate.engine.run import train
from delineate.inference.predictor import load
from delineate.report.pages.run import write_run_report
from delineate.studies.folds import open_folds

Maker = Callable[..., TrainRequest]


def patients(discs: Path, folder: Path, split: Callable[[int], str]) -> Path:
    """The discs as five patients of four pictures each, in lists."""
    lists: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(20):
        stem = f"patient{number // 4}_{number % 4}"
        for name in ("images", "masks"):
            shutil.copy(discs / name / f"case{number:02d}.png", folder / name / f"{stem}.png")
        lists[split(number)].append(stem)
    for name, stems in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(stems))
    return folder


def test_leaks_stand_in_notes_summary_and_page(discs: Path, request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    data = patients(discs, tmp_path / "data", lambda number: ("train", "train", "val", "test")[number % 4])
    shutil.copy(data / "images" / "patient0_0.png", data / "images" / "patient1_3.png")
    request, watching = replace(request_for(steps=2), data=data), recorder()
    train(request, watching)
    told = [note for note in watching.notes if note.startswith("warning:")]
    assert any("5 patients or sequences are in more than one split: patient0, patient1" in note for note in told)
    assert any(
        "1 picture is in more than one split, pixel for pixel: patient0_0 (train) = patient1_3 (test)" in n
        for n in told
    )
    assert any(note.startswith("groups: 5 patients or sequences, from the names") for note in watching.notes)
    leaks = json.loads((request.out / "run.json").read_text())["leaks"]
    assert [f"warning: {leak}" for leak in leaks] == told
    assert "5 patients or sequences are in more than one split" in write_run_report(request.out).read_text()


def test_nothing_is_said_where_nothing_leaks(discs: Path, request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    data = patients(discs, tmp_path / "data", lambda number: ("train", "train", "train", "val", "test")[number // 4])
    request, watching = replace(request_for(steps=2), data=data), recorder()
    train(request, watching)
    assert not [note for note in watching.notes if note.startswith("warning:")]
    assert json.loads((request.out / "run.json").read_text())["leaks"] == []
    assert "Images in more than one split" not in write_run_report(request.out).read_text()


def test_the_model_knows_its_pictures(request_for: Maker, recorder: Any) -> None:
    first = request_for("first", steps=2)
    train(first, recorder())
    manifest = Manifest.load(first.out / "manifest.json")
    known = load(first.out, device="cpu").known
    assert Counter(known.roles.values()) == Counter(case.split for case in manifest.cases)
    assert all(known.roles[(case.pixels or "")[:12]] == case.split for case in manifest.cases)
    second = request_for("second", steps=2, init=first.out, seed=5)
    train(second, recorder())
    roles = load(second.out, device="cpu").known.roles
    before = {digest for digest, role in known.roles.items() if role in ("train", "val")}
    assert all(roles[digest] in ("train", "before") for digest in before)


def test_groups_can_be_said_and_unsaid(discs: Path, request_for: Maker, recorder: Any, tmp_path: Path) -> None:
    data = patients(discs, tmp_path / "data", lambda _: "train")
    for name in ("train", "val", "test"):
        (data / f"{name}.txt").unlink()
    for rule, words in ((None, "by group"), ("none", "by case"), (r"_(\d)", "by group")):
        request, watching = replace(request_for(f"{rule}", steps=2), data=DataSource(data, group_by=rule)), recorder()
        request = replace(request, out=tmp_path / f"run{len(words)}{rule is None}{rule == 'none'}")
        train(request, watching)
        manifest = Manifest.load(request.out / "manifest.json")
        assert words in manifest.split_origin
        where = {case.id: case.split for case in manifest.cases}
        rows = [{where[f"patient{p}_{k}"] for k in range(4)} for p in range(5)]
        columns = [{where[f"patient{p}_{k}"] for p in range(5)} for k in range(4)]
        whole = {None: rows, r"_(\d)": columns}.get(rule, [])
        assert all(len(splits) == 1 for splits in whole)


def test_a_benchmark_repeats_the_leaks_of_its_lists(discs: Path, tmp_path: Path) -> None:
    data = patients(discs, tmp_path / "data", lambda number: ("train", "train", "val", "test")[number % 4])
    said: list[str] = []
    folds = open_folds(DataSource(data), None, said.append)
    assert any("5 patients or sequences are in more than one split" in line for line in said)
    assert folds.manifest.leaks is not None
    assert [f"warning: {leak}" for leak in folds.manifest.leaks] == said
    assert folds.training()[0].leaks == folds.manifest.leaks
    assert open_folds(DataSource(data, group_by="none"), None).manifest.leaks == ()
