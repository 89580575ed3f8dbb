"""Which packs are worth condemning, and the deletion of those that are: what gc does to packs, no snapshots in sight.

    for pack in survey(store, store.packs(), marks.is_live, keep=set()):
        pack.is_condemned, pack.live_bytes

A pack is condemned when nothing in it is needed, or no more than half of its bytes. Of a blob that several packs hold
the copy counts that the index gives, so duplicates of takes that ran side by side go in time; but none goes before the
copy that stays was read (docs/decisions/0014). It does not know when to do this beside running takes
(`snapstore.operations.gc`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.carry import unsound
from snapstore.blobs.pack import Directory, digests_of, object_name
from snapstore.blobs.store import BlobStore, PackEntry
from snapstore.blobs.sweep import indexed_blobs
from snapstore.blobs.tally import Tally
from snapstore.errors import Corrupt, NotFound
from snapstore.repository import tombstones

__all__ = ["LOSS_HINT", "Survey", "condemn_damaged", "delete_packs", "needed_only_there", "refuse_loss", "survey"]

_log = logging.getLogger(__name__)

LOSS_HINT = (
    "`snap repair heal` mends it; else make a snapshot without what is lost (`snap repair cut`), and remove the one "
    "that lacks it."
)
_BATCH = 1 << 14  # digests looked up at once: a pack of well compressed values holds a million

Live = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Survey:
    """A pack: its size, the stored bytes of what is needed in it, and whether it goes; `was_condemned` before this."""

    name: str
    size_bytes: int
    live_bytes: int
    is_condemned: bool
    was_condemned: bool


def survey(store: BlobStore, packs: Sequence[PackEntry], is_live: Live, *, keep: Collection[bytes]) -> list[Survey]:
    """How much of each of these packs is needed. Those of the takes in `keep` (ids, 16 bytes), which still run, stay.

    Raises `Corrupt` naming a pack whose directory is damaged: till it is healed, nothing is known to be garbage.
    Healing condemns it; then it is known by what the index says is in it.
    """
    found = []
    tallies = store.tally(is_live)
    for pack in packs:
        try:
            directory = store.directory(pack)
        except NotFound:
            continue
        except Corrupt:
            if not pack.condemned:
                raise
            found.append(Survey(pack.name, pack.size_bytes, 0, True, True))
            continue
        known = tallies.get(pack.name)
        if known is None or known.indexed != len(directory.digests):  # not all of it is in the index yet
            served = _served(store, directory, is_live)
            known = Tally(len(served), int(served.sum()), _live_bytes(directory, served))
        is_worth_it = not known.served or (
            known.served < known.indexed and 2 * known.live_bytes <= int(directory.stored.sum())
        )
        goes = pack.condemned or (is_worth_it and directory.snapshot_id not in keep)
        found.append(Survey(pack.name, pack.size_bytes, known.live_bytes, goes, pack.condemned))
    return found


def _served(store: BlobStore, directory: Directory, is_live: Live) -> NDArray[np.bool_]:
    """Which blobs of a pack are needed and not given by another; where the index knows none, this one may be it."""
    every = np.flatnonzero(is_live(directory.digests))
    served = np.zeros(len(directory.digests), np.bool_)
    for start in range(0, len(every), _BATCH):
        rows = every[start : start + _BATCH]
        places = store.locate(digests_of(directory.digests[rows]))
        own = np.array([name == directory.name for name in places.packs], np.bool_)
        served[rows] = ~places.found | (own[places.pack] if len(own) else False)
    return served


def _live_bytes(directory: Directory, served: NDArray[np.bool_]) -> int:
    """The stored bytes of these blobs; a frame's go by plain bytes."""
    plain = np.bincount(directory.frames, directory.lengths * served, len(directory.plain))
    return int(np.ceil((directory.stored * plain / np.maximum(directory.plain, 1)).sum()))


def condemn_damaged(store: BlobStore, names: Collection[str | None]) -> tuple[str, ...]:
    """Condemn those of these packs that are there, since something in them is damaged; gives the names of these.

    Nobody relies on them any more: a take that has such a blob writes it anew, and so heals it. A gc refuses to delete
    what is needed and nowhere else whole.
    """
    condemned = [pack.name for pack in store.packs() if pack.name in names and not pack.condemned]
    for name in condemned:
        tombstones.put(store.backend, name, store.seal)
    store.refresh()
    return tuple(condemned)


def needed_only_there(store: BlobStore, packs: Sequence[PackEntry], is_live: Live) -> tuple[set[str], Live]:
    """Which of these condemned packs hold something that no pack that stays has; and what that is, to be copied.

    What is elsewhere is read there and not here, so damage to a copy nobody needs stops nothing. Where it is damaged
    there, that pack is condemned as well, and does not stay.
    """
    store.refresh()
    while condemn_damaged(store, _unsound_elsewhere(store, packs, is_live)):
        _log.debug("a copy that was to stay is damaged")

    def is_wanted(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        live = np.flatnonzero(is_live(rows))
        wanted = np.zeros(len(rows), np.bool_)
        wanted[live[~store.contains_many(digests_of(rows[live]))]] = True
        return wanted

    names = set()
    for pack in packs:
        with suppress(NotFound):
            if is_wanted(_held(store, pack)).any():
                names.add(pack.name)
    return names, is_wanted


def _unsound_elsewhere(store: BlobStore, packs: Sequence[PackEntry], is_live: Live) -> set[str]:
    """The packs that stay, and in which something is damaged that is needed and in these packs too."""
    found: set[str] = set()
    for pack in packs:
        with suppress(NotFound):
            held = _held(store, pack)
            needed = digests_of(held[is_live(held)])
            there = store.contains_many(needed)
            found |= unsound(store, [name for name, is_there in zip(needed, there.tolist(), strict=True) if is_there])
    return found


def refuse_loss(store: BlobStore, is_live: Live) -> None:
    """Raises `Corrupt`, naming the pack, where something needed is in no pack, and the index says in which it was.

    A gc reads no values, so nobody else would notice; and what it is about to remove may hold what the lost is to be
    healed from.
    """
    if _lost_pack(store, is_live) is None:
        return
    store.refresh()  # it may have been moved between two listings
    if (name := _lost_pack(store, is_live)) is not None:
        raise Corrupt(
            f"{object_name(name)} is lost, and snapshots need what was in it, so nothing is swept",
            hint="`snap verify` says which. " + LOSS_HINT,
        )


def _lost_pack(store: BlobStore, is_live: Live) -> str | None:
    for pack in sorted(store.lost_packs):
        held = indexed_blobs(store, pack)
        if not store.locate(digests_of(held[is_live(held)])).found.all():
            return pack
    return None


def _held(store: BlobStore, pack: PackEntry) -> NDArray[np.uint8]:
    """The digests in a pack, shape (n, 32); where its directory is damaged, those that could be read from it."""
    try:
        return store.directory(pack).digests
    except Corrupt:
        return indexed_blobs(store, pack.name)


def delete_packs(store: BlobStore, packs: Sequence[PackEntry], is_live: Live) -> dict[str, int]:
    """Delete condemned packs, once more making sure that all that is live in them is elsewhere; bytes freed, by name.

    A pack that still holds the only copy of something stays: another gc may have condemned the new pack meanwhile.
    """
    store.refresh()
    deleted: dict[str, int] = {}
    for pack in packs:
        try:
            held = _held(store, pack)
            needed = digests_of(held[is_live(held)])
            if not store.contains_many(needed).all():
                _log.debug("%s is left for the next gc", object_name(pack.name))
                continue
            store.backend.delete(object_name(pack.name))
        except NotFound:  # another gc was first
            deleted[pack.name] = 0
        else:
            deleted[pack.name] = pack.size_bytes
    return deleted
