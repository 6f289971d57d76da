"""Published splits of public datasets: the patients that papers used for training, validation and test.

Scores can be compared only on the same patients. The lists hold numbers of patients. The patient of a case is read from its name
(`case0005_slice000`, `patient005_frame01`, `img0005`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from delineate.common.errors import DataError
from delineate.common.names import did_you_mean
from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case, Manifest, Split

__all__ = ["PUBLISHED", "PublishedList", "apply_published_list", "find_published_list"]

_PATIENT = re.compile(r"((?:patient|case|subject|img|image|label)[-_]?0*(\d+))(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class PublishedList:
    """A split by patient. A part that the paper does not have is empty."""

    name: str
    source: str
    """Where it comes from, and what was counted with it: one line."""
    train: frozenset[int]
    val: frozenset[int]
    test: frozenset[int]

    @property
    def splits(self) -> dict[Split, frozenset[int]]:
        return {"train": self.train, "val": self.val, "test": self.test}

    def split_of(self, patient: int) -> Split | None:
        """The split that a patient belongs to; None for one that is in no list."""
        return next((split for split, members in self.splits.items() if patient in members), None)


_SYNAPSE_TRAIN = frozenset({5, 6, 7, 9, 10, 21, 23, 24, 26, 27, 28, 30, 31, 33, 34, 37, 39, 40})
_SYNAPSE_TEST = frozenset({1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38})
_ACDC_VAL = frozenset({19, 21, 29, 33, 41, 50, 61, 71, 76, 80})
_ACDC_TEST = frozenset({2, 3, 8, 9, 12, 14, 17, 24, 42, 48, 49, 53, 55, 64, 67, 79, 81, 88, 92, 95})

PUBLISHED: dict[str, PublishedList] = {
    each.name: each
    for each in (
        PublishedList(
            name="synapse-transunet",
            source="Synapse multi-organ CT, 18 patients for training and 12 for testing: Chen et al., TransUNet "
            "(arXiv:2102.04306), lists_Synapse; 2211 training slices",
            train=_SYNAPSE_TRAIN,
            val=frozenset(),
            test=_SYNAPSE_TEST,
        ),
        PublishedList(
            name="acdc-mtunet",
            source="ACDC, 70, 10 and 20 of its 100 training patients: Wang et al., MT-UNet (ICASSP 2022, arXiv:2111.04734), "
            "lists_ACDC; 1304 training slices, 182 for validation, 40 test volumes",
            train=frozenset(range(1, 101)) - _ACDC_VAL - _ACDC_TEST,
            val=_ACDC_VAL,
            test=_ACDC_TEST,
        ),
    )
}


def find_published_list(name: str) -> PublishedList:
    """Find a list by its name.

    Args:
        name: `synapse-transunet` or `acdc-mtunet`.

    Returns:
        The list.

    Raises:
        DataError: There is no list of that name; the nearest is suggested.
    """
    if name not in PUBLISHED:
        raise DataError(f"unknown list '{name}': {did_you_mean(name, PUBLISHED)}")
    return PUBLISHED[name]


def apply_published_list(manifest: Manifest, chosen: PublishedList) -> tuple[Manifest, list[Finding]]:
    """Replace the splits of a manifest by those of a list. Patients become groups if the cases have none.

    Args:
        manifest: The cases.
        chosen: The list.

    Returns:
        The manifest, and findings: listed patients that are missing, and patients that are not in the list and so not used.

    Raises:
        DataError: No name contains a patient's number, or all patients of a split are missing.
    """
    found = {case.id: match for case in manifest.cases if (match := _PATIENT.search(case.id))}
    if not found:
        names = some([case.id for case in manifest.cases], 2)
        raise DataError(
            f"no name in {manifest.root} tells of a patient ({names}); --list reads names like patient005_…"
        )
    patients = {name: int(match[2]) for name, match in found.items()}
    findings = _missing(manifest, chosen, set(patients.values()))
    strangers = sorted({number for number in patients.values() if chosen.split_of(number) is None})
    if strangers:
        cases = sum(number in strangers for number in patients.values())
        text = f"{count(len(strangers), 'patient')} in no list of {chosen.name}, {count(cases, 'case')} not used"
        findings.append(Finding("note", f"{text}: {some(list(map(str, strangers)))}"))
    nameless = [case.id for case in manifest.cases if case.id not in found]
    if nameless:
        text = f"{count(len(nameless), 'case')} without a patient in the name, not used: {some(nameless)}"
        findings.append(Finding("warning", text))

    def placed(case: Case) -> Case:
        if case.id not in found:
            return case.model_copy(update={"split": None, "fold": None})
        split = chosen.split_of(patients[case.id])
        return case.model_copy(update={"split": split, "fold": None, "group": case.group or found[case.id][1]})

    origin = f"published list {chosen.name}"
    return manifest.model_copy(update={"cases": tuple(map(placed, manifest.cases)), "split_origin": origin}), findings


def _missing(manifest: Manifest, chosen: PublishedList, there: set[int]) -> list[Finding]:
    findings = []
    for split, members in chosen.splits.items():
        lost = sorted(members - there)
        if members and len(lost) == len(members):
            raise DataError(
                f"{manifest.root} has none of the {len(members)} {split} patients of {chosen.name}; is it that data set?"
            )
        if lost:
            text = f"{len(lost)} of {len(members)} {split} patients of {chosen.name} are missing: {some(list(map(str, lost)))}"
            findings.append(Finding("warning", text, "figures on fewer patients are not those of the paper"))
    return findings
