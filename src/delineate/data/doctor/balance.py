"""How often each class is seen in each split: by cases and by pixels."""

from __future__ import annotations

from dataclasses import dataclass

from delineate.data.cases.census import Census
from delineate.data.core.findings import Finding, some
from delineate.data.core.manifest import IGNORE, Manifest, Split

__all__ = ["SPLITS", "Share", "class_balance", "unseen_classes"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Share:
    """One class in one split."""

    split: Split
    index: int
    name: str
    showing: int
    """Cases with at least one pixel of the class."""
    cases: int
    """Labeled cases of the split."""
    pixels: float
    """Share of the split's reference pixels (ignored ones left out)."""


def class_balance(manifest: Manifest, census: Census) -> list[Share]:
    """Of every class, the background too, in every split that has labeled cases."""
    shares = []
    for split in SPLITS:
        counts = [census.facts[case.id].class_pixels(manifest.labels) for case in manifest.split(split) if case.masks]
        total = sum(number for each in counts for index, number in each.items() if index != IGNORE)
        for index, name in enumerate(manifest.classes.names):
            pixels = sum(each.get(index, 0) for each in counts)
            showing = sum(index in each for each in counts)
            if counts:
                shares.append(Share(split, index, name, showing, len(counts), pixels / max(1, total)))
    return shares


def unseen_classes(shares: list[Share]) -> list[Finding]:
    """Warnings of the classes that a split never shows."""
    findings = []
    for split, what, mend in (
        ("train", "training", "bring cases that do, or drop the class"),
        ("val", "validation", "it cannot be validated; move a case that shows it"),
        ("test", "test", "it cannot be scored; move a case that shows it"),
    ):
        names = [share.name for share in shares if share.split == split and share.index and not share.showing]
        if names:
            findings.append(Finding("warning", f"no {what} case shows {some(names)}", mend))
    return findings
