"""How many training cases keep their masks: a share, a number of cases or of groups, or a list; and which these are.

Groups (patients) are kept whole and drawn in an order that the draw's seed alone decides, so that with one seed a smaller part is
in a larger one.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from delineate.common.csv_text import plain_cell
from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.findings import count, some
from delineate.data.core.manifest import Case, Manifest

__all__ = ["LabelBudget", "drawn_order", "labeled_groups", "list_hash", "parse_budget", "read_case_list"]

_COLUMN = "case"


@dataclass(frozen=True)
class LabelBudget:
    """Which part of the training cases keeps its masks. Exactly one of the first four is given.

    Example:
        >>> from delineate.data.splits.label_budget import LabelBudget
        >>> LabelBudget(cases=40).words
        '--labeled-cases 40'
    """

    share: float | None = None
    """Of the training groups with masks, between 0 and 1; at least one group."""
    cases: int | None = None
    """As many whole groups as have no more cases together than this."""
    groups: int | None = None
    """So many groups."""
    listed: Path | None = None
    """A file that names the cases."""
    draw: int = 0
    """Seed of the order in which groups are drawn."""

    @property
    def words(self) -> str:
        """As it was asked for."""
        if self.share is not None:
            return f"--labeled {self.share:g}"
        if self.listed is not None:
            return f"--labeled {self.listed}"
        return f"--labeled-cases {self.cases}" if self.groups is None else f"--labeled-groups {self.groups}"

    def to_json(self) -> dict[str, str | int | float]:
        """As `run.json` notes it."""
        what = {"share": self.share, "cases": self.cases, "groups": self.groups}
        listed = {} if self.listed is None else {"list": self.listed.name}
        return {**{key: value for key, value in what.items() if value is not None}, **listed, "draw": self.draw}

    def chosen(self, manifest: Manifest) -> list[str]:
        """Ids of the training cases that keep their masks, in the order drawn or listed.

        Raises `DataError`: no such part, or not in these data.
        """
        groups = labeled_groups(manifest)
        if self.listed is not None:
            return _listed(self.listed, manifest)
        order = drawn_order(groups, self.draw)
        number = self._groups(groups, order, manifest)
        return [case.id for name in order[:number] for case in groups[name]]

    def _groups(self, groups: Mapping[str, Sequence[Case]], order: Sequence[str], manifest: Manifest) -> int:
        """How many groups of that order."""
        if self.share is not None and not 0 < self.share < 1:
            raise DataError(f"--labeled {self.share:g} is not between 0 and 1; 0.1 keeps the masks of a tenth")
        if len(order) < 2:
            raise DataError(
                f"{manifest.root} has {count(len(order), 'training group')} with masks; there is nothing to choose from"
            )
        if self.share is not None:
            return min(len(order) - 1, max(1, round(self.share * len(order))))
        if self.groups is not None:
            return self._of_at_most(self.groups, len(order), "training group", manifest)
        assert self.cases is not None
        total = sum(map(len, groups.values()))
        self._of_at_most(self.cases, total, "training case", manifest)
        sums = np.cumsum([len(groups[name]) for name in order])
        number = int(np.searchsorted(sums, self.cases, side="right"))
        if not number:
            first = order[0]
            raise DataError(
                f"--labeled-cases {self.cases}: the first group of this draw, '{first}', has {count(len(groups[first]), 'case')}, "
                "and groups are kept whole; raise it, or take another draw"
            )
        return number

    def _of_at_most(self, wanted: int, there: int, what: str, manifest: Manifest) -> int:
        if wanted < 1:
            raise DataError(f"{self.words}: at least 1 must keep its masks")
        if wanted >= there:
            more = "all of them; leave it out" if wanted == there else "give fewer"
            raise DataError(f"{self.words}: {manifest.root} has {count(there, what)} with masks; {more}")
        return wanted


def parse_budget(
    labeled: str | float | Path | None, cases: int | None, groups: int | None, draw: int
) -> LabelBudget | None:
    """What the options `--labeled`, `--labeled-cases`, `--labeled-groups` and their draw ask for; None: nothing.

    `labeled`: a share, or the path of a list. Raises `DataError` for more than one of them.
    """
    given = {"--labeled": labeled, "--labeled-cases": cases, "--labeled-groups": groups}
    told = [name for name, value in given.items() if value is not None]
    if len(told) > 1:
        raise DataError(f"{' and '.join(told)} ask for different parts; give one of them")
    if not told:
        return None
    try:
        share = None if labeled is None else float(str(labeled))
    except ValueError:
        if not Path(str(labeled)).is_file():
            raise DataError(
                f"--labeled {labeled}: neither a share between 0 and 1 nor a file that lists cases"
            ) from None
        return LabelBudget(listed=Path(str(labeled)), draw=draw)
    return LabelBudget(share, cases, groups, draw=draw)


def labeled_groups(manifest: Manifest) -> dict[str, list[Case]]:
    """Group → its training cases with masks; a case that knows no group is one by itself."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in manifest.split("train"):
        if case.masks:
            groups[case.group or f"case {case.id}"].append(case)
    return dict(groups)


def drawn_order(groups: Collection[str], draw: int) -> list[str]:
    """The groups in the order of one draw; it depends on their names and the draw alone."""
    names = sorted(groups)
    return [names[at] for at in np.random.default_rng([draw, len(names)]).permutation(len(names))]


def list_hash(ids: Collection[str]) -> str:
    """SHA-256 over the ids of a list, whatever their order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def read_case_list(path: Path) -> list[str]:
    """The cases that a file names: one a line, or the column `case` of a CSV file; repeated ones once. Raises `DataError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read the list {path}: {error}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if path.suffix.lower() == ".csv":
        table = csv.DictReader(lines)
        if _COLUMN not in (table.fieldnames or ()):
            raise DataError(f"{path} has no column '{_COLUMN}'")
        lines = [plain_cell(str(row[_COLUMN])).strip() for row in table if row[_COLUMN]]
    if not lines:
        raise DataError(f"{path} names no case")
    return list(dict.fromkeys(lines))


def _listed(path: Path, manifest: Manifest) -> list[str]:
    """The cases of a list, each of which must be a training case with a mask."""
    wanted = read_case_list(path)
    training = {case.id: case for case in manifest.split("train")}
    strange = [name for name in wanted if name not in training]
    if strange:
        known = {case.id: case.split for case in manifest.cases}
        first = strange[0]
        why = (
            f"is in the split '{known[first] or 'none'}'"
            if first in known
            else f"is no case: {did_you_mean(first, known)}"
        )
        more = f" (and {len(strange) - 1} more)" if len(strange) > 1 else ""
        raise DataError(f"{path}: '{first}' is not a training case of {manifest.root}: it {why}{more}")
    bare = [name for name in wanted if not training[name].masks]
    if bare:
        raise DataError(f"{path}: no mask of {some(bare, 3)}; label them first")
    return wanted
