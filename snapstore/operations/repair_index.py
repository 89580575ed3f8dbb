"""Rebuild the index from the packs where it is damaged, says what is not so, or does not know what is there.

    repaired = repair_index(repository)
    repaired.segments, repaired.unindexed

Packs say all that the index says, so nothing can be lost by it. Takes, restores and collections may run beside it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from snapstore.blobs.segment import INDEX
from snapstore.blobs.sweep import rebuild_index
from snapstore.errors import Unavailable
from snapstore.operations.check_objects import check_index, unknown_blobs
from snapstore.operations.steady import SteadyBackend
from snapstore.repository import Repository

__all__ = ["RepairedIndex", "repair_index"]


@dataclass(frozen=True, slots=True)
class RepairedIndex:
    """What was wrong, in words, by segment: empty where nothing was; and how many blobs no segment knew.

    `damaged_packs` have directories that cannot be read: of them the new index says what the old one did.
    """

    segments: dict[str, str]
    unindexed: int
    damaged_packs: tuple[str, ...]

    @property
    def is_new(self) -> bool:
        """Whether the index was written anew."""
        return bool(self.segments or self.unindexed)


def repair_index(repository: Repository) -> RepairedIndex:
    """Write the index anew if it is not right, and drop the old one; writes nothing lasting otherwise."""
    backend = SteadyBackend(repository.backend, repository.seal)  # with no index there is none to stumble over
    steady = repository.over(backend)
    pending = steady.begin()
    try:
        packs = steady.blobs.packs()
        backend.show(hidden=(), extra=())
        index = check_index(steady.blobs, packs)
        backend.show(hidden=index.hidden, extra=())
        steady.blobs.refresh()
        unindexed = len(unknown_blobs(steady.blobs, packs).entries)
        wrong = {one.object: one.reason for one in index.damages if one.object.startswith(INDEX)}
        damaged = tuple(sorted({one.pack for one in index.damages if one.pack and not one.object.startswith(INDEX)}))
        if wrong or unindexed:
            damaged = tuple(rebuild_index(repository.blobs))
            repository.blobs.refresh()
        return RepairedIndex(wrong, unindexed, damaged)
    finally:
        with suppress(Unavailable):
            steady.abandon(pending)
