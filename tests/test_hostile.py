"""Every decoder against bytes that somebody made up: a value or one of our errors, in little memory, and an end.

Whoever can write to a plain store can make checksums fit, so what is changed here is what stands beneath them.
`make soak` tries thousands for each decoder; what it ever found stands in `FOUND`.
"""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgpack
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from snapstore import keys, tagged
from snapstore.backends.memory import MemoryBackend
from snapstore.blobs import frame, pack, segment
from snapstore.digest import Digest, Kind, Naming, digest
from snapstore.errors import Corrupt, SnapstoreError
from snapstore.operations.rowfiles import rows_in
from snapstore.packed import MOST_BYTES, unpack
from snapstore.repository import Repository, config, keyring, manifest, tombstones
from snapstore.repository.sealed import checked
from snapstore.rows import Cells, Column, KeyPart, Table
from snapstore.seal import PLAIN
from snapstore.tree import chunk, node, reference
from snapstore.tree.chunks import decode_run
from snapstore.tree.reader import TableTree
from snapstore.tree.reference import Ref
from snapstore.tree.values import part_digests
from tests.operations.sample import CHEAP, PASSPHRASE, objects, rows, take
from tests.tree.sample import NUMBERED, Store, build, number, numbered

ID = "ab" * 16
WHERE = "the thing"


@dataclass(frozen=True)
class Target:
    """Something that decodes: real bytes to begin with, and the function; what it may allocate for few bytes."""

    seeds: tuple[bytes, ...]
    decode: Callable[[bytes], object]
    most_bytes: int = 2 << 20


@cache
def targets() -> dict[str, Target]:
    """All of them."""
    store = Store()
    tree = TableTree.open(build(NUMBERED, numbered(range(400)), store), store)
    found: dict[Kind, list[bytes]] = {kind: [] for kind in Kind}
    for name, blob in store.blobs.items():
        for kind in store.kinds[name]:
            found[kind].append(blob)
    parsed = node.decode_root(store.blobs[tree.root], WHERE)
    nodes = [store.blobs[reference.digest_of(ref)] for ref in parsed.refs if reference.is_blob(ref)]
    fixed = [one for one in found[Kind.CHUNK] if one[4] == chunk.FIXED and one[6] == 4][:2]
    loose = [one for one in found[Kind.CHUNK] if one[4] == chunk.VARIABLE][:2]
    backend = MemoryBackend()
    repository = Repository.init(backend)
    first = take(repository, rows(range(40)), tags=("a",))
    tombstones.put(backend, ID, PLAIN)
    [pack_name, *_] = objects(backend, "packs/")
    [segment_name, *_] = objects(backend, "index/")
    sealed = MemoryBackend()
    _, seal, key_id = keyring.new(sealed, PASSPHRASE, created="now", program="x", cost=CHEAP)
    numbers = Cells.of([number(3), number(-7)], width=4)
    parts = (KeyPart("a", "text", "bytes"), KeyPart("b", "numeric", "numeric"))
    texts = keys.encode(parts, [
        Cells.of([b"a\0b", b""]),
        Cells.of([struct.pack(">hhHHh", 1, 0, 0, 2, 12), struct.pack(">hhHHhh", 2, -1, 16384, 4, 1, 5)]),
    ])  # fmt: skip
    return {
        "chunk, fixed": Target(tuple(fixed), lambda data: chunk.decode([data], WHERE, width=4)),
        "chunk, variable": Target(tuple(loose), lambda data: chunk.decode([data], WHERE, width=0)),
        "chunks, many": Target(
            tuple(loose),
            lambda data: decode_run([data] * 9, WHERE, width=0, counts=[int.from_bytes(data[:4], "little")] * 9),
        ),
        "node of keys": Target((nodes[0],), lambda data: node.decode_node(data, WHERE, level=1, is_key=True)),
        "node": Target(tuple(nodes[1:]), lambda data: node.decode_node(data, WHERE, level=1, is_key=False)),
        "table": Target(tuple(found[Kind.TABLE]), lambda data: node.decode_root(data, WHERE)),
        "schema": Target(tuple(found[Kind.SCHEMA]), lambda data: node.decode_schema(data, WHERE)),
        "objects": Target(
            (node.encode_objects({"objects": {"view a": {"kind": "view", "of": [1, 2.5, None, b"x"]}}}),),
            lambda data: node.decode_objects(data, WHERE),
        ),
        "parts": Target((struct.pack("<QII", 9, 1, 9) + bytes(32),), lambda data: part_digests(data, WHERE)),
        "frame": Target(
            (frame.encode([bytes(range(256)) * 4], 4), frame.encode([b"words " * 99])),
            lambda data: frame.decode(data, WHERE),
            most_bytes=200 << 20,
        ),
        "pack directory": Target(_directory_seeds(backend, pack_name), lambda data: _read_pack(_pack_of(data))),
        "pack": Target((backend.get(pack_name).data,), _read_pack),
        "index segment": Target(
            (backend.get(segment_name).data[:-32],),
            lambda data: segment.decode(ID, data + blake3(data).digest(), PLAIN),
        ),
        "snapshot": Target(
            (zstandard.decompress(backend.get(first.name).data[8:-32]),),
            lambda data: manifest.decode(checked("S", 1, zstandard.compress(data)), first.name, PLAIN),
        ),
        "snapshot, compressed": Target(
            (backend.get(first.name).data[8:-32],),
            lambda data: manifest.decode(checked("S", 1, data), first.name, PLAIN),
            most_bytes=40 << 20,
        ),
        "tombstone": Target(
            (backend.get(f"condemned/{ID}").data[8:-32],),
            lambda data: tombstones.decode(checked("D", 1, data), f"condemned/{ID}", PLAIN),
        ),
        "config": Target(
            (backend.get("config").data[8:-32],), lambda data: config.decode(checked("C", 1, data), "config")
        ),
        "key": Target(
            (sealed.get(f"keys/{key_id}").data[8:-32],),
            lambda data: keyring.read(_holding(f"keys/{key_id}", checked("K", 2, data)), seal, key_id),
        ),
        "keys, numbers": Target(
            (numbers.data.tobytes(),),
            lambda data: keys.decode((KeyPart("id", "integer", "int4"),), Cells.of([data[:4].ljust(4)], width=4)),
        ),
        "keys, texts": Target(
            tuple(one or b"" for one in texts.to_list()),
            lambda data: keys.decode(parts, Cells.of([data])),
        ),
        "tagged cells": Target(
            tuple(one or b"" for one in tagged.encode([1, 0.5, "text", b"blob", b"blo"]).to_list()),
            lambda data: tagged.decode(Cells.of([data])),
        ),
    }  # fmt: skip


def _directory_seeds(backend: MemoryBackend, name: str) -> tuple[bytes, ...]:
    """The plain directory of a pack."""
    data = backend.get(name).data
    start, stored = struct.unpack_from("<QI", data, len(data) - 52)
    return (zstandard.decompress(data[start : start + stored]),)


def _pack_of(plain: bytes) -> bytes:
    """A pack whose directory says this, all sums of which fit."""
    header = b"SNAPP\0\1\0" + bytes.fromhex(ID) + bytes(16)
    frames, tail = bytes(int(sum(_stored(plain)))), zstandard.compress(plain)
    end = 40 + len(frames)
    trailer = struct.pack("<QI", end, len(tail)) + blake3(header + tail).digest() + header[:8]
    return header + frames + tail + trailer


def _stored(plain: bytes) -> list[int]:
    """The lengths of the frames that a directory speaks of, where it can be followed and they are small."""
    (count,) = struct.unpack_from("<I", plain.ljust(8, b"\0"))
    lengths = list(struct.unpack_from(f"<{count}I", plain, 8 + 8 * count)) if len(plain) >= 8 + 12 * count else []
    return [one if one < 1 << 16 else 9 for one in lengths]


def _read_pack(data: bytes) -> object:
    name = data[8:24].hex().ljust(32, "0") if len(data) >= 24 else ID
    return pack.read_directory(_holding(pack.object_name(name), data), name, len(data), PLAIN)


def _holding(name: str, data: bytes) -> MemoryBackend:
    backend = MemoryBackend()
    backend.put(name, [data])
    return backend


NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF, 1 << 26, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
NUMBERS += [1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
# Of msgpack: lists and maps of much, of nothing, texts and integers out of range, extensions.
WORDS = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\x90" * 40,
    b"\x91" * 600,
    b"\x81\xa0" * 600,
    b"\xc1",
    b"\xd9\xff",
]
WORDS += [
    b"\xcf" + b"\xff" * 8,
    b"\xcb\x7f\xf8" + bytes(6),
    b"\xc7\x0c\xff" + bytes(12),
    b"\xa2\xff\xff",
    b"\xc0",
    b"\xc4\x00",
]


def mangled(seed: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four things done to them."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1) if chance.random() < 0.6 else chance.randrange(min(len(data), 48) + 1)
        match chance.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(data):
                data[at] = chance.randrange(256)
            case 2:
                width = chance.choice((1, 2, 4, 8))
                value = chance.choice(NUMBERS) % (1 << 8 * width)
                data[at : at + width] = value.to_bytes(width, chance.choice(("little", "big")))
            case 3:
                del data[at:]
            case 4:
                del data[at : at + chance.randrange(1, 40)]
            case 5:
                data[at:at] = data[at : at + chance.randrange(1, 80)]
            case _:
                data[at : at + chance.randrange(2)] = chance.choice(WORDS)
    return bytes(data)


def tried(what: str, data: bytes) -> None:
    """Decode it: one of our errors, that names it, or a value."""
    target = targets()[what]
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        target.decode(data)
    except SnapstoreError:
        pass
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}, for {data[:400].hex()}") from error
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < target.most_bytes + 100 * len(data), f"{what} took {peak - before:,} bytes"


@pytest.mark.parametrize("what", list(targets()))
@given(seed=st.integers(0, 2**64 - 1))
def test_made_up_bytes_are_a_value_or_an_error_of_ours(what: str, seed: int) -> None:
    chance = random.Random(seed)
    tracemalloc.start()
    try:
        for _ in range(20):
            tried(what, mangled(chance.choice(targets()[what].seeds), chance))
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", list(targets()))
def test_bytes_cut_off_anywhere_are_a_value_or_an_error_of_ours(what: str) -> None:
    tracemalloc.start()
    try:
        for seed in targets()[what].seeds:
            for length in range(0, len(seed), max(1, len(seed) // 60)):
                tried(what, seed[:length])
    finally:
        tracemalloc.stop()


# Inputs that were once more than an error, or that their decoder must never begin to believe.
FOUND: list[tuple[str, bytes]] = [
    ("chunk, fixed", struct.pack("<IBBH", (1 << 32) - 1, 1, 0, 4)),
    ("chunk, fixed", struct.pack("<IBBH", (1 << 32) - 1, 1, 1, 65535) + bytes(40)),
    ("chunk, variable", struct.pack("<IBB", (1 << 32) - 1, 2, 3)),
    ("chunks, many", struct.pack("<IBB", (1 << 32) - 1, 2, 0) + bytes(40)),
    ("node", struct.pack("<BIQ", 1, 1, 1 << 40) + bytes(33)),
    ("node", struct.pack("<BIQ", 1, (1 << 32) - 1, 1) + bytes(33)),
    ("node of keys", struct.pack("<BIQ", 1, 1, 1) + bytes(33) + struct.pack("<I", (1 << 32) - 1)),
    ("table", struct.pack("<QB32sI", 1 << 63, 2, bytes(32), 0) + bytes(33)),
    ("table", struct.pack("<QB32sI", 1, 0, bytes(32), (1 << 32) - 1) + bytes(33)),
    ("schema", msgpack.packb({"name": "x", "key": [], "columns": [["a", "b", float("inf"), 1]], "definition": {}})),
    ("schema", msgpack.packb({"name": "x", "key": [], "columns": [["a", "b", 1 << 63, 1]], "definition": {}})),
    ("schema", msgpack.packb({"name": "x", "key": [], "columns": [["a", "b", 1, 1]], "definition": [[1, 2, 3]]})),
    ("objects", b"\x91" * 100_000 + b"\xc0"),
    ("objects", (b"\xdd" + struct.pack(">I", 5000)) * 1000 + b"\xc0" * 5000),
    ("parts", struct.pack("<QI", (1 << 64) - 1, (1 << 32) - 1)),
    ("parts", struct.pack("<QI", (1 << 32) - 1, 1) + struct.pack("<I", (1 << 32) - 1) + bytes(32)),
    ("snapshot", b"\xdf\xff\xff\xff\xff"),
    ("snapshot", b"\x91" * 5000),
    ("snapshot, compressed", zstandard.compress(bytes(MOST_BYTES + 1))),
    ("snapshot, compressed", b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 40) + b"\x01\x00\x00"),
    ("pack directory", struct.pack("<II", (1 << 32) - 1, (1 << 32) - 1)),
    ("index segment", b"SNAPI\0\1\0" + struct.pack("<IIQ", (1 << 32) - 1, (1 << 32) - 1, (1 << 64) - 1)),
    ("config", msgpack.packb({"id": 1 << 40, "cut_key": 2, "created": 3, "program": 4})),
    ("key", struct.pack("<H", 65535) + b"\x80"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "data"), FOUND)
def test_what_was_found_once_stays_found(what: str, data: bytes) -> None:
    tracemalloc.start()
    try:
        tried(what, data)
        with pytest.raises(SnapstoreError):
            targets()[what].decode(data)
    finally:
        tracemalloc.stop()


def test_a_document_that_would_grow_a_hundredfold_is_not_read() -> None:
    with pytest.raises(Corrupt, match=WHERE):
        unpack(b"\xdd" + struct.pack(">I", MOST_BYTES) + b"\x90" * MOST_BYTES, WHERE)


def rooted(store: Store, table: Table, rows_: int, height: int, refs: tuple[Ref, ...]) -> TableTree:
    """A table of these trees, whatever they are."""
    [schema] = put(store, node.encode_schema(table))
    [root] = put(store, node.encode_root(node.Root(rows_, height, schema, refs)))
    return TableTree.open(root, store)


def put(store: Store, *blobs: bytes) -> list[Digest]:
    names = [digest(blob) for blob in blobs]
    store.put(Kind.NODE, names, blobs)
    return names


LEAN = Table("public.lean", (KeyPart("id", "integer", "int4"),), (Column("text", "text"),))


@pytest.mark.parametrize("told", ["truly", "falsely"])
def test_a_node_that_stands_beneath_itself_many_times_claims_no_rows(told: str) -> None:
    """Sixty levels of two children that are one blob: 2^60 rows in ten kilobytes, were they believed."""
    store = Store()
    cells = Cells.of([number(1)], width=4)
    [(ref, body)] = chunk.encode(cells, [0], [1], Naming(), is_key=True)
    put(store, body)
    count = 1
    for level in range(1, 61):
        ends = [number(2 * level), number(2 * level + 1)] if told == "falsely" else [number(1)] * 2
        [name] = put(store, node.encode_node(level, [count] * 2, [ref] * 2, ends))
        ref, count = reference.blob(name, spills=False), 2 * count
    tree = rooted(store, LEAN, count, 60, (ref, reference.NULLS))
    with pytest.raises(Corrupt, match=r"public\.lean"):
        for _ in tree.rows():
            pass
    assert len(store.read) < 200


def test_a_constant_of_more_rows_than_a_chunk_has_is_not_laid_out() -> None:
    store = Store()
    cells = Cells.of([number(1)], width=4)
    [(ref, body)] = chunk.encode(cells, [0], [1], Naming(), is_key=True)
    put(store, body)
    with pytest.raises(Corrupt):
        rooted(store, LEAN, 1 << 40, 0, (ref, reference.constant(b"x" * 64)))
    [name] = put(store, node.encode_node(1, [1 << 40], [ref], [number(1)]))
    tree = rooted(store, LEAN, 1 << 15, 1, (reference.blob(name, spills=False), reference.constant(b"x" * 64)))
    with pytest.raises(Corrupt):
        tree.expand(tree.spans())


@pytest.mark.parametrize("text", ['1,"', '1,"a', '"1"x,2', "1,2,3", '"', "1"])
def test_a_csv_that_is_none_is_said_to_be_damaged(text: str, tmp_path: Path) -> None:
    place = tmp_path / "rows.csv"
    place.write_text(f'id,text\r\nx","\r\n{text}\r\n', encoding="utf-8")
    with pytest.raises(SnapstoreError, match=r"rows\.csv"):
        list(rows_in(place, "csv", "", [], 10))


@given(st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=4), inner, max_size=20),
))  # fmt: skip
def test_every_document_that_is_packed_is_unpacked(value: object) -> None:
    assert unpack(msgpack.packb(value), WHERE) == value
