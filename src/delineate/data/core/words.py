"""The words by which people call folders and files of images, masks, second observers and splits: the one table of them.

Whoever pairs files, from training to evaluation and few-shot support, asks here; nothing else knows a word.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from delineate.data.core.manifest import Split

__all__ = [
    "FORMATS",
    "PARTS",
    "SPLIT_NAMES",
    "UNLABELED",
    "Role",
    "Word",
    "channel_of",
    "ending",
    "folder_word",
    "image_stem",
    "is_unlabeled",
    "mask_base",
    "mask_stem",
    "normal",
    "printable",
    "split_in_stem",
    "starts_as_mask",
    "tokens_of",
]


class Role(Enum):
    """What the files of a folder, or those with an ending, are."""

    NONE = "none"
    IMAGE = "image"
    MASK = "mask"
    RATER = "second observer"
    INSTANCES = "instance maps"
    OTHER = "other"
    """Field of view, overlays, outlines, predictions: never the masks, unless the user says so."""


SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Names of lists and folders → the split they stand for."""
UNLABELED = ("unlabeled", "unlabelled")
"""What a list or a folder is called that holds training images to be used without masks."""
FORMATS = frozenset({"png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif"})
"""Folders of these names often hold one set several times."""
PARTS = frozenset({"left", "right"})
"""Folders of these names hold parts of one structure; their masks are merged."""

_IMAGES = frozenset(
    {"image", "images", "img", "imgs", "original", "originals", "orig", "input", "inputs", "photo", "photos"}
    | {"picture", "pictures", "scan", "scans", "jpegimages"}
)
_MASKS = frozenset(
    {"mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "anno", "annos", "ann", "anns"}
    | {"groundtruth", "groundtruths", "truth", "truths", "gt", "gts", "seg", "segs", "segmentation", "segmentations"}
    | {"msk", "msks"}
)
_MASKS_AT_THE_END = frozenset(
    {"lesion", "lesions", "manual", "manuals", "target", "targets", "reference", "references"}
)
"""These name masks where they end a name; `lesion_images` are images."""
_OBSERVERS = frozenset({"observer", "annotator", "rater", "reader", "expert", "grader", "ho"})
_FURTHER = frozenset({"2nd", "second", "3rd", "third", "4th", "fourth"})
_NUMBERED = _OBSERVERS | {"manual"}
"""With a number above 1, these name a further observer: `manual2`, `rater_3`."""
_INSTANCES = frozenset({"instance", "instances", "inst", "segmentationobject"})
_OTHERS = frozenset(
    {"fov", "roi", "rois", "overlay", "overlays", "viz", "vis", "visualization", "visualizations", "illustration"}
    | {"edge", "edges", "contour", "contours", "boundary", "boundaries", "bbox", "bboxes", "heatmap", "heatmaps"}
    | {"superpixel", "superpixels", "preview", "previews", "thumbnail", "thumbnails", "pred", "preds", "prediction"}
    | {"predictions", "probability", "probabilities"}
)
_SPLITS: dict[str, Split] = {
    **SPLIT_NAMES,
    "tr": "train",
    "trainval": "train",
    "trainset": "train",
    "traindataset": "train",
    "valset": "val",
    "valdataset": "val",
    "va": "val",
    "ts": "test",
    "testset": "test",
    "testdataset": "test",
}
_FILLERS = frozenset(
    {
        "set",
        "data",
        "dataset",
        "dir",
        "dirs",
        "folder",
        "files",
        "all",
        "raw",
        "final",
        "full",
        "part",
        "stage",
        "class",
    }
    | {"truth", "ground", "1st", "first", "v", "disc", "cup"}
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)")
_SEPARATORS = re.compile(r"[\W_]+")

_MASK_WORD = (
    r"segmentation|ground[-_ ]?truth|annotation|1st[-_ ]?(?:manual|ho|observer)|manual[-_ ]?1?"
    r"|annot|anno|labels?|masks?|msk|lesion|d?seg|gt|ah|(?:rater|observer|annotator|reader|expert)[-_ ]?1"
)
_RATER_WORD = r"2nd[-_ ]?(?:manual|ho|observer)|manual[-_ ]?2|vk|(?:rater|observer|annotator|reader|expert)[-_ ]?[2-9]"
_INSTANCE_WORD = r"instances?|inst"
_OTHER_WORD = r"superpixels|overlay|viz|fov|roi|contours?|edges?|pred|prediction"
_ENDINGS: tuple[tuple[Role, re.Pattern[str]], ...] = tuple(
    (role, re.compile(rf"^(?:(?P<base>.*?)[-_. ])?(?P<word>{words})(?P<number>[-_ ]\d+)?$", re.IGNORECASE))
    for role, words in (
        (Role.OTHER, _OTHER_WORD),
        (Role.INSTANCES, _INSTANCE_WORD),
        (Role.RATER, _RATER_WORD),
        (Role.MASK, _MASK_WORD),
    )
)
_MASK_START = re.compile(r"^(?:masks?|labels?|gt|seg|segmentation|annotation|m)[-_ ]?(?=\d|(?<=[-_ ]).)", re.IGNORECASE)
_IMAGE_START = re.compile(r"^(?:images?|imgs?|volumes?)[-_ ]?(?=\d|(?<=[-_ ]).)", re.IGNORECASE)
_IMAGE_END = re.compile(
    r"^(?:(?P<base>.*)[-_. ])?(?:image|img|orig|original|input|volume|ome|training|test|0000)$", re.IGNORECASE
)
_CHANNEL = re.compile(r"^(?P<base>.+)_(?P<channel>\d{4})$")
_OME = re.compile(r"\.ome$", re.IGNORECASE)


@dataclass(frozen=True)
class Word:
    """What a folder's name says."""

    role: Role = Role.NONE
    plain: bool = False
    """Whether nothing but known words is in it; `Kvasir-SEG` is none, and may just be the name of a data set."""
    split: Split | None = None
    plain_split: bool = False
    """Whether the split, too, stands among known words only."""
    tokens: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    """The tokens that tell no role."""


@dataclass(frozen=True)
class _Ending:
    """What the end of a file's stem says."""

    role: Role
    base: str
    """The stem without it; '' where the stem is nothing else (`mask.png`)."""
    word: str
    """As it is written: `_mask`, `.ah`."""


def normal(name: str) -> str:
    """A name as it is compared: composed (NFC), since macOS decomposes what others write in one character."""
    return unicodedata.normalize("NFC", name)


def printable(name: object) -> str:
    """A name for a message: bytes that are not UTF-8 are written as escapes."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def is_unlabeled(name: str) -> bool:
    """Whether a folder's name says that its images are to be used without masks."""
    return name.lower() in UNLABELED


@lru_cache(maxsize=50_000)
def tokens_of(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: `1st_manual` → 1st, manual; `imagesTr` → images, tr; `Ground Truth` → ground, truth."""
    whole = _SEPARATORS.sub("", normal(name)).lower()
    if whole in _IMAGES | _MASKS | _OTHERS | _INSTANCES or whole in _SPLITS:
        return (whole,)
    parts = (part for piece in _SEPARATORS.split(normal(name)) for part in _CAMEL.split(piece))
    return tuple(part.lower() for part in parts if part)


@lru_cache(maxsize=50_000)
def folder_word(name: str) -> Word:
    """What a folder's name says of its files."""
    tokens = tokens_of(name)
    role = _role(tokens)
    telling = _TELLING[role]
    rest = tuple(token for token in tokens if token not in telling)
    split = next((_SPLITS[token] for token in tokens if token in _SPLITS), None)
    if split and set(tokens) & {"tr", "va", "ts"} and role is Role.NONE:
        split = next((_SPLITS[token] for token in tokens if token in SPLIT_NAMES), None)
    known = all(token in _PLAIN or token.isdigit() or len(token) == 1 for token in rest)
    return Word(role, known, split, known and split is not None, tokens, rest)


def _role(tokens: tuple[str, ...]) -> Role:
    words = set(tokens)
    # A number at the end does not hide the word before it: manual1, masks_2.
    end = next((token for token in reversed(tokens) if not token.isdigit()), "")
    number = int(tokens[-1]) if tokens and tokens[-1].isdecimal() else 0
    masks = bool(words & _MASKS) or end in _MASKS_AT_THE_END
    if words & _INSTANCES or (masks and words & {"object", "objects"}):
        return Role.INSTANCES
    if words & _OTHERS:
        return Role.OTHER
    further = bool(words & _FURTHER) or "2ndho" in words
    if (further and (masks or words & _OBSERVERS)) or "2ndho" in words or (end in _NUMBERED and number > 1):
        return Role.RATER
    if masks or end in _OBSERVERS:
        return Role.MASK
    return Role.IMAGE if words & _IMAGES else Role.NONE


_TELLING: dict[Role, frozenset[str]] = {
    Role.NONE: frozenset(),
    Role.IMAGE: _IMAGES | {"jpeg"},
    Role.MASK: _MASKS | _MASKS_AT_THE_END | _OBSERVERS | {"ground", "1st", "first"},
    Role.RATER: _MASKS | _MASKS_AT_THE_END | _OBSERVERS | _FURTHER | {"ground", "2ndho"},
    Role.INSTANCES: _MASKS | _INSTANCES | {"object", "objects"},
    Role.OTHER: _MASKS | _OTHERS,
}
_PLAIN = _FILLERS | FORMATS | PARTS | _SPLITS.keys()


@lru_cache(maxsize=200_000)
def ending(stem: str) -> _Ending | None:
    """What the end of a stem says: `a_mask`, `a_mask_1`, `a.ah`, `mask`; None for a stem without such an end."""
    for role, pattern in _ENDINGS:
        match = pattern.match(stem)
        if match and (match["base"] or not match["number"]):  # `mask_07` is a mask's name, not the end of one
            base = match["base"] or ""
            return _Ending(role, base, stem[len(base) : match.end("word")])
    return None


def mask_base(stem: str) -> str:
    """A mask's stem without its ending: `a_mask_1` → a; as it is where it has none."""
    found = ending(stem)
    return found.base if found else stem


@lru_cache(maxsize=200_000)
def mask_stem(stem: str) -> str:
    """A mask's stem without all that only says that it is one: `a_mask_1`, `a_training_gt`, `mask_a` → a."""
    stem = _OME.sub("", stem)
    found = ending(stem)
    if found is not None:
        inner = ending(found.base) if found.role is Role.MASK and found.base else None
        # `21_training_mask`, `x_label_gt`: one ending may hide another.
        return image_stem(inner.base if inner else found.base)
    return _MASK_START.sub("", stem)


@lru_cache(maxsize=200_000)
def image_stem(stem: str) -> str:
    """An image's stem without what only says that it is one: `a_image`, `img_a`, `a_0000`, `a_training` → a."""
    stem = _OME.sub("", stem)
    match = None if stem.isdigit() else _IMAGE_END.match(stem)  # `0000` alone is a number, no channel
    return _IMAGE_START.sub("", (match["base"] or "") if match else stem)


def starts_as_mask(stem: str) -> bool:
    """Whether a stem begins by saying that it is a mask: `mask_07`, `label0001`."""
    return _MASK_START.match(stem) is not None


def channel_of(stem: str) -> tuple[str, int] | None:
    """Case and channel of a name in nnU-Net's form: `heart_01_0002` → heart_01, 2."""
    match = _CHANNEL.match(stem)
    return (match["base"], int(match["channel"])) if match else None


def split_in_stem(stem: str) -> Split | None:
    """The split that the first word of a stem names: `train_1`, `testA_7`."""
    first = tokens_of(stem)[:1]
    return SPLIT_NAMES.get(first[0]) if first else None
