"""Where pretrained weights come from. Light: who reads of it in a run or a model needs no encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["WeightsOrigin"]


@dataclass(frozen=True)
class WeightsOrigin:
    """Where pretrained weights come from, for the run, its card and the model file. No path of this machine is in it.

    Example:
        >>> from delineate.nn.encoders.origin import WeightsOrigin
        >>> WeightsOrigin("file", "mine.safetensors", "resnet18", license="unknown").words
        'mine.safetensors (resnet18, license unknown)'
    """

    source: str
    """"package", "timm", "file", or the library that fetched them."""
    name: str
    """Of the package, of timm's weights with their tag, or of the file without its folder."""
    encoder: str
    """timm's name of the network that they are weights of."""
    license: str = "unknown"
    version: str | None = None
    """Of the package."""
    sha256: str | None = None
    """Of the file, hexadecimal; None where there was no file to read."""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    """The input statistics that they were trained with; None: not known."""

    @property
    def words(self) -> str:
        """One line: name, encoder, license, the start of the hash, input statistics."""
        facts = [self.encoder, f"license {self.license}"]
        if self.sha256 is not None:
            facts.append(f"sha256 {self.sha256[:12]}…")
        if self.mean is not None and self.std is not None:
            facts.append(f"mean {_values(self.mean)}, std {_values(self.std)}")
        version = f" {self.version}" if self.version else ""
        return f"{self.name}{version} ({', '.join(facts)})"

    def to_json(self) -> dict[str, Any]:
        """What is known, for a JSON file."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> WeightsOrigin:
        """Inverse of `to_json`; keys of later versions are left out, and what a file lacks is unknown."""
        known = {key: value for key, value in content.items() if key in cls.__dataclass_fields__}
        return cls(**{**dict.fromkeys(("source", "name", "encoder"), "unknown"), **known})


def _values(numbers: tuple[float, ...]) -> str:
    """Few numbers in words, one for several that are equal."""
    return ", ".join(f"{number:g}" for number in (numbers[:1] if len(set(numbers)) == 1 else numbers))
