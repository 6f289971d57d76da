"""Cases, the class table and the manifest: what a data set is, apart from its pixels."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from delineate.common.config import first_fault
from delineate.common.errors import DataError
from delineate.common.file_names import name_fault, path_fault
from delineate.common.files import write_json
from delineate.data.core.class_codes import ClassCode
from delineate.data.core.regions import Region, make_regions, regions_fault

__all__ = ["IGNORE", "Case", "ClassTable", "Coding", "LabelRule", "Manifest", "Split"]

Split = Literal["train", "val", "test"]
IGNORE = 255
"""Class index of pixels that are neither trained on nor scored."""


class Case(BaseModel):
    """One image with its reference. Paths are relative to the manifest's root (POSIX form).

    Example:
        >>> from delineate.data.core.manifest import Case
        >>> case = Case(id="p1", images=("images/p1.png",), masks=("masks/p1.png",), group="patient1", split="train")
        >>> case.group
        'patient1'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    images: tuple[str, ...]
    """One file, or one for each of the manifest's channels, in their order."""
    masks: tuple[str, ...] = ()
    """Several files are merged (union of foregrounds); none means unlabeled."""
    raters: tuple[tuple[str, ...], ...] = ()
    group: str | None = None
    """What must not straddle splits: patient, sequence. None: the case is its own group."""
    split: Split | None = None
    fold: int | None = None
    """Of a K-fold manifest: 0 … K-1. Cases with a fold are for training and validation, never for testing."""
    spacing: tuple[float, ...] | None = None
    """Distances of pixels in mm, from row to row and from column to column; of volumes, before these, from slice to slice as they
    are cut."""
    modality: str | None = None
    """What made the image ("CT"), as its file says it, or a `dataset.json` that names the one channel of the images; None: nothing
    says it. Channels in files of their own are named by the manifest."""
    domain: str | None = None
    """Where it comes from: a hospital, a scanner. None: not known."""
    hashes: dict[str, str] = Field(default_factory=dict)
    """SHA-256 per path."""
    pixels: str | None = None
    """SHA-256 of the decoded image (of a volume: of its file): equal pictures have equal ones. None: not read, or of one value."""

    @property
    def pixel_spacing(self) -> tuple[float, float] | None:
        """Of the picture's pixels, or of those of a volume's slices, in mm."""
        return None if self.spacing is None else (self.spacing[-2], self.spacing[-1])


Coding = Literal["value", "index", "color"]
"""What a pixel of a mask file says: a gray value; the index into the file's palette; or a color, as 0xRRGGBB."""


class LabelRule(BaseModel):
    """How the raw values of mask files become class indices (`data.core.label_reading` finds it, `data.core.labels` applies it).

    `threshold`: raw value ≥ threshold is foreground. `values`: raw value → class index (255 = ignore); `ranges`: the same for
    all values from a first to a last one, where `values` says nothing. Other values are errors.

    Example:
        >>> from delineate.data.core.manifest import LabelRule
        >>> rule = LabelRule(values={0: 0, 128: 1, 255: 2})
        >>> rule.index_of(128), rule.index_of(7)
        (1, None)
        >>> rule.class_pixels({0: 900, 255: 100})
        {0: 900, 2: 100}
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: int | None = None
    values: dict[int, int] | None = None
    ranges: tuple[tuple[int, int, int], ...] = ()
    """(first value, last value, class index)."""
    coding: Coding | None = None
    """None: as each file's palette suggests, which is how manifests of the first version were read."""
    reason: str = ""
    """One line for the user: what was seen and how it is read."""

    def index_of(self, value: int) -> int | None:
        """What a raw value means.

        Args:
            value: of a mask file.

        Returns:
            Its class index (255 = ignore); None where the rule does not know it.
        """
        if self.threshold is not None:
            return int(value >= self.threshold)
        if self.values is not None and value in self.values:
            return self.values[value]
        return next((index for first, last, index in self.ranges if first <= value <= last), None)

    def class_pixels(self, counts: Mapping[int, int]) -> dict[int, int]:
        """Counts of raw values as counts of classes.

        Args:
            counts: raw value → pixels.

        Returns:
            Class index → pixels; values that the rule does not know count as ignored (255).
        """
        found: Counter[int] = Counter()
        for value, number in counts.items():
            index = self.index_of(value)
            found[IGNORE if index is None else index] += number
        return dict(found)


class ClassTable(BaseModel):
    """Names of the classes by index; index 0 is the background.

    Example:
        >>> from delineate.data.core.manifest import ClassTable
        >>> ClassTable(names=("background", "wall", "cavity")).outputs
        3
        >>> ClassTable(names=("background", "polyp")).outputs
        1
        >>> from delineate.data.core.regions import Region
        >>> heart = Region(name="heart", classes=(1, 2), paints=1), Region(name="cavity", classes=(2,), paints=2)
        >>> ClassTable(names=("background", "wall", "cavity"), regions=heart).outputs
        2
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...] = ("background", "foreground")
    labels: LabelRule | None = None
    """Which raw values of mask files mean these classes; None where that is not known, or a manifest's own rule says it."""
    colors: tuple[str, ...] | None = None
    """A color for each class (`#rrggbb`), where the owner of the data has named some."""
    regions: tuple[Region, ...] = ()
    """Nested sets of classes that a network learns instead of the classes, in the order of painting; none: it learns classes."""
    codes: tuple[ClassCode, ...] = ()
    """What each foreground class is in codes, where the owner of the data has said it (`--codes`)."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.regions and (fault := regions_fault(self.regions, self.names)):
            raise ValueError(fault)
        if self.codes and len(self.codes) != len(self.names) - 1:
            raise ValueError(f"{len(self.codes)} codes for {len(self.names) - 1} foreground classes")
        return self

    @property
    def outputs(self) -> int:
        """Channels of the network's output: one per region (sigmoid); else 1 (sigmoid) for one foreground class, or one per class,
        the background first (softmax)."""
        if self.regions:
            return len(self.regions)
        return 1 if len(self.names) == 2 else len(self.names)

    @property
    def structures(self) -> dict[str, tuple[int, ...]]:
        """What is scored: the regions, or without any the foreground classes. Name → indices of its classes."""
        if self.regions:
            return {region.name: region.classes for region in self.regions}
        return {name: (index,) for index, name in enumerate(self.names) if index}

    @property
    def channels(self) -> tuple[str, ...]:
        """What each of the `outputs` channels is called: a region, a class (the background first), or the one foreground class."""
        if self.regions:
            return tuple(region.name for region in self.regions)
        return self.names[1:] if len(self.names) == 2 else self.names

    def with_regions(self, given: Mapping[str, Sequence[str]]) -> ClassTable:
        """The same classes with other regions.

        Args:
            given: name of a region → names of its classes; empty: no regions.

        Returns:
            A new table.

        Raises:
            ValueError: the regions are not nested, a class is unknown or in none of them, or two classes are in the same ones.
        """
        return self.model_copy(update={"regions": make_regions(given, self.names)})

    @property
    def regions_in_words(self) -> str:
        """ "heart = wall + cavity; cavity"."""
        found = self.regions_by_name.items()
        return "; ".join(name if members == [name] else f"{name} = {' + '.join(members)}" for name, members in found)

    @property
    def regions_by_name(self) -> dict[str, list[str]]:
        """The regions with the names of their classes, as a recipe or `labels.yaml` states them."""
        return {region.name: [self.names[index] for index in region.classes] for region in self.regions}


class Manifest(BaseModel):
    """A list of cases with their class table: all that is needed to find the same data again, and to know that it is the same.

    Example:
        >>> from pathlib import Path
        >>> from delineate.data.core.manifest import Case, Manifest
        >>> cases = (Case(id="a", images=("a.png",), split="train"), Case(id="b", images=("b.png",), split="test"))
        >>> manifest = Manifest(root="polyps", layout="images and masks", split_origin="files", cases=cases)
        >>> [case.id for case in manifest.split("test")]
        ['b']
        >>> manifest.save(Path("two.json"))
        >>> Manifest.load(Path("two.json")) == manifest
        True
    """

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    root: str
    layout: str
    """Name of the recognized layout, as `data.layouts.discover` lists them."""
    split_origin: str
    """Where the splits come from: 'files', 'folders', or 'seeded: …' with the rule."""
    grouping: str = ""
    """How the cases' groups were found, in words; empty where none are known."""
    leaks: tuple[str, ...] | None = None
    """What lies in more than one split, a line each; None: nobody looked."""
    classes: ClassTable = ClassTable()
    labels: LabelRule = LabelRule(threshold=128)
    channels: tuple[str, ...] = ()
    """Names of the channels, where each is a file of its own; none where an image is one file."""
    cases: tuple[Case, ...] = ()
    notes: tuple[str, ...] = ()
    """What its owner should know of how the folder was read: what was not used, what was merged."""

    @property
    def table(self) -> ClassTable:
        """The class table with the raw values: what an artefact, predictions and other readers of masks take along."""
        return self.classes.model_copy(update={"labels": self.labels})

    def split(self, name: Split) -> tuple[Case, ...]:
        """The cases of one split.

        Args:
            name: of the split.

        Returns:
            Its cases, in the manifest's order.
        """
        return tuple(case for case in self.cases if case.split == name)

    @property
    def folds(self) -> int:
        """How many folds the cases are dealt into; 0 when they are not."""
        return 1 + max((case.fold for case in self.cases if case.fold is not None), default=-1)

    def of_fold(self, fold: int) -> Manifest:
        """With one fold for validation and the others for training; cases without a fold stay as they are.

        Args:
            fold: from 0 on.

        Returns:
            A new manifest.

        Raises:
            DataError: there is no such fold.
        """
        if not self.folds:
            raise DataError(f"the data in {self.root} have no folds; make them with `delineate data split`")
        if not 0 <= fold < self.folds:
            raise DataError(f"there is no fold {fold}; the manifest has the folds 0 to {self.folds - 1}")

        def placed(case: Case) -> Case:
            if case.fold is None:
                return case
            return case.model_copy(update={"split": "val" if case.fold == fold else "train"})

        update = {"split_origin": f"{self.split_origin}; fold {fold} validates", "leaks": None}
        return self.model_copy(update={**update, "cases": tuple(map(placed, self.cases))})

    def sealed(self) -> Manifest:
        """What training works on, so that it cannot reach a test case.

        Returns:
            A new manifest with the training and validation cases alone.
        """
        return self.model_copy(update={"cases": tuple(case for case in self.cases if case.split in ("train", "val"))})

    def path(self, relative: str) -> Path:
        """Where one of a case's files is.

        Args:
            relative: as the case names it.

        Returns:
            Its path below the manifest's root.
        """
        return Path(self.root) / relative

    def save(self, path: Path) -> None:
        """Write as JSON, atomically.

        Args:
            path: of the file.
        """
        write_json(path, json.loads(self.model_dump_json()))

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read a manifest.

        Args:
            path: of the JSON file.

        Returns:
            The manifest.

        Raises:
            DataError: naming the file; it is absent or malformed, or has ids or paths that would lead out of the dataset's folder
                or out of the folders that are written.
        """
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"cannot read manifest {path}: {error.strerror}") from error
        except ValidationError as error:
            raise DataError(
                f"{path} is not a manifest, as runs and `delineate data split` write them ({first_fault(error)}); give such a "
                "file, or the data set's folder"
            ) from error
        manifest._check_names(path)
        return manifest

    def check_root(self, path: Path) -> None:
        """Check that the data set is where the manifest says.

        Args:
            path: of the manifest, for the message.

        Raises:
            DataError: its folder is not there.
        """
        if not Path(self.root).is_dir():
            raise DataError(f"{path} points to {self.root}, which is not there; restore that folder or edit 'root'")

    def _check_names(self, path: Path) -> None:
        seen: set[str] = set()
        for case in self.cases:
            fault = "two cases have it" if case.id in seen else name_fault(case.id)
            if fault:
                raise DataError(f"{path} cannot be used: the case id {case.id!r}: {fault}; make the manifest anew")
            seen.add(case.id)
            if len(case.images) != len(self.channels) and (self.channels or len(case.images) > 1):
                names = f"one for each of {', '.join(self.channels)}" if self.channels else "one"
                raise DataError(
                    f"{path} cannot be used: the case {case.id!r} has {len(case.images)} image files, not {names}"
                )
            for file in (*case.images, *case.masks, *(mask for rater in case.raters for mask in rater)):
                if fault := path_fault(file):
                    raise DataError(f"{path} cannot be used: the path {file!r}: {fault}; make the manifest anew")
