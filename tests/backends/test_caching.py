"""What is read through a folder of this machine: fetched once, bounded, and never believed for its own sake."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from snapstore.backends import Backend
from snapstore.backends.cachefolder import CacheFolder, Kept
from snapstore.backends.caching import CachingBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.errors import Corrupt, NotFound
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.backends.contract import BackendContract
from tests.operations.sample import PASSPHRASE, init, read, reopen, rows, take

REPOSITORY = "0123456789abcdef" * 2
BLOCK = 2 << 20
DATA = os.urandom(3 * BLOCK + 1000)
PACK = f"packs/01/{REPOSITORY}"


@pytest.fixture
def folder(tmp_path: Path) -> CacheFolder:
    return CacheFolder(tmp_path / "cache", limit_bytes=64 << 20)


def cached(inner: Backend, folder: CacheFolder) -> CachingBackend:
    backend = CachingBackend(inner, folder.of(REPOSITORY))
    list(backend.list())
    return backend


class TestCaching(BackendContract):
    @pytest.fixture
    def backend(self, folder: CacheFolder) -> Backend:
        return CachingBackend(MemoryBackend(), folder.of(REPOSITORY))


def test_a_pack_is_fetched_once_in_blocks(folder: CacheFolder) -> None:
    recording = RecordingBackend(MemoryBackend())
    recording.inner.put(PACK, [DATA])
    for _ in range(2):
        backend = cached(recording, folder)
        for offset, length in ((0, 40), (100, 50), (BLOCK - 5, 10), (BLOCK + 7, BLOCK), (len(DATA) - 70, 70)):
            assert backend.get_range(PACK, offset, length) == DATA[offset : offset + length]
    # The header, the end, and the blocks 0, 1 and 2.
    assert recording.count("get_range") == 5
    assert recording.bytes_read == 40 + 70 + 3 * BLOCK


def test_neighbours_that_are_missing_come_in_one_request(folder: CacheFolder) -> None:
    recording = RecordingBackend(MemoryBackend())
    recording.inner.put(PACK, [DATA])
    assert cached(recording, folder).get_range(PACK, 100, len(DATA) - 100) == DATA[100:]
    assert recording.count("get_range") == 1


def test_threads_that_want_one_block_fetch_it_once(folder: CacheFolder) -> None:
    everybody = threading.Barrier(4)

    class Slow(MemoryBackend):
        def get_range(self, name: str, offset: int, length: int) -> bytes:
            asked.set()
            go_on.wait(10)
            return super().get_range(name, offset, length)

    asked, go_on = threading.Event(), threading.Event()
    slow = Slow()
    slow.put(PACK, [DATA])
    recording = RecordingBackend(slow)
    backend = cached(recording, folder)
    found: list[bytes] = []

    def work(at: int) -> None:
        everybody.wait(10)
        found.append(backend.get_range(PACK, 1000 * at, 1000))

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    asked.wait(10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(DATA[1000 * at : 1000 * at + 1000] for at in range(4))
    assert recording.count("get_range") == 1


def test_what_is_mutable_comes_from_the_store_unless_the_listed_version_is_asked_for(folder: CacheFolder) -> None:
    recording = RecordingBackend(MemoryBackend())
    backend = cached(recording, folder)
    first = backend.put("snapshots/a", [b"one"])
    [listed] = backend.list("snapshots/")
    assert backend.get_listed(listed).data == b"one"
    second = backend.replace("snapshots/a", b"two", tag=first)
    [newer] = backend.list("snapshots/")
    recording.reset()
    assert backend.get_listed(listed).data == b"one", "a version is what it was"
    assert backend.get_listed(newer) == backend.get_listed(newer)
    assert backend.get_listed(newer).tag == second
    assert recording.calls == ()
    assert backend.get("snapshots/a").data == b"two"
    assert recording.count("get") == 1


def files(folder: CacheFolder) -> list[Path]:
    return [path for path in folder.path.glob("*/??/*") if path.is_file()]


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "swap"])
def test_a_damaged_entry_is_fetched_again(folder: CacheFolder, harm: str) -> None:
    memory = MemoryBackend()
    memory.put("index/a", [b"first segment"])
    memory.put("index/b", [b"other segment"])
    for name in ("index/a", "index/b"):
        cached(memory, folder).get(name)
    one, other = files(folder)
    data = one.read_bytes()
    flipped = data[:-1] + bytes([data[-1] ^ 1])
    one.write_bytes({"flip": flipped, "cut": data[:-3], "empty": b"", "swap": other.read_bytes()}[harm])
    recording = RecordingBackend(memory)
    for _ in range(2):
        for name, held in (("index/a", b"first segment"), ("index/b", b"other segment")):
            assert cached(recording, folder).get(name).data == held
    assert recording.count("get") == 1


def test_the_folder_keeps_within_its_bound_and_drops_what_was_not_used(tmp_path: Path) -> None:
    folder = CacheFolder(tmp_path / "cache", limit_bytes=100_000)
    kept = folder.of(REPOSITORY)
    kept.put("used", [b"x" * 1000])
    for number in range(400):
        kept.put(str(number), [os.urandom(1000)])
        os.utime(kept._file(str(number)), (number, number))  # as if it were long ago
        assert kept.get("used") is not None
    held = sum(path.stat().st_size for path in files(folder))
    assert held <= 100_000 + 100_000 // 8
    assert kept.get("0") is None
    [usage] = folder.usage()
    assert (usage.repository, usage.size_bytes, usage.entries) == (REPOSITORY, held, len(files(folder)))
    assert folder.clear() == held
    assert files(folder) == []


def test_what_else_is_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    """SNAP_CACHE may name a folder that is not the cache's alone."""
    others = [tmp_path / name for name in ("photos/01/wedding.jpg", f"photos/01/{'a' * 62}", ".tmp-mine")]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"precious" * 100)
        os.utime(path, (1, 1))
    folder = CacheFolder(tmp_path, limit_bytes=16_000)
    for number in range(40):
        folder.of(REPOSITORY).put(str(number), [os.urandom(1000)])
    assert [one.repository for one in folder.usage()] == [REPOSITORY]
    folder.clear()
    assert folder.usage() == []
    assert all(path.exists() for path in others)
    assert not (tmp_path / "CACHEDIR.TAG").exists()


def test_two_repositories_do_not_see_each_other(folder: CacheFolder) -> None:
    folder.of("a" * 32).put("index/x", [b"mine"])
    assert folder.of("b" * 32).get("index/x") is None


def test_a_folder_that_cannot_be_written_costs_nothing_but_requests(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = CacheFolder(tmp_path / "file" / "cache", limit_bytes=64 << 20)
    recording = RecordingBackend(MemoryBackend())
    recording.inner.put(PACK, [DATA])
    backend = cached(recording, folder)
    for _ in range(2):
        assert backend.get_range(PACK, 1, 2) == DATA[1:3]
    recording.reset()
    assert backend.get_range(PACK, 5, 10) == DATA[5:15]
    assert recording.bytes_read == 10, "no blocks where they are not kept"
    assert folder.usage() == []


def test_a_fetch_that_fails_is_told_to_all_and_tried_again(folder: CacheFolder) -> None:
    memory = MemoryBackend()
    memory.put(PACK, [DATA])
    backend = cached(memory, folder)
    memory.delete(PACK)
    with pytest.raises(NotFound):
        backend.get_range(PACK, 1, 2)
    memory.put(PACK, [DATA])
    assert backend.get_range(PACK, 1, 2) == DATA[1:3]


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_repository_is_read_through_it_and_nothing_of_an_encrypted_one_is_open(
    folder: CacheFolder, encrypted: bool
) -> None:
    memory = MemoryBackend()
    init(memory, encrypted=encrypted)
    held = rows(range(300))

    def opened(backend: Backend) -> Repository:
        return Repository.open(backend, lambda: PASSPHRASE, cache=folder)

    take(opened(memory), held)
    recording = RecordingBackend(memory)
    repository = opened(recording)
    [snapshot] = repository.snapshots()
    assert read(repository, snapshot)["public.memories"] == held
    assert recording.count("get", prefix="snapshots/") == recording.count("get", prefix="index/") == 0
    fetched = {call.name for call in recording.calls if call.verb == "get_range"}
    values = {pack.name for pack in repository.blobs.packs() if repository.blobs.directory(pack).kinds[0] == 5}
    assert {name.rpartition("/")[2] for name in fetched} == values, "values are not kept"
    assert any(b"memory 1" in path.read_bytes() for path in files(folder)) is False
    # Whoever looks for damage looks at the store itself.
    recording.reset()
    assert verify(repository, read_data=True).damaged == ()
    assert recording.count("get", prefix="snapshots/") > 0
    assert recording.count("get_range", prefix="packs/") > len(values)


def test_what_was_fetched_damaged_is_not_kept_for_ever(folder: CacheFolder) -> None:
    """The line or the store gave wrong bytes once: they stand in the cache as they came."""
    memory = MemoryBackend()
    init(memory, encrypted=False)
    held = rows(range(300))
    take(reopen(memory), held)
    trees = [entry.name for entry in memory.list("packs/")]
    whole = {name: memory.get(name).data for name in (*trees, next(memory.list("index/")).name)}

    def kept() -> Kept:
        return folder.of(reopen(memory).settings.id.hex())

    for name, data in whole.items():
        bad = MemoryBackend()
        bad.put(name, [data[:60] + bytes(200) + data[260:]])
        poisoned = CachingBackend(bad, kept())
        list(poisoned.list())
        if name.startswith("index/"):
            poisoned.get(name)
        else:
            poisoned.get_range(name, 0, len(data))
    repository = Repository.open(memory, cache=folder)
    assert read(repository, repository.snapshots()[0])["public.memories"] == held
    memory.delete(trees[0])
    memory.put(trees[0], [whole[trees[0]][:60] + bytes(200) + whole[trees[0]][260:]])
    memory.delete(trees[1])
    memory.put(trees[1], [whole[trees[1]][:60] + bytes(200) + whole[trees[1]][260:]])
    folder.clear()
    repository = Repository.open(memory, cache=folder)
    with pytest.raises(Corrupt):
        read(repository, repository.snapshots()[0])
