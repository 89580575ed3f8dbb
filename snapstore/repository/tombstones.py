"""Tombstones: the packs that a garbage collection has condemned (format.md §11).

    put(backend, pack, seal)            # from now on no writer relies on the pack
    ...                                 # copy what is live, delete the pack, purge its index entries
    remove(backend, pack)

A tombstone is never withdrawn: a take may have looked while it was there. This module does not decide what is garbage
(`snapstore.operations.gc`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import msgpack

from snapstore.backends import Backend
from snapstore.errors import Corrupt, Exists, NotFound
from snapstore.packed import unpack
from snapstore.repository.sealed import seal, unseal
from snapstore.repository.snapshot import utc_text
from snapstore.seal import Seal

__all__ = ["CONDEMNED", "Tombstone", "decode", "encode", "listed", "put", "remove"]

CONDEMNED = "condemned/"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """`pack` is the condemned pack's name, 32 hex digits; `time` when, by the clock of whoever condemned it."""

    pack: str
    time: str


def encode(tombstone: Tombstone, by: Seal) -> bytes:
    """The object's bytes, with a fresh nonce."""
    fields = {"pack": tombstone.pack, "nonce": os.urandom(16), "time": tombstone.time}
    return seal("D", CONDEMNED + tombstone.pack, msgpack.packb(fields), by)


def decode(data: bytes, what: str, by: Seal) -> Tombstone:
    """The tombstone in the object of this name. Raises `Corrupt` or `Unsupported`, naming it."""
    body = unseal("D", what, data, by)
    fields = unpack(body, what)
    try:
        pack, nonce, time = fields["pack"], fields["nonce"], fields["time"]
    except (TypeError, KeyError) as error:
        raise Corrupt(f"{what} is damaged: it is not a tombstone ({error})") from error
    if not isinstance(pack, str) or not isinstance(nonce, bytes) or not isinstance(time, str):
        raise Corrupt(f"{what} is damaged: it is not a tombstone")
    if what.rpartition("/")[2] != pack:
        raise Corrupt(f"{what} is the tombstone of {pack}: one was put in another's place")
    return Tombstone(pack, time)


def put(backend: Backend, pack: str, by: Seal) -> None:
    """Condemn a pack; no error if somebody else has."""
    with suppress(Exists):
        backend.put(CONDEMNED + pack, [encode(Tombstone(pack, utc_text(datetime.now(UTC))), by)])


def listed(backend: Backend) -> Iterator[str]:
    """The names of condemned packs. What a tombstone says beyond its name decides nothing."""
    return (entry.name.removeprefix(CONDEMNED) for entry in backend.list(CONDEMNED))


def remove(backend: Backend, pack: str) -> None:
    """The pack is gone, and so are its index entries; no error if somebody else was first."""
    with suppress(NotFound):
        backend.delete(CONDEMNED + pack)
