"""Manifests come back whole, and anything else is refused."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import msgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from snapstore.backends.memory import MemoryBackend
from snapstore.digest import Digest
from snapstore.errors import Corrupt
from snapstore.repository import Repository, Snapshot, SnapshotSource, SnapshotTable
from snapstore.repository.manifest import decode, encode
from snapstore.repository.sealed import seal
from snapstore.repository.snapshot import utc_text
from snapstore.seal import PLAIN

words = st.text(max_size=8)
digests = st.binary(min_size=32, max_size=32).map(Digest)
counts = st.none() | st.integers(0, 1 << 40)
tables = st.builds(
    SnapshotTable,
    name=words,
    rows=st.integers(0, 1 << 40),
    root=st.none() | digests,
    schema=digests,
    where=st.none() | words,
    left_out=st.lists(words, max_size=2).map(tuple),
    added=counts,
    changed=counts,
    removed=counts,
    reading=words,
)
sources = st.builds(
    SnapshotSource,
    name=words,
    kind=words,
    url=words,
    tables=st.lists(tables, max_size=3).map(tuple),
    objects=st.none() | digests,
    position=st.dictionaries(words, st.integers(0, 9) | words, max_size=2),
    context=st.dictionaries(words, words, max_size=2),
    selection=st.dictionaries(words, st.booleans(), max_size=2),
    missing=st.lists(words, max_size=2).map(tuple),
)
snapshots = st.builds(
    Snapshot,
    id=st.binary(min_size=16, max_size=16).map(bytes.hex),
    time=st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # drawn as UTC
    state=st.sampled_from(["pending", "committed"]),
    tags=st.lists(words, max_size=3).map(tuple),
    description=words,
    pinned=st.booleans(),
    parent=st.none() | words,
    safety=st.none() | words,
    sources=st.lists(sources, max_size=2).map(tuple),
    statistics=st.dictionaries(words, st.integers(0, 9) | st.floats(0, 9), max_size=2),
    roots=st.lists(digests, max_size=2).map(tuple),
)


@given(snapshots)
def test_manifests_come_back(snapshot: Snapshot) -> None:
    back = decode(encode(snapshot, PLAIN), snapshot.name, PLAIN)
    assert dataclasses.replace(back, nonce=b"") == dataclasses.replace(snapshot, nonce=b"")
    assert len(back.nonce) == 16
    assert encode(snapshot, PLAIN) != encode(snapshot, PLAIN), "every version has a nonce of its own"


def test_a_manifest_names_every_blob_it_needs() -> None:
    names = [Digest(bytes([n]) * 32) for n in range(6)]
    held = (SnapshotTable("a", 1, names[0], names[1]), SnapshotTable("b", 0, None, names[2]))
    snapshot = Snapshot(
        "0" * 32,
        datetime(2026, 1, 1, tzinfo=UTC),
        sources=(SnapshotSource("s", "k", "u", held, objects=names[3]),),
        roots=(names[4],),
    )
    assert set(snapshot.digests()) == set(names[:5])
    assert snapshot.source(None) is snapshot.sources[0]
    assert snapshot.source("other") is None


@given(st.binary(max_size=100), st.booleans())
def test_random_bodies_are_corrupt(body: bytes, compressed: bool) -> None:
    with pytest.raises(Corrupt, match="here"):
        decode(seal("S", "here", zstandard.compress(body) if compressed else body, PLAIN), "here", PLAIN)


def test_a_field_of_another_type_is_corrupt() -> None:
    snapshot = Snapshot("0" * 32, datetime(2026, 1, 1, tzinfo=UTC))
    fields = msgpack.unpackb(zstandard.decompress(encode(snapshot, PLAIN)[8:-32]))

    def decoded(other: dict[str, object]) -> Snapshot:
        body = zstandard.compress(msgpack.packb(other))
        return decode(seal("S", snapshot.name, body, PLAIN), snapshot.name, PLAIN)

    for name in fields:
        if name in ("pinned", "nonce"):
            continue
        with pytest.raises(Corrupt, match="not a manifest"):
            decoded(fields | {name: 3.5})
        if name in ("touched", "version", "seen", "origin"):
            continue  # manifests without them are older, and whole
        with pytest.raises(Corrupt, match="not a manifest"):
            decoded({k: v for k, v in fields.items() if k != name})
    assert decoded(fields | {"of a later release": [1, 2]}).id == snapshot.id
    with pytest.raises(Corrupt, match="another's place"):
        decoded(fields | {"id": "1" * 32})


def test_times_are_written_in_utc() -> None:
    assert utc_text(datetime.fromisoformat("2026-01-31T03:00:00+01:00")) == "2026-01-31T02:00:00.000000Z"


def test_a_manifest_that_would_not_be_read_again_is_not_written() -> None:
    """Whoever commits reads what is about to be written: the snapshot before it is still there, and nothing is lost."""
    backend = MemoryBackend()
    repository = Repository.init(backend)
    pending = repository.begin()
    before = backend.get(pending.name).data
    table = SnapshotTable("public.memories", -1, None, Digest(bytes(32)))
    source = SnapshotSource("agents", "postgresql", "postgresql://x/y", (table,))
    with pytest.raises(Corrupt, match=pending.id[:8]):
        repository.commit(pending, Snapshot(pending.id, datetime.now(UTC), sources=(source,)))
    assert backend.get(pending.name).data == before


def test_a_manifest_that_was_changed_on_its_way_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As faulty memory would: what the compressor is given is another description."""

    class Faulty:
        def __init__(self, level: int) -> None:
            self.level = level

        def compress(self, data: bytes) -> bytes:
            return compress(data.replace(b"as it was", b"as it wat"))

    compress = zstandard.ZstdCompressor(level=3).compress
    snapshot = Snapshot("ab" * 16, datetime.now(UTC), description="as it was")
    encode(snapshot, PLAIN)
    monkeypatch.setattr(zstandard, "ZstdCompressor", Faulty)
    with pytest.raises(Corrupt, match="does not read back"):
        encode(snapshot, PLAIN)
