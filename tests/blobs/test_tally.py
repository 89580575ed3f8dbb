"""What one pass through the index says of each pack is what the directories of the packs say."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs import large, segment, tally
from snapstore.blobs.pack import object_name
from snapstore.blobs.store import BlobStore
from snapstore.blobs.sweep import merge
from snapstore.digest import Kind
from snapstore.errors import Corrupt
from tests.blobs.sample import TAKE, change, chunks, condemn, names, write

POOL = chunks(60)
PACKS = st.lists(st.sets(st.integers(0, 59), min_size=1), max_size=6)


def is_even(rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What somebody needs, in these tests."""
    needed: NDArray[np.bool_] = rows[:, 31] % 2 == 0
    return needed


@given(PACKS, st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)), st.booleans(), st.sampled_from([0, 700, 1 << 20]))
def test_of_each_blob_the_best_copy_counts(
    packs: list[set[int]], condemned: set[int], lost: set[int], is_merged: bool, held_bytes: int
) -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    for picks in packs:
        blobs = [POOL[at] for at in sorted(picks)]
        with store.writer(TAKE, anew=True) as writer:
            writer.put(Kind.CHUNK, names(blobs), blobs)
        writer.close()
    written = sorted(store.packs(), key=lambda pack: pack.name)
    for at, pack in enumerate(written):
        if at in lost:
            backend.delete(object_name(pack.name))
        elif at in condemned:
            condemn(backend, pack.name)
    if is_merged:
        merge(BlobStore(backend), more_than=1)

    there = sorted(BlobStore(backend).packs(), key=lambda pack: (pack.condemned, pack.name))
    directories = [store.directory(pack) for pack in there]
    counted: set[bytes] = set()
    expected = {}
    for directory in directories:
        needed = is_even(directory.digests)
        own = [at for at, row in enumerate(directory.digests) if needed[at] and row.tobytes() not in counted]
        counted.update(directory.digests[at].tobytes() for at in own)
        share = sum(
            int(directory.lengths[at])
            * int(directory.stored[directory.frames[at]])
            / int(directory.plain[directory.frames[at]])
            for at in own
        )
        expected[directory.name] = (len(needed), len(own), share)

    with pytest.MonkeyPatch.context() as patch:
        for module in (segment, large):
            patch.setattr(module, "BLOCK_ENTRIES", 4)
        patch.setattr(tally, "_RANGE", 8)
        found = BlobStore(backend, index_bytes=held_bytes).tally(is_even)
    assert found.keys() == expected.keys()
    for name, (indexed, served, share) in expected.items():
        assert (found[name].indexed, found[name].served) == (indexed, served)
        assert ceil(share - 0.01) <= found[name].live_bytes <= ceil(share)


def test_each_segment_is_read_once_however_many_packs_there_are() -> None:
    backend = RecordingBackend(MemoryBackend())
    for seed in range(5):
        write(BlobStore(backend), Kind.CHUNK, chunks(500, seed=seed))
    store = BlobStore(backend, index_bytes=0)
    store.refresh()
    backend.reset()
    store.tally(is_even)
    assert backend.count("get_range", prefix="index/") == 5
    assert backend.count("get") == backend.count("list") == 0


@pytest.mark.parametrize("held_bytes", [0, 1 << 20])
def test_an_entry_that_lies_nowhere_is_damage(held_bytes: int) -> None:
    backend = MemoryBackend()
    write(BlobStore(backend), Kind.CHUNK, chunks(100))
    (entry,) = backend.list("index/")
    data = bytearray(backend.get(entry.name).data)
    data[-32 - 44 + 35] ^= 0xFF  # the last entry's frame number
    change(backend, entry.name, bytes(data))
    with pytest.raises(Corrupt, match=entry.name):
        BlobStore(backend, index_bytes=held_bytes).tally(is_even)
