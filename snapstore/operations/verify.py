"""Look for damage in a repository, name it, and say what it harms (DESIGN: verify).

    verified = verify(repository, read_data=True)
    for damage in verified.damaged:
        damage.object, damage.reason, damage.tables

Damage is reported, never raised, and the search goes on after it. Nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.check import Damage as BlobDamage
from snapstore.blobs.check import check_pack, frames_of
from snapstore.blobs.frame import decode as decode_frame
from snapstore.blobs.pack import Directory, digests_of, object_name
from snapstore.blobs.store import BlobStore, PackEntry
from snapstore.digest import Digest, digest
from snapstore.errors import Conflict, Corrupt, NotFound, Unsupported
from snapstore.operations.announced import announced
from snapstore.operations.capture import Progress, silent
from snapstore.operations.check_objects import (
    REBUILD,
    check_config,
    check_index,
    check_keys,
    check_sequence,
    check_tombstones,
    read_snapshots,
    unknown_blobs,
)
from snapstore.operations.check_trees import Blobs, TreeCheck
from snapstore.operations.damage import Damage, RowRange
from snapstore.operations.harm import Harm
from snapstore.operations.marks import DigestSet
from snapstore.operations.sampling import Sample
from snapstore.operations.steady import SteadyBackend
from snapstore.repository import Pending, Repository, Snapshot
from snapstore.repository.snapshot import COMMITTED, PENDING

__all__ = ["Damage", "RowRange", "Verified", "verify"]

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at: ids of snapshots, the number of blobs they need, bytes read; and what is damaged.

    `harmless` is damage in packs that are condemned and that nothing needs any more, as `heal` leaves them for gc.
    Not `is_protected` is a look at a repository that may not be written, so that no gc waited; none took anything.
    """

    snapshots: tuple[str, ...]
    blobs: int
    bytes_read: int
    damaged: tuple[Damage, ...]
    harmless: tuple[Damage, ...] = ()
    is_protected: bool = True


def verify(
    repository: Repository,
    *,
    snapshots: Sequence[Snapshot] | None = None,
    read_data: bool = False,
    sample: Sample | None = None,
    progress: Progress = silent,
) -> Verified:
    """Look at the repository's objects, and at the trees of these snapshots (all of them by default).

    Without more: every manifest, segment, tombstone and pack directory is read, all that the snapshots need must be in
    the index and where that says, and nodes must be readable and fit each other. `read_data` reads and hashes every
    byte of every pack, and decodes every chunk of the snapshots; `sample` hashes the frames of one round.

    Raises `NotFound` if one of `snapshots` has been removed, `Conflict` if this took so long that a gc gave it up or,
    where the repository may only be read, took packs away, and `Unavailable`. Never raises for damage.
    """
    backend = SteadyBackend(repository.backend, repository.seal)
    steady = repository.over(backend)
    found, _ = read_snapshots(steady)
    named = [digest_ for one in found for digest_ in one.digests()]
    with announced(steady, list(dict.fromkeys(named))) as reading:
        run = _Run(steady, backend, reading.progress(progress))
        chosen = run.objects(snapshots, protected={one.id for one in found})
        run.trees(chosen, read_chunks=read_data)
        if read_data:
            run.packs(lambda pack: check_pack(steady.blobs, pack))
        elif sample is not None:
            run.packs(lambda pack: _check_sample(steady.blobs, pack, sample))
        damaged = run.damaged(chosen)
        is_all = snapshots is None and not any(one.state == PENDING for one in found)
        harmless = run.harmless(damaged, is_all=is_all)
        if reading.heart is None:
            reading.check()
        else:
            _still_protected(steady, reading.heart.pending)
    ids = tuple(one.id for one in chosen)
    harmful = tuple(one for one in damaged if one not in harmless)
    return Verified(ids, run.blobs, backend.bytes_read, harmful, tuple(harmless), reading.is_protected)


class _Run:
    """One verification: what has been found so far."""

    def __init__(self, repository: Repository, backend: SteadyBackend, progress: Progress) -> None:
        self._repository = repository
        self._backend = backend
        self._progress = progress
        self._damages: dict[Damage, None] = {}
        self._bad: dict[Digest, str] = {}
        # Damage found in a pack, by blob: the pack's name and what is wrong.
        self._in_packs: dict[Digest, list[tuple[str, str]]] = {}
        self._unindexed = DigestSet()
        self._lost: dict[str, NDArray[np.uint8]] = {}
        self._check: TreeCheck | None = None
        self.blobs = 0

    def objects(self, snapshots: Sequence[Snapshot] | None, *, protected: set[str]) -> list[Snapshot]:
        """Everything that is not a blob; gives the snapshots to look at. Manifests, packs, index: in this order."""
        found, damages = read_snapshots(self._repository)
        self._note(damages)
        self._note(check_sequence(self._repository, found))
        self._note(check_config(self._repository))
        self._note(check_keys(self._repository))
        self._note(check_tombstones(self._repository))
        packs = self._repository.blobs.packs()
        self._backend.show(hidden=(), extra=())
        index = check_index(self._repository.blobs, packs)
        self._note(index.damages)
        self._lost = index.lost
        self._backend.show(hidden=index.hidden, extra=())
        self._repository.blobs.refresh()
        unknown = unknown_blobs(self._repository.blobs, packs)
        self._unindexed.add(unknown.entries["digest"])
        self._backend.show(hidden=index.hidden, extra=[unknown])
        self._repository.blobs.refresh()
        # What was committed since is not protected, and may be removed and swept while this runs.
        committed = [one for one in found if one.state == COMMITTED and one.id in protected]
        if snapshots is None:
            return committed
        there = {one.id: one for one in committed}
        for asked in snapshots:
            if asked.id not in there and not any(asked.id in damage.snapshots for damage in damages):
                raise NotFound(f"the snapshot {asked.id[:8]} has been removed")
        return [there[asked.id] for asked in snapshots if asked.id in there]

    def trees(self, snapshots: Sequence[Snapshot], *, read_chunks: bool) -> None:
        """The trees of these snapshots."""
        self._check = check = TreeCheck(self._repository.blobs, read_chunks=read_chunks, unindexed=self._unindexed)
        for number, snapshot in enumerate(snapshots):
            for words in check.snapshot(snapshot):
                self._note([Damage(snapshot.name, words, snapshots=(snapshot.id,))])
            self._progress("reading snapshots", number + 1, len(snapshots))
        check.finish()
        self._bad.update(check.bad)
        self.blobs = check.blobs
        for name, count in sorted(check.unindexed.items()):
            where = object_name(name)
            words = f"{count} blobs in {where} that snapshots need are in no index segment; {REBUILD}"
            self._note([Damage(where, words, pack=name)])

    def packs(self, check: Callable[[PackEntry], Iterable[BlobDamage]]) -> None:
        """The bytes of packs."""
        packs = self._repository.blobs.packs()
        for number, pack in enumerate(packs):
            for damage in check(pack):
                if damage.blob is None:
                    self._note([Damage(damage.object, damage.problem, pack=pack.name)])
                else:
                    self._in_packs.setdefault(damage.blob, []).append((pack.name, damage.problem))
            self._progress("reading packs", number + 1, len(packs))

    def damaged(self, snapshots: Sequence[Snapshot]) -> tuple[Damage, ...]:
        """All that was found, with what it harms."""
        store = self._repository.blobs
        for blob, places in self._in_packs.items():
            if blob not in self._bad:
                try:
                    store.get(blob)  # another copy may serve
                except (Corrupt, NotFound):
                    self._bad[blob] = places[0][1]
        harm = Harm(store, self._bad)
        for number, snapshot in enumerate(snapshots if self._bad else ()):
            harm.snapshot(snapshot)
            self._progress("finding what is harmed", number + 1, len(snapshots))
        for blob in dict.fromkeys([*self._bad, *self._in_packs]):
            harmed = harm.of(blob)
            for pack, reason in self._in_packs.get(blob) or [self._place_of(blob)]:
                where = object_name(pack) if pack else f"blob {blob.hex()}"
                lost = (tuple(harmed.snapshots), tuple(harmed.tables), tuple(harmed.rows))
                self._note([Damage(where, reason, blob, pack or None, *lost)])
        return tuple(self._damages)

    def harmless(self, damaged: Sequence[Damage], *, is_all: bool) -> dict[Damage, None]:
        """The damage in packs that gc is going to delete, where whatever is needed of it is whole in others.

        Unless `is_all` that anybody may need was looked at, only blobs count of which another copy was read.
        """
        condemned = {pack.name: pack for pack in self._repository.blobs.packs() if pack.condemned}
        found = [one for one in damaged if one.pack in condemned and not (one.snapshots or one.tables or one.rows)]
        whole = {one for one in found if one.blob is not None and one.blob not in self._bad}
        doubtful = {one.pack for one in found if one not in whole} if is_all else ()
        spared = {name for name, pack in condemned.items() if name in doubtful and self._is_spared(pack)}
        return {one: None for one in found if one in whole or one.pack in spared}

    def _is_spared(self, pack: PackEntry) -> bool:
        """Whether all that snapshots need of a pack can be had, there or in another."""
        store, check = self._repository.blobs, self._check
        if check is None:
            return False
        if (counted := store.tally(check.needs).get(pack.name)) is None or not counted.served:
            return True
        try:
            directory = store.directory(pack)
        except (Corrupt, NotFound, Unsupported):
            return False
        names, blobs = digests_of(directory.digests[check.needs(directory.digests)]), Blobs(store)
        return all(None not in blobs.read(names[at : at + _BATCH]) for at in range(0, len(names), _BATCH))

    def _place_of(self, blob: Digest) -> tuple[str, str]:
        """The pack that a bad blob is in, or was in, and what is wrong; no pack if none is known."""
        places = self._repository.blobs.locate([blob])
        if places.found[0]:
            return places.packs[int(places.pack[0])], self._bad[blob]
        for pack, digests in self._lost.items():
            if (digests == np.frombuffer(blob, np.uint8)).all(axis=1).any():
                return pack, f"{object_name(pack)} is lost: the index names it, and it is not there"
        return "", self._bad[blob]

    def _note(self, damages: Iterable[Damage]) -> None:
        self._damages.update(dict.fromkeys(damages))


def _check_sample(store: BlobStore, pack: PackEntry, sample: Sample) -> Iterator[BlobDamage]:
    """The frames of a pack that are in the sample, each hashed as it is stored and blob by blob."""
    where = object_name(pack.name)
    try:
        directory = store.directory(pack)
        wanted = sample.frames(pack.name, len(directory.offsets))
        for number, frame in frames_of(store.backend, directory, wanted):
            yield from _check_frame(store, directory, number, frame)
    except NotFound:
        return  # swept meanwhile
    except (Corrupt, Unsupported) as error:
        yield BlobDamage(where, None, error.message)


def _check_frame(store: BlobStore, directory: Directory, number: int, stored: memoryview) -> Iterator[BlobDamage]:
    if digest(stored) == directory.hashes[number].tobytes():
        return
    where = object_name(directory.name)
    yield BlobDamage(where, None, f"the frame at byte {directory.offsets[number]} is not as it was written")
    first, last = directory.firsts[number], directory.firsts[number + 1]
    try:
        frame = store.open_frame(directory.name, int(directory.offsets[number]), stored)
        plain = decode_frame(frame, where)
    except Corrupt as error:
        yield from (BlobDamage(where, blob, error.message) for blob in digests_of(directory.digests[first:last]))
        return
    for at in range(first, last):
        start = directory.places[at]
        blob = Digest(directory.digests[at].tobytes())
        if store.naming.digest(plain[start : start + directory.lengths[at]]) != blob:
            yield BlobDamage(where, blob, "its bytes do not match its digest")


def _still_protected(repository: Repository, pending: Pending) -> None:
    """If this went on so long that a gc gave it up, what is missing may have been swept, and so may what was passed
    over as swept: what is needed of it is in new packs, which nobody has looked at.
    """
    try:
        is_mine = repository.backend.get(pending.name).tag == pending.tag
    except NotFound:
        is_mine = False
    if not is_mine:
        raise Conflict(
            "verification took so long that a gc gave it up: what it found may be no damage, or it did not read all",
            hint="Verify again, some snapshots at a time.",
        )
