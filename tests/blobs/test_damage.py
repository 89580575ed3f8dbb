"""Every byte of a pack and of a segment, changed or cut off: found, named, and never handed on."""

from __future__ import annotations

from contextlib import suppress

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.blobs.check import Damage, check
from snapstore.blobs.pack import object_name
from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest, Kind
from snapstore.errors import Corrupt, NotFound, SnapstoreError
from tests.blobs.sample import change, chunks, copy, names, vectors, write
from tests.soak import IS_SOAK

# Every byte in the soak, else every third.
STEP = 1 if IS_SOAK else 3


def _store(kind: Kind) -> tuple[MemoryBackend, list[bytes], str, str]:
    backend = MemoryBackend()
    blobs = vectors(8) if kind is Kind.VALUE else chunks(12)
    written = write(BlobStore(backend), kind, blobs, stride=4 if kind is Kind.VALUE else 1)
    return backend, blobs, object_name(written.packs[0]), f"index/{written.segments[0]}"


def _read(backend: MemoryBackend, blobs: list[bytes]) -> set[str]:
    """What reading says of each blob; it must be the blob or an error."""
    said, store = set(), BlobStore(backend, cache_bytes=0)
    for name, blob in zip(names(blobs), blobs, strict=True):
        try:
            assert store.get(name) == blob
        except (Corrupt, NotFound) as error:
            said.add(error.message)
    return said


@pytest.mark.parametrize("kind", [Kind.VALUE, Kind.CHUNK])
def test_every_changed_byte_of_a_pack_is_found_and_named(kind: Kind) -> None:
    backend, blobs, pack, _ = _store(kind)
    data = backend.get(pack).data
    for at in range(0, len(data), STEP):
        for bit in (1, 0x80):
            changed = bytearray(data)
            changed[at] ^= bit
            change(backend, pack, bytes(changed))
            damages = list(check(BlobStore(backend)))
            assert damages, (at, bit)
            assert {damage.object for damage in damages} == {pack}
            said = _read(backend, blobs)
            assert all(pack in message for message in said)
            # A blob that cannot be read is named.
            assert bool(said) == any(damage.blob for damage in damages)


@pytest.mark.parametrize("kind", [Kind.VALUE, Kind.CHUNK])
def test_a_pack_cut_anywhere_is_found_and_named(kind: Kind) -> None:
    backend, blobs, pack, _ = _store(kind)
    data = backend.get(pack).data
    for length in range(0, len(data), STEP):
        change(backend, pack, data[:length])
        damages = list(check(BlobStore(backend)))
        assert {damage.object for damage in damages} == {pack}, length
        assert all(pack in message for message in _read(backend, blobs))


def test_with_its_directory_damaged_whole_blobs_are_still_read_and_the_others_named() -> None:
    backend, blobs, pack, _ = _store(Kind.CHUNK)
    data = backend.get(pack).data
    change(backend, pack, data[:-1] + b"\xff")
    assert _read(backend, blobs) == set()
    assert [damage.blob for damage in check(BlobStore(backend))] == [None]
    change(backend, pack, data[:60])
    assert _lost(list(check(BlobStore(backend)))) == set(names(blobs))


def test_every_changed_byte_of_a_segment_is_found_and_named() -> None:
    backend, blobs, _, segment = _store(Kind.CHUNK)
    data = backend.get(segment).data
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        change(backend, segment, bytes(changed))
        assert {damage.object for damage in check(BlobStore(backend))} == {segment}, at
        with pytest.raises(SnapstoreError, match=segment):
            BlobStore(backend).get_many(names(blobs))


@pytest.mark.parametrize("index_bytes", [0, 1 << 20])
def test_a_segment_damaged_or_cut_anywhere_never_gives_wrong_bytes(index_bytes: int) -> None:
    backend, blobs, _, segment = _store(Kind.CHUNK)
    data = backend.get(segment).data
    versions = [data[:length] for length in range(0, len(data), STEP)]
    versions += [data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :] for at in range(0, len(data), STEP)]
    for version in versions:
        change(backend, segment, version)
        assert {damage.object for damage in check(BlobStore(backend))} == {segment}
        store = BlobStore(backend, index_bytes=index_bytes)
        for name, blob in zip(names(blobs), blobs, strict=True):
            with suppress(SnapstoreError):
                assert store.get(name) == blob


def test_two_packs_swapped_are_both_found() -> None:
    backend = MemoryBackend()
    store = BlobStore(backend)
    packs = [object_name(write(store, Kind.CHUNK, chunks(5, seed=seed)).packs[0]) for seed in (1, 2)]
    first, second = (backend.get(pack).data for pack in packs)
    change(backend, packs[0], second)
    change(backend, packs[1], first)
    damages = list(check(BlobStore(backend)))
    assert {damage.object for damage in damages} == set(packs)
    assert _lost(damages) == {name for seed in (1, 2) for name in names(chunks(5, seed=seed))}


def test_a_whole_store_has_no_damage_and_checking_changes_nothing() -> None:
    backend, _, _, _ = _store(Kind.VALUE)
    before = copy(backend)
    assert list(check(BlobStore(backend))) == []
    assert [entry.name for entry in backend.list()] == [entry.name for entry in before.list()]


def test_a_frame_is_not_trusted_beyond_what_its_index_says() -> None:
    backend, blobs, pack, _ = _store(Kind.CHUNK)
    data = bytearray(backend.get(pack).data)
    data[44:48] = (1 << 26).to_bytes(4, "little")
    change(backend, pack, bytes(data))
    with pytest.raises(Corrupt, match=pack):
        BlobStore(backend).get(names(blobs)[0])


def _lost(damages: list[Damage]) -> set[Digest]:
    return {damage.blob for damage in damages if damage.blob is not None}
