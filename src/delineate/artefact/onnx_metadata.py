"""The metadata of an ONNX file, read without any package of ONNX: keys and texts, the graph is passed over.

An ONNX file is a protocol buffer (`ModelProto`): fields with a number and a kind each. Field 14, `metadata_props`, holds a key (1)
and a value (2) each time it is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from delineate.common.errors import ArtefactError

__all__ = ["read_metadata"]

_METADATA, _KEY, _VALUE = 14, 1, 2
_NUMBER, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
"""Kinds of fields: a number of several bytes, eight bytes, a length and as many bytes, four bytes."""
_LONGEST = 10
"""Bytes of a number."""


def read_metadata(path: Path) -> dict[str, str]:
    """Key → text. Raises `ArtefactError` for a file that cannot be read or is no ONNX file."""
    try:
        with path.open("rb") as stream:
            entries = [dict(_fields(BytesIO(one), {_KEY, _VALUE})) for _, one in _fields(stream, {_METADATA})]
        return {entry[_KEY].decode(): entry.get(_VALUE, b"").decode() for entry in entries}
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError) as error:
        raise ArtefactError(f"{path} is truncated or not an ONNX file; copy it again") from error


def _fields(stream: BinaryIO, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of the wanted fields; others are passed over. Raises `ValueError` for what is no such file."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    while stream.tell() < end:
        number, kind = divmod(_varint(stream), 8)
        if kind not in (_NUMBER, _EIGHT, _BYTES, _FOUR) or number == 0:
            raise ValueError("no field")
        if kind == _NUMBER:
            _varint(stream)
            continue
        length = _varint(stream) if kind == _BYTES else 8 if kind == _EIGHT else 4
        if length > end - stream.tell():
            raise ValueError("a field longer than the file")
        if number in wanted and kind == _BYTES:
            yield number, stream.read(length)
        else:
            stream.seek(length, os.SEEK_CUR)


def _varint(stream: BinaryIO) -> int:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    value = 0
    for place in range(_LONGEST):
        byte = stream.read(1)
        if not byte:
            break
        value |= (byte[0] & 127) << (7 * place)
        if byte[0] < 128:
            return value
    raise ValueError("a number without an end")
