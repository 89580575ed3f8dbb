"""The names of blobs: digests over plain bytes, and the kinds of blob there are.

    name = digest(b"some bytes")        # 32 bytes of BLAKE3
    name.hex()

A digest names content, never a place. Compression and packing happen below and never change a name (format.md §2).
This module does not know where blobs are kept or what is inside them.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NewType

from blake3 import blake3

__all__ = ["DIGEST_BYTES", "Buffer", "Digest", "Hasher", "Kind", "digest"]

DIGEST_BYTES = 32

# A type of its own for the checker, bytes at run time: a million of them are made in a take.
Digest = NewType("Digest", bytes)

Buffer = bytes | bytearray | memoryview

# BLAKE3 over bytes that come piece by piece: `update` and `digest`.
Hasher = blake3


class Kind(IntEnum):
    """What a blob is (format.md §2). The number is on disk; never renumber."""

    CHUNK = 1
    NODE = 2
    TABLE = 3
    SCHEMA = 4
    VALUE = 5
    PARTS = 6


def digest(data: Buffer) -> Digest:
    """The name of a blob with these plain bytes: BLAKE3-256 (format.md §2)."""
    return Digest(blake3(data).digest())
