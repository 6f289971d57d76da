"""Which pictures a model was made from: short hashes of their pixels, that travel with it.

Names and folders change; the pixels tell whether a picture was trained on. 12 hex digits of each hash are enough: among 100 000
pictures, a stranger is taken for one of them once in three billion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from delineate.data.core.input_spec import Pixels
from delineate.data.core.manifest import Case

__all__ = ["DIGITS", "KnownPictures", "Role", "picture_digest"]

Role = Literal["train", "before", "val", "test"]
"""What a picture was to a model: trained on, trained on by the model that it started from, weights chosen on, kept for testing."""
DIGITS = 12


def picture_digest(image: Pixels) -> str:
    """SHA-256 of a decoded image: equal pictures have equal ones, whatever their file format."""
    digest = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class KnownPictures:
    """Digests of pictures → what they were. One that was several is the first of these in the order of `Role`."""

    roles: Mapping[str, Role]

    @classmethod
    def of(cls, cases: Iterable[Case], before: KnownPictures | None = None) -> KnownPictures:
        """The cases by their splits; `before`: of the model that training starts from."""
        found: dict[Role, set[str]] = {role: set() for role in get_args(Role)}
        for case in cases:
            if case.pixels and case.split:
                found[case.split].add(case.pixels[:DIGITS])
        for digest, role in before.roles.items() if before is not None else ():
            if role != "test":
                found["before"].add(digest)
        return cls(_first(found))

    @classmethod
    def read(cls, content: Any) -> KnownPictures:
        """From `to_json`; whatever else it may be is no picture at all."""
        content = content if isinstance(content, dict) else {}
        texts = {role: str(content.get(role, "")) for role in get_args(Role)}
        return cls(_first({r: {t[at : at + DIGITS] for at in range(0, len(t), DIGITS)} for r, t in texts.items()}))

    @classmethod
    def joined(cls, several: Iterable[KnownPictures]) -> KnownPictures:
        """Of models that predict together: what a picture was to the one that knows it best."""
        found: dict[Role, set[str]] = {role: set() for role in get_args(Role)}
        for one in several:
            for digest, role in one.roles.items():
                found[role].add(digest)
        return cls(_first(found))

    def to_json(self) -> dict[str, str]:
        """Role → its digests, sorted, one after another."""
        return {
            role: "".join(sorted(digest for digest, own in self.roles.items() if own == role))
            for role in get_args(Role)
        }

    def role_of(self, image: Pixels) -> Role | None:
        """What a decoded image was to the model; None for a new one."""
        return self.role_of_digest(picture_digest(image)) if self.roles else None

    def role_of_digest(self, digest: str) -> Role | None:
        """The same by its digest; a volume's is that of its file."""
        return self.roles.get(digest[:DIGITS])


def _first(found: Mapping[Role, set[str]]) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for role in get_args(Role):
        for digest in found[role]:
            roles.setdefault(digest, role)
    return roles
