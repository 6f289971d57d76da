"""Safetensors files that are either whole or absent, and whose faults are the user's to understand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from delineate.common.files import atomic_path


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write contiguous CPU tensors that share no memory, atomically. Raises `DelineateError` when the disk is full or `path`
    cannot be written."""
    with atomic_path(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata=metadata)
        except SafetensorError as error:
            # The library wraps the operating system's error into text; its number says what the matter is.
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), str(error)) from error
