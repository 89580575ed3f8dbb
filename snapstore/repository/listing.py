"""Every snapshot and pending in one listing, with their age by the store's own clock; and the end of stalled ones.

    there = read_all(repository)
    evicted = evict_stale(repository, there, stale_seconds=86_400)

Garbage collection marks from what one listing shows: two would miss a take that commits, or a parent that goes, in
between. It does not decide what is garbage.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from snapstore.errors import Conflict, NotFound, Unavailable
from snapstore.repository.manifest import encode
from snapstore.repository.repository import Repository
from snapstore.repository.snapshot import COMMITTED, ENDED, PENDING, Snapshot

__all__ = ["SNAPSHOTS", "Listed", "committed", "delete_ended", "evict_stale", "pending", "read_all"]

SNAPSHOTS = "snapshots/"
_TRIES = 10
_PAGE = 1000  # a bucket is listed in pages of so many, and may change between two of them

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """A snapshot object: `tag` is the version that was read, `modified` seconds (Unix) by the store's own clock."""

    snapshot: Snapshot
    tag: str
    modified: float


def read_all(repository: Repository) -> list[Listed]:
    """Whatever `snapshots/` holds, as of one listing. Raises `Corrupt` if one cannot be read: nothing is passed over.

    An object that goes between listing and reading makes the listing void, as something that was not there yet may
    depend on what it named; so all is listed again. A long listing counts only if a second one has the same names: then
    there was a moment at which it was true. Else a take that begins in the part that was listed, and its parent that
    goes in the other, would both be missed.
    """
    before: set[str] = set()
    for _ in range(_TRIES):
        entries = list(repository.backend.list(SNAPSHOTS))
        names = {entry.name for entry in entries}
        if len(names) >= _PAGE and names != before:
            before = names
            continue
        try:
            return [Listed(*repository.read_listed(entry), entry.modified) for entry in entries]
        except NotFound as error:
            _log.debug("listing again: %s", error)
    raise Unavailable(
        f"the snapshots in {repository.location} change faster than they can be read",
        hint="Try again when others are done.",
    )


def committed(there: Sequence[Listed]) -> list[Snapshot]:
    """The snapshots among these, oldest first."""
    found = [one.snapshot for one in there if one.snapshot.state == COMMITTED]
    return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))


def pending(there: Sequence[Listed]) -> list[Snapshot]:
    """What has begun and not ended, oldest first."""
    found = [one.snapshot for one in there if one.snapshot.state not in (COMMITTED, ENDED)]
    return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))


def delete_ended(repository: Repository, there: Sequence[Listed]) -> None:
    """Delete what says of itself that it has ended: whoever it was could not. It never changes again."""
    for one in there:
        if one.snapshot.state == ENDED:
            with suppress(NotFound):
                repository.backend.delete(one.snapshot.name)


def evict_stale(repository: Repository, there: Sequence[Listed], *, stale_seconds: float) -> set[str]:
    """End pendings that nobody has touched for so long; returns their ids.

    Each is replaced first, which only one can win: whoever stalled and wakes cannot commit afterwards, and a take that
    commits at this moment is left alone. Only the store's clock counts; this machine's says whether it is worth a look.
    """
    old = [one for one in there if _is_pending(one) and time.time() - one.modified > stale_seconds]
    if not old:
        return set()
    now = _store_time(repository)
    evicted = set()
    for one in old:
        if now - one.modified > stale_seconds and _evict(repository, one, now - stale_seconds):
            evicted.add(one.snapshot.id)
    return evicted


def _is_pending(one: Listed) -> bool:
    return one.snapshot.state == PENDING


def _store_time(repository: Repository) -> float:
    """The store's clock, read off an object written for this."""
    probe = repository.begin()
    try:
        return next(entry.modified for entry in repository.backend.list(probe.name))
    finally:
        repository.abandon(probe)


def _evict(repository: Repository, one: Listed, latest: float) -> bool:
    backend = repository.backend
    # It may have been touched between listing and reading: the version that was read must be as old as was listed.
    unchanged = any(entry.modified <= latest for entry in backend.list(one.snapshot.name))
    if not unchanged:
        return False
    with suppress(Conflict, NotFound):
        ended = dataclasses.replace(one.snapshot, roots=())
        backend.replace(one.snapshot.name, encode(ended, repository.seal), tag=one.tag)
        with suppress(NotFound):
            backend.delete(one.snapshot.name)
        return True
    return False
