"""Heal damaged and lost blobs: from other packs of the repository, another repository, or the live source.

    healed = heal(repository, [FromRepository(other)])
    healed.healed, healed.left

Every pack with damage is condemned: no take relies on it any more, and the next gc copies what else is needed of it and
deletes it. A blob that is whole again is written into a new pack. What stays damaged stays, named, and gc refuses
to sweep it. Nothing is healed into bytes other than those that were written: every blob is checked against its digest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from snapstore.blobs.check import frames_of
from snapstore.blobs.frame import decode
from snapstore.blobs.pack import digests_of, object_name
from snapstore.blobs.store import BlobStore, PackEntry
from snapstore.blobs.sweep import indexed_blobs
from snapstore.blobs.writer import BlobWriter
from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt, NotFound, Unavailable, Unsupported
from snapstore.operations.capture import Progress, silent
from snapstore.operations.check_objects import read_snapshots
from snapstore.operations.condemn import condemn_damaged
from snapstore.operations.damage import Damage
from snapstore.operations.heartbeat import Heartbeat
from snapstore.operations.lost_hints import drop_hints
from snapstore.operations.remedies import LostBlobs, Remedy
from snapstore.operations.repair_index import RepairedIndex, repair_index
from snapstore.operations.verify import verify
from snapstore.repository import Pending, Repository, Snapshot
from snapstore.repository.snapshot import COMMITTED

__all__ = ["Healed", "heal"]


@dataclass(frozen=True, slots=True)
class Healed:
    """`damaged` is all that was found; `healed` are the blobs that are whole again, `left` the damage that harms
    snapshots still. `hints_dropped` counts tables of which only the hints were lost: the next take reads more, and no
    more than that. `condemned` are packs that the next gc deletes; `bytes_added` what the repository grew by.
    """

    damaged: tuple[Damage, ...]
    healed: tuple[Digest, ...]
    left: tuple[Damage, ...]
    condemned: tuple[str, ...]
    index: RepairedIndex
    bytes_added: int
    hints_dropped: int = 0


def heal(repository: Repository, remedies: Sequence[Remedy] = (), *, progress: Progress = silent) -> Healed:
    """Read every byte, and heal what can be healed: first from the repository's own packs, then from the remedies.

    The index is repaired first, if need be. Writes nothing lasting where nothing is damaged. Raises what verify does,
    and what a remedy does that cannot be asked at all.
    """
    index = repair_index(repository)
    damaged = verify(repository, read_data=True, progress=progress).damaged
    if not any(one.blob is not None or one.pack is not None for one in damaged):
        return Healed(damaged, (), tuple(one for one in damaged if one.snapshots), (), index, 0)
    packs = {one.pack for one in damaged if one.pack is not None}
    there = [one for one in read_snapshots(repository)[0] if one.state == COMMITTED]
    roots = list(dict.fromkeys(name for one in there for name in one.digests()))
    heart = Heartbeat(repository, repository.begin(roots=roots))
    progress = heart.progress(progress)
    try:
        # First: a gc that came after a heal that died would else count on a damaged copy beside the healed one.
        condemned = condemn_damaged(repository.blobs, packs)
        healing = _Healing(repository, heart.pending, there, remedies, progress)
        healing.save_unlisted(packs)
        found = damaged
        # What hangs on a node that cannot be read is known only when that is healed.
        while healing.round(found):
            found = (*damaged, *verify(repository, progress=progress).damaged)
        still = [one for one in found if one.blob is not None and one.blob not in healing.healed]
        dropped = sum(drop_hints(repository, one.id) for one in there) if still else 0
        left = tuple(one for one in damaged if one.snapshots)
        if healing.healed:
            repository.blobs.refresh()
            left = tuple(one for one in verify(repository, read_data=True, progress=progress).damaged if one.snapshots)
    finally:
        with suppress(Unavailable):
            repository.abandon(heart.pending)
    return Healed(damaged, tuple(healing.healed), left, condemned, index, healing.bytes_added, dropped)


class _Healing:
    """What has been healed so far under one pending, which keeps gc from what was written and nobody names yet."""

    def __init__(
        self,
        repository: Repository,
        pending: Pending,
        there: Sequence[Snapshot],
        remedies: Sequence[Remedy],
        progress: Progress,
    ) -> None:
        self._repository, self._store = repository, repository.blobs
        self._id = bytes.fromhex(pending.id)
        self._there, self._remedies, self._progress = there, remedies, progress
        self.healed: dict[Digest, None] = {}
        self.bytes_added = 0

    def round(self, found: Sequence[Damage]) -> bool:
        """Heal what of this can be; whether anything was."""
        lost = {one.blob: None for one in found if one.blob is not None and one.blob not in self.healed}
        ids = {own for one in found for own in one.snapshots}
        harmed = [one for one in self._there if one.id in ids]
        if not lost:
            return False
        with self._store.writer(self._id, anew=True) as writer:
            sink = LostBlobs(writer, list(lost))
            _from_packs(self._store, sink)
            for remedy in self._remedies:
                if sink.lost:
                    remedy.give(self._repository, harmed, sink, self._progress)
            self._close(writer)
        self.healed.update(dict.fromkeys(sink.found))
        return bool(sink.found)

    def save_unlisted(self, packs: Collection[str]) -> None:
        """Write anew what can be read of packs whose directories are damaged: only the index knows what is there."""
        with self._store.writer(self._id, anew=True) as writer:
            for pack in self._store.packs():
                if pack.name in packs and not self._is_listed(pack):
                    names = digests_of(indexed_blobs(self._store, pack.name))
                    for name, kind in zip(names, self._store.locate(names).kind.tolist(), strict=True):
                        with suppress(Corrupt, NotFound):
                            writer.put(Kind(kind), [name], [self._store.get(name)])
            self._close(writer)

    def _is_listed(self, pack: PackEntry) -> bool:
        try:
            self._store.directory(pack)
        except (Corrupt, Unsupported):
            return False
        except NotFound:
            return True
        return True

    def _close(self, writer: BlobWriter) -> None:
        written = writer.close()
        self.bytes_added += written.stored_bytes + written.index_bytes
        self._store.refresh()


def _from_packs(store: BlobStore, sink: LostBlobs) -> None:
    """Copies that no index segment knows: one entry of several is kept where segments are merged."""
    for pack in store.packs():
        if not sink.lost:
            return
        with suppress(Corrupt, NotFound, Unsupported):
            directory = store.directory(pack)
            names = digests_of(directory.digests)
            wanted = np.array([name in sink.lost for name in names], np.bool_)
            frames = np.bincount(directory.frames, wanted, len(directory.plain)) > 0
            firsts, places, lengths = directory.firsts.tolist(), directory.places.tolist(), directory.lengths.tolist()
            for number, stored in frames_of(store.backend, directory, frames):
                with suppress(Corrupt):
                    frame = store.open_frame(pack.name, int(directory.offsets[number]), stored)
                    plain = decode(frame, object_name(pack.name))
                    for at in range(firsts[number], firsts[number + 1]):
                        blob = plain[places[at] : places[at] + lengths[at]]
                        sink.put(Kind(directory.kinds[at]), [names[at]], [blob], stride=frame[1])
