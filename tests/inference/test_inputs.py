"""What a folder, a pattern or a split gives to predict: images, never masks; and advice that was tried before it is given."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from delineate.common.errors import DataError
from delineate.data.core.words import Role, ending, folder_word
from delineate.data.layouts.discover import discover
from delineate.data.layouts.source import DataSource
from delineate.inference.dataset_inputs import find_split
from delineate.inference.inputs import expand, find_inputs, name_outputs
from raw_sets import DRIVE, PAIRED, spread


def made(root: Path, names: list[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


@pytest.mark.parametrize("name", PAIRED)
def test_what_a_folder_advises_gives_images_and_no_mask(name: str, tmp_path: Path) -> None:
    root = made(tmp_path / "my set", PAIRED[name][0])
    cases = discover(root).cases
    masks = {
        root / file for case in cases for file in (*case.masks, *(each for rater in case.raters for each in rater))
    }
    images = {root / case.images[0] for case in cases}
    try:
        found = set(expand([root]))
    except DataError as error:
        found = followed(root, str(error))
    assert images <= found
    assert not found & masks


def followed(root: Path, message: str) -> set[Path]:
    """The images that an error's advice gives."""
    assert "\n" not in message
    if "--split all" in message:
        return {task.image for task in find_split([DataSource(root)], "all").images}
    if pattern := re.search(r"the pattern '(.*)'$", message):
        return set(expand([pattern[1]]))
    given = re.search(r"; give (.*)$", message)
    assert given is not None, message
    return set(expand(shlex.split(given[1])))


def test_patients_get_a_pattern_without_the_masks(tmp_path: Path) -> None:
    root = made(tmp_path / "set", spread("P{1,2,3,4}/{images,masks}/{0,1}.png"))
    with pytest.raises(DataError, match=r"itself holds no images, .*give the pattern '.*/set/\*/images/\*'$"):
        expand([root])
    plain = made(tmp_path / "scans", spread("P{1,2,3,4}/{0,1}.png"))
    with pytest.raises(DataError, match=r"give the pattern '.*/scans/\*\*/\*'$"):
        expand([plain])
    beside = made(tmp_path / "lgg", spread("P{1,2,3,4}/P{0,1}{,_mask}.tif"))
    with pytest.raises(DataError, match=r"give the folder with --split all, which leaves the masks out$"):
        expand([beside])
    assert len(find_split([DataSource(beside)], "all").images) == 8
    odd = made(tmp_path / "a[1]*", spread("P{1,2,3,4}/{images,masks}/{0,1}.png"))
    with pytest.raises(DataError) as caught:
        expand([odd])
    assert len(followed(odd, str(caught.value))) == 8


def test_masks_beside_images_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    root = made(tmp_path, spread("{a,b}{,_mask}.png", "notes.txt"))
    planned = find_inputs([root])
    assert [task.name for task in planned.images] == ["a", "b"]
    assert planned.notes == (f"2 masks beside their images left out of {root}: a_mask.png, b_mask.png",)
    assert len(expand([str(root / "*.png")])) == 4  # a pattern is meant as it stands


def test_an_archive_stands_for_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    made(tmp_path / "set", ["b.png", "b_mask.png", "a.png"])
    found = find_inputs([shutil.make_archive(str(tmp_path / "scans"), "zip", tmp_path, "set")])
    assert [one.name for one in found.images] == ["a", "b"]
    assert found.notes[0].startswith("scans.zip was unpacked into ")


def test_outputs_of_a_split_are_called_like_the_cases(tmp_path: Path) -> None:
    root = made(tmp_path, spread("P{1,2}/{images,masks}/{0,1}.png"))
    tasks = find_split([DataSource(root)], "all").images
    assert [task.name for task in tasks] == ["P1_0", "P2_0", "P1_1", "P2_1"]
    assert [task.name for task in tasks] == [case.id for case in discover(root).cases]
    drive = find_split([DataSource(made(tmp_path / "drive", DRIVE), masks="1st_manual")], "test").images
    assert [task.name for task in drive] == ["01_test", "02_test"]


def test_links_that_lead_nowhere_and_names_of_other_encodings(tmp_path: Path) -> None:
    root = made(tmp_path / "set", ["a.png"])
    (root / "b.png").symlink_to(tmp_path / "lost.png")
    for given in (root, root / "b.png"):
        with pytest.raises(DataError, match=r"b\.png is a link that leads nowhere"):
            expand([given])
    (root / "b.png").unlink()
    try:
        Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    with pytest.raises(DataError, match=r"the name of .*caf\\xe9\.png is not UTF-8; rename it"):
        expand([root])


def test_lists_of_data_sets_need_a_split(tmp_path: Path) -> None:
    made(tmp_path, ["a.png"])
    (tmp_path / "data.csv").write_text("image,mask\na.png,\n")
    with pytest.raises(DataError, match=r"data\.csv lists a data set; .* such as --split all$"):
        expand([tmp_path / "data.csv"])
    assert [task.name for task in find_split([DataSource(tmp_path / "data.csv")], "all").images] == ["a"]


def test_equal_names_in_folders_keep_their_folders(tmp_path: Path) -> None:
    made(tmp_path, ["a/1.png", "b/1.png"])
    assert [task.name for task in name_outputs(expand([tmp_path / "a", tmp_path / "b"]))] == ["a/1", "b/1"]


def test_the_words_of_the_table_are_known_as_folder_and_as_ending() -> None:
    for word in ("mask", "label", "gt", "seg", "segmentation", "lesion", "annotation", "manual1", "1st_manual"):
        assert folder_word(word).role is Role.MASK
        found = ending(f"a_{word}")
        assert found is not None
        assert (found.role, found.base) == (Role.MASK, "a")
    for word in ("manual2", "2nd_manual", "2ndHO", "2nd_observer"):
        assert folder_word(word).role is Role.RATER
        found = ending(f"a_{word}")
        assert found is not None
        assert (found.role, found.base) == (Role.RATER, "a")


def test_names_are_those_of_files_or_of_pictures_in_packed_ones():
    paths = [Path("a/scan.nii.gz"), Path("a/x.y.png"), Path("test/case1.npy.h5#label.17"), Path("p.hdf5#img@signed")]
    assert [found.name for found in name_outputs(paths)] == ["scan", "x.y", "case1_slice_017", "p"]


def test_a_channel_of_a_picture_in_a_folder_is_an_input(tmp_path: Path):
    (tmp_path / "cells.zarr").mkdir()
    given = tmp_path / "cells.zarr#1"
    assert expand([given]) == [given]
    with pytest.raises(DataError, match="does not exist"):
        expand([tmp_path / "none.zarr#1"])


def test_a_model_among_the_images_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "m.onnx").write_bytes(b"graph")
    for given in (tmp_path / "run", tmp_path / "run" / "model.safetensors", tmp_path / "m.onnx"):
        with pytest.raises(DataError, match=r"is a model, not images; .* by --ensemble"):
            expand([given])
