"""The report of a run, whole and with every part missing or broken in turn."""

from __future__ import annotations

import json
import shutil

import pytest
from fake_run import write_run
from markup import check_document, text_of

from delineate.common.errors import ArtefactError
from delineate.common.folder_lock import hold_folder
from delineate.report.pages.run import write_run_report


def report(run):
    path = write_run_report(run)
    assert path == run / "report.html"
    return path.read_text(encoding="utf-8")


def test_whole_run(run, fake):
    document = report(run)
    words = text_of(document)
    scores = json.loads((run / "validation" / "scores.json").read_text())
    assert f"{scores['macro']['dice']['all']['mean']:.3f}" in words
    for expected in (
        "n = 12 cases",
        "validation split, native resolution",
        "1.23 million",
        "polyps",
        "engine:",
        "stage two",
    ):
        assert expected in words
    for expected in ("uncertainty", "Worst by Dice", "Median by Dice", "Best by Dice", "c00", "prediction (solid)"):
        assert expected in words
    assert "Missing from this run folder" not in words
    assert "not finished" not in words
    assert document.count("<img") == 9 + 3
    assert len(document) < 3_000_000


def test_several_classes(heart, tmp_path):
    words = text_of(report(write_run(heart, tmp_path / "run")))
    for expected in (
        "column “present”",
        "over the foreground classes",
        "Dice of Myo, per case",
        "Mean of the classes",
        "Color is the class",
    ):
        assert expected in words


PARTS = [
    "run.json",
    "metrics.jsonl",
    "recipe.yaml",
    "manifest.json",
    "environment.json",
    "validation/scores.json",
    "validation/scores.csv",
    "validation/overlays",
    "validation/panels",
    "card.md",
    "validation",
]
OPTIONAL = {"card.md", "validation/panels"}


@pytest.mark.parametrize("part", PARTS)
def test_missing_part_is_named(run, part):
    target = run / part
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    words = text_of(report(run))
    if part not in OPTIONAL:
        assert part.rsplit("/", 1)[-1] in words.split("Missing from this run folder")[1]


@pytest.mark.parametrize("part", [part for part in PARTS if "." in part])
@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe\x00broken"])
def test_broken_part_does_not_stop_the_report(run, part, content):
    (run / part).write_bytes(content)
    check_document(report(run))


def test_broken_picture_is_named(run):
    (run / "validation" / "overlays" / "worst1_c00.png").write_bytes(b"not a picture")
    assert "worst1_c00.png cannot be read" in text_of(report(run))


def test_unfinished_run(run):
    summary = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**summary, "status": "interrupted"}))
    shutil.rmtree(run / "validation")
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join(lines[:13]) + '\n{"stage": "two", "st')
    words = text_of(report(run))
    assert "It was interrupted: last validated at step 30 of 100 of stage 'two'" in words
    assert "best validation Dice so far" in words
    assert "Missing" not in words


def test_run_before_its_first_validation(run):
    (run / "metrics.jsonl").unlink()
    summary = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**summary, "status": "running"}))
    assert "It was interrupted: not validated yet" in text_of(report(run)), "nobody holds the folder"
    with hold_folder(run):
        words = text_of(report(run))
    assert "It is not finished: not validated yet" in words
    assert "No validation was logged yet" in words


def test_hostile_names_are_text(fake, tmp_path):
    run = write_run(fake, tmp_path / "run", stages=("<script>x</script>",), method="<img src=x onerror=alert(1)>")
    document = report(run)
    check_document(document)
    assert "<script>x</script>" in text_of(document)


def test_non_finite_values_are_left_out(run):
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    line["loss"]["total"], line["val"]["dice"], line["lr"] = float("nan"), float("inf"), None
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    check_document(report(run))


def test_not_a_run_folder(tmp_path):
    with pytest.raises(ArtefactError, match="is not a run folder"):
        write_run_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
