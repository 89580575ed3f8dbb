"""Whether the objects of a repository are as they were written: config, keys, tombstones, index segments and packs.

    for damage in check_config(repository):
        ...
    index = check_index(repository.blobs, packs)
    index.damaged, index.unindexed

Everything is reported, nothing raised but `Unavailable`. Blobs are looked at elsewhere (`snapstore.operations.verify`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snapstore.blobs.pack import Directory, digests_of, object_name
from snapstore.blobs.segment import INDEX, MAX_BLOB_BYTES, Segment, build, join
from snapstore.blobs.store import BlobStore, PackEntry
from snapstore.errors import Corrupt, NotFound, Unavailable, Unsupported
from snapstore.operations.damage import Damage
from snapstore.repository import Repository, Snapshot, config, keyring, sequence, tombstones
from snapstore.repository.keyring import Key
from snapstore.repository.listing import SNAPSHOTS
from snapstore.repository.manifest import decode as decode_snapshot

__all__ = [
    "IndexCheck", "check_config", "check_index", "check_keys", "check_sequence", "check_tombstones",
    "read_snapshots", "unknown_blobs",
]  # fmt: skip

_TRIES = 10
_LOOKS = 2
REBUILD = "`snap repair index` rebuilds the index from the packs"


@dataclass(slots=True)
class IndexCheck:
    """What is wrong with the index, the segments that cannot be used, and the packs that the others name.

    `lost` are packs that are named and not there, with the digests that should be in them, shape (n, 32). Nothing is
    wrong with that if no snapshot needs them: collections that run side by side may leave such entries.
    """

    damages: list[Damage] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    indexed: set[str] = field(default_factory=set)
    lost: dict[str, NDArray[np.uint8]] = field(default_factory=dict)


def check_config(repository: Repository) -> Iterator[Damage]:
    """Whether the config can be read and is what the repository was opened with."""
    try:
        settings = config.decode(repository.backend.get(config.NAME).data, config.NAME)
    except (Corrupt, Unsupported, NotFound) as error:
        yield Damage(config.NAME, error.message)
        return
    if settings != repository.settings:
        yield Damage(config.NAME, f"{config.NAME} is another than when the repository was opened")


def check_keys(repository: Repository) -> Iterator[Damage]:
    """Whether every key was written by somebody who had one, and none that was removed is back."""
    if not repository.settings.is_encrypted:
        yield from (
            Damage(entry.name, f"{entry.name} is a key, in a plain repository")
            for entry in repository.backend.list(keyring.KEYS)
        )
        return
    keys = keyring.listed(repository.backend, repository.seal)
    for key in keys:
        if not isinstance(key, Key):
            yield Damage(key.message.split()[0], key.message)
    for name in keyring.put_back(keys):
        yield Damage(name, f"{name} was removed, and somebody put it back: whoever has its passphrase reads everything")


def check_sequence(repository: Repository, snapshots: Sequence[Snapshot]) -> Iterator[Damage]:
    """Whether every snapshot that another has seen is there, and as new as it was."""
    found = list(sequence.gaps(snapshots))
    # Manifests are read one by one: one may have been removed by right in between, so a gap must be there every time.
    for _ in range(_LOOKS if found else 0):
        again, damages = read_snapshots(repository)
        unreadable = {own for damage in damages for own in damage.snapshots}
        left = {gap.id for gap in sequence.gaps(again)} - unreadable
        found = [gap for gap in found if gap.id in left]
    for gap in found:
        name = SNAPSHOTS + gap.id
        yield Damage(name, f"{name}: {gap.words}", snapshots=(gap.id,))


def check_tombstones(repository: Repository) -> Iterator[Damage]:
    """Whether tombstones can be read. Their names alone decide, so damage to one harms nothing."""
    backend = repository.backend
    for name in tombstones.listed(backend):
        where = tombstones.CONDEMNED + name
        try:
            tombstones.decode(backend.get(where).data, where, repository.seal)
        except (Corrupt, Unsupported) as error:
            yield Damage(where, error.message)
        except NotFound:
            continue


def read_snapshots(repository: Repository) -> tuple[list[Snapshot], list[Damage]]:
    """Every manifest that can be read, pending ones too, oldest first; and those that cannot."""
    found: list[Snapshot] = []
    damages: list[Damage] = []
    for entry in repository.backend.list(SNAPSHOTS):
        own_id = entry.name.removeprefix(SNAPSHOTS)
        try:
            found.append(decode_snapshot(repository.backend.get(entry.name).data, entry.name, repository.seal))
        except (Corrupt, Unsupported) as error:
            damages.append(Damage(entry.name, error.message, snapshots=(own_id,)))
        except NotFound:
            continue
    return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id)), damages


def check_index(store: BlobStore, packs: Sequence[PackEntry]) -> IndexCheck:
    """Compare every segment with the directories of the packs it names.

    `packs` must have been listed before this, and the manifests before the packs: whatever a manifest names was indexed
    when it was committed.
    """
    for _ in range(_TRIES):
        try:
            return _check_index(store, {pack.name: pack for pack in packs})
        except NotFound:
            continue  # merged into another since it was listed
    raise Unavailable(
        f"the index in {store.backend.location} changes faster than it can be read", hint="Try again when gc has ended."
    )


def _check_index(store: BlobStore, packs: Mapping[str, PackEntry]) -> IndexCheck:
    check = IndexCheck()
    for entry in store.segments():
        try:
            segment = store.segment(entry.name.removeprefix(INDEX))
        except (Corrupt, Unsupported) as error:
            check.damages.append(Damage(entry.name, f"{error.message}; {REBUILD}"))
            check.hidden.add(entry.name)
            continue
        for number, name in enumerate(segment.packs):
            check.indexed.add(name)
            if name not in packs:
                check.lost[name] = _entries(segment, number)["digest"]
                continue
            directory = _directory(store, packs[name], check)
            wrong = directory and _disagreement(segment, number, directory)
            if wrong:
                words = f"{entry.name} says of {object_name(name)} {wrong}; {REBUILD}"
                check.damages.append(Damage(entry.name, words, pack=name))
    for name in packs.keys() - check.indexed:
        _directory(store, packs[name], check)
    return check


def _directory(store: BlobStore, pack: PackEntry, check: IndexCheck) -> Directory | None:
    where = object_name(pack.name)
    try:
        return store.directory(pack)
    except (Corrupt, Unsupported) as error:
        damage = Damage(where, error.message, pack=pack.name)
        if damage not in check.damages:
            check.damages.append(damage)
    except NotFound:
        pass  # swept since it was listed
    return None


def _entries(segment: Segment, number: int) -> NDArray[np.void]:
    """The entries of the pack of this number."""
    is_own: NDArray[np.bool_] = segment.frames["pack"][segment.entries["frame"]] == number
    return segment.entries[is_own]


def _disagreement(segment: Segment, number: int, directory: Directory) -> str:
    """What a segment says wrongly of its pack of this number, in words; empty if nothing."""
    entries = _entries(segment, number)
    frames = segment.frames[entries["frame"]]
    both = np.concatenate([directory.digests, np.ascontiguousarray(entries["digest"]).reshape(-1, 32)])
    _, same = np.unique(np.ascontiguousarray(both).view("V32").reshape(-1), return_inverse=True)
    same, held = same.reshape(-1), len(directory.digests)
    rows = np.full(len(both), -1)
    rows[same[:held]] = np.arange(held)
    rows = rows[same[held:]]
    if (rows < 0).any():
        return f"that {int((rows < 0).sum())} blobs are in it that are not"
    at = directory.frames[rows]
    is_right = (
        (frames["offset"] == directory.offsets[at])
        & (frames["stored"] == directory.stored[at])
        & (frames["plain"] == directory.plain[at])
        & (entries["place"] == directory.places[rows])
        & ((entries["size"] & MAX_BLOB_BYTES) == directory.lengths[rows])
    )
    return "" if is_right.all() else f"that {int((~is_right).sum())} blobs are where they are not"


def unknown_blobs(store: BlobStore, packs: Sequence[PackEntry]) -> Segment:
    """What these packs hold and the index of the store does not know, as a segment.

    Nothing is wrong with that as long as no snapshot needs it: it may be what a crash left, or a take that still runs.
    """
    pieces = [build([])]
    for pack in packs:
        with suppress(Corrupt, Unsupported, NotFound):  # said already, or swept
            directory = store.directory(pack)
            is_known = store.locate(digests_of(directory.digests)).found
            if not is_known.all():
                segment = build([directory])
                is_known = store.locate(digests_of(segment.entries["digest"])).found
                pieces.append(Segment(segment.packs, segment.frames, segment.entries[~is_known]))
    return join(pieces)
