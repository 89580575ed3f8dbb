"""How the bytes of a repository are closed: not at all, or so that only its keys open them (format.md §12).

    stored = seal.close("packs/ab/ab12…", frame, at=40)
    frame = seal.open("packs/ab/ab12…", stored, at=40)

`PLAIN` is the seal of a repository without encryption: it changes nothing. The other is in `snapstore.encryption`,
which is loaded only where it is needed. This module does not know what it is that is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from snapstore.digest import Buffer, Naming, digest
from snapstore.errors import Corrupt, Unsupported

__all__ = ["MAGIC_BYTES", "NEWEST_VERSION", "PLAIN", "Cost", "Seal", "check_magic", "magic", "version_of"]

MAGIC_BYTES = 8
NEWEST_VERSION = 2
_HINT = "Run `snap verify` to see what it harms."


class Seal(Protocol):
    """What closes and opens the objects of one repository. Safe to use from several threads."""

    @property
    def version(self) -> int:
        """The format version in the magic of every object: 1 plain, 2 sealed."""

    @property
    def overhead_bytes(self) -> int:
        """How much longer a piece is once it is closed."""

    @property
    def salt_bytes(self) -> int:
        """How many random bytes an object begins with whose name is not random, or that is ever replaced."""

    @property
    def naming(self) -> Naming:
        """How its blobs are named."""

    @property
    def cut_key(self) -> bytes:
        """The 32-byte key of the hash that says where chunks end."""

    def close(self, place: str, plain: Buffer, *, at: int = 0, salt: bytes = b"", bound: Buffer = b"") -> Buffer:
        """The piece as it is stored in the object of this name, bound to where it is and to the bytes `bound`.

        Of one object and salt every `at` (up to 2^64) is used for one piece only.
        """

    def open(self, place: str, stored: Buffer, *, at: int = 0, salt: bytes = b"", bound: Buffer = b"") -> Buffer:
        """The piece again. Raises `Corrupt`, naming the place, for any other bytes, place or bound bytes."""


class _Plain:
    version = 1
    overhead_bytes = 0
    salt_bytes = 0
    naming = Naming()
    cut_key = digest(b"snapstore cut key v1")

    def close(self, place: str, plain: Buffer, *, at: int = 0, salt: bytes = b"", bound: Buffer = b"") -> Buffer:
        return plain

    def open(self, place: str, stored: Buffer, *, at: int = 0, salt: bytes = b"", bound: Buffer = b"") -> Buffer:
        return stored


PLAIN: Seal = _Plain()


@dataclass(frozen=True, slots=True)
class Cost:
    """What Argon2id takes: memory in KiB, passes over it, lanes. The default is the second choice of RFC 9106 §4."""

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4

    @property
    def is_sane(self) -> bool:
        """Whether a reader may spend this much: a key object that claims terabytes is not one."""
        return 1 <= self.lanes <= 16 and 8 * self.lanes <= self.memory_kib <= 2 << 20 and 1 <= self.passes <= 64


def magic(letter: str, version: int) -> bytes:
    """The eight bytes an object of this sort and version begins with (format.md §1)."""
    return b"SNAP" + letter.encode() + b"\0" + version.to_bytes(2, "little")


def version_of(data: Buffer, letter: str, where: str) -> int:
    """The format version of an object. Raises `Corrupt` for another sort of object, `Unsupported` for a newer one."""
    found = bytes(data[:MAGIC_BYTES])
    version = int.from_bytes(found[6:], "little")
    if len(found) < MAGIC_BYTES or found[:6] != b"SNAP" + letter.encode() + b"\0" or not version:
        raise Corrupt(f"{where} is damaged, or not an object of snapstore: it does not begin as it must", hint=_HINT)
    if version > NEWEST_VERSION:
        raise Unsupported(
            f"{where} is written in format {version}; this program reads up to {NEWEST_VERSION}",
            hint="Use a newer release of snapstore. If no newer one wrote here, the object is damaged.",
        )
    return version


def check_magic(data: Buffer, letter: str, where: str, seal: Seal) -> None:
    """As `version_of`; `Corrupt` too for a plain object in an encrypted repository, and the other way about."""
    version = version_of(data, letter, where)
    if version != seal.version:
        wrong = "not sealed, in an encrypted" if version == PLAIN.version else "sealed, in a plain"
        raise Corrupt(f"{where} is {wrong} repository: it was written elsewhere, or is damaged", hint=_HINT)
