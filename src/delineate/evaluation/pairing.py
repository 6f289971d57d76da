"""Which prediction belongs to which reference: by name, completely, or with one line that says who is alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from delineate.common.errors import DataError
from delineate.data.case import Case
from delineate.data.volumes import file_stem
from delineate.evaluation.references import References, case_name


def pair(folder: Path, files: Sequence[Path], found: References, references: Path) -> list[tuple[Path, Case]]:
    """Predictions with their cases, in the cases' order.

    Raises `DataError` for a prediction without reference, a reference without prediction, or two predictions of one case.
    """
    wanted = {case.id: case for case in found.cases}
    given = by_name(folder, files, wanted)
    strangers, bare = sorted(given.keys() - wanted.keys()), sorted(wanted.keys() - given.keys())
    what = f"split '{found.split}' of {references}" if found.manifest.layout != "masks" else str(references)
    if strangers:
        elsewhere = {case.id: case.split for case in found.manifest.cases}
        hint = next((f"; {name} is in split '{elsewhere[name]}'" for name in strangers if elsewhere.get(name)), "")
        raise DataError(f"{some(strangers, 'prediction')} in {folder} without a reference in {what}{hint}")
    if bare:
        parent_hint = "; to score a split only, give the data set's folder" if found.manifest.layout == "masks" else ""
        raise DataError(f"{some(bare, 'reference')} in {what} without a prediction in {folder}{parent_hint}")
    return [(given[name], case) for name, case in wanted.items()]


def by_name(folder: Path, files: Sequence[Path], wanted: Mapping[str, object]) -> dict[str, Path]:
    """Case id → file. A file is named by its stem; where that is not unique, by its path in the folder."""
    stems = Counter(file_stem(file) for file in files)
    given: dict[str, Path] = {}
    for file in files:
        name = file_stem(file)
        if stems[name] > 1:
            inner = file.relative_to(folder).with_name(name)
            name = next((text for text in ("/".join(inner.parts), "_".join(inner.parts)) if text in wanted), str(inner))
        name = name if name in wanted or case_name(name) not in wanted else case_name(name)
        if name in given:
            raise DataError(f"{given[name]} and {file} are both predictions of '{name}'; keep one")
        given[name] = file
    return given


def some(names: Sequence[str], what: str, most: int = 5) -> str:
    """ "3 cases (a, b, c)", with at most so many names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({', '.join(names[:most])}{more})"
