"""One bit turned in every field of every structure, plain and encrypted: found, and its object named.

`test_verify` and `test_encrypted` turn bits at even distances, and would step over a field of four bytes.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.digest import Digest, Kind
from snapstore.operations.keys import key_add
from snapstore.operations.verify import verify
from snapstore.repository import Repository, Snapshot, SnapshotSource, tombstones
from snapstore.tree import node
from tests.operations.sample import CHEAP, START, Take, init, objects, reopen, rows

HINTED = rows(range(300, 340), elements=2)


def made(*, encrypted: bool) -> tuple[MemoryBackend, dict[str, Digest]]:
    """A repository with an object of every sort, blobs of every kind among them, and what some of these are called."""
    backend = MemoryBackend()
    repository = init(backend, encrypted=encrypted)
    running = Take(repository)
    held = rows(range(40))
    held[5] = (bytes(range(256)) * 600, *held[5][1:])
    running.write(held)
    running.write(HINTED)
    table, hints = running.tables
    definition = node.encode_objects({"sequences": {"s": {"last": 42}}})
    name = repository.blobs.naming.digest(definition)
    with repository.blobs.writer(bytes.fromhex(running.pending.id)) as writer:
        writer.put(Kind.SCHEMA, [name], [definition])
    assert hints.root is not None
    source = SnapshotSource(
        "agents", "postgresql", "postgresql://x/y", (dataclasses.replace(table, hints=hints.root),), objects=name
    )
    repository.commit(running.pending, Snapshot(running.pending.id, START, sources=(source,)))
    Take(repository)  # a pending
    tombstones.put(backend, "12" * 16, repository.seal)
    if encrypted:
        key_add(repository, b"another", label="off-site", cost=CHEAP)
    return backend, {"the root of hints": hints.root, "objects": name}


def fields_of(name: str, data: bytes, *, encrypted: bool) -> Iterator[tuple[str, int]]:
    """Each field of the object of this name, and a byte of it (format.md §5 to §12)."""
    yield from (("magic", 2), ("letter", 4), ("zero", 5), ("version", 6))
    size, end = len(data), len(data) - 1
    match name.partition("/")[0]:
        case "packs":
            start, stored = struct.unpack_from("<QI", data, size - 52)
            yield from (("own name", 8), ("id of the take", 24), ("codec", 40), ("stride", 41), ("zero of a frame", 42))
            yield from (("plain length", 44), ("frame", 60), ("last byte of the frames", start - 1))
            yield from (("directory", start), ("end of the directory", start + stored - 1))
            yield from (("offset", size - 52), ("stored length", size - 44), ("sum", size - 40), ("magic again", end))
        case "index":
            packs, frames, entries = struct.unpack_from("<IIQ", data, 8)
            yield from (("packs", 8), ("frames", 12), ("entries", 16), ("a pack's name", 24))
            at = 24 + 16 * packs
            for field, width in (("pack number", 4), ("offset", 8), ("stored length", 4), ("plain length", 4)):
                yield field, at
                at += width * frames
            at += 16 if encrypted else 0
            for field, place in (("digest", 0), ("frame number", 32), ("place", 36), ("length", 40), ("kind", 43)):
                yield field, at + 44 * (entries // 2) + place
            yield "sum or tag", end
        case "keys":
            (head,) = struct.unpack_from("<H", data, 8)
            for word in (b"repository", b"kdf", b"memory_kib", b"passes", b"lanes", b"salt", b"wrapped"):
                yield word.decode(), data.index(word) + len(word) + 1
            yield from (
                ("length of the head", 8),
                ("salt", 10 + head),
                ("what is sealed", 10 + head + 32),
                ("sum", end),
            )
        case "config":
            for word in (b"id", b"cipher" if encrypted else b"cut_key", b"created", b"program"):
                yield word.decode(), data.index(word) + len(word) + 2
            yield from (("mark or sum", size - 40), ("sum", end))
        case _:
            yield from (("salt or body", 8), ("in the middle", size // 2), ("end of the body", size - 33), ("sum", end))


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_bit_turned_in_any_field_is_found_and_its_object_named(encrypted: bool) -> None:
    sound, blobs = made(encrypted=encrypted)
    whole = reopen(sound)
    assert verify(whole, read_data=True).damaged == ()
    sorts = set()
    for name in objects(sound):
        data = sound.get(name).data
        sorts.add(name.partition("/")[0])
        for field, at in fields_of(name, data, encrypted=encrypted):
            assert named(whole, sound, name, at) >= {name}, (name, field)
    assert sorts == {"config", "packs", "index", "snapshots", "condemned"} | ({"keys"} if encrypted else set())
    for what, blob in blobs.items():
        places = whole.blobs.locate([blob])
        pack = places.packs[int(places.pack[0])]
        at = int(places.offset[0]) + int(places.stored[0]) // 2
        found = f"packs/{pack[:2]}/{pack}"
        assert found in named(whole, sound, found, at), what


def named(whole: Repository, sound: MemoryBackend, name: str, at: int) -> set[str]:
    """The objects that verify names with one bit of this byte turned."""
    backend = MemoryBackend()
    for entry in sound.list():
        data = bytearray(sound.get(entry.name).data)
        if entry.name == name:
            data[at] ^= 1 << (at % 8)
        backend.put(entry.name, [data])
    damaged = verify(whole.over(backend), read_data=True).damaged
    return {damage.object for damage in damaged}
