from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs import packer
from snapstore.blobs import writer as module
from snapstore.blobs.check import check
from snapstore.blobs.frame import MAX_PLAIN_BYTES
from snapstore.blobs.pack import object_name
from snapstore.blobs.store import BlobStore
from snapstore.digest import Buffer, Kind, Naming, digest
from snapstore.errors import Corrupt, Invalid, Unavailable, Unsupported
from tests.blobs.sample import TAKE, chunks, names, vectors, write


class FullBackend(MemoryBackend):
    """A store that takes no more objects whose name starts so."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix

    def put(self, name: str, parts: Sequence[Buffer], *, unique: bool = False) -> str:
        if name.startswith(self.prefix):
            raise Unavailable(f"{name}: the disk is full")
        return super().put(name, parts, unique=unique)


def test_a_blob_is_stored_once_within_a_call_a_take_and_a_store() -> None:
    store = BlobStore(MemoryBackend())
    with store.writer(TAKE) as writer:
        writer.put(Kind.CHUNK, names([b"a", b"b", b"a"]), [b"a", b"b", b"a"])
        writer.put(Kind.NODE, names([b"b", b"c"]), [b"b", b"c"])
    assert writer.close().blobs == 3
    assert writer.close().plain_bytes == 3
    assert write(store, Kind.CHUNK, [b"c", b"d"]).blobs == 1
    assert write(BlobStore(store.backend), Kind.CHUNK, [b"c", b"d"]).blobs == 0


def test_the_first_trees_of_a_take_are_compressed_with_more_care() -> None:
    # Words that come again in another order: nothing that a fast look finds.
    random = np.random.default_rng(1)
    words = [random.bytes(6) for _ in range(500)]
    texts = [b"".join(words[at] for at in random.integers(0, 500, 300)) for _ in range(200)]
    stored = []
    for verify in (True, False):
        store = BlobStore(MemoryBackend())
        with store.writer(TAKE, verify=verify) as writer:
            writer.put(Kind.CHUNK, names(texts), texts)
        stored.append(writer.close().stored_bytes)
        assert store.get_many(names(texts)) == texts
    assert stored[0] < 0.95 * stored[1]


def test_known_blobs_cost_no_writing_and_no_reading_of_packs() -> None:
    backend = RecordingBackend(MemoryBackend())
    blobs = chunks(5000)
    write(BlobStore(backend), Kind.CHUNK, blobs)
    backend.reset()
    written = write(BlobStore(backend), Kind.CHUNK, blobs)
    assert (written.blobs, written.packs, written.segments, written.index_bytes) == (0, (), (), 0)
    assert backend.count("put", "replace", "delete", "get_range") == 0
    assert backend.count("get") == 1


def test_values_and_tree_blobs_go_to_packs_of_their_own_before_the_index() -> None:
    backend = RecordingBackend(MemoryBackend())
    store = BlobStore(backend)
    with store.writer(TAKE) as writer:
        writer.put(Kind.VALUE, names(vectors(100)), vectors(100), stride=4)
        writer.put(Kind.CHUNK, names(chunks(100)), chunks(100))
        writer.put(Kind.PARTS, names([b"parts"]), [b"parts"])
    written = writer.close()
    puts = [call.name for call in backend.calls if call.verb == "put"]
    assert puts == [*map(object_name, written.packs), *(f"index/{name}" for name in written.segments)]
    assert written.stored_bytes + written.index_bytes == backend.bytes_written
    assert written.plain_bytes == sum(map(len, [*vectors(100), *chunks(100), b"parts"]))
    kinds = []
    for pack in store.packs():
        directory = store.directory(pack)
        assert directory.snapshot_id == TAKE
        kinds.append(set(directory.kinds.tolist()))
    assert sorted(kinds, key=len) == [{Kind.VALUE}, {Kind.CHUNK, Kind.PARTS}]


def test_groups_share_no_frame_but_their_leftovers_do() -> None:
    store = BlobStore(MemoryBackend())
    rng = np.random.default_rng(3)
    blobs = {group: [rng.bytes(1000) for _ in range(200)] for group in range(3)}
    with store.writer(TAKE) as writer:
        for start in range(0, 200, 10):
            for group, some in blobs.items():
                writer.put(Kind.CHUNK, names(some[start : start + 10]), some[start : start + 10], group=group)
    (pack,) = store.packs()
    directory = store.directory(pack)
    # Of 200,000 bytes a group, 132,000 fill a frame (128 KiB and a blob); of the leftovers two fill another.
    assert sorted(directory.plain.tolist()) == [68_000, *[132_000] * 3, 136_000]
    for group in range(3):
        places = store.locate(names(blobs[group][:132]))
        assert len(set(places.offset.tolist())) == 1


def test_buffers_may_be_changed_once_put_returns() -> None:
    store = BlobStore(MemoryBackend())
    rows = np.random.default_rng(0).integers(0, 256, (3000, 400), np.uint8)
    wanted = [row.tobytes() for row in rows]
    with store.writer(TAKE) as writer:
        for start in range(0, 3000, 7):
            batch = rows[start : start + 7].copy()
            writer.put(Kind.VALUE, names(wanted[start : start + 7]), [row.data for row in batch])
            batch[:] = 0
    assert store.get_many(names(wanted)) == wanted


def test_views_of_wider_elements_count_in_bytes() -> None:
    store = BlobStore(MemoryBackend())
    row = np.arange(100, dtype="<f4")
    with store.writer(TAKE) as writer:
        writer.put(Kind.VALUE, [digest(row.tobytes())], [row.data], stride=4)
    assert store.get(digest(row.tobytes())) == row.tobytes()


def test_a_wrong_digest_is_found_before_anything_is_indexed() -> None:
    backend = MemoryBackend()
    writer = BlobStore(backend).writer(TAKE)
    writer.put(Kind.CHUNK, [digest(b"right"), digest(b"other")], [b"right", b"wrong"])
    with pytest.raises(Corrupt, match=digest(b"other").hex()):
        writer.close()
    assert list(backend.list()) == []
    with pytest.raises(Invalid):
        writer.close()


@pytest.mark.parametrize("prefix", ["packs/", "index/"])
def test_an_error_in_a_thread_reaches_the_caller(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "_TREE_PACK_BYTES", 10_000)
    monkeypatch.setattr(packer, "_SEGMENT_BLOBS", 10)
    backend = FullBackend(prefix)
    with pytest.raises(Unavailable, match=f"{prefix}.*full"):
        _write_much(BlobStore(backend))
    assert list(backend.list("index/")) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("snapstore-pack")]


def test_a_writer_given_up_leaves_no_index_entry() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    writer = store.writer(TAKE)
    with suppress(ZeroDivisionError), writer:
        writer.put(Kind.CHUNK, [digest(b"a")], [b"a"])
        raise ZeroDivisionError
    assert list(backend.list()) == []
    with pytest.raises(Invalid):
        writer.put(Kind.CHUNK, [digest(b"a")], [b"a"])
    with pytest.raises(Invalid):
        writer.close()
    writer.abort()


def test_after_an_error_a_writer_takes_nothing_more_and_says_why() -> None:
    """Blobs after the one that was refused would count as put. Who thought it somebody else's error hears it again."""
    store = BlobStore(MemoryBackend())
    writer = store.writer(TAKE)
    huge = bytes(MAX_PLAIN_BYTES + 1)
    with pytest.raises(Unsupported, match=digest(huge).hex()):
        writer.put(Kind.SCHEMA, [digest(huge), digest(b"a")], [huge, b"a"])
    with pytest.raises(Unsupported, match=digest(huge).hex()):
        writer.put(Kind.SCHEMA, [digest(b"a")], [b"a"])
    with pytest.raises(Unsupported, match=digest(huge).hex()):
        writer.close()


def test_wrong_arguments_are_refused() -> None:
    store = BlobStore(MemoryBackend())
    with pytest.raises(Invalid):
        store.writer(b"short")
    with pytest.raises(Invalid), store.writer(TAKE) as writer:
        writer.put(Kind.CHUNK, names([b"a", b"b"]), [b"a"])


def test_segments_are_written_on_the_way_and_then_answer_for_their_blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "_TREE_PACK_BYTES", 20_000)
    monkeypatch.setattr(module, "_TREE_FRAME_BYTES", 2_000)
    monkeypatch.setattr(module, "_LOAD_BYTES", 4_000)
    monkeypatch.setattr(packer, "_QUEUED_BYTES", 4_000)
    monkeypatch.setattr(packer, "_SEGMENT_BLOBS", 100)
    store = BlobStore(MemoryBackend())
    rng = np.random.default_rng(3)
    blobs = [rng.bytes(200) for _ in range(3000)]
    largest = 0
    with store.writer(TAKE) as writer:
        for start in range(0, 3000, 10):
            some = blobs[start : start + 10] + blobs[:10]
            writer.put(Kind.CHUNK, names(some), some)
            largest = max(largest, len(writer._taken))
    written = writer.close()
    assert written.blobs == 3000
    assert len(written.segments) > 10
    assert largest < 1000
    assert BlobStore(store.backend).get_many(names(blobs)) == blobs
    assert list(check(store)) == []


def test_frames_go_to_the_threads_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    encoded = module._encoded

    def counted(load: list[module._Plain], verify: Naming | None) -> list[bytes]:
        made.append(len(load))
        return encoded(load, verify)

    monkeypatch.setattr(module, "_encoded", counted)
    store = BlobStore(MemoryBackend())
    blobs = [number.to_bytes(4, "big") * 250 for number in range(5000)]
    with store.writer(TAKE) as writer:
        for start in range(0, len(blobs), 50):
            writer.put(Kind.CHUNK, names(blobs[start : start + 50]), blobs[start : start + 50])
    assert len(made) == 3
    assert sum(made) == 38
    assert store.get_many(names(blobs)) == blobs


def test_packs_are_of_the_size_meant_for_reading() -> None:
    store = BlobStore(MemoryBackend())
    rng = np.random.default_rng(3)
    with store.writer(TAKE, verify=False) as writer:
        for _ in range(40):
            some = [rng.bytes(1 << 20)]
            writer.put(Kind.VALUE, names(some), some)
    sizes = sorted(pack.size_bytes for pack in store.packs())
    assert len(sizes) == 2
    assert 32 << 20 <= sizes[1] < 34 << 20


def test_leftovers_of_very_many_groups_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUFFERED_BYTES", 100_000)
    store = BlobStore(MemoryBackend())
    rng = np.random.default_rng(3)
    blobs = [rng.bytes(1000) for _ in range(1000)]
    with store.writer(TAKE) as writer:
        for group, blob in enumerate(blobs):
            writer.put(Kind.CHUNK, [digest(blob)], [blob], group=group)
            held = sum(len(part) for waiting in writer._groups.values() for part in waiting.parts)
            assert held == writer._buffered <= 100_000
    assert store.get_many(names(blobs)) == blobs


def _write_much(store: BlobStore) -> None:
    rng = np.random.default_rng(3)
    with store.writer(TAKE) as writer:
        for _ in range(300):
            some = [rng.bytes(100_000) for _ in range(2)]
            writer.put(Kind.CHUNK, names(some), some)
