"""A server on the wire: pages, keys, waits, failures half-way, and writers that do not wait for us."""

from __future__ import annotations

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from qdrant_client import models

from snapstore.errors import Conflict, Invalid, SnapstoreError, Unavailable, Unsupported
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, plan_restore, restore
from snapstore.operations.take import Request, take
from snapstore.operations.undo import undo_ask
from snapstore.sources import Selection
from snapstore.sources.qdrant.connection import place_of, url_of
from snapstore.sources.qdrant.source import QdrantSource
from tests.sources.qdrant.agent import Agent, roots
from tests.sources.qdrant.server import Server

SCROLL = "POST /collections/{name}/points/scroll"
UPSERT = "PUT /collections/{name}/points"
BATCH = "POST /collections/{name}/points/batch"


def notes(agent: Agent, count: int = 30, size: int = 2) -> None:
    with agent.client() as client:
        params = models.VectorParams(size=size, distance=models.Distance.COSINE)
        client.create_collection("notes", vectors_config=params)
        points = [
            models.PointStruct(id=n, vector=[float(n + 1)] + [1.0] * (size - 1), payload={"n": n, "text": f"note {n}"})
            for n in range(count)
        ]
        client.upsert("notes", points)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("qdrant://host", "qdrant://host:6333"),
        ("qdrant://:secret@host/a%20b", "qdrant://host:6333/a%20b"),
        ("qdrant+https://any:secret@host:443/memories", "qdrant+https://host:443/memories"),
        ("qdrant://[::1]:7/x?grpc=6334", "qdrant://[::1]:7/x?grpc=6334"),
        ("qdrant+path:///a/b%20c", "qdrant+path:///a/b%20c"),
        ("qdrant+path:///a?collection=x%26y", "qdrant+path:///a?collection=x%26y"),
    ],
)
def test_a_url_is_shown_without_its_key(url: str, shown: str) -> None:
    place = place_of(url)
    assert url_of(place) == shown
    assert url_of(place_of(shown)) == shown
    assert place.key == ("secret" if "secret" in url else "")
    assert "secret" not in repr(place) + repr(QdrantSource(url))


@pytest.mark.parametrize(
    "url",
    [
        "qdrant://",
        "qdrant://host/a/b",
        "qdrant://host:x",
        "qdrant://host?api_key=secret",
        "qdrant://host?grpc=secret",
        "qdrant+path://host/secret",
        "qdrant+path:///",
        "qdrant+path:///x?secret",
    ],
)
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Invalid) as told:
        place_of(url)
    assert "secret" not in told.value.message + told.value.hint


def test_a_server_that_is_down_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        agent = Agent(f"qdrant://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1.*does not answer"):
            agent.take()


def test_the_key_opens_and_is_never_told() -> None:
    with Server(key="s3cret-key") as server:
        for key, wrong in (("", "401"), ("other-key", "401")):
            with pytest.raises(Unavailable, match=wrong) as told:
                Agent(server.url, key=key).take()
            assert "-key" not in told.value.message
        in_url = server.url.replace("://", "://:s3cret-key@")
        for agent in (Agent(server.url, key="s3cret-key"), Agent(in_url)):
            snapshot = agent.take()
            assert "s3cret" not in repr(snapshot)
        server.before = lambda *_: (_ for _ in ()).throw(RuntimeError)  # from here on it breaks the connection


def test_tls_is_spoken_and_certificates_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "server.pem"
    certificate.write_bytes(_certificate())
    with Server(key="s3cret", certificate=certificate) as server:
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            Agent(server.url, key="s3cret").take()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Agent(server.url, key="s3cret").take().sources[0].url == server.url


def _certificate() -> bytes:
    """A key and a certificate for this machine, which nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a Qdrant")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    forms = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = serialization.Encoding.PEM
    return key.private_bytes(pem, *forms) + made.public_bytes(pem)


def test_points_come_in_pages_of_a_size_and_once(server: Server, remote: Agent) -> None:
    notes(remote, count=350, size=400)
    server.calls.clear()
    snapshot = remote.take()
    assert snapshot.sources[0].tables[0].rows == 350
    assert 6 <= server.calls[SCROLL] <= 8  # two readings: payloads alone, and all of it
    empty = Agent(server.url, remote.repository)
    server.collections.clear()
    server.calls.clear()
    empty.restore(snapshot)
    assert server.calls[UPSERT] == 2
    assert roots(empty.take()) == roots(snapshot)


def test_pages_are_as_small_as_strict_mode_demands(server: Server, remote: Agent) -> None:
    notes(remote)
    server.collections["notes"].config["strict_mode_config"] = {"enabled": True, "max_query_limit": 7}
    server.calls.clear()
    assert remote.take().sources[0].tables[0].rows == 30
    assert server.calls[SCROLL] == 10


def test_a_restore_waits_for_green(server: Server, remote: Agent) -> None:
    notes(remote)
    snapshot = remote.take()
    server.collections.clear()
    server.before = lambda route, _: server.statuses.extend(["yellow", "grey"]) if route == UPSERT else None
    restored = remote.restore(snapshot)
    assert restored.notes == ()
    assert not server.statuses
    server.collections.clear()
    server.before = lambda route, _: server.statuses.extend(["yellow"] * 9) if route == UPSERT else None
    impatient = QdrantSource(server.url, wait_seconds=0)
    hurried = restore(remote.repository, snapshot, impatient, Ask())
    assert any("still calls it yellow" in note for note in hurried.notes)


def test_a_collection_that_is_red_is_refused_or_named(server: Server, remote: Agent) -> None:
    notes(remote)
    with remote.client() as client:
        client.create_collection("well", vectors_config={})
    server.statuses = ["red"]
    with pytest.raises(Unavailable, match="notes is red"):
        remote.take()
    server.statuses = ["red"]
    taken = remote.taken(partial=True)
    assert [table.name for table in taken.snapshot.sources[0].tables] == ["qdrant.well"]
    assert "red" in taken.snapshot.sources[0].missing[0]


def test_shards_with_keys_of_their_own_are_refused_or_named(server: Server, remote: Agent) -> None:
    notes(remote)
    server.collections["notes"].config["params"]["sharding_method"] = "custom"
    with pytest.raises(Unsupported, match="shards have keys"):
        remote.take()
    assert "shards" in remote.take(partial=True).sources[0].missing[0]


def test_a_collection_that_changes_while_it_is_read_is_named(server: Server, remote: Agent) -> None:
    notes(remote)
    assert remote.take().sources[0].position["moved"] == []
    seen = []

    def write(route: str, name: str) -> None:
        seen.append(route)
        if route == SCROLL and seen.count(SCROLL) == 2:
            server.collections[name].points[7]["payload"] = {"n": 700, "text": "meanwhile"}

    server.before = write
    position = remote.take().sources[0].position
    assert position["moved"] == ["qdrant.notes"]
    assert "no transactions" in position["consistency"]
    assert position["server"] == "1.19.0"
    assert position["collections"] == {"qdrant.notes": {"status": "green", "points": 30}}


def test_a_key_that_comes_while_points_are_read_is_held(server: Server, remote: Agent) -> None:
    notes(remote)
    seen = []

    def write(route: str, name: str) -> None:
        seen.append(route)
        if route == SCROLL and seen.count(SCROLL) == 2:
            server.collections[name].points[7]["payload"] = {"later": True}

    server.before = write
    snapshot = remote.take()
    assert seen.count(SCROLL) == 4  # all of it again, with a column for the new key
    assert snapshot.sources[0].position["moved"] == []
    server.before = lambda *_: None
    server.collections.clear()
    remote.restore(snapshot)
    assert server.collections["notes"].points[7]["payload"] == {"later": True}


def test_what_fails_half_way_is_told_and_goes_on(server: Server, remote: Agent) -> None:
    notes(remote, count=600)
    snapshot = remote.take()
    points = server.collections["notes"].points
    for own in range(0, 600, 2):
        del points[own]
    for own in range(1, 100, 2):
        points[own]["payload"]["n"] = -1
    wrecked = remote.take()

    def fail(route: str, _: str) -> None:
        if route == UPSERT and server.calls[UPSERT] == fails_at:
            raise RuntimeError

    server.calls.clear()
    fails_at = 2
    server.before = fail
    with pytest.raises(Unavailable) as told:
        remote.restore(snapshot)
    assert "50 points were updated in qdrant.notes, 256 points were inserted in qdrant.notes" in told.value.message
    found = re.search(r"`snap undo (\w+)` takes back", told.value.hint)
    assert found
    server.before = lambda *_: None
    plan = plan_restore(remote.repository, snapshot, remote.source, Ask(mode=Mode.EXACT))
    assert (plan.tables[0].insert, plan.tables[0].update) == (44, 0)
    safety = next(one for one in remote.repository.snapshots() if one.id.startswith(found[1]))
    restore(remote.repository, safety, remote.source, undo_ask(remote.repository, safety))
    assert roots(remote.take()) == roots(wrecked)
    remote.restore(snapshot)
    assert roots(remote.take()) == roots(snapshot)


def test_what_fails_before_anything_was_done_leaves_no_safety_snapshot(server: Server, remote: Agent) -> None:
    notes(remote)
    snapshot = remote.take()
    server.collections["notes"].points.clear()

    def fail(route: str, _: str) -> None:
        if route == UPSERT:
            raise RuntimeError

    server.before = fail
    with pytest.raises(Unavailable):
        remote.restore(snapshot)
    server.before = lambda *_: None
    assert len(remote.repository.snapshots()) == 1


def test_what_others_write_meanwhile_is_found_by_the_check(server: Server, remote: Agent) -> None:
    notes(remote)
    snapshot = remote.take()
    server.collections["notes"].points[3]["payload"]["n"] = 0

    def write(route: str, name: str) -> None:
        if route == BATCH:
            server.collections[name].points[9]["payload"]["n"] = 0

    server.before = write
    with pytest.raises(Conflict, match=r"1 different.*1 point was updated"):
        remote.restore(snapshot)


def test_everything_that_configures_a_collection_comes_back(server: Server, remote: Agent) -> None:
    with remote.client() as client:
        client.create_collection(
            "tuned",
            vectors_config={
                "a": models.VectorParams(
                    size=2,
                    distance=models.Distance.DOT,
                    on_disk=True,
                    datatype=models.Datatype.FLOAT16,
                    hnsw_config=models.HnswConfigDiff(m=8),
                    quantization_config=models.ScalarQuantization(
                        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
                    ),
                )
            },
            sparse_vectors_config={
                "s": models.SparseVectorParams(
                    index=models.SparseIndexParams(on_disk=True), modifier=models.Modifier.IDF
                )
            },
            shard_number=3,
            replication_factor=2,
            on_disk_payload=False,
            hnsw_config=models.HnswConfigDiff(ef_construct=77, payload_m=4),
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=5),
            wal_config=models.WalConfigDiff(wal_capacity_mb=8),
            quantization_config=models.BinaryQuantization(binary=models.BinaryQuantizationConfig()),
        )
    own = server.collections["tuned"]
    own.config["params"]["read_fan_out_factor"] = 2
    own.config["strict_mode_config"] = {"enabled": True, "max_query_limit": 10}
    own.config["metadata"] = {"model": "e5", "dim": None}
    own.indexes = {"user": "keyword", "a.b": {"type": "integer", "lookup": False, "range": True}}
    server.aliases = {"current": "tuned", "other": "tuned"}
    snapshot = remote.take()
    before = json.dumps(_info(server, "tuned"), sort_keys=True)
    server.collections.clear()
    server.aliases = {}
    remote.restore(snapshot)
    assert json.dumps(_info(server, "tuned"), sort_keys=True) == before.replace('"dim": null, ', "")
    assert server.aliases == {"current": "tuned", "other": "tuned"}


def _info(server: Server, name: str) -> dict[str, Any]:
    return {one: own for one, own in server.info(name, {}, None).items() if one in ("config", "payload_schema")}


def test_an_alias_that_is_anothers_by_now_stays_there(server: Server, remote: Agent) -> None:
    notes(remote)
    server.aliases = {"current": "notes"}
    snapshot = remote.take()
    del server.collections["notes"]
    with remote.client() as client:
        client.create_collection("newer", vectors_config={})
    server.aliases = {"current": "newer"}
    restored = remote.restore(snapshot)
    assert restored.notes == ("qdrant.notes: the alias current is of newer by now, and stays there",)
    assert server.aliases == {"current": "newer"}


def test_a_setting_nobody_has_heard_of_is_held_and_told(server: Server, remote: Agent) -> None:
    notes(remote)
    server.collections["notes"].config["of_tomorrow"] = {"x": 1}
    snapshot = remote.take()
    del server.collections["notes"]
    assert "not made again: of_tomorrow" in remote.restore(snapshot).notes[0]


def test_an_index_that_is_gone_is_drift(server: Server, remote: Agent) -> None:
    notes(remote)
    server.collections["notes"].indexes = {"user": "keyword"}
    snapshot = remote.take()
    server.collections["notes"].indexes = {}
    plan = plan_restore(remote.repository, snapshot, remote.source, Ask())
    assert [(one.what, one.snapshot, one.outcome) for one in plan.tables[0].drift] == [
        ("payload index user", "keyword", "not made again")
    ]


def test_one_collection_is_named_by_the_url(server: Server, remote: Agent) -> None:
    notes(remote)
    with remote.client() as client:
        client.create_collection("a.b & c", vectors_config={})
    server.aliases = {"current": "notes"}
    assert set(roots(remote.at(f"{server.url}/a.b%20%26%20c").take())) == {"qdrant.a.b & c"}
    assert set(roots(remote.take(tables=("qdrant.a.b & c",)))) == {"qdrant.a.b & c"}
    with pytest.raises(Invalid, match="current is an alias"):
        remote.at(f"{server.url}/current").take()
    with pytest.raises(Invalid, match="no collection none"):
        remote.at(f"{server.url}/none").take()


def test_points_out_of_order_are_refused(server: Server, remote: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    notes(remote, count=3)
    monkeypatch.setattr("tests.sources.qdrant.server.place_of", lambda own: -own)
    with pytest.raises(Unavailable, match="order of their ids"):
        remote.take()


def test_an_answer_nobody_understands_is_told(server: Server, remote: Agent) -> None:
    notes(remote, count=3)
    server.collections["notes"].points[1]["payload"] = "text"  # what no server answers
    with pytest.raises(Unsupported, match="not one that this version understands"):
        remote.take()


def test_other_sources_are_saved_where_a_server_is_down(server: Server, remote: Agent, tmp_path: Path) -> None:
    notes(remote)
    local = Agent(f"qdrant+path://{tmp_path}/store")
    with local.client() as client:
        client.create_collection("mine", vectors_config={})
    gone = QdrantSource("qdrant://127.0.0.1:1")
    requests = [Request("gone", gone, Selection(partial=True)), Request("mine", local.source, Selection(partial=True))]
    taken = take(remote.repository, requests)
    assert [source.name for source in taken.snapshot.sources] == ["mine"]
    assert taken.unavailable[0].startswith("gone: qdrant://127.0.0.1:1")
    with pytest.raises(SnapstoreError, match="does not answer"):
        take(remote.repository, requests[:1])
