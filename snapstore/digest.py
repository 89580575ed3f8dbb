"""The names of blobs: digests over plain bytes, and the kinds of blob there are.

    name = digest(b"some bytes")                        # 32 bytes of BLAKE3
    name = Naming(digest_key=key).digest(b"some bytes")    # in an encrypted repository: keyed

A digest names content, never a place. Compression, sealing and packing happen below and never change a name (format.md
§2). This module does not know where blobs are kept or what is inside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NewType

from blake3 import blake3

__all__ = ["DIGEST_BYTES", "Buffer", "Digest", "Hasher", "Kind", "Naming", "digest"]

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


_GEAR_TEXT = b"snapstore gear v1"


@dataclass(frozen=True, slots=True)
class Naming:
    """How a repository names its blobs, and where it cuts very large cells: the same everywhere, or with secrets.

    Both keys are 32 bytes, or None in a plain repository (format.md §2, §3 and §12).
    """

    digest_key: bytes | None = field(default=None, repr=False)
    gear_key: bytes | None = field(default=None, repr=False)

    def digest(self, data: Buffer) -> Digest:
        """The name of a blob with these plain bytes in this repository."""
        key = self.digest_key
        return Digest((blake3(data) if key is None else blake3(data, key=key)).digest())

    @property
    def gear(self) -> bytes:
        """The 1,024 bytes that say where the parts of very large cells end."""
        key = self.gear_key
        return (blake3(_GEAR_TEXT) if key is None else blake3(_GEAR_TEXT, key=key)).digest(length=1024)
