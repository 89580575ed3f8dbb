"""Whatever a collection has comes back to the bit, in a server and in local mode."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from snapstore.errors import Conflict, Invalid, Unsupported
from snapstore.operations.diff import diff
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, plan_restore, restore
from snapstore.operations.scope import Scope
from snapstore.operations.state import of_snapshot
from snapstore.operations.undo import undo_ask
from snapstore.sources import Selection
from tests.sources.qdrant.agent import Agent, roots
from tests.sources.qdrant.server import Server

RANDOM = np.random.default_rng(7)
ANN = "0000000a-0000-4000-8000-00000000000a"
PAYLOAD: dict[str, Any] = {
    "int": 1,
    "float": 1.0,
    "null": None,
    "zero": -0.0,
    "large": (1 << 64) - 1,
    "small": -(1 << 63),
    "tiny": 5e-324,
    "nested": {"b": [1, 1.0, None, {"x": None}], "a": {}, "c": []},
    "text": "é 😀 \0 \u2028",
    "id": "its own",
    "vector": "none",
    "vector:x": 1,
    "payload:x": 2,
    "a.b[0]": 3,
    "": "empty",
    'quo"te': True,
    "back\\slash": False,
}


def vector(size: int) -> list[float]:
    return [float(one) for one in RANDOM.standard_normal(size).astype(np.float32)]


def everything(client: Any) -> None:
    """One collection of each kind, with points of each kind."""
    client.create_collection(
        "all kinds & blanks",
        vectors_config={
            "dot": models.VectorParams(size=3, distance=models.Distance.DOT, on_disk=True),
            "cosine": models.VectorParams(size=40, distance=models.Distance.COSINE),
            "many": models.VectorParams(
                size=4,
                distance=models.Distance.COSINE,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    sparse = models.SparseVector(indices=[9, 2, (1 << 32) - 1], values=[0.5, -0.25, 0.125])
    client.upsert(
        "all kinds & blanks",
        [
            models.PointStruct(id=0, vector={"dot": [0.0, -0.0, 1e-45]}, payload=PAYLOAD),
            models.PointStruct(id=(1 << 64) - 1, vector={"cosine": vector(40), "bm25": sparse}, payload={}),
            models.PointStruct(id=ANN, vector={"many": [vector(4), vector(4), vector(4)]}, payload={"int": None}),
            models.PointStruct(id=str(uuid.UUID(int=0)), vector={}, payload={"int": [1]}),
            *(models.PointStruct(id=n, vector={"cosine": vector(40)}, payload={"n": n}) for n in range(10, 40)),
        ],
    )
    client.create_collection(
        "unnamed",
        vectors_config=models.VectorParams(size=2, distance=models.Distance.EUCLID),
        sparse_vectors_config={"bm25": models.SparseVectorParams()},
    )
    client.upsert(
        "unnamed",
        [
            models.PointStruct(id=1, vector=[3.0, 4.0], payload={"a": 1}),
            models.PointStruct(id=2, vector={"": [1.0, 2.0], "bm25": sparse}, payload={"a": 2}),
            models.PointStruct(id=3, vector={"bm25": sparse}, payload={"b": 1}),
        ],
    )
    client.create_collection("empty", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name="unnamed", alias_name="the unnamed")
            )
        ]
    )


def another(agent: Agent, tmp_path: Path, server: Server | None) -> Agent:
    return agent.at(f"qdrant+path://{tmp_path}/other" if server is None else server.url)


def test_an_absent_collection_comes_back_whole(agent: Agent, tmp_path: Path) -> None:
    with agent.client() as client:
        everything(client)
    snapshot, before = agent.take(), agent.dump()
    assert len(before) == 3
    with agent.client() as client:
        for name in before:
            client.delete_collection(name)
    restored = agent.restore(snapshot, Mode.SKIP)
    assert restored.plan.tables[0].create
    after = agent.dump()
    if agent.is_local:  # what it gives is normalised again at each start
        assert {name: set(one["points"]) for name, one in after.items()} == {
            name: set(one["points"]) for name, one in before.items()
        }
        assert after["unnamed"] == before["unnamed"]
        other = agent.at(f"qdrant+path://{tmp_path}/other")
        other.restore(snapshot)
        assert roots(other.take()) == roots(snapshot)
    else:
        assert after == before
    assert roots(agent.take()) == roots(snapshot)


def test_whatever_was_done_is_undone_in_place(agent: Agent) -> None:
    with agent.client() as client:
        everything(client)
    snapshot = agent.take()
    name = "all kinds & blanks"
    with agent.client() as client:
        client.overwrite_payload(name, {"int": 1.0, "new": {"x": 1}}, points=[0])
        client.set_payload(name, {"int": 7, "n": 7}, points=[ANN])
        client.delete(name, models.PointIdsList(points=[10, (1 << 64) - 1]))
        client.delete_vectors(name, ["many"], points=[ANN])
        client.update_vectors(name, [models.PointVectors(id=ANN, vector={"dot": [1.0, 2.0, 3.0]})])
        client.upsert("empty", [models.PointStruct(id=5, vector=[1.0, 2.0], payload={"k": None})])
        client.delete("unnamed", models.PointIdsList(points=[1, 2, 3]))
    wrecked = agent.take()
    restored = agent.restore(snapshot)
    counts = {table.name: (table.insert, table.update, table.delete) for table in restored.plan.tables}
    assert counts == {f"qdrant.{name}": (2, 2, 0), "qdrant.empty": (0, 0, 1), "qdrant.unnamed": (3, 0, 0)}
    assert roots(agent.take()) == roots(snapshot)
    assert restored.safety is not None
    restore(agent.repository, restored.safety, agent.source, undo_ask(agent.repository, restored.safety))
    assert roots(agent.take()) == roots(wrecked)


def test_only_what_differs_is_set(agent: Agent) -> None:
    """A key that came since stays in `update` where the snapshot's row has it not: it is the snapshot's row then."""
    with agent.client() as client:
        client.create_collection("notes", vectors_config={})
        points = [
            models.PointStruct(id=n, vector={}, payload={"heat": n, "null": None, "text": "x"}) for n in (1, 2, 3)
        ]
        client.upsert("notes", points)
    snapshot = agent.take()
    with agent.client() as client:
        client.set_payload("notes", {"heat": 9}, points=[1])
        client.set_payload("notes", {"text": "mine"}, points=[2])
        client.delete("notes", models.PointIdsList(points=[3]))
    plan = plan_restore(agent.repository, snapshot, agent.source, Ask(mode=Mode.UPDATE))
    assert plan.tables[0].updates == {"heat": 1, "text": 1}
    agent.restore(snapshot, Mode.SKIP)
    points = agent.dump()["notes"]["points"]
    assert '"heat": 9' in points["1"][0]
    assert points["3"][0] == '{"heat": 3, "null": null, "text": "x"}'
    agent.restore(snapshot, Mode.UPDATE)
    assert roots(agent.take()) == roots(snapshot)


def test_a_nightly_change_of_payloads_stores_no_vector_again(agent: Agent) -> None:
    with agent.client() as client:
        client.create_collection("notes", vectors_config=models.VectorParams(size=384, distance=models.Distance.COSINE))
        client.upsert(
            "notes",
            [
                models.PointStruct(id=n, vector=vector(384), payload={"heat": 1.0, "data": f"note {n} " * 20})
                for n in range(60)
            ],
        )
    first = agent.taken()
    for night in (0.97, 0.94):
        with agent.client() as client:
            operations: list[Any] = [
                models.SetPayloadOperation(set_payload=models.SetPayload(payload={"heat": night + n}, points=[n]))
                for n in range(60)
            ]
            client.batch_update_points("notes", operations)
        again = agent.taken()
        assert again.snapshot.sources[0].tables[0].changed == 60
        assert again.bytes_new < 6_000  # one column and what is above it; the vectors are 92,160 bytes
    assert first.bytes_new > 90_000


def test_the_same_embedding_in_two_collections_is_stored_once(agent: Agent) -> None:
    with agent.client() as client:
        params = models.VectorParams(size=384, distance=models.Distance.DOT)
        client.create_collection("one", vectors_config=params)
        vectors = [vector(384) for _ in range(50)]
        client.upsert("one", [models.PointStruct(id=n, vector=own, payload={}) for n, own in enumerate(vectors)])
        first = agent.taken().bytes_new if not agent.is_local else 0
    if agent.is_local:
        first = agent.taken().bytes_new
    with agent.client() as client:
        client.create_collection("two", vectors_config={"named": params})
        named = [models.PointStruct(id=n, vector={"named": own}, payload={}) for n, own in enumerate(vectors)]
        client.upsert("two", named)
    assert first > 70_000
    assert agent.taken().bytes_new < 6_000


def test_a_key_that_no_point_has_any_more_comes_back(agent: Agent) -> None:
    with agent.client() as client:
        client.create_collection("notes", vectors_config={})
        client.upsert("notes", [models.PointStruct(id=n, vector={}, payload={"a": n, "b": None}) for n in range(20)])
    snapshot = agent.take()
    with agent.client() as client:
        client.delete_payload("notes", ["a"], points=list(range(20)))
        client.set_payload("notes", {"c": 1}, points=[3])
    wrecked = agent.take()
    [changed] = diff(of_snapshot(agent.repository, snapshot), of_snapshot(agent.repository, wrecked))
    assert (changed.changed, changed.columns, changed.shape) == (20, {"a": 20, "c": 1}, ())
    assert wrecked.sources[0].tables[0].changed == 20
    with agent.client() as client:
        client.delete("notes", models.PointIdsList(points=[7]))
    agent.restore(snapshot)
    assert roots(agent.take()) == roots(snapshot)


def test_a_column_that_was_left_out_is_left_alone(agent: Agent) -> None:
    with agent.client() as client:
        client.create_collection("notes", vectors_config={})
        client.upsert("notes", [models.PointStruct(id=n, vector={}, payload={"a": n, "seen": 1}) for n in (1, 2)])
    for columns in (("qdrant.notes.seen", "qdrant.notes.later"), ("*.seen", "*.later"), ("qdrant.n*.seen", "*.lat?r")):
        snapshot = agent.take(exclude_columns=columns)
        assert "seen" in snapshot.sources[0].tables[0].left_out
        with agent.client() as client:
            client.set_payload("notes", {"a": 9, "seen": 2, "later": True}, points=[1])
        agent.restore(snapshot)
        assert agent.dump()["notes"]["points"]["1"][0] == '{"a": 1, "later": true, "seen": 2}'
        with agent.client() as client:
            client.delete("notes", models.PointIdsList(points=[1, 2]))
        agent.restore(snapshot)
        assert agent.dump()["notes"]["points"]["1"][0] == '{"a": 1}'
        with agent.client() as client:
            client.set_payload("notes", {"seen": 1}, points=[1, 2])


def test_vectors_may_be_left_out(agent: Agent) -> None:
    with agent.client() as client:
        everything(client)
    snapshot = agent.take(vectors=False, tables=("unnamed",))
    assert snapshot.sources[0].tables[0].left_out == ("vector", "vector:bm25")


def test_a_condition_is_a_filter_in_json(agent: Agent) -> None:
    with agent.client() as client:
        everything(client)
    where = {"qdrant.unnamed": '{"must": [{"key": "a", "match": {"value": 2}}]}'}
    snapshot = agent.take(tables=("unnamed",), where=where)
    assert snapshot.sources[0].tables[0].rows == 1
    with agent.client() as client:
        client.delete("unnamed", models.PointIdsList(points=[1, 2]))
    agent.restore(snapshot)
    assert set(agent.dump("unnamed")["unnamed"]["points"]) == {"2", "3"}
    for bad in ("a = 2", '{"mutt": []}'):
        with pytest.raises(Invalid, match=r"qdrant\.unnamed"):
            agent.take(where={"qdrant.unnamed": bad})
    without = agent.take(tables=("unnamed",), exclude_columns=("qdrant.unnamed.a",))
    with pytest.raises(Invalid, match="left out"):
        agent.restore(without, scope=Scope(where=where))


def test_a_collection_of_another_shape_is_refused_or_made_anew(agent: Agent) -> None:
    with agent.client() as client:
        everything(client)
    snapshot = agent.take(tables=("unnamed",))
    with agent.client() as client:
        client.delete_collection("unnamed")
        client.create_collection("unnamed", vectors_config=models.VectorParams(size=5, distance=models.Distance.DOT))
        client.upsert("unnamed", [models.PointStruct(id=1, vector=[1.0] * 5, payload={})])
    with pytest.raises(Conflict, match=r"float32\[5\] Dot now and was float32\[2\] Euclid"):
        agent.restore(snapshot)
    agent.restore(snapshot, recreate=True)
    assert roots(agent.take(tables=("unnamed",))) == roots(snapshot)


def test_a_folder_that_is_not_there_has_nothing_and_is_not_made(tmp_path: Path) -> None:
    agent = Agent(f"qdrant+path://{tmp_path}/none")
    with pytest.raises(Exception, match="no Qdrant in the folder"):
        agent.take()
    with agent.source.view(Selection(optional=True)) as view:
        assert (list(view.tables), bool(view.missing)) == ([], True)
    assert not (tmp_path / "none").exists()


def test_a_folder_that_another_program_has_open_is_told(tmp_path: Path) -> None:
    agent = Agent(f"qdrant+path://{tmp_path}/store")
    with agent.client() as client:
        client.create_collection("notes", vectors_config={})
        with pytest.raises(Exception, match="another program has it open"):
            agent.take()


def test_points_of_a_server_do_not_lose_bits_in_local_mode(remote: Agent, tmp_path: Path) -> None:
    with remote.client() as client:
        everything(client)
    snapshot = remote.take()
    local = remote.at(f"qdrant+path://{tmp_path}/store")
    with pytest.raises(Unsupported, match="last bits of its vectors"):
        local.restore(snapshot)
    assert local.dump() == {}
    notes = local.restore(snapshot, tables=("unnamed",)).notes
    assert any("local mode has no hnsw_config" in note for note in notes)
    assert local.dump()["unnamed"]["points"] == remote.dump("unnamed")["unnamed"]["points"]


def test_points_of_local_mode_go_into_a_server(tmp_path: Path, remote: Agent) -> None:
    local = Agent(f"qdrant+path://{tmp_path}/store", remote.repository)
    with local.client() as client:
        everything(client)
    snapshot = local.take()
    remote.restore(snapshot)
    assert remote.dump("unnamed")["unnamed"]["points"] == local.dump("unnamed")["unnamed"]["points"]
