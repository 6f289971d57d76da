"""Images without masks: where they may lie, where they may go, and how they share a batch with others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from delineate.cli import data
from delineate.common.errors import DataError
from delineate.data.augment.settings import AugmentSettings
from delineate.data.cache.cache import Cache
from delineate.data.cases.census import Census
from delineate.data.core.input_spec import InputSpec
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.samples import Sample
from delineate.data.doctor.check import check
from delineate.data.doctor.fix import write_fixed
from delineate.data.layouts.discover import discover, recognize
from delineate.data.loading.loader import Loader
from delineate.data.loading.open_data import open_data
from delineate.data.splits.folds import split_data
from delineate.data.splits.label_share import for_training, keep_labeled, place_unlabeled
from delineate.data.splits.resplit import resplit

MakePairs = Callable[..., Path]
PATIENTS = [f"patient{number:03}_slice_{part}" for number in range(20) for part in range(3)]


def bared(root: Path, stems: list[str], folder: str = "unlabeled") -> Path:
    """Move images to the folder for those without masks; their masks go."""
    (root / folder).mkdir(exist_ok=True)
    for stem in stems:
        shutil.move(root / "images" / f"{stem}.png", root / folder / f"{stem}.png")
        (root / "masks" / f"{stem}.png").unlink()
    return root


def bare(manifest: Manifest) -> list[Case]:
    return [case for case in manifest.cases if not case.masks]


def test_images_alone_are_an_error_that_says_where_to_put_them(make_pairs: MakePairs) -> None:
    root = make_pairs(["a", "b", "c"])
    (root / "masks" / "b.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 images .* without mask: b; .* into a folder `unlabeled`"):
        discover(root)


@pytest.mark.parametrize("folder", ["unlabeled", "Unlabeled"])
def test_a_folder_of_unlabeled_images(make_pairs: MakePairs, folder: str) -> None:
    root = bared(make_pairs(PATIENTS), PATIENTS[-6:], folder)
    manifest, census = open_data(root)
    assert {case.id for case in bare(manifest)} == set(PATIENTS[-6:])
    assert {case.split for case in bare(manifest)} == {"train"}
    assert [len(manifest.split(split)) for split in ("train", "val", "test")] == [48, 6, 6]
    assert not census.empty
    texts = [finding.text for finding in recognize(root).findings]
    assert f"6 training images without masks in {root / folder}" in texts


def test_none_is_of_a_group_that_is_held_out(make_pairs: MakePairs) -> None:
    root = make_pairs(PATIENTS)
    shutil.copytree(root / "images", root / "unlabeled")
    for path in (root / "unlabeled").iterdir():
        path.rename(path.with_name(path.name.replace("slice_", "slice_1")))
    (root / "val.txt").write_text("\n".join(PATIENTS[:3]))
    (root / "test.txt").write_text("\n".join(PATIENTS[3:6]))
    manifest, _ = open_data(root)
    left_out = {case.group for case in bare(manifest) if case.split is None}
    assert left_out == {"patient000", "patient001"}
    assert {case.split for case in bare(manifest) if case.group not in left_out} == {"train"}


def test_a_list_of_images_whose_masks_are_not_used(make_pairs: MakePairs) -> None:
    root = make_pairs(PATIENTS)
    (root / "unlabeled.txt").write_text("\n".join(PATIENTS[-6:]))
    manifest, _ = open_data(root)
    assert {case.id for case in bare(manifest)} == set(PATIENTS[-6:])
    assert all(not name.startswith("masks") for case in bare(manifest) for name in case.hashes)
    assert manifest.split_origin.startswith("seeded")
    (root / "train.txt").write_text("\n".join(PATIENTS[:-9]))
    (root / "val.txt").write_text("\n".join(PATIENTS[-9:-6]))
    listed, _ = open_data(root)
    assert [len(listed.split(split)) for split in ("train", "val", "test")] == [57, 3, 0]


def test_names_in_two_folders_stay_apart(make_pairs: MakePairs) -> None:
    root = make_pairs(["a", "b", "c"])
    shutil.copytree(root / "images", root / "unlabeled")
    (root / "unlabeled" / "a.png").rename(root / "unlabeled" / "d.png")
    assert [case.id for case in discover(root).cases] == ["a", "b", "c", "unlabeled_b", "unlabeled_c", "d"]


def test_check_counts_them_and_a_clean_copy_keeps_them(make_pairs: MakePairs, tmp_path: Path) -> None:
    root = bared(make_pairs(PATIENTS), PATIENTS[-6:])
    report = check(root)
    assert ("matched", f"54 images with masks, {_pair(PATIENTS[0])} … {_pair(PATIENTS[-7])}") in report.rows
    assert ("without masks", "6 images, for methods that learn from them") in report.rows
    copy, _ = open_data(write_fixed(report, tmp_path / "clean").folder)
    assert {case.id for case in bare(copy)} == set(PATIENTS[-6:])


def _pair(stem: str) -> str:
    return f"images/{stem}.png + masks/{stem}.png"


def test_methods_that_learn_from_masks_only_do_not_see_them(make_pairs: MakePairs) -> None:
    manifest, _ = open_data(bared(make_pairs(PATIENTS), PATIENTS[-6:]))
    seen, said = for_training(manifest, uses_unlabeled=False)
    assert said == "6 training images without masks left out: method and strategy learn from masks only"
    assert not bare(seen)
    assert for_training(seen, uses_unlabeled=False) == (seen, "")
    kept, said = for_training(manifest, uses_unlabeled=True)
    assert (kept, said) == (manifest, "6 training images of 48 without masks: used by the terms that need none")


def test_masks_are_needed_all_the_same() -> None:
    cases = (Case(id="a", images=("x",), split="train"), Case(id="b", images=("x",), masks=("y",), split="val"))
    with pytest.raises(DataError, match="none of the 1 training case has a mask"):
        for_training(Manifest(root="/r", layout="", split_origin="", cases=cases), uses_unlabeled=True)


def test_folds_hold_labeled_cases_and_keep_the_others_out_of_their_groups(make_pairs: MakePairs) -> None:
    stems = [*PATIENTS, *(f"patient{number:03}_slice_9" for number in (*range(5), 30, 31))]
    root = bared(make_pairs(stems), stems[60:])
    folds = split_data(root, folds=4).manifest
    assert {case.fold for case in bare(folds)} == {None}
    for number in range(4):
        manifest = place_unlabeled(folds.of_fold(number))
        held_out = {case.group for case in manifest.split("val")}
        assert all(case.masks for case in manifest.split("val"))
        assert {case.id for case in bare(manifest) if case.split == "train"} == {
            case.id for case in bare(manifest) if case.group not in held_out
        }


def test_a_share_of_the_training_groups_keeps_its_masks(make_pairs: MakePairs, tmp_path: Path) -> None:
    root = make_pairs(PATIENTS)
    parts = {share: resplit(root, labeled=share, seed=3).manifest for share in (0.1, 0.25, 0.5)}
    groups = {share: labeled_groups(manifest) for share, manifest in parts.items()}
    assert [len(names) for names in groups.values()] == [2, 4, 8]
    assert groups[0.1] < groups[0.25] < groups[0.5]
    whole, _ = open_data(root, seed=3)
    for share, manifest in parts.items():
        assert [case.split for case in manifest.cases] == [case.split for case in whole.cases]
        assert "masks of" in manifest.split_origin
        assert all(case.masks for case in manifest.cases if case.split != "train")
        assert all(set(case.hashes) == set(case.images) for case in bare(manifest)), share
    assert resplit(root, labeled=0.1, seed=3).manifest == parts[0.1]
    assert labeled_groups(resplit(root, labeled=0.1, seed=4).manifest) != groups[0.1]
    for path in (root / "masks").iterdir():  # what is taken away is never read
        if path.stem in {case.id for case in bare(parts[0.1])}:
            path.unlink()
    parts[0.1].save(tmp_path / "m.json")
    assert len(bare(open_data(tmp_path / "m.json")[0])) == 42


def labeled_groups(manifest: Manifest) -> set[str | None]:
    return {case.group for case in manifest.split("train") if case.masks}


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_shares_that_are_none(share: float) -> None:
    manifest = Manifest(root="/r", layout="", split_origin="")
    with pytest.raises(DataError, match="not between 0 and 1"):
        keep_labeled(manifest, Census(), share, seed=0)


def test_kept_masks_that_lack_a_class_are_refused(make_pairs: MakePairs, write: Callable[..., Path]) -> None:
    root = make_pairs(PATIENTS, value=1)
    rare = np.zeros((16, 16), np.uint8)
    rare[2:5, 2:5] = 2
    write(root / "masks" / "patient007_slice_0.png", rare)
    whole, _ = open_data(root)
    census = open_data(root)[1]

    def keep(seed: int) -> str:
        try:
            return "kept" if keep_labeled(whole, census, 0.1, seed=seed) else ""
        except DataError as error:
            return str(error)

    without = "--labeled 0.1 keeps 6 training masks without label 2; raise it or change --seed"
    assert without in {keep(seed) for seed in range(8)} <= {without, "kept"}


def test_the_verb_says_what_is_left(make_pairs: MakePairs, tmp_path: Path) -> None:
    root, out = make_pairs(PATIENTS), tmp_path / "m.json"
    result = CliRunner().invoke(data.app, ["split", str(root), "--labeled", "0.25", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "masks of 4 of 16 training groups (12 of 48 images), seed 0" in result.output
    assert "unlabeled │    36 │     12" in result.output


def mixed_cache(known: int, unknown: int) -> Cache:
    number = known + unknown
    cases = tuple(Sample(Case(id=str(at), images=("x",), masks=("m",) if at < known else ())) for at in range(number))
    images = np.zeros((number, 4, 4, 3), np.uint8)
    return Cache(cases, images, np.zeros((number, 4, 4), np.uint8))


SPEC = InputSpec(size=(4, 4))


def test_batches_have_their_share_of_masks() -> None:
    loader = Loader(mixed_cache(3, 17), SPEC, None, batch_size=6, seed=1, labeled_share=0.5)
    batches = list(loader.batches(0, 40))
    assert all(batch.labeled.sum() == 3 for batch in batches)
    known = [name for batch in batches for name in np.array(batch.sample_id)[batch.labeled]]
    bare_ids = [name for batch in batches for name in np.array(batch.sample_id)[~batch.labeled]]
    for names, number in ((known, 3), (bare_ids, 17)):  # both go round: each epoch of each has every sample once
        rounds = [names[at : at + number] for at in range(0, len(names) - number, number)]
        assert all(len(set(one)) == number for one in rounds)
        assert len({tuple(one) for one in rounds}) > 1


def test_batches_start_anywhere_and_are_shared_by_processes() -> None:
    options = {"batch_size": 8, "seed": 5, "labeled_share": 0.3}
    cache = mixed_cache(5, 11)
    settings = AugmentSettings()
    whole = [batch.sample_id for batch in Loader(cache, SPEC, settings, **options).batches(0, 9)]
    assert [batch.sample_id for batch in Loader(cache, SPEC, settings, **options).batches(4, 9)] == whole[4:]
    halves = [list(Loader(cache, SPEC, settings, rank=rank, world=2, **options).batches(0, 9)) for rank in (0, 1)]
    for step, names in enumerate(whole):
        assert halves[0][step].sample_id + halves[1][step].sample_id == names
        assert min(half[step].labeled.sum() for half in halves) == 1  # 3 of 8, spread over both


@pytest.mark.parametrize("cache", [mixed_cache(4, 0), mixed_cache(0, 4)])
def test_a_share_changes_nothing_where_all_are_of_one_kind(cache: Cache) -> None:
    plain, shared = (
        [
            batch.sample_id
            for batch in Loader(cache, SPEC, None, batch_size=2, seed=0, labeled_share=share).batches(0, 5)
        ]
        for share in (None, 0.5)
    )
    assert plain == shared


def test_batches_need_room_for_both() -> None:
    with pytest.raises(DataError, match=r"labeled_share 0.8 leaves no place in a batch of 2"):
        Loader(mixed_cache(2, 2), SPEC, None, batch_size=2, seed=0, labeled_share=0.8)


def test_folders_within_folders_and_what_lies_in_them_as_masks(
    make_pairs: MakePairs, write: Callable[..., Path]
) -> None:
    root = make_pairs([f"c{k}" for k in range(4)])
    root.rename(root.parent / "inner")
    (root / "train").parent.mkdir()
    (root.parent / "inner").rename(root / "train")
    make_pairs(["t0", "t1"], root=root / "test")
    picture = np.zeros((16, 16, 3), np.uint8)
    for name in ("train/unlabeled/images/u0", "train/unlabeled/masks/u0", "test/unlabeled/v0"):
        write(root / f"{name}.png", picture)
    found = discover(root)
    assert [case.images for case in found.cases if not case.masks] == [("train/unlabeled/images/u0.png",)]
    assert "folders that are not used: test/unlabeled, train/unlabeled/masks" in found.notes
