"""Which prediction belongs to which reference: by name, completely, or with one line that says who is alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.core.manifest import Case, Manifest
from delineate.data.core.words import Role, folder_word, image_stem, mask_stem, normal
from delineate.data.formats.registry import file_stem
from delineate.evaluation.inputs.dicom_pairs import Fitting, fitting_cases, pair_by_images
from delineate.evaluation.inputs.numbered_cases import by_listed_images, file_names, without_names
from delineate.evaluation.inputs.references import References, case_name

__all__ = ["by_name", "pair", "paired", "some"]


def pair(
    folder: Path, files: Sequence[Path], found: References, references: Path, images: Mapping[Path, str]
) -> tuple[list[tuple[Path, Case]], list[str]]:
    """Predictions with their cases, in the cases' order; and a sentence where they were not paired by their names.

    `images`: prediction → the image that it was made from, as far as a list beside them says.

    Raises `DataError` for a prediction without reference, a reference without prediction, or two predictions of one case.
    """
    wanted = {case.id: case for case in found.cases}
    known = by_listed_images(files, images, found.cases)
    given, notes = paired(folder, files, found.manifest, found.cases) if known is None else (known, [])
    strangers, bare = sorted(given.keys() - wanted.keys()), sorted(wanted.keys() - given.keys())
    called = {number: name for name, number in file_names(found.cases).items()}
    bare = [called.get(name, name) for name in bare]
    what = f"split '{found.split}' of {references}" if found.manifest.layout != "masks" else str(references)
    if strangers:
        elsewhere = {case.id: case.split for case in found.manifest.cases}
        hint = next((f"; {name} is in split '{elsewhere[name]}'" for name in strangers if elsewhere.get(name)), "")
        hint += ": --split chooses another one, --split all scores them all" if hint else ""
        raise DataError(f"{some(strangers, 'prediction')} in {folder} without a reference in {what}{hint}")
    if bare:
        parent_hint = "; to score a split only, give the data set's folder" if found.manifest.layout == "masks" else ""
        if (
            found.split == "all"
            and not any(case.split for case in found.manifest.cases)
            and found.manifest.layout != "masks"
        ):
            parent_hint = "; to score what the model's run drew for testing, add --split test"
        raise DataError(f"{some(bare, 'reference')} in {what} without a prediction in {folder}{parent_hint}")
    return [(given[name], case) for name, case in wanted.items()], notes


def paired(
    folder: Path, files: Sequence[Path], manifest: Manifest | None, cases: Sequence[Case]
) -> tuple[dict[str, Path], list[str]]:
    """Case id → file, by names; of DICOM masks by the images that they refer to where names do not agree, or contradict these.

    `manifest`: of the references; None: names alone. Second: a sentence where names were not taken. Raises `DataError` as `by_name`
    and `pair_by_images`.
    """
    fitting: Fitting = {} if manifest is None else fitting_cases(files, manifest, cases)
    wanted = {case.id: case for case in cases}
    names = file_names(cases)
    called = dict.fromkeys([*names, *(set(wanted) - set(names.values()))])  # a number by chance is no name
    if not any(fitting.values()):
        return without_names(by_name(folder, files, called), names), []
    try:
        named = without_names(by_name(folder, files, called), names)
    except DataError:
        named = {}
    agree = all(name in (fitting[file] or [name]) for name, file in named.items() if name in wanted)
    if agree and named.keys() == wanted.keys():
        return named, []
    given = pair_by_images(fitting, cases)
    why = "since names of files do not agree" if agree else "which names of files contradict"
    return given, [f"Predictions were paired with references by the DICOM images that they refer to, {why}."]


def by_name(folder: Path, files: Sequence[Path], wanted: Mapping[str, object]) -> dict[str, Path]:
    """Case id → file. A file is named by its stem; where that is not unique, by its path in the folder.

    What only says that it is an image or a mask may differ: `a_training.png` and `a_manual1.png` are one case.
    """
    stems = Counter(normal(file_stem(file)) for file in files)
    plain = _plain_names(wanted)
    given: dict[str, Path] = {}
    for file in files:
        name = _name(file.relative_to(folder), wanted, plain, alone=stems[normal(file_stem(file))] == 1)
        if name in given:
            raise DataError(f"{given[name]} and {file} are both predictions of '{name}'; keep one")
        given[name] = file
    return given


def _name(inner: Path, wanted: Mapping[str, object], plain: Mapping[str, str], *, alone: bool) -> str:
    """The case that a prediction is of: the first of its possible names that is one; else the most telling of them."""
    stem = normal(file_stem(inner))
    folders = [normal(part) for part in inner.parts[:-1]]
    kept = [part for part in folders if folder_word(part).role is Role.NONE]
    paths = [joined.join((*parts, stem)) for parts in (folders, kept) for joined in ("/", "_", "__")]
    names = [*([stem] if alone else []), *paths]
    for name in names:
        for form in (name, case_name(name)):
            if form in wanted:
                return form
    for name in names:
        if (form := _plain(name)) in plain:
            return plain[form]
    return stem if alone else str(inner.with_name(stem))


def _plain(name: str) -> str:
    return image_stem(mask_stem(name)) or name


def _plain_names(wanted: Mapping[str, object]) -> dict[str, str]:
    """What is left of the cases' names without words for images and masks → the case, where that is clear."""
    counts = Counter(map(_plain, wanted))
    return {_plain(name): name for name in wanted if counts[_plain(name)] == 1}


def some(names: Sequence[str], what: str, most: int = 5) -> str:
    """ "3 cases (a, b, c)", with at most so many names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({', '.join(names[:most])}{more})"
