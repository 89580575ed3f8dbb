"""Small objects: magic in front and a checksum behind, or magic, salt and a seal (format.md §1, §9 to §12).

    data = seal("S", "snapshots/1f…", body, by)
    body = unseal("S", "snapshots/1f…", data, by)

Packs and index segments have layouts of their own (`snapstore.blobs`). Config and keys are read before there is a key:
they go by `checked` and `unchecked` alone.
"""

from __future__ import annotations

import os

from snapstore.digest import DIGEST_BYTES, digest
from snapstore.errors import Corrupt
from snapstore.seal import MAGIC_BYTES, NEWEST_VERSION, PLAIN, Seal, check_magic, magic, version_of

__all__ = ["FORMAT_VERSION", "checked", "seal", "unchecked", "unseal"]

FORMAT_VERSION = NEWEST_VERSION
_HINT = "Run `snap verify` to see what it harms."


def seal(letter: str, name: str, body: bytes, by: Seal) -> bytes:
    """The body as the object of this name: `S` snapshot, `D` condemned. Different bytes each time if it is sealed."""
    if by is PLAIN:
        return checked(letter, by.version, body)
    salt, head = os.urandom(by.salt_bytes), magic(letter, by.version)
    return b"".join([head, salt, by.close(name, body, salt=salt, bound=head)])


def unseal(letter: str, name: str, data: bytes, by: Seal) -> bytes:
    """The body of an object. Raises `Corrupt`, or `Unsupported` for a newer format, naming it."""
    check_magic(data, letter, name, by)
    if by is PLAIN:
        return unchecked(letter, data, name)[1]
    start = MAGIC_BYTES + by.salt_bytes
    if len(data) < start + by.overhead_bytes:
        raise Corrupt(f"{name} is damaged: {len(data)} bytes are too few", hint=_HINT)
    return bytes(by.open(name, data[start:], salt=data[MAGIC_BYTES:start], bound=data[:MAGIC_BYTES]))


def checked(letter: str, version: int, body: bytes) -> bytes:
    """The body between magic and checksum."""
    whole = magic(letter, version) + body
    return whole + digest(whole)


def unchecked(letter: str, data: bytes, what: str) -> tuple[int, bytes]:
    """The format version and the body. Raises `Corrupt`, or `Unsupported` for a newer format, naming `what`."""
    version = version_of(data, letter, what)
    if len(data) < MAGIC_BYTES + DIGEST_BYTES:
        raise Corrupt(f"{what} is damaged: {len(data)} bytes are too few", hint=_HINT)
    if digest(data[:-DIGEST_BYTES]) != data[-DIGEST_BYTES:]:
        raise Corrupt(f"{what} is damaged: its checksum does not fit", hint=_HINT)
    return version, data[MAGIC_BYTES:-DIGEST_BYTES]
