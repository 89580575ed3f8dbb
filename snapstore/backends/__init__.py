"""Bytes under names: the six verbs every store must offer (DESIGN: commit and gc).

    backend = DirectoryBackend(Path("/backups/memory"))
    backend.put("packs/ab/abcdef", [b"..."], unique=True)
    backend.get_range("packs/ab/abcdef", 16, 64)

Names are relative POSIX paths of lower-case letters, digits, `.`, `_` and `-` (see `check_name`). A backend knows
nothing of packs or snapshots. A feature that wraps (retry, cache, recording, crash injection) is another Backend around
one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from snapstore.digest import Buffer
from snapstore.errors import Invalid

__all__ = ["Backend", "Entry", "Stored", "check_name"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed object: its name, size in bytes and modification time by the store's own clock (seconds, Unix).

    `tag` is that of the version listed, as `Stored.tag`, where a listing tells it; else it is empty.
    """

    name: str
    size_bytes: int
    modified: float
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object's bytes and the tag that `replace` must be given to change exactly this version."""

    data: bytes
    tag: str


class Backend(Protocol):
    """Bytes under names. Every method is safe to call from several threads.

    All raise `Unavailable` when the store does not answer (with the operating system's or server's words, and whether
    the disk is full) or has gone with its disk or bucket: `NotFound` is said of an object in a store that is there, and
    may be taken for collected. They raise `Invalid` for a name that `check_name` refuses. After `put`, `replace` and
    `delete` return, the effect is durable: it survives a power cut.

    No two writers ever put the same bytes under one name (what is replaced has a nonce), so a store whose reply was
    lost may take bytes that are there, and equal the caller's, for the caller's own.
    """

    @property
    def location(self) -> str:
        """Where this is, for people: a path or URL without secrets."""

    def get(self, name: str) -> Stored:
        """The whole object. Raises `NotFound`."""

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`. Raises `NotFound`, and `Corrupt` where the object is too short."""

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        """Write the concatenation of `parts` as a new object; returns its tag. Readers see all of it or nothing.

        Raises `Exists` if the name is taken, and leaves that object alone. `unique=True` promises that nobody else
        ever uses this name (packs): the store may then skip the check and use multipart uploads.
        """

    def replace(self, name: str, data: Buffer, *, tag: str) -> str:
        """Replace the version `tag` stands for; returns the new tag.

        Raises `Conflict` if the object is another version by now, `NotFound` if it is gone.
        """

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Every object whose name starts with `prefix`, in order of name. Never half-written ones."""

    def delete(self, name: str) -> None:
        """Remove the object. Raises `NotFound` if it is not there."""


_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]*(/[a-z0-9_][a-z0-9._-]*)*")


def check_name(name: str) -> str:
    """The name itself, if it is one; raises `Invalid` otherwise.

    No segment starts with a dot (so `..` and temporary files are out), nothing is upper case (case-insensitive file
    systems), and the whole is at most 200 characters.
    """
    if len(name) > 200 or not _NAME.fullmatch(name):
        raise Invalid(f"{name!r} is not a name of an object in a store")
    return name
