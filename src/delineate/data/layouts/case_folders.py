"""A volume for each channel beside one mask, told apart by the ends of their names, as BraTS has them:

    BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz, …_t1ce.nii.gz, …_t2.nii.gz, …_flair.nii.gz, …_seg.nii.gz
    patient_7/t1.nii.gz, flair.nii.gz, mask.nii.gz

What is left of a name without what the mask's begins with is the channel's name. All cases may also lie in one folder.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from delineate.data.core.findings import Finding, count, some
from delineate.data.core.manifest import Case
from delineate.data.core.manifest import Split as SplitName
from delineate.data.core.naming import SEPARATORS, common_start, unique_names
from delineate.data.core.words import Role, ending, image_stem
from delineate.data.layouts.pairing import Split
from delineate.data.layouts.pictures import Pictures
from delineate.data.layouts.roles import CHOSEN, Item, split_levels, split_of

__all__ = ["LAYOUT", "CaseFiles", "find_case_folders", "gather"]

LAYOUT = "case folders"


@dataclass
class CaseFiles:
    """The files of one case."""

    parts: tuple[str, ...]
    """The folders that they lie in."""
    base: str
    """What their names begin with; '' where they are just `t1` and `mask`."""
    channels: dict[str, Item] = field(default_factory=dict)
    """Name of a channel in lower case → its file."""
    masks: list[Item] = field(default_factory=list)
    strange: list[Item] = field(default_factory=list)
    """Files whose names begin otherwise."""

    @property
    def name(self) -> str:
        """For messages."""
        return self.base or "/".join(self.parts)

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """As `unique_names` takes it."""
        return (self.base, self.parts[:-1] if self.parts[-1:] == (self.base,) else self.parts)

    @property
    def files(self) -> list[Item]:
        return [*self.channels.values(), *self.masks, *self.strange]


def gather(items: Sequence[Item]) -> list[CaseFiles]:
    """The files by case: in each folder by what the names of masks begin with; where it has none, by the folder's own name, or what
    all of its files begin with."""
    folders: dict[tuple[str, ...], list[Item]] = defaultdict(list)
    for item in items:
        folders[item.file.parts].append(item)
    return [case for parts, members in folders.items() for case in _of_folder(parts, members)]


def find_case_folders(items: Sequence[Item], root: Path) -> Pictures | None:
    """The cases that the files make, with their channels by name; None where the files are not named so."""
    if any(item.role in (Role.MASK, Role.RATER) and item.source != CHOSEN for item in items):
        return None  # told apart by other words
    cases = gather(items)
    labeled = [case for case in cases if case.masks]
    if not labeled or not all(case.channels and _has_names(case) for case in labeled):
        return None
    _of_own_name(cases)
    if not any(case.base for case in labeled):
        _called_by_words([case for case in cases if not case.masks])
    held = Counter(name for case in labeled for name in case.channels)
    names = sorted(name for name, number in held.items() if 2 * number > len(labeled))
    if not names:
        return None
    several = [case for case in labeled if len(case.masks) > 1]
    levels = split_levels([item.file for item in items])

    def split(item: Item) -> SplitName | None:
        return split_of(item.file, levels)

    whole = {split(case.masks[0]) for case in labeled}
    bare = [case for case in cases if not case.masks and set(names) & case.channels.keys()]
    away = [case for case in bare if split(case.files[0]) not in whole]
    bare = [case for case in bare if case not in away]
    findings = [
        *_several_masks(several),
        *_lacking([*labeled, *bare], names),
        *_without_mask(bare),
        *_further(labeled, names),
        *_away(away),
    ]
    whole_cases = [case for case in labeled if case not in several and all(name in case.channels for name in names)]
    # One split around all cases divides nothing: `BraTS20_Training_001` is the name of a case.
    made, stems = _cases(root, whole_cases, names, split if len(whole) > 1 else lambda item: None)
    told = [*labeled, *bare, *away]  # what is of no case is told as not used
    images = [item for case in told for item in case.files if item not in case.masks]
    masks = [item for case in told for item in case.masks]
    used = {item.path for case in labeled for item in (*case.channels.values(), *case.masks)}
    spelled = tuple(_spelled(labeled[0], name) if name in labeled[0].channels else name for name in names)
    return Pictures(
        made,
        findings,
        "folders" if len(whole) > 1 else "",
        images,
        masks,
        used=used,
        stems=stems,
        channels=spelled if len(names) > 1 else (),
    )


def _of_own_name(cases: Sequence[CaseFiles]) -> None:
    """A single image beside a mask that is called nothing else is its image, whatever its name: `Patient_01/Patient_01`, `GT`. One
    in a folder of its name without mask is such a case, too."""
    labeled = [case for case in cases if case.masks]
    alone = all(len(case.channels) == 1 and not case.base and case.parts and not case.strange for case in labeled)
    if not alone or not len({name for case in labeled for name in case.channels}) == len(labeled) > 1:
        return
    for case in cases:
        file = case.files[0]
        if case.masks or (len(case.files) == 1 and case.parts[-1:] == (file.stem,)):
            case.base, case.channels = file.stem, {"image": file}


def _called_by_words(cases: Sequence[CaseFiles]) -> None:
    """Where masks are called `segmentation` and nothing else, so are channels: a lone `imaging` is that of a case without mask."""
    for case in cases:
        case.base, case.channels = "", {item.stem.casefold(): item for item in case.files}


def _of_folder(parts: tuple[str, ...], members: Sequence[Item]) -> list[CaseFiles]:
    masks = [item for item in members if _is_mask(item)]
    images = [item for item in members if _is_image(item)]
    found: dict[str, CaseFiles] = {}
    for mask in masks:
        base = _base(mask, members)
        found.setdefault(base, CaseFiles(parts, base)).masks.append(mask)
    if len(found) > 1 and not any(_channel(item.stem, base) for item in images for base in found):
        base = common_start([item.stem for item in (*images, *masks)])  # `a_tumor_seg` and `a_brain_seg` beside `a_t1`
        found = {base: CaseFiles(parts, base, masks=masks)}
    if not masks and images:
        base = _base_without_mask(parts, [item.stem for item in images])
        found[base] = CaseFiles(parts, base)
    for item in images:
        bases = [base for base in found if _channel(item.stem, base) is not None]
        if not bases:
            next(iter(found.values())).strange.append(item)
            continue
        case = found[max(bases, key=len)]
        case.channels[(_channel(item.stem, case.base) or "").casefold()] = item
    return list(found.values())


def _is_mask(item: Item) -> bool:
    if item.source == CHOSEN:
        return item.role is Role.MASK
    end = ending(item.stem)
    told = item.role in (Role.INSTANCES, Role.OTHER)  # by a folder: KiTS keeps single kidneys in `instances/`
    return end is not None and end.role is Role.MASK and not told


def _is_image(item: Item) -> bool:
    if item.source == CHOSEN:
        return item.role is Role.IMAGE
    return item.role in (Role.NONE, Role.IMAGE) and ending(item.stem) is None


def _base(mask: Item, members: Sequence[Item]) -> str:
    end = ending(mask.stem)
    return end.base if end is not None else common_start([item.stem for item in members])


def _base_without_mask(parts: tuple[str, ...], stems: Sequence[str]) -> str:
    own = parts[-1] if parts else ""
    if own and 2 * sum(_channel(stem, own) is not None for stem in stems) > len(stems):
        return own
    return common_start(stems)


def _channel(stem: str, base: str) -> str | None:
    """What follows the base in a name; None where the name does not begin with it."""
    rest = stem[len(base) :]
    if not stem.startswith(base) or (base and rest and rest[0] not in SEPARATORS):
        return None
    return rest.lstrip(SEPARATORS)


def _has_names(case: CaseFiles) -> bool:
    """Whether no file is called as the mask is (`a`, `a_image` beside `a_mask`): that would be its image."""
    return all(name and image_stem(name) for name in case.channels)


def _spelled(case: CaseFiles, name: str) -> str:
    return _channel(case.channels[name].stem, case.base) or name


def _lacking(cases: Iterable[CaseFiles], names: Sequence[str]) -> list[Finding]:
    lines = []
    for case in cases:
        missing = [name for name in names if name not in case.channels]
        if missing:
            other = [
                item.path.name for item in (*case.strange, *(case.channels[k] for k in case.channels if k not in names))
            ]
            seen = f" (but {some(other, 3)})" if other else ""
            lines.append(f"{case.name} has no {', '.join(missing)}{seen}")
    if not lines:
        return []
    text = f"{count(len(lines), 'case lacks', 'cases lack')} a channel that the others have: {some(lines, 3)}"
    cure = (
        "add or rename the file, move the case away, or name the channels that all have, such as "
        f"--images '*{names[0]}.*' with --masks for the masks"
    )
    return [Finding("error", text, cure)]


def _several_masks(cases: Sequence[CaseFiles]) -> list[Finding]:
    if not cases:
        return []
    masks = [mask.path.name for mask in cases[0].masks]
    ends = sorted(name.removeprefix(cases[0].base) for name in masks)
    text = f"{count(len(cases), 'case has', 'cases have')} several masks, such as {cases[0].name}: {some(masks, 3)}"
    return [Finding("error", text, f"say which are meant, such as --masks '*{ends[0]}'; or move the others away")]


def _without_mask(cases: Sequence[CaseFiles]) -> list[Finding]:
    if not cases:
        return []
    lines = []
    for case in cases:
        other = [item.path.name for item in case.strange]
        lines.append(f"{case.name} (is it {some(other, 2)}?)" if other else case.name)
    text = f"{count(len(cases), 'case has', 'cases have')} no mask: {some(lines, 3)}"
    return [Finding("error", text, "add or rename it, or move the case away; `predict` takes folders without masks")]


def _further(cases: Iterable[CaseFiles], names: Sequence[str]) -> list[Finding]:
    """Files beside the channels of cases that are whole."""
    own = [case for case in cases if all(name in case.channels for name in names)]
    extra = [item for case in own for name, item in case.channels.items() if name not in names]
    extra += [item for case in own for item in case.strange]
    if not extra:
        return []
    text = f"{count(len(extra), 'file is', 'files are')} of no channel that all cases have ({', '.join(names)}) and not used"
    return [Finding("warning", f"{text}: {some([item.path.name for item in extra], 3)}")]


def _away(cases: Sequence[CaseFiles]) -> list[Finding]:
    if not cases:
        return []
    names = some(["/".join(case.parts) or case.name for case in cases], 3)
    return [
        Finding("note", f"{count(len(cases), 'case')} without masks, not used ({names}); `predict` takes such folders")
    ]


def _cases(
    root: Path, cases: Sequence[CaseFiles], names: Sequence[str], split: Split
) -> tuple[list[Case], dict[str, str]]:
    cases = sorted(cases, key=lambda case: (case.base, case.parts))
    ids = unique_names([case.key for case in cases])

    def relative(item: Item) -> str:
        return item.path.relative_to(root).as_posix()

    made = [
        Case(
            id=name,
            images=tuple(relative(case.channels[channel]) for channel in names),
            masks=tuple(map(relative, case.masks)),
            split=split(case.masks[0]),
        )
        for name, case in zip(ids, cases, strict=True)
    ]
    return made, {name: case.base or case.name for name, case in zip(ids, cases, strict=True)}
