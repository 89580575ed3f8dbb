from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs import large, segment
from snapstore.blobs.index import Index
from snapstore.blobs.pack import object_name, rows_of
from snapstore.blobs.store import BlobStore
from snapstore.blobs.sweep import merge
from snapstore.digest import Kind, digest
from snapstore.errors import Corrupt, NotFound
from snapstore.seal import PLAIN
from tests.blobs.sample import TAKE, change, chunks, condemn, names, vectors, write


def test_blobs_come_back_in_the_order_asked_for_with_duplicates() -> None:
    store = BlobStore(MemoryBackend())
    tree, values = chunks(3000), vectors(500)
    write(store, Kind.CHUNK, tree)
    write(store, Kind.VALUE, values, stride=4)
    wanted = [*tree[::-1], *values, *tree[:7], values[3], values[3]]
    for reader in (store, BlobStore(store.backend), BlobStore(store.backend, cache_bytes=0, index_bytes=0)):
        assert reader.get_many(names(wanted)) == wanted
        assert reader.get_many([]) == []


@given(st.lists(st.binary(max_size=200)), st.lists(st.integers(0, 50)), st.sampled_from([0, 1 << 20]))
def test_what_is_put_is_got(blobs: list[bytes], picks: list[int], bound: int) -> None:
    backend = MemoryBackend()
    write(BlobStore(backend), Kind.VALUE, blobs)
    wanted = [blobs[pick % len(blobs)] for pick in picks if blobs]
    assert BlobStore(backend, index_bytes=bound, cache_bytes=bound).get_many(names(wanted)) == wanted


def test_a_missing_blob_is_named_after_one_more_look() -> None:
    backend = RecordingBackend(MemoryBackend())
    store = BlobStore(backend)
    write(store, Kind.CHUNK, [b"there"])
    store.refresh()
    backend.reset()
    missing = digest(b"missing")
    with pytest.raises(NotFound, match=missing.hex()):
        store.get_many([digest(b"there"), missing])
    assert backend.count("list", prefix="index/") == 1


def test_a_blob_written_elsewhere_meanwhile_is_found() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    store.refresh()
    write(BlobStore(backend), Kind.CHUNK, [b"new"])
    assert store.get(digest(b"new")) == b"new"


def test_neighbours_are_read_in_one_call_and_decoded_once() -> None:
    backend = RecordingBackend(MemoryBackend())
    values = vectors(2000, elements=256)  # four frames of 512 KiB, under 2 MiB together
    write(BlobStore(backend), Kind.VALUE, values, stride=4)
    store = BlobStore(backend)
    store.refresh()
    backend.reset()
    assert store.get_many(names(values)) == values
    assert backend.count("get_range") == 1
    backend.reset()
    assert store.get_many(names(values[::-1])) == values[::-1]
    assert backend.count() == 0


def test_the_cache_of_frames_keeps_to_its_bound() -> None:
    values = vectors(2000, elements=256)
    backend = MemoryBackend()
    write(BlobStore(backend), Kind.VALUE, values, stride=4)
    store = BlobStore(backend, cache_bytes=1 << 20)
    assert store.get_many(names(values)) == values
    assert sum(map(len, store._frames._held.values())) == store._frames._size <= 1 << 20


def test_a_base_is_read_and_deduplicated_against_and_never_written() -> None:
    below, above = RecordingBackend(MemoryBackend()), MemoryBackend()
    write(BlobStore(below), Kind.CHUNK, [b"old", b"older"])
    below.reset()
    store = BlobStore(above, base=BlobStore(below))
    assert write(store, Kind.CHUNK, [b"old", b"new"]).blobs == 1
    assert store.get_many(names([b"older", b"new", b"old"])) == [b"older", b"new", b"old"]
    assert store.contains_many(names([b"older", b"new", b"no"])).tolist() == [True, True, False]
    assert below.count("put", "replace", "delete") == 0
    with pytest.raises(NotFound, match="memory"):
        store.get(digest(b"no"))


def test_a_condemned_pack_serves_readers_and_not_writers() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    (pack,) = write(store, Kind.CHUNK, [b"blob"]).packs
    condemn(backend, pack)
    for bound in (0, 1 << 20):
        reader = BlobStore(backend, index_bytes=bound)
        assert reader.get(digest(b"blob")) == b"blob"
        assert not reader.contains_many([digest(b"blob")]).any()
    written = write(store, Kind.CHUNK, [b"blob"])
    assert written.blobs == 1
    for bound in (0, 1 << 20):
        reader = BlobStore(backend, index_bytes=bound)
        assert reader.contains_many([digest(b"blob")]).all()
        places = reader.locate([digest(b"blob")])
        assert places.packs[places.pack[0]] == written.packs[0]


def test_an_entry_whose_pack_is_not_listed_counts_for_nothing() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    (pack,) = write(store, Kind.CHUNK, [b"blob"]).packs
    backend.delete(object_name(pack))
    assert not BlobStore(backend).contains_many([digest(b"blob")]).any()
    # One that has read the index before finds out when it needs the pack.
    with pytest.raises(NotFound, match=digest(b"blob").hex()):
        store.get(digest(b"blob"))
    assert write(store, Kind.CHUNK, [b"blob"]).blobs == 1
    assert store.get(digest(b"blob")) == b"blob"


def test_a_pack_that_moved_under_a_reader_is_found_again() -> None:
    backend = MemoryBackend()
    reader = BlobStore(backend)
    (pack,) = write(BlobStore(backend), Kind.CHUNK, [b"a", b"b"]).packs
    reader.refresh()
    condemn(backend, pack)
    write(BlobStore(backend), Kind.CHUNK, [b"a", b"b"])
    backend.delete(object_name(pack))
    assert reader.get_many(names([b"b", b"a"])) == [b"b", b"a"]


def test_a_segment_that_was_merged_under_a_reader_is_looked_for_in_its_successor() -> None:
    """`NotFound` would be taken for the pack's: a gc took a pack for deleted by another, and forgot its tombstone."""
    blobs = chunks(40)
    looks: list[Callable[[BlobStore], bool]] = [
        lambda store: bool(store.contains_many(names(blobs)).all()),
        lambda store: bool(store.locate(names(blobs)).found.all()),
        lambda store: sum(one.served for one in store.tally(lambda rows: np.ones(len(rows), np.bool_)).values()) == 40,
    ]
    for look in looks:
        backend = MemoryBackend()
        for half in (blobs[:20], blobs[20:]):
            write(BlobStore(backend), Kind.CHUNK, half)
        store = BlobStore(backend, index_bytes=0)
        store.refresh()
        assert merge(BlobStore(backend), more_than=1) == 2
        assert look(store)


def test_a_damaged_blob_is_named_with_its_pack() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    (pack,) = write(store, Kind.CHUNK, [b"abcdef"]).packs
    data = backend.get(object_name(pack)).data
    assert data[48:54] == b"abcdef"
    change(backend, object_name(pack), data[:50] + b"X" + data[51:])
    with pytest.raises(Corrupt, match=f"{digest(b'abcdef').hex()} in {object_name(pack)}"):
        store.get(digest(b"abcdef"))


def test_many_segments_are_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = RecordingBackend(MemoryBackend())
    blobs = [chunks(20, seed=seed) for seed in range(12)]
    for some in blobs:
        write(BlobStore(backend), Kind.CHUNK, some)
    store = BlobStore(backend)
    store.refresh()
    backend.reset()
    assert store.contains_many([name for some in blobs for name in names(some)]).all()
    assert not store.contains_many(names(chunks(50, seed=99))).any()
    assert backend.count() == 0
    store.refresh()  # nothing new: three listings and no reading
    assert [call.verb for call in backend.calls] == ["list"] * 3


def test_a_large_segment_is_probed_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (segment, large):
        monkeypatch.setattr(module, "BLOCK_ENTRIES", 64)
    backend = RecordingBackend(MemoryBackend())
    blobs = chunks(10_000)
    write(BlobStore(backend), Kind.CHUNK, blobs)
    found = Index(backend, held_bytes=0, block_bytes=64 * 44 * 4)
    found.refresh()
    assert backend.count("get", prefix="index/") == 0
    backend.reset()
    assert found.find(rows_of(names(blobs[:1]))).found.all()
    assert backend.count("get_range") <= 3
    assert backend.bytes_read <= 3 * 64 * 44
    assert found.find(rows_of(names(blobs))).found.all()
    assert not found.find(rows_of(names(chunks(1000, seed=5)))).found.any()
    assert len(found._blocks._held) <= 4
    held = Index(backend)
    held.refresh()
    one, other = found.find(rows_of(names(blobs))), held.find(rows_of(names(blobs)))
    for field in ("offset", "stored", "plain", "place", "length", "kind"):
        assert np.array_equal(getattr(one, field), getattr(other, field))


@given(st.data())
def test_digests_that_begin_alike_are_told_apart(data: st.DataObject) -> None:
    """Real digests never share eight bytes by chance; somebody may make two that do."""
    alike = data.draw(st.lists(st.binary(min_size=1, max_size=1), min_size=1, max_size=20, unique=True))
    heads = data.draw(st.sampled_from([[b"\0"], [b"\0", b"\x80", b"\xff"]]))
    rows = np.frombuffer(b"".join(h * 8 + bytes(23) + tail for h in heads for tail in alike), np.uint8).reshape(-1, 32)
    entries = np.zeros(len(rows), segment.ENTRY)
    entries["digest"], entries["size"] = rows, 1 << 28
    entries["place"] = np.arange(len(rows))
    frames = np.array([(0, 40, 10, 1000)], segment.FRAME)
    built = segment.join([segment.Segment(("ab" * 16,), frames, entries)])
    backend = MemoryBackend()
    backend.put("packs/ab/" + "ab" * 16, [b""])
    backend.put("index/" + "cd" * 16, segment.encode(built, "cd" * 16, PLAIN))
    for held_bytes in (0, 1 << 20):
        found = Index(backend, held_bytes=held_bytes)
        found.refresh()
        with pytest.MonkeyPatch.context() as patch:
            for module in (segment, large):
                patch.setattr(module, "BLOCK_ENTRIES", 3 if len(heads) == 3 and len(alike) < 3 else 64)
            places = found.find(rows)
        assert places.found.all()
        assert places.place.tolist() == list(range(len(rows)))
        absent = np.ascontiguousarray(rows.copy())
        absent[:, 20] = 1
        assert not found.find(absent).found.any()


def test_threads_may_read_while_one_writes(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = BlobStore(DirectoryBackend(tmp_path_factory.mktemp("store"), create=True), cache_bytes=1 << 16)
    blobs = chunks(2000)
    write(store, Kind.CHUNK, blobs)
    wrong: list[object] = []

    def read(seed: int) -> None:
        try:
            for start in range(0, 2000, 100):
                some = blobs[start : start + 100] if seed % 2 else blobs[start::17]
                if store.get_many(names(some)) != some:
                    wrong.append(start)
        except Exception as error:  # noqa: BLE001  # a thread must not fail unseen
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    with store.writer(TAKE) as writer:
        for seed in range(1, 20):
            more = chunks(200, seed=seed)
            writer.put(Kind.CHUNK, names(more), more)
            store.refresh()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("index_bytes", [0, 1 << 20])
def test_a_damaged_blob_is_read_from_another_pack(index_bytes: int) -> None:
    """Two takes side by side may both write a blob, and only one copy need be whole."""
    backend = MemoryBackend()
    blobs = chunks(2000)
    writers = [BlobStore(backend).writer(TAKE) for _ in range(2)]
    for writer in writers:
        writer.put(Kind.CHUNK, names(blobs), blobs)
        writer.close()
    packs = [entry.name for entry in backend.list("packs/")]
    assert len(packs) == 2
    sound = {name: backend.get(name).data for name in packs}
    for damaged in (packs[0], packs[1]):
        for data in (sound[damaged][:60] + b"!" + sound[damaged][61:], sound[damaged][:50]):
            change(backend, damaged, data)
            assert BlobStore(backend, index_bytes=index_bytes).get_many(names(blobs)) == blobs
        change(backend, damaged, sound[damaged])
    for name in packs:
        change(backend, name, sound[name][:60] + b"!" + sound[name][61:])
    with pytest.raises(Corrupt, match="packs/"):
        BlobStore(backend, index_bytes=index_bytes).get_many(names(blobs))


@pytest.mark.parametrize("bound", [0, 1 << 20])
def test_blobs_come_one_by_one_as_they_lie_there(bound: int) -> None:
    backend = RecordingBackend(MemoryBackend())
    first, second = chunks(3000), vectors(500)
    write(BlobStore(backend), Kind.CHUNK, first)
    write(BlobStore(backend), Kind.VALUE, second, stride=4)
    wanted = [*second[::-1], *first, *first[:7], second[3]]
    store = BlobStore(backend, cache_bytes=0, index_bytes=bound)
    found = dict(store.get_each(names(wanted)))
    assert [found[at] for at in range(len(wanted))] == wanted
    backend.reset()
    assert len(list(store.get_each(names(wanted)))) == len(wanted)
    ranges = [call.name for call in backend.calls if call.verb == "get_range" and call.name.startswith("packs/")]
    assert len(ranges) == len(set(ranges)) == 2, "each pack is read once"
    assert list(store.get_each([])) == []


def test_what_moves_or_is_damaged_while_blobs_come_one_by_one_is_looked_for_again() -> None:
    backend = MemoryBackend()
    blobs = chunks(3000)
    (pack,) = write(BlobStore(backend), Kind.CHUNK, blobs[:1000]).packs
    write(BlobStore(backend), Kind.CHUNK, blobs[1000:])
    store = BlobStore(backend, cache_bytes=0)
    store.refresh()
    with BlobStore(backend).writer(TAKE, anew=True) as writer:
        writer.put(Kind.CHUNK, names(blobs), blobs)
    writer.close()
    backend.delete(object_name(pack))
    found = dict(store.get_each(names(blobs)))
    assert [found[at] for at in range(len(blobs))] == blobs
    with pytest.raises(NotFound, match=digest(b"no").hex()):
        list(store.get_each([*names(blobs), digest(b"no")]))
