"""The keys of an encrypted repository: added, listed, removed, and given another passphrase.

    key = key_add(repository, b"another passphrase", label="off-site")
    key_remove(repository, old.id)

A key wraps the repository's one master key (docs/security.md says what that protects, and what not). All of it goes by
whole ids. Whatever ends one of these early, the repository opens as before, or with one key more.
"""

from __future__ import annotations

from snapstore.errors import Invalid, SnapstoreError
from snapstore.repository import Repository, keyring
from snapstore.repository.keyring import Key
from snapstore.seal import Cost

__all__ = ["key_add", "key_list", "key_passwd", "key_remove"]


def key_add(repository: Repository, passphrase: bytes, *, label: str = "", cost: Cost | None = None) -> Key:
    """One more key for the repository. Raises `Invalid` for an empty passphrase or a plain repository."""
    _check(repository)
    return keyring.add(repository.backend, repository.settings.id, repository.seal, passphrase, label=label, cost=cost)


def key_list(repository: Repository) -> list[Key | SnapstoreError]:
    """Every key, oldest first; in place of one that nobody with a key wrote there, or is damaged, the error."""
    _check(repository)
    return keyring.listed(repository.backend, repository.seal)


def key_remove(repository: Repository, key_id: str) -> None:
    """Delete a key. Raises `Invalid` for the last one, and for the one the repository was opened with; `NotFound`."""
    _check(repository)
    if key_id == repository.key_id:
        raise Invalid(
            f"the key {key_id[:8]} is the one that opened the repository",
            hint="Open it with another key to remove this one, or give this one another passphrase: `snap key passwd`.",
        )
    keyring.remove(repository.backend, repository.seal, key_id)


def key_passwd(repository: Repository, passphrase: bytes, *, cost: Cost | None = None) -> Key:
    """Give the key that opened the repository another passphrase: a new key in its place, which opens it from now on.

    Dying half-way leaves both.
    """
    _check(repository)
    old = keyring.read(repository.backend, repository.seal, repository.key_id)
    new = key_add(repository, passphrase, label=old.label, cost=cost)
    keyring.remove(repository.backend, repository.seal, old.id)
    repository.key_id = new.id
    return new


def _check(repository: Repository) -> None:
    if not repository.settings.is_encrypted:
        raise Invalid(
            f"{repository.location} is not encrypted, so it has no keys",
            hint="`snap init --encrypt` makes a repository that is.",
        )
