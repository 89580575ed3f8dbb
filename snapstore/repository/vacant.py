"""A place for a new repository: empty, but for what an `init` that died left there.

    left = check_vacant(backend)
    ...                                     # put keys, and last the config, which makes it a repository
    sweep(backend, left)

It does not know what a repository is made of beyond the names of its first objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from snapstore.backends import Backend
from snapstore.errors import Exists, Invalid, NotFound, Unavailable
from snapstore.repository import config

__all__ = ["check_vacant", "sweep"]

_LEFT_OVER = re.compile(r"(keys|probe)/[0-9a-f]{32}")  # by an `init` that died; others may keep keys of theirs there


def check_vacant(backend: Backend) -> list[str]:
    """The names that an `init` left which died: of keys without a config, which open nothing, and of a probe of the
    store's conditions, which stays where nobody may delete.

    Raises `Exists` where there is a repository, and `Invalid` where there is something else.
    """
    there = [entry.name for entry in backend.list("")]
    if config.NAME in there:
        raise Exists(f"{backend.location} is a repository already", hint="Nothing was changed; use it.")
    other = next((name for name in there if not _LEFT_OVER.fullmatch(name)), None)
    if other is not None:
        raise Invalid(
            f"{backend.location} is not empty: it holds {other!r}",
            hint="Choose an empty or new place for the repository.",
        )
    return there


def sweep(backend: Backend, names: Iterable[str]) -> None:
    """Delete these, as far as that can be done: now that there is a config they are known to be nobody's."""
    for name in names:
        with suppress(NotFound, Unavailable):
            backend.delete(name)
