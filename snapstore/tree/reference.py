"""How a parent names a child (format.md §4, References): a digest, or the cell that everything beneath is.

    ref = blob(digest(node), spills=False)
    digest_of(ref)

A reference is kept in its encoded form, bytes, so a node is its references joined and equal subtrees are equal bytes.
"""

from __future__ import annotations

from typing import NewType

from snapstore.digest import DIGEST_BYTES, Digest
from snapstore.errors import Corrupt

__all__ = [
    "CONSTANT_BYTES",
    "INLINE_BYTES",
    "NULLS",
    "Ref",
    "blob",
    "constant",
    "digest_of",
    "inline",
    "inline_chunk",
    "is_blob",
    "is_constant",
    "read_constant",
    "spills",
    "split",
    "value_digest",
]

Ref = NewType("Ref", bytes)

CONSTANT_BYTES = 64
INLINE_BYTES = 1024

BLOB, SPILLING, NULL, CELL, VALUE, PARTS, INLINE = range(7)
NULLS = Ref(bytes([NULL]))


def blob(digest: Digest, *, spills: bool) -> Ref:
    """A child that is a blob; `spills` says that some cell beneath it is the digest of a value."""
    return Ref((b"\1" if spills else b"\0") + digest)


def constant(cell: bytes | None, spilled: int = 0) -> Ref:
    """A child whose cells are all this one, of at most `CONSTANT_BYTES`; `spilled` as in `Cells`."""
    if cell is None:
        return NULLS
    if spilled:
        return Ref(bytes([VALUE if spilled == 1 else PARTS]) + cell)
    return Ref(bytes([CELL, len(cell)]) + cell)


def inline(chunk: bytes) -> Ref:
    """The only chunk of a small table, held in the reference itself."""
    return Ref(bytes([INLINE]) + len(chunk).to_bytes(4, "little") + chunk)


def is_blob(ref: Ref) -> bool:
    """Whether the child is a blob of its own."""
    return ref[0] <= SPILLING


def is_constant(ref: Ref) -> bool:
    """Whether everything beneath is one cell."""
    return NULL <= ref[0] <= PARTS


def spills(ref: Ref) -> bool:
    """Whether a cell beneath is held as a value (an inline chunk must be read to know)."""
    return ref[0] in (SPILLING, VALUE, PARTS)


def digest_of(ref: Ref) -> Digest:
    """The digest of a child that is a blob."""
    return Digest(ref[1:])


def value_digest(ref: Ref) -> tuple[Digest, int]:
    """The value (1) or parts blob (2) that a spilled constant names."""
    return Digest(ref[1:]), 1 if ref[0] == VALUE else 2


def inline_chunk(ref: Ref) -> bytes | None:
    """The chunk held in the reference, if it is."""
    return ref[5:] if ref[0] == INLINE else None


def read_constant(ref: Ref) -> tuple[bytes | None, int]:
    """The cell of a constant child and how it is spilled."""
    if ref[0] == NULL:
        return None, 0
    if ref[0] == CELL:
        return ref[2:], 0
    return ref[1:], 1 if ref[0] == VALUE else 2


_NAMES = (b"\0", b"\1", b"\4", b"\5")
"""The tags before a digest alone."""


def split(data: bytes, start: int, count: int, what: str) -> tuple[list[Ref], int]:
    """`count` references from `data[start:]`, and where the next byte is. Raises `Corrupt`, naming `what`."""
    size = 1 + DIGEST_BYTES
    end = start + size * count
    if end <= len(data) and not any(data[start:end:size].strip(b"\0\1")):
        return [Ref(data[at : at + size]) for at in range(start, end, size)], end
    refs: list[Ref] = []
    at = start
    for _ in range(count):
        size = 1 + DIGEST_BYTES if data[at : at + 1] in _NAMES else _size(data, at, what)
        if at + size > len(data):
            raise Corrupt(f"{what}: a reference runs past the end")
        refs.append(Ref(data[at : at + size]))
        at += size
    return refs, at


def _size(data: bytes, at: int, what: str) -> int:
    if at >= len(data):
        raise Corrupt(f"{what}: references are missing")
    tag = data[at]
    if tag == NULL:
        return 1
    if tag == CELL:
        length = data[at + 1] if at + 1 < len(data) else 0
        if length > CONSTANT_BYTES:
            raise Corrupt(f"{what}: a constant of {length} bytes")
        return 2 + length
    if tag == INLINE:
        length = int.from_bytes(data[at + 1 : at + 5], "little")
        if length > INLINE_BYTES:
            raise Corrupt(f"{what}: an inline chunk of {length} bytes")
        return 5 + length
    if tag > INLINE:
        raise Corrupt(f"{what}: a reference with the unknown tag {tag}")
    return 1 + DIGEST_BYTES
