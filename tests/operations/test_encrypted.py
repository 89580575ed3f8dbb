"""An encrypted repository: it says nothing, works as a plain one does, and whatever is done to its bytes is found."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.blobs import large, segment
from snapstore.blobs.store import BlobStore
from snapstore.digest import Kind
from snapstore.errors import Corrupt, NotFound, SnapstoreError
from snapstore.operations.forget import pin, rm
from snapstore.operations.gc import gc
from snapstore.operations.keys import key_add
from snapstore.operations.state import scratch
from snapstore.operations.verify import verify
from snapstore.repository import Repository, tombstones
from snapstore.seal import PLAIN
from tests.operations.sample import CHEAP, PASSPHRASE, Rows, init, objects, read, reopen, rows, take

OLD = rows(range(60), elements=140)
NEW = OLD | rows([3, 40], seed=5, elements=140)


def copied(backend: MemoryBackend) -> MemoryBackend:
    copy = MemoryBackend()
    for entry in backend.list():
        copy.put(entry.name, [backend.get(entry.name).data])
    return copy


def change(backend: MemoryBackend, name: str, data: bytes) -> None:
    backend.delete(name)
    backend.put(name, [data])


def made() -> MemoryBackend:
    """One with an object of every sort, at least two of each: snapshots, packs, segments, keys, tombstones."""
    backend = MemoryBackend()
    repository = init(backend, encrypted=True)
    taken(repository, OLD, 0, "a secret description")
    taken(repository, NEW, 1, "another")
    for number in (1, 2):
        tombstones.put(backend, f"{number}" * 32, repository.seal)
    key_add(repository, b"another", label="a secret label", cost=CHEAP)
    return backend


def taken(repository: Repository, held: Rows, at: int, description: str) -> None:
    repository.snapshots()
    take(repository, held, at=at, description=description, tags=("secret-tag",))


START = made()


def harmed(backend: MemoryBackend) -> set[str]:
    """The objects that verify names."""
    repository = Repository.open(START, PASSPHRASE)  # keys and config as they were: others are not opened with
    return {damage.object for damage in verify(repository.over(backend), read_data=True).damaged}


def test_what_is_stored_says_nothing_of_what_is_in_it() -> None:
    plain = MemoryBackend()
    repository = init(plain, encrypted=False)
    taken(repository, OLD, 0, "a secret description")
    held = b"".join(START.get(name).data for name in objects(START))
    words = [*b"memory 1,secret,public,agents,postgresql,localhost,content,committed".split(b","), PASSPHRASE]
    words += [row[2][:12] for row in OLD.values() if row[2]]
    assert not [word for word in words if word in held]
    digests = [entry["digest"].tobytes() for entry in repository.blobs.segment(first(plain, "index/")[6:]).entries]
    sealed = reopen(START).blobs
    own = [entry["digest"].tobytes() for entry in sealed.segment(first(START, "index/")[6:]).entries]
    assert not {*digests} & {*own}, "names of equal blobs are secrets too"
    assert not [name for name in [*digests, *own] if name in held]
    for name in objects(START):
        assert START.get(name).data[6:8] == b"\2\0", "nothing in it is of the plain format"
    with pytest.raises(Corrupt, match="sealed, in a plain repository"):
        BlobStore(START, PLAIN).refresh()


def first(backend: MemoryBackend, prefix: str) -> str:
    return min(objects(backend, prefix))


def test_it_works_as_a_plain_one_does() -> None:
    backend = copied(START)
    repository = reopen(backend)
    old, new = repository.snapshots()
    assert read(repository, old)["public.memories"] == OLD
    assert read(repository, new)["public.memories"] == NEW
    assert harmed(backend) == set()
    taken(repository, rows(range(200, 260), elements=140), 2, "third")
    pin(repository, new.id)
    rm(repository, [old.id])
    assert gc(repository).bytes_freed >= 0
    assert verify(reopen(backend), read_data=True).damaged == ()
    assert read(reopen(backend), reopen(backend).snapshots()[0])["public.memories"] == NEW


def test_equal_rows_have_equal_roots_in_it_and_others_elsewhere() -> None:
    repository, other = reopen(copied(START)), init(MemoryBackend(), encrypted=True)
    again = take(repository, OLD, at=3)
    elsewhere = take(other, OLD, at=3)
    roots = [one.sources[0].tables[0].root for one in (*repository.snapshots(), again, elsewhere)]
    assert roots[0] == roots[3] != roots[4]
    assert again.sources[0].tables[0].schema != elsewhere.sources[0].tables[0].schema


def test_a_scratch_store_is_sealed_as_what_it_stands_on() -> None:
    repository = reopen(copied(START))
    with scratch(repository) as store:
        name = store.naming.digest(b"a secret")
        with store.writer(bytes(16)) as writer:
            writer.put(Kind.CHUNK, [name], [b"a secret"])
            written = writer.close()
        assert store.get(name) == b"a secret"
        pack = store.backend.get(f"packs/{written.packs[0][:2]}/{written.packs[0]}").data
        assert b"a secret" not in pack


@pytest.mark.parametrize("sort", ["config", "keys/", "snapshots/", "packs/", "index/", "condemned/"])
def test_a_flipped_bit_anywhere_is_found_and_named(sort: str) -> None:
    chance = np.random.default_rng(len(sort))
    for name, size in objects(START, sort).items():
        # Every field is in the first or last 200 bytes, or sealed with all the others of its piece.
        ends = [*range(0, min(size, 200), 13), *range(max(0, size - 200), size, 13), 6, 7, size - 1]
        places = {*ends, *chance.integers(0, size, 3).tolist()}
        for at in sorted(places):
            backend = copied(START)
            data = bytearray(backend.get(name).data)
            data[at] ^= 1 << int(chance.integers(8))
            change(backend, name, bytes(data))
            found = harmed(backend)
            assert name in found, at
            # Without its index segment a pack has blobs that cannot be found: it is named too, and rebuilt from.
            assert found <= {name, *objects(START, "packs/" if sort == "index/" else sort)}


@pytest.mark.parametrize("sort", ["keys/", "snapshots/", "packs/", "index/", "condemned/"])
def test_any_two_objects_swapped_are_found_and_named(sort: str) -> None:
    pairs = list(permutations(objects(START, sort), 2))
    assert pairs
    for one, other in pairs:
        backend = copied(START)
        change(backend, one, START.get(other).data)
        assert one in harmed(backend)
        change(backend, other, START.get(one).data)
        assert {one, other} <= harmed(backend)


def test_frames_swapped_within_a_pack_are_found_though_their_hashes_are_made_to_fit() -> None:
    """Who can write can compute every hash that needs no key; the seal binds a frame to its place all the same."""
    backend = MemoryBackend()
    repository = init(backend, encrypted=True)
    blobs = [bytes([number]) * 8 for number in range(2)]
    with repository.blobs.writer(bytes(16)) as writer:
        for group, blob in enumerate(blobs):
            writer.put(Kind.CHUNK, [repository.blobs.naming.digest(blob)], [blob * 1], group=group)
            writer._flush()  # a frame for each
    [pack] = repository.blobs.packs()
    directory = repository.blobs.directory(pack)
    assert len(directory.offsets) == 2
    start, size = int(directory.offsets[0]), int(directory.stored[0])
    assert size == int(directory.stored[1])
    name = f"packs/{pack.name[:2]}/{pack.name}"
    data = backend.get(name).data
    one, other = data[start : start + size], data[start + size : start + 2 * size]
    change(backend, name, data[:start] + other + one + data[start + 2 * size :])
    for blob in blobs:
        with pytest.raises(Corrupt, match=name):
            reopen(backend).blobs.get(repository.blobs.naming.digest(blob))


def test_an_object_of_another_time_in_its_own_place_is_found() -> None:
    """A snapshot as it was before its pin; a pack or segment cannot be rolled back, as it never changes."""
    backend = copied(START)
    repository = reopen(backend)
    old, _ = repository.snapshots()
    before = backend.get(old.name).data
    pin(repository, old.id)
    taken(repository, OLD, 2, "third")
    assert harmed(backend) == set()
    change(backend, old.name, before)
    assert harmed(backend) == {old.name}


@pytest.mark.parametrize("sort", ["snapshots/", "packs/", "index/"])
def test_an_object_that_is_taken_away_is_missed(sort: str) -> None:
    newest = reopen(START).snapshots()[-1].name
    for name in objects(START, sort):
        backend = copied(START)
        backend.delete(name)
        assert bool(harmed(backend)) == (name != newest), "only the newest snapshot was seen by nobody"


def test_plain_objects_planted_in_it_are_found_and_not_read() -> None:
    plain = MemoryBackend()
    repository = init(plain, encrypted=False)
    taken(repository, OLD, 0, "planted")
    for name in objects(plain):
        backend = copied(START)
        if name == "config":
            change(backend, name, plain.get(name).data)
            assert "config" in harmed(backend)
        else:
            backend.put(name, [plain.get(name).data])
            assert name in harmed(backend)
            if name.startswith("snapshots/"):
                with pytest.raises(Corrupt, match=name):
                    reopen(backend).snapshots()


@pytest.mark.parametrize("held_bytes", [0, 1 << 20])
def test_a_large_segment_is_read_by_blocks_each_sealed(held_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (segment, large):
        monkeypatch.setattr(module, "BLOCK_ENTRIES", 64)
    seal = reopen(START).seal
    backend = MemoryBackend()
    store = BlobStore(backend, seal)
    blobs = [b"%d" % number for number in range(1000)]
    names = [seal.naming.digest(blob) for blob in blobs]
    with store.writer(bytes(16)) as writer:
        writer.put(Kind.CHUNK, names, blobs)
    assert BlobStore(backend, seal, index_bytes=held_bytes).get_many(names) == blobs
    name = first(backend, "index/")
    data = bytearray(backend.get(name).data)
    data[len(data) // 2] ^= 1
    change(backend, name, bytes(data))
    damaged = BlobStore(backend, seal, index_bytes=held_bytes)
    wrong = 0
    for one, blob in zip(names, blobs, strict=True):
        try:
            assert damaged.get(one) == blob
        except (Corrupt, NotFound):
            wrong += 1
    assert wrong == 1000 if held_bytes else 0 < wrong < 500, "those that a search through the block looks for"


def test_another_key_opens_nothing() -> None:
    other = init(MemoryBackend(), encrypted=True)
    with pytest.raises(SnapstoreError, match="snapshots/"):
        Repository(START, other.settings, other.seal, other.key_id).snapshots()
