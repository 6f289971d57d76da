"""Plans: what a prediction will do, told before anything is decoded or written."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.data.core.manifest import ClassTable
from delineate.inference.inputs import Input, Inputs, find_inputs
from delineate.inference.plan import Item, make_plan

BINARY = ClassTable()
THREE = ClassTable(names=("background", "left lung", "b/c"))


def inputs(*names: str) -> Inputs:
    """Of images that are not there: nobody may look at them."""
    return Inputs([Input(Path("/nowhere") / f"{name}.png", name) for name in names])


def test_a_plan_lists_every_file_without_reading_one():
    plan = make_plan(inputs("a", "x/b"), Path("out"), THREE, overlay=True, probabilities=True)
    assert [item.name for item in plan.items] == ["a", "x/b"]
    assert [path.as_posix() for path in plan.items[1].files] == [
        "out/x/b.png",
        "out/overlays/x/b.png",
        "out/probabilities/0_background/x/b.png",
        "out/probabilities/1_left_lung/x/b.png",
        "out/probabilities/2_b_c/x/b.png",
    ]
    assert plan.masks == ["a.png", "x/b.png"]
    plan.check(overwrite=False)


def test_only_what_was_asked_for_is_planned():
    item = make_plan(inputs("a"), Path("out"), BINARY).items[0]
    assert item == Item(Path("/nowhere/a.png"), "a", Path("out/a.png"))
    assert make_plan(inputs("a"), Path("out"), BINARY, probabilities=True).items[0].maps == (
        Path("out/probabilities/a.png"),
    )


def test_files_that_do_not_decode_are_planned_like_others(tmp_path: Path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.tif", "c.jpg"):
        (tmp_path / "in" / name).write_bytes(b"no image at all")
    plan = make_plan(find_inputs([tmp_path / "in"]), tmp_path / "out", BINARY, overlay=True)
    plan.check(overwrite=False)
    assert [path.relative_to(tmp_path).as_posix() for path in plan.items[2].files] == [
        "out/c.png",
        "out/overlays/c.png",
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "folder", "options", "message"),
    [
        (
            ("b", "overlays/b"),
            "out",
            {"overlay": True},
            "/nowhere/b.png and .*overlays/b.png would both be written to out",
        ),
        (
            ("b",),
            "/nowhere",
            {},
            "the mask of /nowhere/b.png would replace the image /nowhere/b.png; give another --out",
        ),
        (("probabilities/b",), "/nowhere", {"probabilities": True}, "would replace the image|would lie among"),
        (("n" * 300,), "out", {}, "is too long for .png files"),
    ],
)
def test_clashes(names: tuple[str, ...], folder: str, options: dict[str, bool], message: str):
    with pytest.raises(DataError, match=message):
        make_plan(inputs(*names), Path(folder), BINARY, **options).check(overwrite=True)


def test_a_plan_can_be_sent_to_another_process():
    plan = make_plan(inputs("a", "b"), Path("out"), THREE, overlay=True, probabilities=True)
    assert pickle.loads(pickle.dumps(plan)) == plan
