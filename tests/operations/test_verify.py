"""Every damage is found and named, with the rows it harms; what is whole is never called damaged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.sweep import rebuild_index
from snapstore.digest import Digest, Kind, digest
from snapstore.errors import Conflict, Corrupt, NotFound, Unavailable
from snapstore.operations.forget import rm
from snapstore.operations.gc import gc
from snapstore.operations.sampling import Sample
from snapstore.operations.verify import Damage, RowRange, verify
from snapstore.repository import Repository, SnapshotTable
from snapstore.repository.manifest import encode as encode_snapshot
from snapstore.rows import Batch, Table
from snapstore.seal import PLAIN
from snapstore.tree import node, reference
from snapstore.tree.builder import TreeBuilder
from tests.operations.sample import MEMORIES, Take, batch, key, objects, read, rows, take
from tests.soak import IS_SOAK


def copied(backend: MemoryBackend) -> MemoryBackend:
    copy = MemoryBackend()
    for entry in backend.list():
        copy.put(entry.name, [backend.get(entry.name).data])
    return copy


def change(backend: MemoryBackend, name: str, data: bytes | bytearray | None) -> None:
    """Behind everybody's back; None takes it away."""
    backend.delete(name)
    if data is not None:
        backend.put(name, [data])


def small() -> tuple[Repository, MemoryBackend]:
    """Two snapshots, values, parts, a tombstone, garbage."""
    backend = MemoryBackend()
    repository = Repository.init(backend)
    held = rows(range(120))
    huge = bytes(range(256)) * 600
    held[5] = (huge, *held[5][1:])
    first = take(repository, held)
    take(repository, held | rows([7, 8, 90], seed=1), at=1, parent=first)
    rm(repository, [take(repository, rows(range(500, 520)), at=2).id])
    Take(repository)  # runs still, so that gc leaves its tombstones
    assert gc(repository).waiting
    return repository, backend


def test_a_sound_repository_has_no_damage() -> None:
    repository, backend = small()
    before = {name: backend.get(name).data for name in objects(backend)}
    for read_data, sample in ((False, None), (True, None), (False, Sample(50.0, 3))):
        verified = verify(repository, read_data=read_data, sample=sample)
        assert verified.damaged == ()
        assert verified.snapshots == tuple(one.id for one in repository.snapshots())
        assert verified.blobs > 50
    assert {name: backend.get(name).data for name in objects(backend)} == before, "it leaves nothing behind"
    packs = sum(objects(backend, "packs/").values())
    assert verify(repository, read_data=True).bytes_read > packs
    assert verify(repository).bytes_read < verify(repository, read_data=True).bytes_read


@pytest.mark.parametrize("which", ["config", "packs/", "index/", "snapshots/", "condemned/"])
def test_every_damaged_byte_is_found_and_its_object_named(which: str) -> None:
    repository, sound = small()
    for name, size in objects(sound, which).items():
        for at in range(0, size, max(1, size // (400 if IS_SOAK else 25))):
            backend = copied(sound)
            data = bytearray(backend.get(name).data)
            data[at] ^= 1 << (at % 8)
            change(backend, name, data)
            damaged = verify(Repository(backend, repository.settings), read_data=True).damaged
            assert name in {damage.object for damage in damaged}, (name, at)
            other = {d.object for d in damaged if d.object != name and not d.object.startswith("blob ")}
            # With an index segment hidden its packs are in no index; nothing else is called damaged.
            assert not other or (which == "index/" and all(one.startswith("packs/") for one in other))
            assert objects(backend).keys() == objects(sound).keys()


def test_what_cannot_be_read_is_what_is_said_to_be_harmed() -> None:
    repository, sound = small()
    snapshots = repository.snapshots()
    whole = {snapshot.id: read(repository, snapshot)["public.memories"] for snapshot in snapshots}
    silent = 0
    for name, size in objects(sound, "packs/").items():
        for at in range(40, size, max(1, size // 20)):
            backend = copied(sound)
            data = bytearray(backend.get(name).data)
            data[at] ^= 0x10
            change(backend, name, data)
            damaged = verify(Repository(backend, repository.settings), read_data=True).damaged
            harmed = {id_ for damage in damaged for id_ in damage.snapshots}
            for snapshot in snapshots:
                try:
                    assert read(Repository.open(backend), snapshot)["public.memories"] == whole[snapshot.id]
                    assert snapshot.id not in harmed
                    silent += 1
                except (Corrupt, NotFound):
                    assert snapshot.id in harmed, (name, at)
            for damage in damaged:
                assert bool(damage.snapshots) == bool(damage.tables) == bool(damage.rows)
    assert silent, "some bits harm nothing, or only one of the snapshots"


def stored(repository: Repository) -> dict[Digest, Kind]:
    """Every blob in the index."""
    found = {}
    for name in objects(repository.backend, "index/"):
        segment = repository.blobs.segment(name.removeprefix("index/"))
        for entry in segment.entries:
            found[Digest(entry["digest"].tobytes())] = Kind(int(entry["size"]) >> 28)
    return found


def damage_without(repository: Repository, blob: Digest) -> Damage:
    """What verify says where one blob is nowhere, and everything else is as it was."""
    backend = MemoryBackend()
    for copied_ in ("config", *objects(repository.backend, "snapshots/")):
        backend.put(copied_, [repository.backend.get(copied_).data])
    opened = Repository.open(backend)
    with opened.blobs.writer(bytes(16)) as writer:
        for name, kind in stored(repository).items():
            if name != blob:
                writer.put(kind, [name], [repository.blobs.get(name)])
    (damage,) = verify(opened).damaged
    assert damage.blob == blob
    assert damage.pack is None
    assert "in no pack" in damage.reason
    return damage


def test_a_lost_value_is_traced_to_its_rows() -> None:
    repository, _ = small()
    vector = rows(range(120))[31][2]
    assert vector is not None
    damage = damage_without(repository, digest(vector))
    assert damage.tables == ("public.memories",)
    assert damage.snapshots == tuple(one.id for one in repository.snapshots())
    # Memories 30, 31 and 32 have one embedding.
    assert [(one.column, one.after, one.upto, one.count) for one in damage.rows] == [
        ("embedding", key(at - 1), key(at), 1) for at in (30, 31, 32)
    ]
    assert {one.key for one in damage.rows} == {MEMORIES.key}


def test_a_lost_chunk_or_node_is_traced_to_a_stretch_of_rows() -> None:
    repository, _ = small()
    [snapshot, other] = repository.snapshots()
    root = snapshot.sources[0].tables[0].root
    assert root is not None
    parsed = node.decode_root(repository.blobs.get(root), "root")
    assert parsed.height == 1
    names = [reference.digest_of(ref) for ref in parsed.refs[:3]]
    keys = node.decode_node(repository.blobs.get(names[0]), "keys", level=1, is_key=True)
    heat = node.decode_node(repository.blobs.get(names[2]), "heat", level=1, is_key=False)

    def stretch(column: str | None, after: bytes | None, upto: bytes | None, count: int) -> RowRange:
        return RowRange("agents", "public.memories", column, MEMORIES.key, after, upto, count)

    damage = damage_without(repository, reference.digest_of(heat.refs[1]))
    assert stretch("heat", keys.separators[0], keys.separators[1], keys.counts[1]) in damage.rows
    assert snapshot.id in damage.snapshots
    assert damage_without(repository, reference.digest_of(keys.refs[0])).rows == (
        stretch(None, None, keys.separators[0], keys.counts[0]),
    )
    assert damage_without(repository, names[2]).rows == (stretch("heat", None, None, 120),)
    damage = damage_without(repository, names[0])
    assert damage.rows == (stretch(None, None, None, 120),)
    assert damage.snapshots == (snapshot.id, other.id)
    damage = damage_without(repository, root)
    assert damage.rows == (RowRange("agents", "public.memories", None, (), None, None, 120),)
    assert damage.snapshots == (snapshot.id,)


def test_a_lost_part_of_a_huge_cell_is_traced_to_its_row() -> None:
    repository, _ = small()
    held = {name: repository.blobs.get(name) for name, kind in stored(repository).items() if kind is Kind.VALUE}
    part = next(name for name, data in held.items() if len(data) >= 64 * 1024)
    for blob in (part, next(name for name, kind in stored(repository).items() if kind is Kind.PARTS)):
        assert [(one.column, one.upto, one.count) for one in damage_without(repository, blob).rows] == [
            ("content", key(5), 1)
        ]


def test_every_single_blob_that_is_lost_harms_somebody() -> None:
    repository, _ = small()
    garbage = 0
    for blob in stored(repository):
        try:
            damage = damage_without(repository, blob)
        except ValueError:  # nothing needs it
            garbage += 1
        else:
            assert damage.snapshots
            assert damage.rows
    assert garbage < 30


def test_rebuilding_the_index_heals_what_verify_says_of_it() -> None:
    repository, sound = small()
    said = 0
    for name in objects(sound, "index/"):
        backend = copied(sound)
        change(backend, name, None)
        opened = Repository(backend, repository.settings)
        damaged = verify(opened).damaged
        said += bool(damaged)
        assert all("rebuilds the index" in damage.reason for damage in damaged)
        assert not any(damage.rows for damage in damaged), "the data is there"
        rebuild_index(opened.blobs)
        assert verify(opened, read_data=True).damaged == ()
    assert said == 2, "what only garbage needs is no loss"


def test_a_lost_pack_is_named_with_the_blobs_that_were_in_it() -> None:
    repository, sound = small()
    for name in objects(sound, "packs/"):
        backend = copied(sound)
        change(backend, name, None)
        opened = Repository(backend, repository.settings)
        damaged = verify(opened).damaged
        if f"condemned/{name[-32:]}" in objects(backend):
            assert damaged == (), "it was being swept"
            continue
        assert name in {damage.object for damage in damaged}
        assert any(damage.rows for damage in damaged)


def test_a_pack_and_a_snapshot_in_anothers_place_are_found() -> None:
    repository, sound = small()
    for folder in ("packs/", "snapshots/"):
        one, other, *_ = objects(sound, folder)
        backend = copied(sound)
        data = backend.get(one).data
        change(backend, one, backend.get(other).data)
        change(backend, other, data)
        named = {damage.object for damage in verify(Repository(backend, repository.settings)).damaged}
        assert {one, other} <= named


def test_a_manifest_that_says_other_than_its_trees_is_damage() -> None:
    repository, backend = small()
    [snapshot, _] = repository.snapshots()
    (source,) = snapshot.sources
    (table,) = source.tables
    for wrong, words in (
        (dataclasses.replace(table, rows=119), "119 rows"),
        (dataclasses.replace(table, schema=digest(node.encode_schema(MEMORIES)[:-1])), "another schema"),
        (SnapshotTable("public.lost", 3, digest(b"nowhere"), table.schema), ""),
    ):
        lied = dataclasses.replace(snapshot, sources=(dataclasses.replace(source, tables=(wrong,)),))
        copy = copied(backend)
        change(copy, snapshot.name, encode_snapshot(lied, PLAIN))
        damaged = verify(Repository.open(copy)).damaged
        assert damaged
        assert any(words in damage.reason for damage in damaged)
        assert any(snapshot.id in damage.snapshots for damage in damaged)


def test_only_the_snapshots_asked_for_are_looked_at() -> None:
    repository, backend = small()
    first, second = repository.snapshots()
    assert verify(repository, snapshots=[second]).snapshots == (second.id,)
    rm(repository, [first.id])
    with pytest.raises(NotFound, match="removed"):
        verify(repository, snapshots=[first])
    assert len(repository.pendings()) == 1, "only the one that was there"
    assert objects(backend)


def test_a_byte_that_is_damaged_is_found_in_one_of_the_rounds_and_no_other() -> None:
    repository, sound = small()
    name = max(objects(sound, "packs/"), key=lambda one: objects(sound)[one])
    backend = copied(sound)
    data = bytearray(backend.get(name).data)
    data[60] ^= 4
    change(backend, name, data)
    rounds = [verify(Repository(backend, repository.settings), sample=Sample(25, 7 + at)) for at in range(4)]
    found = [name in {damage.object for damage in verified.damaged} for verified in rounds]
    assert sorted(found) == [False, False, False, True]
    whole = verify(Repository(sound, repository.settings), sample=Sample(100, 0)).bytes_read
    assert all(verified.bytes_read < whole for verified in rounds)


def test_verify_reads_what_snapshots_share_once() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = Repository.init(backend)
    held = rows(range(3000), elements=2)
    take(repository, held)
    backend.reset()
    verify(Repository.open(backend))
    once = backend.count("get_range", prefix="packs/")
    for at in range(1, 6):
        take(repository, held, at=at)
    backend.reset()
    verify(Repository.open(backend))
    assert backend.count("get_range", prefix="packs/") == once


def test_a_verification_that_was_given_up_does_not_cry_damage() -> None:
    repository, backend = small()
    name = max(objects(backend, "packs/"), key=lambda one: objects(backend)[one])
    whole = backend.get(name).data
    change(backend, name, whole[:-1])

    def evict(*_: object) -> None:
        for pending in repository.pendings():
            if objects(backend).get(pending.name):
                backend.delete(pending.name)

    with pytest.raises(Conflict, match="gave it up"):
        verify(repository, progress=evict)
    change(backend, name, whole)
    with pytest.raises(Conflict, match="or it did not read all"):
        verify(repository, progress=evict)


def test_packs_that_go_with_their_disk_are_not_passed_over_as_swept(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    repository = Repository.init(DirectoryBackend(root, create=True))
    take(repository, rows(range(60)))

    def unmount(what: str, done: int, total: int | None, /) -> None:
        if what == "reading packs" and done == 1:
            root.rename(tmp_path / "elsewhere")
            root.mkdir()

    with pytest.raises(Unavailable, match="no store"):
        verify(repository, read_data=True, progress=unmount)


def test_trees_that_do_not_fit_each_other_are_damage() -> None:
    """Written by no correct writer: every blob has its digest, and the table is wrong all the same."""
    repository = Repository.init(MemoryBackend())
    held = rows(range(200))
    good = _root(repository, MEMORIES, batch(MEMORIES, held))
    short = _root(repository, MEMORIES, batch(MEMORIES, rows(range(100))))
    theirs = node.decode_root(repository.blobs.get(short), "short")
    ours = node.decode_root(repository.blobs.get(good), "good")
    for refs, words in (
        ((*ours.refs[:2], theirs.refs[2], *ours.refs[3:]), "shape"),
        ((theirs.refs[0], *ours.refs[1:]), "rows where its parent"),
        (ours.refs[:-1], "trees for"),
        ((*ours.refs[:3], reference.blob(reference.digest_of(ours.refs[3]), spills=False), ours.refs[4]), "large"),
    ):
        running = Take(repository)
        data = node.encode_root(dataclasses.replace(ours, refs=refs))
        with repository.blobs.writer(bytes.fromhex(running.pending.id)) as writer:
            writer.put(Kind.TABLE, [digest(data)], [data])
        running.tables.append(SnapshotTable("public.memories", 200, digest(data), ours.schema))
        snapshot = running.commit()
        damaged = verify(Repository.open(repository.backend), snapshots=[snapshot], read_data=True).damaged
        assert any(words in damage.reason for damage in damaged), (words, damaged)
        assert any(damage.rows and damage.snapshots == (snapshot.id,) for damage in damaged)
        rm(repository, [snapshot.id])


def _root(repository: Repository, table: Table, whole: Batch) -> Digest:
    pending = repository.begin()
    with repository.blobs.writer(bytes.fromhex(pending.id)) as writer:
        builder = TreeBuilder(table, repository.cut_key, writer)
        builder.add(whole)
        root = builder.finish()
    repository.abandon(pending)
    return root
