"""The keys of an encrypted repository: its one master key, wrapped by each of several passphrases (format.md §12).

    settings, seal, key_id = new(backend, passphrase, created=now, program=PROGRAM)
    seal, key_id = unlock(backend, settings, passphrase)
    another = add(backend, settings.id, seal, other_passphrase, label="off-site")
    remove(backend, settings.id, seal, key_id)

Each key is an object of its own, so adding one is one write. Removing one is two: it is marked first, and deleted only
when another is left that is not, so that two removals at once cannot take each other's. A removed key opens nothing any
more, but the master key stays the same: whoever held both it and a copy of its object can read on (docs/security.md).
"""

from __future__ import annotations

import dataclasses
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgpack

from snapstore.backends import Backend
from snapstore.errors import Conflict, Corrupt, Invalid, NotFound, SnapstoreError, Unsupported, WrongKey
from snapstore.packed import unpack
from snapstore.repository import config
from snapstore.repository.sealed import checked, unchecked
from snapstore.repository.snapshot import utc_text
from snapstore.seal import Cost, Seal

if TYPE_CHECKING:
    from types import ModuleType

    from snapstore.encryption import Sealed

__all__ = ["KEYS", "Key", "Passphrase", "add", "listed", "new", "put_back", "read", "remove", "unlock"]

KEYS = "keys/"
DEFAULT_COST = Cost()

Passphrase = bytes | Callable[[], bytes]

_VERSION = 2
_TRIES = 10
_HEAD = struct.Struct("<H")
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key: its id (32 hex digits), what it is called, when it was added, and whether its removal has begun.

    `removed` are the ids of keys that were removed while it was there, or before: one that is back was put back.
    """

    id: str
    label: str
    created: str
    is_leaving: bool = False
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Stored:
    """A key object: `head` is what a passphrase needs, `about` the sealed rest."""

    id: str
    head: bytes
    repository_id: bytes
    cost: Cost
    salt: bytes
    wrapped: bytes
    about: bytes


def new(
    backend: Backend, passphrase: bytes, *, created: str, program: str, cost: Cost | None = None
) -> tuple[config.Config, Seal, str]:
    """The config, seal and first key of a new encrypted repository; the key is written, the config is not yet."""
    encryption = _encryption()
    repository_id = os.urandom(16)
    seal = encryption.Sealed(encryption.new_master(), repository_id)
    settings = config.encrypted(repository_id, seal.mark, cipher=encryption.CIPHER, created=created, program=program)
    return settings, seal, add(backend, repository_id, seal, passphrase, cost=cost).id


def unlock(backend: Backend, settings: config.Config, passphrase: Passphrase | None) -> tuple[Sealed, str]:
    """The seal of an encrypted repository, and the id of the key that opened it.

    Raises `WrongKey`, also where no key is there; `Corrupt` where a damaged key may be the one, or where the config was
    changed by somebody without a key; `Unsupported` without the extra `encryption`, or for another cipher.
    """
    encryption = _encryption()
    if settings.cipher != encryption.CIPHER:
        raise Unsupported(f"{backend.location} is encrypted with {settings.cipher!r}", hint="Update snapstore.")
    if passphrase is None:
        raise WrongKey(
            f"{backend.location} is encrypted, and no passphrase was given",
            hint="Give one with --passphrase-file, --passphrase-command or SNAP_PASSPHRASE.",
        )
    tried = passphrase if isinstance(passphrase, bytes) else passphrase()
    damaged, own = "", 0
    for key_id in _ids(backend):
        try:
            stored = _read(backend, key_id)
        except NotFound:
            continue
        except (Corrupt, Unsupported) as error:
            damaged = damaged or error.message
            continue
        own += stored.repository_id == settings.id
        bound = _bound(settings.id, key_id)
        master = encryption.unwrap(stored.wrapped, tried, stored.salt, stored.cost, bound)
        if master is not None:
            seal: Sealed = encryption.Sealed(master, settings.id)
            if seal.mark(config.fields_of(settings)) != settings.mark:
                raise Corrupt(
                    f"config of {backend.location} was changed by somebody who has no key",
                    hint="Put the config back from a copy of the repository.",
                )
            return seal, key_id
    if damaged:
        raise Corrupt(
            f"the passphrase opens no key of {backend.location}, but {damaged}",
            hint="Use another key, or put that object back from a copy of the repository.",
        )
    if not own:
        raise WrongKey(
            f"{backend.location} has no key of its own in {KEYS}: they are lost, or another repository's are there",
            hint="Put the keys back from a copy of the repository; without one nobody can read it.",
        )
    raise WrongKey(f"the passphrase opens no key of {backend.location}", hint="Check it, and which repository it is.")


def add(
    backend: Backend,
    repository_id: bytes,
    seal: Seal,
    passphrase: bytes,
    *,
    label: str = "",
    cost: Cost | None = None,
) -> Key:
    """One more key; it opens the repository when this returns, which was tried on what the store gives back.

    Raises `Invalid` for an empty passphrase, and for a plain repository, which has no keys; `Corrupt` if what was
    stored does not open the repository: it is deleted.
    """
    if not passphrase:
        raise Invalid("an empty passphrase protects nothing", hint="Give one of several words.")
    encryption = _encryption()
    if not isinstance(seal, encryption.Sealed):
        raise Invalid(
            f"{backend.location} is not encrypted, so it has no keys", hint="`snap init --encrypt` makes one that is."
        )
    cost = cost or DEFAULT_COST
    removed = {id_ for one in listed(backend, seal) if isinstance(one, Key) for id_ in one.removed}
    key = Key(os.urandom(16).hex(), label, utc_text(datetime.now(UTC)), removed=tuple(sorted(removed)))
    salt = os.urandom(encryption.SALT_BYTES)
    head = msgpack.packb(
        {
            "repository": repository_id,
            "kdf": "argon2id",
            "memory_kib": cost.memory_kib,
            "passes": cost.passes,
            "lanes": cost.lanes,
            "salt": salt,
            "wrapped": encryption.wrap(seal.master, passphrase, salt, cost, _bound(repository_id, key.id)),
        }
    )
    backend.put(KEYS + key.id, [_encode(key, head, seal)])
    try:
        stored = _read(backend, key.id)
        _about(stored, seal)
        master = encryption.unwrap(stored.wrapped, passphrase, stored.salt, stored.cost, _bound(repository_id, key.id))
        is_whole = master == seal.master
    except (Corrupt, NotFound, Unsupported):
        is_whole = False
    if not is_whole:
        with suppress(NotFound):
            backend.delete(KEYS + key.id)
        raise Corrupt(
            f"the new key {key.id[:8]} was not stored as it was written in {backend.location}; no other was changed",
            hint="Look at the disk and the memory of this machine, and try again.",
        )
    return key


def read(backend: Backend, seal: Seal, key_id: str) -> Key:
    """The key of this id. Raises `NotFound`, and `Corrupt` for one that nobody with the master key wrote there."""
    return _about(_read(backend, key_id), seal)


def listed(backend: Backend, seal: Seal) -> list[Key | SnapstoreError]:
    """Every key, oldest first; in place of one that is damaged, or was not written by a key's holder, the error."""
    found: list[Key] = []
    errors: list[SnapstoreError] = []
    for key_id in _ids(backend):
        try:
            found.append(read(backend, seal, key_id))
        except NotFound:
            continue
        except (Corrupt, Unsupported) as error:
            errors.append(error)
    return [*sorted(found, key=lambda key: (key.created, key.id)), *errors]


def remove(backend: Backend, seal: Seal, key_id: str) -> None:
    """Delete a key; harmless if its removal had begun before. One that is damaged is deleted as it is.

    Raises `NotFound`, `Invalid` if no other is left, and `Conflict` if somebody else changes it at the same moment.
    """
    name = KEYS + key_id
    there = backend.get(name)
    try:
        stored = _decode(there.data, key_id)
        key = _about(stored, seal)
    except (Corrupt, Unsupported):
        backend.delete(name)
        return
    leaving = dataclasses.replace(key, is_leaving=True)
    try:
        tag = backend.replace(name, _encode(leaving, stored.head, seal), tag=there.tag)
    except Conflict as error:
        raise Conflict(f"somebody else changes the key {key_id[:8]}; it was not removed", hint="Try again.") from error
    # Whoever marks second sees the first mark: of two that remove each other's last key one is refused, or both are.
    others = [one for one in listed(backend, seal) if isinstance(one, Key) and one.id != key_id and not one.is_leaving]
    if not others:
        with suppress(NotFound, Conflict):
            backend.replace(name, _encode(key, stored.head, seal), tag=tag)
        raise Invalid(
            f"the key {key_id[:8]} is the last one; without it nobody could read the repository",
            hint="Add another first: `snap key add`.",
        )
    with suppress(NotFound):
        backend.delete(name)
    for one in others:
        _remember(backend, seal, one.id, key_id)


def put_back(keys: Sequence[Key | SnapstoreError]) -> Iterator[str]:
    """The names of those of these keys whose removal another knows of: somebody without a key put them back."""
    there = [key for key in keys if isinstance(key, Key)]
    removed = {id_ for key in there for id_ in key.removed}
    return (KEYS + key.id for key in there if key.id in removed)


def _remember(backend: Backend, seal: Seal, key_id: str, removed: str) -> None:
    """Let a key know of a removal, unless it is removed itself meanwhile."""
    for _ in range(_TRIES):
        try:
            there = backend.get(KEYS + key_id)
            stored = _decode(there.data, key_id)
            key = _about(stored, seal)
            known = dataclasses.replace(key, removed=tuple(sorted({*key.removed, removed})))
            backend.replace(KEYS + key_id, _encode(known, stored.head, seal), tag=there.tag)
        except Conflict:
            continue
        except NotFound:
            pass
        return
    raise Conflict(f"{KEYS}{key_id} changes faster than it can be changed", hint="Try again when others are done.")


def _encode(key: Key, head: bytes, seal: Seal) -> bytes:
    front = _HEAD.pack(len(head)) + head
    about: bytes = msgpack.packb(
        {
            "label": key.label,
            "created": key.created,
            "leaving": key.is_leaving,
            "removed": [bytes.fromhex(id_) for id_ in key.removed],
        }
    )
    salt = os.urandom(seal.salt_bytes)
    sealed = seal.close(KEYS + key.id, about, salt=salt, bound=front)
    return checked("K", _VERSION, b"".join([front, salt, sealed]))


def _read(backend: Backend, key_id: str) -> _Stored:
    if not _ID.fullmatch(key_id):
        raise Corrupt(f"{KEYS}{key_id} is no name of a key: it was not written there by snapstore")
    return _decode(backend.get(KEYS + key_id).data, key_id)


def _decode(data: bytes, key_id: str) -> _Stored:
    """A key object, of which nobody has looked at the sealed part. Raises `Corrupt` naming it."""
    name = KEYS + key_id
    version, body = unchecked("K", data, name)
    if version != _VERSION or len(body) < _HEAD.size:
        raise Corrupt(f"{name} is damaged: it is not a key")
    (length,) = _HEAD.unpack_from(body)
    head = body[_HEAD.size : _HEAD.size + length]
    try:
        fields: dict[str, Any] = unpack(head, name)
        cost = Cost(fields["memory_kib"], fields["passes"], fields["lanes"])
        stored = _Stored(
            key_id, head, fields["repository"], cost, fields["salt"], fields["wrapped"], body[_HEAD.size + length :]
        )
        numbers = all(type(one) is int for one in (cost.memory_kib, cost.passes, cost.lanes))
        texts = all(type(one) is bytes for one in (stored.repository_id, stored.salt, stored.wrapped))
        is_sound = numbers and texts and fields["kdf"] == "argon2id" and cost.is_sane and len(stored.salt) >= 8
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(f"{name} is damaged: it is not a key ({error})") from error
    if not is_sound:
        raise Corrupt(f"{name} is damaged: a key that nobody could use")
    return stored


def _about(stored: _Stored, seal: Seal) -> Key:
    name = KEYS + stored.id
    salt, sealed = stored.about[: seal.salt_bytes], stored.about[seal.salt_bytes :]
    try:
        about = seal.open(name, sealed, salt=salt, bound=_HEAD.pack(len(stored.head)) + stored.head)
        fields = unpack(bytes(about), name)
        removed = tuple(id_.hex() for id_ in fields["removed"])
        return Key(stored.id, str(fields["label"]), str(fields["created"]), bool(fields["leaving"]), removed)
    except (Corrupt, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(
            f"{name} was not written by somebody who has a key of this repository, or is damaged",
            hint=f"It opens nothing that others do not. Remove it: `snap key remove {stored.id[:8]}`.",
        ) from error


def _ids(backend: Backend) -> Iterator[str]:
    return (entry.name.removeprefix(KEYS) for entry in backend.list(KEYS))


def _bound(repository_id: bytes, key_id: str) -> bytes:
    return repository_id + bytes.fromhex(key_id)


def _encryption() -> ModuleType:
    """The module of ciphers, loaded where it is needed."""
    try:
        import snapstore.encryption
    except ImportError as error:
        raise Unsupported(
            "encrypted repositories need the library `cryptography`",
            hint="Install it with `pip install 'snapstore[encryption]'`.",
        ) from error
    return snapstore.encryption
