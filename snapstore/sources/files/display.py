r"""Cells of file trees for people and for JSON, and paths as people write them; nothing is opened.

    display("file.mode", b"\x01\xa4")             # '0644'
    display("file.path", b"notes/a.md")           # 'notes/a.md'

What is not UTF-8 is hexadecimal. A path that is not can be named by its own bytes, as a shell gives them.
"""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from snapstore.errors import Corrupt
from snapstore.sources.files.table import decode_attributes
from snapstore.sources.files.within import parts_of

__all__ = ["cell_of", "display", "is_ours"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_ours(column_type: str) -> bool:
    """Whether a column or a part of a key is a file tree's."""
    return column_type.startswith("file.")


def display(column_type: str, cell: bytes) -> Any:
    """A value JSON can hold: text, a number of bytes, a mode in octal, a time to the nanosecond in UTC."""
    kind = column_type.removeprefix("file.")
    try:
        if kind == "mode":
            return f"{struct.unpack('>H', cell)[0]:04o}"
        if kind == "size":
            return struct.unpack(">Q", cell)[0]
        if kind == "time":
            return _moment(struct.unpack(">q", cell)[0])
        if kind == "attributes":
            return {_text(name): _text(value) for name, value in decode_attributes(cell).items()}
        text = cell.decode()
    except (ValueError, OverflowError, struct.error, Corrupt):
        return {"hex": cell.hex()}
    return {"hex": cell.hex()} if kind == "content" and "\0" in text else text


def cell_of(word: str) -> bytes:
    """The path that a person means. Raises `ValueError` for what is none."""
    path = bytes.fromhex(word[2:]) if word.startswith("\\x") else os.fsencode(word)
    try:
        parts_of(path)
    except Corrupt as error:
        raise ValueError("a path goes from the folder down, without `..`") from error
    return path


def _moment(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    return f"{(_EPOCH + timedelta(seconds=seconds)).strftime('%Y-%m-%dT%H:%M:%S')}.{rest:09d}Z"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
