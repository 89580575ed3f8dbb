"""The config object: what a repository is (format.md §9)."""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgpack

from snapstore.digest import digest
from snapstore.errors import Corrupt
from snapstore.repository.sealed import seal, unseal

__all__ = ["NAME", "Config", "decode", "encode", "plain"]

NAME = "config"


@dataclass(frozen=True, slots=True)
class Config:
    """`id` is 16 random bytes; `cut_key` the 32-byte key of the hash that says where chunks end."""

    id: bytes
    cut_key: bytes
    created: str
    program: str


def plain(*, created: str, program: str) -> Config:
    """A new plain repository: the cut key is the same everywhere, so roots compare across repositories."""
    return Config(os.urandom(16), digest(b"snapstore cut key v1"), created, program)


def encode(config: Config) -> bytes:
    """The object's bytes."""
    fields = {"id": config.id, "cut_key": config.cut_key, "created": config.created, "program": config.program}
    return seal("C", msgpack.packb(fields))


def decode(data: bytes, what: str) -> Config:
    """The config. Raises `Corrupt` or `Unsupported`, naming `what`."""
    try:
        return _decode(data, what)
    except Corrupt as error:
        # Without it nothing can be opened, verify included.
        raise Corrupt(error.message, hint=_HINT) from error


_HINT = "put back the object `config` from a copy of this repository: it never changes, and the rest may well be whole"


def _decode(data: bytes, what: str) -> Config:
    try:
        fields = msgpack.unpackb(unseal("C", data, what), strict_map_key=True)
        config = Config(fields["id"], fields["cut_key"], str(fields["created"]), str(fields["program"]))
    except (ValueError, TypeError, KeyError, RecursionError, msgpack.UnpackException) as error:
        raise Corrupt(f"{what} is damaged: it is not a configuration ({error})") from error
    if not all(isinstance(one, bytes) for one in (config.id, config.cut_key)):
        raise Corrupt(f"{what} is damaged: an id or key that is not bytes")
    if len(config.id) != 16 or len(config.cut_key) != 32:
        raise Corrupt(f"{what} is damaged: an id or key of the wrong length")
    return config
