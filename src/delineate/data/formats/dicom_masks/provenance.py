"""Which model made a mask: what DICOM objects say of their origin."""

from __future__ import annotations

from dataclasses import dataclass, field

from delineate.common.versions import version

__all__ = ["Provenance"]


@dataclass(frozen=True)
class Provenance:
    """Of a model and the program that ran it; nothing of a patient."""

    method: str
    """The model's title, such as `unet@tiny`."""
    model_sha256: str | None = None
    """Of the model's file."""
    version: str = field(default_factory=version)
    """Of Delineate."""

    @property
    def serial(self) -> str:
        """What stands for a device's serial number: the model's hash, which has just the length that fits."""
        return self.model_sha256 or "unknown"

    @property
    def parameters(self) -> str:
        """Of the algorithm, as text."""
        return f"model_sha256={self.model_sha256 or 'unknown'}"
