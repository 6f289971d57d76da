"""A folder that is no data set as it stands: what it seems to be, in one line, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.findings import count, raise_errors, some
from delineate.data.core.grouping import read_table
from delineate.data.core.words import Role, ending, folder_word
from delineate.data.formats.annotations.parsed import read_json_file
from delineate.data.formats.containers import is_archive, is_unread_archive
from delineate.data.formats.registry import pairs_named, reads_volume, volume_suffix, what_is_read
from delineate.data.layouts.choice import quoted
from delineate.data.layouts.selection import Selection
from delineate.data.layouts.tree import Tree

__all__ = ["tables_of", "unread"]

_EXPORT = "export them as COCO, or as masks: one PNG for each image, with its name, in a folder masks/"
_TOOLS = {
    b'"geometryType"': "objects of Supervisely, which are not read",
    b"<bndbox>": "boxes in Pascal VOC's XML, which mark no shape",
    b"<polygon>": "outlines in XML that is not CVAT's, which are not read",
}
"""What is in files of other tools, and what these hold."""
_LOOKED_AT = 8
"""Files that are looked into."""


def unread(tree: Tree, selection: Selection) -> DataError:
    """Why no images with masks were found. Raises the first fault of the walk itself instead, where there is one."""
    raise_errors(tree.findings)
    return DataError(
        _selected(tree, selection)
        or _table(tree)
        or _polygons(tree)
        or _wrong_files(tree)
        or _volumes(tree)
        or _several_images(tree)
        or _by_class(tree)
        or _other(tree)
    )


def _selected(tree: Tree, selection: Selection) -> str:
    if not selection.given:
        return ""
    masks = any(item.role is Role.MASK for item in selection.items)
    if masks:
        return f"beside the masks that were named there are no images in {tree.root}; name them with --images"
    return f"beside the images that were named there are no masks in {tree.root}; name them with --masks"


def _table(tree: Tree) -> str:
    tables = tables_of(tree)
    return (
        f"{tree.root} has no folders that are known, but a table of images and masks: give {next(iter(tables))}"
        if tables
        else ""
    )


def tables_of(tree: Tree) -> dict[Path, set[str]]:
    """The tables in a folder that say which mask belongs to which image, with the names of their columns."""
    found = {}
    for path in tree.others:
        if path.suffix.lower() == ".csv" and path.parent == tree.root:
            try:
                rows = read_table(path)
            except DataError:
                continue
            names = {name.lower() for name in rows[0]}
            if "mask" in names and any(name.partition("_")[0] == "image" for name in names):
                found[path] = names
    return found


def _polygons(tree: Tree) -> str:
    """Outlines as numbers in text files, as labeling tools write them."""
    if not tree.images:
        return ""
    if known := _of_other_tools(tree):
        return known
    stems = {file.path.with_suffix("") for file in tree.images}
    jsons = [path for path in tree.others if path.suffix.lower() == ".json"]
    beside = [path for path in jsons if path.with_suffix("") in stems]
    if broken := _broken_json(jsons):
        return broken
    outlines = beside or [path for path in jsons if "annotation" in path.name.lower() or "coco" in path.name.lower()]
    if outlines:
        kind = "a file for each" if beside else "a file beside them"
        return (
            f"{tree.root} has images and {kind} ({outlines[0].name}) that holds no outlines of COCO or labelme, which are read; "
            f"{_EXPORT}"
        )
    texts = [path for path in tree.others if path.suffix.lower() == ".txt" and _is_masks(path, tree)]
    if texts:
        return (
            f"{texts[0].parent} holds text files ({texts[0].name}) that are no outlines of YOLO for the images beside them; "
            f"{_EXPORT}"
        )
    return ""


def _broken_json(paths: Sequence[Path]) -> str:
    """The first JSON file that is cut off or otherwise none: what it was meant to say cannot be known."""
    for path in paths[:_LOOKED_AT]:
        try:
            read_json_file(path)
        except DataError as error:
            return f"{error}; export it anew"
    return ""


def _of_other_tools(tree: Tree) -> str:
    """The first file that holds outlines or boxes in a form that is known, and not read."""
    for path in [path for path in tree.others if path.suffix.lower() in (".json", ".xml")][:_LOOKED_AT]:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        what = next((name for word, name in _TOOLS.items() if word in content), "")
        if what:
            return f"{path} holds {what}; {_EXPORT}"
    return ""


def _is_masks(path: Path, tree: Tree) -> bool:
    return any(folder_word(name).role is Role.MASK for name in path.relative_to(tree.root).parts[:-1])


def _wrong_files(tree: Tree) -> str:
    """A folder for images or masks without a readable image in it."""
    holding = {file.parts[:depth] for file in tree.images for depth in range(len(file.parts) + 1)}
    for parts in tree.folders:
        word = folder_word(parts[-1])
        if word.role not in (Role.IMAGE, Role.MASK) or not word.plain or parts in holding:
            continue
        folder = tree.root.joinpath(*parts)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        volumes = [path.name for path in files if volume_suffix(path) or reads_volume(path)]
        if volumes and not all(name.lower().endswith(".npy") for name in volumes):
            return _holds_volumes(folder, volumes)
        seen, pairs = some([path.name for path in files], 3), pairs_named(path.name for path in files)
        if holding or seen:
            return f"{folder} holds no images" + (
                f", only {seen}; {what_is_read()}{pairs}" if seen else "; put them there"
            )
    return ""


def _volumes(tree: Tree) -> str:
    if not tree.volumes:
        return ""
    folder = tree.volumes[0].path.parent
    return _holds_volumes(folder, [file.path.name for file in tree.volumes if file.path.parent == folder])


def _holds_volumes(folder: Path, names: list[str]) -> str:
    text = f"{folder} holds {count(len(names), 'volume')} ({some(names, 2)})"
    if all(reads_volume(folder / name) for name in names):
        return f"{text} but no label volumes for them; put them into a folder masks/ with equal names"
    return f"{text}; this layout is not readable yet; convert them to .nii.gz, or save the slices as PNG or TIFF images"


def _several_images(tree: Tree) -> str:
    """A folder for each patient, with one mask and several images: `P1/t1.png`, `P1/t2.png`, `P1/seg.png`."""
    folders: dict[tuple[str, ...], list[Path]] = {}
    for file in tree.images:
        folders.setdefault(file.parts, []).append(file.path)
    held = Counter(path.name for paths in folders.values() for path in paths)
    common = [name for name, number in held.items() if 2 * number > len(folders) > 1]
    masks = [name for name in common if (end := ending(Path(name).stem)) and end.role is Role.MASK and not end.base]
    images = [name for name in common if name not in masks]
    if len(masks) != 1 or len(images) < 2:
        return ""
    return (
        f"in {tree.root}, one mask ({masks[0]}) lies beside {len(images)} images ({some(sorted(images), 3)}) in each of "
        f"{len(folders)} folders; say which of them it belongs to, such as --images {min(images)} --masks {masks[0]}"
    )


def _by_class(tree: Tree) -> str:
    """Folders that no word tells of, beside one of images and with files of the same names: `images/`, `wall/`, `cavity/`."""
    stems: dict[str, set[str]] = {}
    for file in tree.images:
        if len(file.parts) == 1:
            stems.setdefault(file.parts[0], set()).add(file.stem)
    images = [name for name in stems if folder_word(name).role is Role.IMAGE]
    others = [name for name in stems if name not in images and len(images) == 1 and stems[name] <= stems[images[0]]]
    if not others or len(others) + 1 < len(stems):
        return ""
    classes = ",".join(f"{name}={name}" for name in others)
    what = "folder has" if len(others) == 1 else "folders have"
    named = f"--masks {quoted(others[0])}" if len(others) == 1 else f"--masks {quoted(classes)} for classes"
    return f"{some(others)} in {tree.root}: the {what} files of the same names as {images[0]}; if they are masks, give {named}"


def _other(tree: Tree) -> str:
    root = tree.root
    seen = sorted(
        path.name + ("/" if path.is_dir() else "") for path in root.iterdir() if not path.name.startswith(".")
    )
    archives = [name for name in seen if is_archive(Path(name)) or is_unread_archive(Path(name))]
    if archives and not tree.images:
        cure = "give it in place of the folder" if is_archive(Path(archives[0])) else "unpack it and give the folder"
        return f"{root} holds an archive ({archives[0]}): {cure}"
    found = f"found {some(seen)}" if seen else "it is empty"
    flags = ""
    if tree.images:
        flags = (
            " Other names: give --images FOLDER --masks FOLDER (or name=FOLDER,name=FOLDER for classes), or a CSV file with the "
            "columns image and mask"
        )
    return (
        f"no pairs of images and masks in {root}: {found}. Expected images/ and masks/ with equal names, "
        f"train/images and train/masks, X_segmentation / X_mask files beside X, or .npz and HDF5 files that hold both.{flags}"
    ).rstrip(".")
