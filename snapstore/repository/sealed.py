"""Small objects with magic in front and a checksum behind (format.md §1, §9 to §11).

    data = seal("S", body)
    body = unseal("S", data, "snapshots/1f…")

Packs and index segments have layouts of their own (`snapstore.blobs`).
"""

from __future__ import annotations

import struct

from snapstore.digest import DIGEST_BYTES, digest
from snapstore.errors import Corrupt, Unsupported

__all__ = ["FORMAT_VERSION", "seal", "unseal"]

FORMAT_VERSION = 1
_HINT = "Run `snap verify` to see what it harms."
_MAGIC = struct.Struct("<4sccH")


def seal(letter: str, body: bytes) -> bytes:
    """The body as an object of this sort: `C` config, `S` snapshot, `D` condemned."""
    whole = _MAGIC.pack(b"SNAP", letter.encode(), b"\0", FORMAT_VERSION) + body
    return whole + digest(whole)


def unseal(letter: str, data: bytes, what: str) -> bytes:
    """The body of an object. Raises `Corrupt`, or `Unsupported` for a newer format, naming `what`."""
    if len(data) < _MAGIC.size + DIGEST_BYTES:
        raise Corrupt(f"{what} is damaged: {len(data)} bytes are too few", hint=_HINT)
    magic, own_letter, zero, version = _MAGIC.unpack_from(data)
    if (magic, own_letter, zero) != (b"SNAP", letter.encode(), b"\0"):
        raise Corrupt(f"{what} is damaged, or not an object of snapstore", hint=_HINT)
    if version > FORMAT_VERSION:
        raise Unsupported(
            f"{what} is written in format {version}; this program reads up to {FORMAT_VERSION}",
            hint="Update snapstore. Nothing was changed.",
        )
    if digest(data[:-DIGEST_BYTES]) != data[-DIGEST_BYTES:]:
        raise Corrupt(f"{what} is damaged: its checksum does not fit", hint=_HINT)
    return data[_MAGIC.size : -DIGEST_BYTES]
