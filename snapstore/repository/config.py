"""The config object: what a repository is (format.md §9 and §12)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import msgpack

from snapstore.digest import DIGEST_BYTES
from snapstore.errors import Corrupt
from snapstore.packed import unpack
from snapstore.repository.sealed import checked, unchecked
from snapstore.seal import PLAIN

__all__ = ["NAME", "Config", "decode", "encode", "encrypted", "fields_of", "lost", "plain"]

NAME = "config"
_PLAIN_VERSION, _SEALED_VERSION = 1, 2


@dataclass(frozen=True, slots=True)
class Config:
    """`id` is 16 random bytes; `cut_key` the 32-byte key of the hash that says where chunks end.

    Of an encrypted repository it says the `cipher`, and has no cut key, which is a secret; `mark` is then 32 bytes that
    only a holder of the key can make of the rest.
    """

    id: bytes
    cut_key: bytes
    created: str
    program: str
    cipher: str = ""
    mark: bytes = b""

    @property
    def is_encrypted(self) -> bool:
        """Whether a key is needed."""
        return bool(self.cipher)


def plain(*, created: str, program: str) -> Config:
    """A new plain repository: the cut key is the same everywhere, so roots compare across repositories."""
    return Config(os.urandom(16), PLAIN.cut_key, created, program)


def encrypted(
    repository_id: bytes, mark: Callable[[bytes], bytes], *, cipher: str, created: str, program: str
) -> Config:
    """A new encrypted repository; `mark` is its seal's."""
    bare = Config(repository_id, b"", created, program, cipher)
    return Config(repository_id, b"", created, program, cipher, mark(fields_of(bare)))


def encode(config: Config) -> bytes:
    """The object's bytes."""
    version = _SEALED_VERSION if config.is_encrypted else _PLAIN_VERSION
    return checked("C", version, fields_of(config) + config.mark)


def fields_of(config: Config) -> bytes:
    """What the mark is made of."""
    own = {"cipher": config.cipher} if config.is_encrypted else {"cut_key": config.cut_key}
    packed: bytes = msgpack.packb({"id": config.id, **own, "created": config.created, "program": config.program})
    return packed


def decode(data: bytes, what: str) -> Config:
    """The config. Raises `Corrupt` or `Unsupported`, naming `what`. Nobody has looked at its mark yet."""
    try:
        return _decode(data, what)
    except Corrupt as error:
        # Without it nothing can be opened, verify included.
        raise Corrupt(error.message, hint=_HINT) from error


def lost(where: str) -> Corrupt:
    """What is to be said of a repository that has snapshots and no config."""
    return Corrupt(f"the config of {where} is lost, and its snapshots are there", hint=_HINT)


_HINT = "Put back the object `config` from a copy of this repository: it never changes, and the rest may well be whole."


def _decode(data: bytes, what: str) -> Config:
    version, body = unchecked("C", data, what)
    is_sealed = version == _SEALED_VERSION
    mark = body[-DIGEST_BYTES:] if is_sealed else b""
    fields = unpack(body[: len(body) - len(mark)], what)
    try:
        config = Config(
            fields["id"],
            b"" if is_sealed else fields["cut_key"],
            str(fields["created"]),
            str(fields["program"]),
            str(fields["cipher"]) if is_sealed else "",
            mark,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{what} is damaged: it is not a configuration ({error})") from error
    if not all(isinstance(one, bytes) for one in (config.id, config.cut_key)):
        raise Corrupt(f"{what} is damaged: an id or key that is not bytes")
    if len(config.id) != 16 or len(config.cut_key) != (0 if is_sealed else 32) or config.is_encrypted != is_sealed:
        raise Corrupt(f"{what} is damaged: an id or key of the wrong length")
    return config
