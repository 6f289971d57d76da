"""Which encoder a method is built on, and where its first weights come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializationInfo, field_serializer

__all__ = ["PACKAGE", "PORTABLE", "EncoderOptions", "without_folder"]

PACKAGE = "package:"
"""What `pretrained` begins with where it names a Python package."""
PORTABLE = {"portable": True}
"""Context of `model_dump` for what leaves the machine: no folder of this machine is in it."""


def _checked(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bool) or (isinstance(value, str) and value.strip() not in ("", PACKAGE)):
        return value
    raise ValueError("say false, true, package:NAME, a name that `delineate weights list` shows, or the path of a file")


class EncoderOptions(BaseModel):
    """Which encoder a method is built on, and where its first weights come from.

    Example:
        >>> from delineate.nn.encoders.options import EncoderOptions
        >>> EncoderOptions(name="resnet18").pretrained
        False
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("resnet50", description="any timm network that gives feature maps")
    pretrained: Annotated[bool | str, BeforeValidator(_checked)] = Field(
        False,
        description="package:efficientnet-lite0 (or -lite1, -lite2, package:astra-resnet152): weights from an installed package; "
        "true: timm's, downloaded once; a name that `delineate weights list` shows; a path: a local .safetensors or weights-only "
        "torch file",
    )

    @field_serializer("pretrained")
    def _without_folder(self, value: bool | str, info: SerializationInfo) -> bool | str:
        return without_folder(value) if (info.context or {}).get("portable") else value


def without_folder(pretrained: bool | str) -> bool | str:
    """What says where weights come from, a file by its name alone: it may leave the machine, of whichever system the path is."""
    is_path = isinstance(pretrained, str) and not pretrained.startswith(PACKAGE)
    return re.split(r"[/\\]", str(pretrained))[-1] if is_path else pretrained
