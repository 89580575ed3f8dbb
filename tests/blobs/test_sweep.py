from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from snapstore.backends import Stored
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs import packer
from snapstore.blobs.check import check
from snapstore.blobs.pack import digests_of, object_name
from snapstore.blobs.store import BlobStore
from snapstore.blobs.sweep import copy_live, fold, indexed_blobs, indexed_packs, merge, purge, rebuild_index
from snapstore.digest import Buffer, Kind, digest
from snapstore.errors import Corrupt, Invalid, Unavailable
from snapstore.operations.condemn import delete_packs
from tests.blobs.sample import TAKE, change, chunks, condemn, names, vectors, write


def keeping(blobs: list[bytes]) -> Callable[[NDArray[np.uint8]], NDArray[np.bool_]]:
    wanted = set(names(blobs))
    return lambda rows: np.array([name in wanted for name in digests_of(rows)], np.bool_)


def delete(store: BlobStore, name: str, live: Callable[[NDArray[np.uint8]], NDArray[np.bool_]]) -> int:
    """Bytes freed; 0 for a pack that stays."""
    return sum(delete_packs(store, [pack for pack in store.packs() if pack.name == name], live).values())


def test_compaction_keeps_what_is_live_and_drops_the_rest() -> None:
    backend = RecordingBackend(MemoryBackend())
    store = BlobStore(backend)
    values, tree = vectors(300), chunks(300)
    old = [*write(store, Kind.VALUE, values, stride=4).packs, *write(store, Kind.CHUNK, tree).packs]
    kept = values[::3] + tree[::5]
    live = keeping(kept)
    for name in old:
        condemn(backend, name)
    written = copy_live(store, old, live, TAKE)
    assert written.blobs == len(kept)
    assert len(written.packs) == 2
    for name in old:
        assert delete(store, name, live) > 0
        assert delete(store, name, live) == 0
    assert purge(store, old) == 2
    assert indexed_packs(store) == set(written.packs) == {pack.name for pack in store.packs()}
    for reader in (store, BlobStore(backend)):
        assert reader.get_many(names(kept)) == kept
        assert not reader.contains_many(names([values[1], tree[1]])).any()
    assert list(check(store)) == []
    # The second time there is nothing to do, and nothing is written.
    backend.reset()
    assert purge(store, old) == merge(store) == 0
    assert backend.count("put", "delete", "replace") == 0


def test_vectors_are_still_planes_after_compaction() -> None:
    store = BlobStore(MemoryBackend())
    values = vectors(400, elements=384)
    before = write(store, Kind.VALUE, values, stride=4)
    condemn(store.backend, before.packs[0])
    after = copy_live(store, before.packs, keeping(values), TAKE)
    assert abs(after.stored_bytes - before.stored_bytes) < 100


def test_damage_is_not_copied_under_a_fresh_name() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    (pack,) = write(store, Kind.CHUNK, [b"abcdef", b"ghijkl"]).packs
    data = backend.get(object_name(pack)).data
    change(backend, object_name(pack), data.replace(b"ghijkl", b"ghXjkl", 1))
    condemn(backend, pack)
    with pytest.raises(Corrupt, match=f"{digest(b'ghijkl').hex()} in {object_name(pack)}"):
        copy_live(store, [pack], keeping([b"abcdef", b"ghijkl"]), TAKE)
    assert [entry.name for entry in store.packs()] == [pack]
    assert copy_live(store, [pack], keeping([b"abcdef"]), TAKE).blobs == 1


def test_a_pack_is_not_emptied_without_its_tombstone() -> None:
    store = BlobStore(MemoryBackend())
    (pack,) = write(store, Kind.CHUNK, [b"a"]).packs
    with pytest.raises(Invalid, match="not condemned"):
        copy_live(store, [pack], keeping([b"a"]), TAKE)
    assert store.get(digest(b"a")) == b"a"


def test_a_pack_is_not_deleted_while_a_live_blob_is_nowhere_else() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    (pack,) = write(store, Kind.CHUNK, [b"a", b"b"]).packs
    condemn(backend, pack)
    assert delete(store, pack, keeping([b"b"])) == 0
    assert store.get(digest(b"b")) == b"b"
    copy_live(store, [pack], keeping([b"b"]), TAKE)
    assert delete(store, pack, keeping([b"b"])) > 0
    assert store.get(digest(b"b")) == b"b"


@pytest.mark.parametrize("packs", [1, 3, 6])
def test_what_was_copied_before_a_store_was_full_is_not_copied_again(
    packs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else copies that nobody finds would take the room of the next try."""
    monkeypatch.setattr(packer, "_VALUE_PACK_BYTES", 4000)
    monkeypatch.setattr("snapstore.blobs.writer._VALUE_FRAME_BYTES", 1000)

    class Full(MemoryBackend):
        room = 1 << 30

        def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
            if name.startswith("packs/"):
                self.room -= 1
                if self.room < 0:
                    raise Unavailable("no space left")
            return super().put(name, parts, unique=unique)

    backend = Full()
    blobs = vectors(300)
    write(BlobStore(backend), Kind.VALUE, blobs)
    condemned = {pack.name for pack in BlobStore(backend).packs()}
    for name in condemned:
        condemn(backend, name)
    backend.room = packs
    with pytest.raises(Unavailable, match="no space left"):
        copy_live(BlobStore(backend), condemned, keeping(blobs), TAKE)
    fresh = [pack for pack in BlobStore(backend).packs() if pack.name not in condemned]
    assert len(fresh) == packs
    known = int(BlobStore(backend).contains_many(names(blobs)).sum())
    assert known == sum(len(BlobStore(backend).directory(pack).digests) for pack in fresh)
    backend.room = 1 << 30
    assert copy_live(BlobStore(backend), condemned, keeping(blobs), TAKE).blobs == len(blobs) - known


def test_a_store_on_a_base_is_not_swept() -> None:
    base, backend = BlobStore(MemoryBackend()), MemoryBackend()
    (pack,) = write(BlobStore(backend), Kind.CHUNK, [b"a"]).packs
    write(base, Kind.CHUNK, [b"a"])
    condemn(backend, pack)
    with pytest.raises(Invalid):
        copy_live(BlobStore(backend, base=base), [pack], keeping([b"a"]), TAKE)


def test_many_small_segments_become_one() -> None:
    backend = RecordingBackend(MemoryBackend())
    blobs = [blob for seed in range(20) for blob in chunks(10, seed=seed)]
    for seed in range(20):
        write(BlobStore(backend), Kind.CHUNK, chunks(10, seed=seed))
    reader = BlobStore(backend)
    reader.refresh()
    store = BlobStore(backend)
    assert merge(store, more_than=20) == 0
    backend.reset()
    assert merge(store) == 20
    verbs = [call.verb for call in backend.calls if call.verb in ("put", "delete")]
    assert verbs == ["put"] + ["delete"] * 20
    assert len(store.segments()) == 1
    for each in (store, reader, BlobStore(backend)):
        assert each.get_many(names(blobs)) == blobs
        each.refresh()
        assert each.get_many(names(blobs)) == blobs


@pytest.mark.parametrize("order", [1, -1])
def test_merging_keeps_the_entry_that_outlives_a_condemned_pack(order: int) -> None:
    """Two packs hold a blob, one of them condemned or gone: whichever segment comes first, the good entry stays."""
    for is_gone in (False, True):
        backend = MemoryBackend()
        writers = [BlobStore(backend).writer(TAKE) for _ in range(2)]
        for writer in writers:
            writer.put(Kind.CHUNK, [digest(b"a")], [b"a"])
        packs = [writer.close().packs[0] for writer in writers]
        # Which segment is read first depends on their names: try both packs.
        doomed, good = packs[::order]
        condemn(backend, doomed)
        if is_gone:
            backend.delete(object_name(doomed))
        store = BlobStore(backend)
        assert merge(store, more_than=1) == 2
        places = BlobStore(backend).locate([digest(b"a")])
        assert places.packs[places.pack[0]] == good
        assert store.contains_many([digest(b"a")]).all()


def test_what_two_packs_hold_stays_in_the_index_twice_when_segments_are_merged() -> None:
    """Another collection may have condemned either pack since, and count on the entry of the other."""
    store = BlobStore(MemoryBackend())
    tree = chunks(30)
    packs = [write(BlobStore(store.backend), Kind.CHUNK, tree[at : at + 1]).packs[0] for at in range(20)]
    with BlobStore(store.backend).writer(TAKE) as one, BlobStore(store.backend).writer(TAKE) as other:
        for writer in (one, other):
            writer.put(Kind.CHUNK, names(tree[20:]), tree[20:])
            packs += writer.close().packs
    assert merge(store) == 22
    assert len(store.segments()) == 2
    for gone in packs[-2:]:
        backend = MemoryBackend()
        for entry in store.backend.list():
            if not entry.name.endswith(gone):
                backend.put(entry.name, [store.backend.get(entry.name).data])
        assert BlobStore(backend).get_many(names(tree)) == tree


def test_segments_stay_few_however_many_writers_there_were() -> None:
    backend = RecordingBackend(MemoryBackend())
    tree, most = chunks(60), 0
    for at in range(60):
        store = BlobStore(backend)
        write(store, Kind.CHUNK, tree[at : at + 1])
        backend.reset()
        folded = fold(store)
        assert len(backend.calls) <= (10 if folded else 1)
        most = max(most, len(store.segments()))
    assert most <= 13
    assert BlobStore(backend).get_many(names(tree)) == tree
    assert list(check(BlobStore(backend))) == []


def test_writers_that_fold_at_once_lose_nothing_and_leave_no_copies() -> None:
    backend = MemoryBackend()
    tree = chunks(40)
    for at in range(17):
        write(BlobStore(backend), Kind.CHUNK, tree[at : at + 1])

    class Beside(MemoryBackend):
        """Another folds before this one deletes."""

        def __init__(self) -> None:
            super().__init__()
            self.__dict__.update(backend.__dict__)
            self.is_first = True

        def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
            tag = super().put(name, parts, unique=unique)
            if self.is_first:
                self.is_first = False
                fold(store)
            return tag

    store = BlobStore(backend)
    store.refresh()
    beside = BlobStore(Beside())
    beside.refresh()
    assert fold(beside) == 3
    assert BlobStore(backend).get_many(names(tree[:17])) == tree[:17]
    for at in range(17, 40):
        late = BlobStore(backend)
        write(late, Kind.CHUNK, tree[at : at + 1])
        fold(late)
    assert merge(BlobStore(backend), more_than=1) > 1
    [segment] = BlobStore(backend).segments()
    held = BlobStore(backend).segment(segment.name.removeprefix("index/"))
    assert len(held.entries) == len(held.frames) == 40


def test_what_the_index_says_of_a_pack_is_whole_while_others_fold() -> None:
    backend = MemoryBackend()
    tree = chunks(17)
    for blob in tree:
        write(BlobStore(backend), Kind.CHUNK, [blob])

    class Beside(MemoryBackend):
        """Another folds between the listing of segments and the reading of the first."""

        def get(self, name: str) -> Stored:
            if not folded and name.startswith("index/"):
                folded.append(fold(store))
            return super().get(name)

    folded: list[int] = []
    beside = Beside()
    beside.__dict__.update(backend.__dict__)
    store = BlobStore(backend)
    store.refresh()
    first = store.segment(store.segments()[0].name.removeprefix("index/"))
    found = indexed_blobs(BlobStore(beside), first.packs[0])
    assert folded == [3]
    assert digests_of(found) == digests_of(first.entries["digest"])


def test_an_index_is_rebuilt_from_packs_alone() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    blobs = chunks(300) + vectors(50)
    write(store, Kind.CHUNK, blobs[:300])
    write(store, Kind.VALUE, blobs[300:], stride=4)
    change(backend, store.segments()[0].name, b"SNAPI\0\1\0 nonsense")
    backend.delete(store.segments()[1].name)
    with pytest.raises(Corrupt):
        BlobStore(backend).get_many(names(blobs))
    assert rebuild_index(store) == []
    assert BlobStore(backend).get_many(names(blobs)) == blobs
    assert list(check(store)) == []


def test_rebuilding_keeps_what_the_old_index_says_of_a_pack_with_a_damaged_directory() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    (pack,) = write(store, Kind.CHUNK, [b"a", b"b"]).packs
    write(store, Kind.CHUNK, [b"c"])
    data = backend.get(object_name(pack)).data
    change(backend, object_name(pack), data[:-1] + b"\xff")
    assert rebuild_index(store) == [pack]
    assert len(store.segments()) == 1
    assert BlobStore(backend).get_many(names([b"a", b"b", b"c"])) == [b"a", b"b", b"c"]
