"""Which encoder a method is built on, and where its first weights come from."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SerializationInfo, field_serializer

__all__ = ["PACKAGE", "PORTABLE", "EncoderOptions"]

PACKAGE = "package:"
"""What `pretrained` begins with where it names a Python package."""
PORTABLE = {"portable": True}
"""Context of `model_dump` for what leaves the machine: no folder of this machine is in it."""


class EncoderOptions(BaseModel):
    """Which encoder a method is built on, and where its first weights come from.

    Example:
        >>> from delineate.nn.encoders.options import EncoderOptions
        >>> EncoderOptions(name="resnet18").pretrained
        False
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("resnet50", description="any timm network that gives feature maps")
    pretrained: bool | str = Field(
        False,
        description="package:efficientnet-lite0 (or -lite1, -lite2, package:astra-resnet152): weights from an installed package; "
        "true: timm's, downloaded once; a path: a local .safetensors or weights-only torch file",
    )

    @field_serializer("pretrained")
    def _without_folder(self, value: bool | str, info: SerializationInfo) -> bool | str:
        if isinstance(value, str) and not value.startswith(PACKAGE) and (info.context or {}).get("portable"):
            return Path(value).name
        return value
