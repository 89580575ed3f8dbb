"""AES-256-GCM over what a repository stores, and its master key wrapped by passphrases (format.md §12).

    seal = Sealed(new_master(), repository_id)
    stored = seal.close("packs/ab/ab12…", frame, at=40)
    wrapped = wrap(master, b"correct horse", salt, Cost(), bound)

No nonce is ever used twice under one key: each object has a key of its own, derived from its name and, where it may be
replaced, from random bytes in it; inside an object the nonce is the place of the piece. This module knows neither
packs nor snapshots. It is the home of the library `cryptography`, which comes with the extra `encryption`.
"""

from __future__ import annotations

import os

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from snapstore.digest import Buffer, Naming
from snapstore.errors import Corrupt, Unavailable
from snapstore.seal import Cost

__all__ = ["CIPHER", "SALT_BYTES", "Sealed", "new_master", "unwrap", "wrap"]

CIPHER = "AES-256-GCM"
_MASTER_BYTES = 32
SALT_BYTES = 16  # of a passphrase
_TAG_BYTES = 16
_CONTEXT = "snapstore v2 "


class Sealed:
    """The seal of an encrypted repository: `Seal`. `id` is the repository's, 16 bytes."""

    version = 2
    overhead_bytes = _TAG_BYTES
    salt_bytes = 32

    def __init__(self, master: bytes, repository_id: bytes) -> None:
        if len(master) != _MASTER_BYTES or len(repository_id) != 16:
            raise ValueError("a master key is 32 bytes, the id of a repository 16")
        self.master = master
        self._seal_key = _purpose(master, repository_id, "seal")
        self._config_key = _purpose(master, repository_id, "config")
        self.cut_key = _purpose(master, repository_id, "cut")
        self.naming = Naming(_purpose(master, repository_id, "digest"), _purpose(master, repository_id, "gear"))

    def __repr__(self) -> str:
        return "Sealed(…)"

    def close(self, place: str, plain: Buffer, *, at: int = 0, salt: bytes = b"", bound: Buffer = b"") -> bytes:
        """See `Seal.close`."""
        return self._cipher(place, salt).encrypt(_nonce(at), plain, bound)

    def open(self, place: str, stored: Buffer, *, at: int = 0, salt: bytes = b"", bound: Buffer = b"") -> bytes:
        """See `Seal.open`."""
        try:
            return self._cipher(place, salt).decrypt(_nonce(at), stored, bound)
        except InvalidTag as error:
            raise Corrupt(f"{place} is damaged: bytes that are not as they were sealed there (at {at})") from error

    def mark(self, data: Buffer) -> bytes:
        """32 bytes that only a holder of the key can make of the config's fields."""
        return blake3(data, key=self._config_key).digest()

    def _cipher(self, place: str, salt: bytes) -> AESGCM:
        return AESGCM(blake3(place.encode() + b"\0" + salt, key=self._seal_key).digest())


def new_master() -> bytes:
    """A master key: 256 random bits."""
    return os.urandom(_MASTER_BYTES)


def wrap(master: bytes, passphrase: bytes, salt: bytes, cost: Cost, bound: bytes) -> bytes:
    """The master key as only this passphrase opens it. `salt` is 16 fresh random bytes: it makes the key unique."""
    return AESGCM(_stretched(passphrase, salt, cost)).encrypt(_nonce(0), master, bound)


def unwrap(wrapped: bytes, passphrase: bytes, salt: bytes, cost: Cost, bound: bytes) -> bytes | None:
    """The master key, or None if this is not the passphrase, or what was bound is not what it was."""
    try:
        return AESGCM(_stretched(passphrase, salt, cost)).decrypt(_nonce(0), wrapped, bound)
    except InvalidTag:
        return None


def _stretched(passphrase: bytes, salt: bytes, cost: Cost) -> bytes:
    kdf = Argon2id(salt=salt, length=32, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib)
    try:
        return kdf.derive(passphrase)
    except MemoryError as error:
        raise Unavailable(
            f"there is no room for the {cost.memory_kib // 1024} MiB that the passphrase is stretched with",
            hint="Free some memory, or open the repository on another machine.",
        ) from error


def _purpose(master: bytes, repository_id: bytes, purpose: str) -> bytes:
    return blake3(master + repository_id, derive_key_context=_CONTEXT + purpose).digest()


def _nonce(at: int) -> bytes:
    return at.to_bytes(8, "little") + bytes(4)
