"""A repository over a backend: opened, initialised, and its snapshots begun, committed, changed and removed.

    pending = repository.begin(roots=[parent_root])
    with repository.blobs.writer(bytes.fromhex(pending.id)) as writer:
        ...
    repository.commit(pending, snapshot)

A pending object announces work before it starts, so that gc waits for it; only a compare-and-swap makes it a snapshot.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from snapstore.backends import Backend, Entry
from snapstore.backends.cachefolder import CacheFolder
from snapstore.backends.caching import CachingBackend
from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest
from snapstore.errors import Conflict, Corrupt, Exists, NotFound, SnapstoreError, Unavailable, WrongKey
from snapstore.repository import config, keyring, sequence
from snapstore.repository.keyring import Passphrase
from snapstore.repository.manifest import decode, encode
from snapstore.repository.snapshot import COMMITTED, ENDED, PENDING, Origin, Snapshot, new_id, utc_text
from snapstore.repository.vacant import check_vacant, sweep
from snapstore.seal import PLAIN, Cost, Seal

__all__ = ["PROGRAM", "Pending", "Repository"]

PROGRAM = "snapstore 0.1.0"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pending:
    """Work that has begun: `tag` is the version of its object, which only the one who wrote it knows."""

    id: str
    tag: str
    name: str


class Repository:
    """An open repository. `blobs` reads and writes blobs, `cut_key` decides where chunks end.

    `seal` closes and opens its objects; `key_id` is the key that opened it, empty in a plain repository. With a `cache`
    what does not change is read from the backend once.
    """

    def __init__(
        self,
        backend: Backend,
        settings: config.Config,
        seal: Seal = PLAIN,
        key_id: str = "",
        *,
        cache: CacheFolder | None = None,
    ) -> None:
        if settings.is_encrypted == (seal is PLAIN):
            raise ValueError("an encrypted repository has a seal, a plain one has none")
        self.backend = backend
        self.settings = settings
        self.seal = seal
        self.key_id = key_id
        self._cached = None if cache is None else CachingBackend(backend, cache.of(settings.id.hex()))
        self.blobs = BlobStore(backend, seal, cached=self._cached)
        self._seen: list[Snapshot] = []

    @property
    def location(self) -> str:
        """Where this is, for people."""
        return self.backend.location

    @property
    def cut_key(self) -> bytes:
        """The key of the hash that cuts chunks, 32 bytes."""
        return self.settings.cut_key or self.seal.cut_key

    @classmethod
    def init(cls, backend: Backend, *, passphrase: bytes | None = None, cost: Cost | None = None) -> Repository:
        """Make an empty store a repository; with a `passphrase` an encrypted one, of which that is the first key.

        `cost` is what Argon2id takes of whoever tries passphrases. Raises `Exists` if it is one, `Invalid` if it holds
        other things or for an empty passphrase, and `Unsupported` without the extra `encryption`.
        """
        left = check_vacant(backend)
        created = utc_text(datetime.now(UTC))
        if passphrase is None:
            made = cls(backend, config.plain(created=created, program=PROGRAM))
        else:
            opened = keyring.new(backend, passphrase, created=created, program=PROGRAM, cost=cost)
            made = cls(backend, *opened)
        try:
            backend.put(config.NAME, [config.encode(made.settings)])
        except Exists as error:
            if made.key_id:
                with suppress(NotFound):
                    backend.delete(keyring.KEYS + made.key_id)
            raise Exists(f"{backend.location} is a repository already", hint="Nothing was changed; use it.") from error
        sweep(backend, left)
        return made

    @classmethod
    def open(
        cls, backend: Backend, passphrase: Passphrase | None = None, *, cache: CacheFolder | None = None
    ) -> Repository:
        """Open a repository; an encrypted one with a passphrase, or with what gives one when it is needed.

        Bytes say that an encrypted repository is meant: a plain one in its place may be a trap, and is refused. Raises
        `NotFound` where there is no repository, `Corrupt` where its config is lost or damaged, `WrongKey` where the
        passphrase opens none of its keys or is missing, and `Unsupported` where it is of a newer format, or the extra
        `encryption` is missing.
        """
        try:
            stored = backend.get(config.NAME)
        except NotFound as error:
            if any(backend.list("snapshots/")):
                raise config.lost(backend.location) from error
            raise NotFound(
                f"{backend.location} is not a snapstore repository", hint="Make one with `snap init`, or name another."
            ) from error
        settings = config.decode(stored.data, f"config of {backend.location}")
        if settings.is_encrypted:
            return cls(backend, settings, *keyring.unlock(backend, settings, passphrase), cache=cache)
        if isinstance(passphrase, bytes):
            raise WrongKey(
                f"{backend.location} is not encrypted, and a passphrase was given",
                hint="If it never was, leave the passphrase out. If it was, somebody has put another in its place.",
            )
        return cls(backend, settings, cache=cache)

    def over(self, backend: Backend) -> Repository:
        """The same repository through another backend, one that wraps its own; without a cache."""
        return Repository(backend, self.settings, self.seal, self.key_id)

    def snapshots(self) -> list[Snapshot]:
        """Committed snapshots, oldest first. Raises `Corrupt` if one cannot be read: nothing is passed over."""
        return sorted(
            (snapshot for snapshot in self._read_all() if snapshot.state == COMMITTED),
            key=lambda snapshot: (snapshot.time, snapshot.id),
        )

    def newest(self) -> Iterator[tuple[Snapshot, float]]:
        """Committed snapshots and when their objects were last written, by the store's clock; the last ones first.

        Each is read when it is asked for: who wants the newest of something need not read all.
        """
        for entry in sorted(self.backend.list("snapshots/"), key=lambda entry: entry.modified, reverse=True):
            with suppress(NotFound):
                snapshot, _ = self.read_listed(entry)
                if snapshot.state == COMMITTED:
                    yield snapshot, entry.modified

    def pendings(self) -> list[Snapshot]:
        """What has begun and not ended, oldest first."""
        return sorted(
            (snapshot for snapshot in self._read_all() if snapshot.state == PENDING),
            key=lambda snapshot: (snapshot.time, snapshot.id),
        )

    def has(self, snapshot_id: str) -> bool:
        """Whether this snapshot is there, and committed, now."""
        try:
            return self._read(f"snapshots/{snapshot_id}")[0].state == COMMITTED
        except NotFound:
            return False

    def origin_of(self, snapshot: Snapshot) -> Origin:
        """What one of these snapshots and all copies of it have in common, wherever they are."""
        return snapshot.origin or Origin(self.settings.id.hex(), snapshot.id)

    def _read_all(self) -> list[Snapshot]:
        found = []
        for entry in self.backend.list("snapshots/"):
            try:
                found.append(self.read_listed(entry)[0])
            except NotFound:
                _log.debug("%s went between listing and reading", entry.name)
        self._seen = found
        return found

    def read_listed(self, entry: Entry) -> tuple[Snapshot, str]:
        """A listed snapshot object and its tag: the version listed or a newer one. Raises `NotFound`, `Corrupt`."""
        if self._cached is None:
            return self._read(entry.name)
        stored = self._cached.get_listed(entry)
        try:
            return decode(stored.data, entry.name, self.seal), stored.tag
        except Corrupt:
            self._cached.distrust()
            return self._read(entry.name)

    def _read(self, name: str) -> tuple[Snapshot, str]:
        stored = self.backend.get(name)
        try:
            return decode(stored.data, name, self.seal), stored.tag
        except Corrupt as error:
            own_id = name.removeprefix("snapshots/")
            error.hint = (
                "Nothing is passed over, so this one is in the way of all: put the object back from a copy of the "
                f"repository, or keep what is left of it elsewhere and give it up: `snap rm --damaged {own_id}`."
            )
            raise

    def begin(self, *, roots: Sequence[Digest] = (), looks: bool = True) -> Pending:
        """Announce work that depends on these roots. Blobs written before this do not count as known.

        Without `looks` the caller looks at packs and index again itself before it relies on any, as a writer does.
        """
        snapshot = Snapshot(id=new_id(), time=datetime.now(UTC), program=PROGRAM, roots=tuple(roots))
        pending = Pending(snapshot.id, self.backend.put(snapshot.name, [encode(snapshot, self.seal)]), snapshot.name)
        if looks:
            try:
                self.blobs.refresh()
            except SnapstoreError:
                self.abandon(pending)
                raise
        return pending

    def beat(self, pending: Pending) -> Pending:
        """Write the pending anew, so that it is young by the store's clock; gives what to go on with.

        Raises `Conflict` if a gc has given it up: then nothing of it may be committed.
        """
        try:
            snapshot, tag = self._read(pending.name)
            if tag == pending.tag:
                tag = self.backend.replace(pending.name, encode(snapshot, self.seal), tag=pending.tag)
                return dataclasses.replace(pending, tag=tag)
        except (Conflict, NotFound) as error:
            raise self._given_up(pending) from error
        raise self._given_up(pending)

    def commit(self, pending: Pending, snapshot: Snapshot) -> Snapshot:
        """Make the pending work a snapshot. Everything it names must be durable by now.

        Raises `Conflict` if the pending object is another's by now (evicted by a gc): then nothing is committed.
        """
        seen = sequence.heads(self._seen) if self.settings.is_encrypted else {}
        committed = dataclasses.replace(snapshot, id=pending.id, state=COMMITTED, roots=(), seen=seen)
        committed = sequence.closed(committed, self._gone(committed))
        try:
            (self._cached or self.backend).replace(pending.name, encode(committed, self.seal), tag=pending.tag)
        except (Conflict, NotFound) as error:
            raise self._given_up(pending) from error
        self._seen = [*self._seen, committed]
        with suppress(SnapstoreError):  # it is committed, whatever happens now
            return self._without_gone(committed)
        return committed

    def _given_up(self, pending: Pending) -> Conflict:
        return Conflict(
            f"{pending.id[:8]} stood still so long that a gc gave it up; nothing was committed",
            hint="Run the command again: what was stored and is still there is not stored twice.",
        )

    def _without_gone(self, snapshot: Snapshot) -> Snapshot:
        """A committed snapshot, changed to name none that was removed by now: whoever names one looks after that."""
        while gone := self._gone(snapshot):
            snapshot = self.change(snapshot.id, partial(sequence.closed, gone=gone))
        return snapshot

    def _gone(self, snapshot: Snapshot) -> dict[str, Mapping[str, int]]:
        """What the snapshot has seen and is not there any more, and what those had seen as far as is known."""
        if not snapshot.seen:
            return {}
        known = {one.id: one.seen for one in self._seen}
        there = {entry.name for entry in self.backend.list("snapshots/")}
        return {id_: known.get(id_, {}) for id_ in snapshot.seen if f"snapshots/{id_}" not in there}

    def abandon(self, pending: Pending) -> None:
        """End work without a result; its blobs are garbage for gc. Does nothing if it has ended.

        Who may not delete says in the object that it has ended; gc deletes it then.
        """
        try:
            snapshot, tag = self._read(pending.name)
            if tag != pending.tag:
                return
            try:
                self.backend.delete(pending.name)
            except Unavailable:
                ended = dataclasses.replace(snapshot, state=ENDED, roots=())
                self.backend.replace(pending.name, encode(ended, self.seal), tag=tag)
        except (Conflict, NotFound):
            _log.debug("%s has ended already", pending.name)

    def change(self, snapshot_id: str, edit: Callable[[Snapshot], Snapshot]) -> Snapshot:
        """Replace a committed snapshot's words (tags, pin, description) by what `edit` makes of them.

        Tried again when another does the same at once; raises `NotFound` if the snapshot is gone.
        """
        name = f"snapshots/{snapshot_id}"
        while True:
            snapshot, tag = self._read(name)
            changed = edit(snapshot)
            if changed == snapshot:
                return snapshot
            changed = dataclasses.replace(changed, version=snapshot.version + 1)
            try:
                self.backend.replace(name, encode(changed, self.seal), tag=tag)
            except Conflict:
                continue
            return changed

    def remove(self, snapshot_id: str) -> None:
        """Forget one snapshot; as `remove_all`. Raises `NotFound`."""
        if not self.remove_all([snapshot_id]):
            raise NotFound(f"there is no snapshot {snapshot_id}", hint="`snap list` shows those there are.")

    def remove_all(self, snapshot_ids: Sequence[str]) -> list[str]:
        """Forget snapshots; gives those that were there. Their blobs stay until a gc finds them unreferenced.

        In an encrypted repository those that have seen them are changed first, so that nobody misses them; one that is
        missing counts as there if it is missed. Raises `Conflict`, and removes none, if one is pinned by now: whoever
        chose these may have read trees for an hour since.
        """
        self._refuse_pinned(snapshot_ids)
        missed = self._close_gaps(snapshot_ids)
        removed = []
        for snapshot_id in snapshot_ids:
            try:
                self.backend.delete(f"snapshots/{snapshot_id}")
            except NotFound:
                if snapshot_id not in missed:
                    continue
            removed.append(snapshot_id)
        # Whoever removed another at the same time may have named one of these since.
        self._close_gaps(snapshot_ids)
        return removed

    def _refuse_pinned(self, snapshot_ids: Sequence[str]) -> None:
        for snapshot_id in snapshot_ids:
            with suppress(NotFound, Corrupt):  # what is not there or damaged is for whoever chose it
                if self._read(f"snapshots/{snapshot_id}")[0].pinned:
                    raise Conflict(
                        f"the snapshot {snapshot_id[:8]} was pinned meanwhile; nothing was removed",
                        hint="Run the command again.",
                    )

    def _close_gaps(self, snapshot_ids: Sequence[str]) -> set[str]:
        """Let no snapshot name these any more; gives those that were named."""
        if not self.settings.is_encrypted:
            return set()
        there: dict[str, Snapshot] = {}
        for entry in self.backend.list("snapshots/"):
            with suppress(NotFound, Corrupt):
                there[entry.name.removeprefix("snapshots/")] = self._read(entry.name)[0]
        gone = {id_: there[id_].seen if id_ in there else {} for id_ in snapshot_ids}
        missed = set()
        for one in there.values():
            if one.state == COMMITTED and one.id not in gone and not one.seen.keys().isdisjoint(gone):
                missed |= one.seen.keys() & gone.keys()
                with suppress(NotFound):
                    self._without_gone(self.change(one.id, partial(sequence.closed, gone=gone)))
        return missed
