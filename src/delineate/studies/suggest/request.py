"""What `study suggest` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from delineate.common.errors import DataError
from delineate.common.output_checks import check_result_file
from delineate.data.formats.contract import DEFAULT_MAX_PIXELS
from delineate.data.layouts.source import DataSource
from delineate.inference.features import FeatureKind
from delineate.report.html.document import SIGNATURE
from delineate.studies.suggest.choose import ChoiceRule
from delineate.studies.suggest.measure import DoubtRule

__all__ = ["COLUMNS", "SuggestRequest"]

COLUMNS = ("case", "rank", "doubt", "distance", "group", "why", "image")
"""Of the list."""


@dataclass(frozen=True)
class SuggestRequest:
    """Its options."""

    run: Path
    """A run folder, or a `model.safetensors`."""
    pool: DataSource
    out: Path
    count: int = 20
    by: ChoiceRule = "both"
    doubt: DoubtRule = "foreground"
    features: FeatureKind | None = None
    """None: `encoder` where the method has one to ask."""
    per_group: int | None = None
    """None: as few as suffice."""
    seed: int = 0
    with_labeled: bool = False
    overwrite: bool = False
    device: str = "auto"
    batch_size: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS

    @property
    def page(self) -> Path:
        """The page beside the list."""
        return self.out.with_suffix(".html")

    def check(self) -> None:
        """Raise `DelineateError` for what can be told without reading images."""
        for name, number in {"--count": self.count, "--per-group": self.per_group}.items():
            if number is not None and number < 1:
                raise DataError(f"{name} {number}: give 1 or more")
        if self.out.suffix.lower() != ".csv":
            raise DataError(f"--out {self.out}: the list is a CSV file; give a name that ends with .csv")
        for path in (self.out, self.page):
            if path.is_file() and not self.overwrite:
                raise DataError(f"{path} is there already; give another --out, or --overwrite to replace it")
        check_result_file(self.out, [",".join(COLUMNS)], "list of suggestions")
        check_result_file(self.page, [SIGNATURE], "page")
