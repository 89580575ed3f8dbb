"""Qdrant by the command line: taken, shown, compared, restored and taken back; its key in none of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import models

from tests.cli.command import Snap
from tests.sources.qdrant.agent import Agent
from tests.sources.qdrant.server import Server

KEY = "k3y-of-the-server"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(key=KEY) as running:
        yield running
    assert not running.refused


@pytest.fixture
def filled(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with some memories, and its key where people put it."""
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    body = {"vectors": {"size": 2, "distance": "Cosine"}}
    server.create("memories", {}, body)
    points = [{"id": n, "vector": [n, 1.0], "payload": {"heat": n / 2, "data": f"memory {n}"}} for n in range(1, 21)]
    points.append({"id": "0000000a-0000-4000-8000-00000000000a", "vector": [1, 1], "payload": {"heat": None}})
    server.upsert("memories", {"wait": "true"}, {"points": points})
    return server


def everywhere(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_collection_goes_through_every_command(snap: Snap, filled: Server) -> None:
    told = snap("take", filled.url, "--tag", "monday")
    assert "21 rows in 1 table" in told.stdout
    points = filled.collections["memories"].points
    del points[3]
    points[4]["payload"]["heat"] = 99
    points[5]["vectors"][""] = [0.6, 0.8]
    points[77] = {"vectors": {"": [0.0, 1.0]}, "payload": {"junk": True}}
    [changed] = snap.json("status")["tables"]
    assert (changed["name"], changed["added"], changed["removed"], changed["changed"]) == ("qdrant.memories", 1, 1, 2)
    assert changed["columns"] == {"heat": 1, "vector": 1}
    rows = snap("diff", "monday", "live", "--rows").stdout
    assert "heat: 2.0 → 99" in rows
    assert "cosine distance" in rows
    assert snap.json("show", "monday:memories:4")["row"] == {
        "id": 4, "vector": points[4]["vectors"][""], "data": "memory 4", "heat": 2.0,
    }  # fmt: skip
    assert snap.json("show", "monday:memories:0000000A-0000-4000-8000-00000000000A")["row"]["heat"] is None
    shown = snap("show", "monday").stdout
    assert "Qdrant has no transactions for readers" in shown
    plan = snap.json("restore", "monday", "--exact", "--dry-run")
    [table] = plan["tables"]
    assert (table["insert"], table["update"], table["delete"]) == (1, 2, 1)
    snap("restore", "monday", "--exact", "--yes", "--plan", plan["plan"])
    snap("status", "--exit-code")
    snap("undo", "--yes")
    assert points[4]["payload"]["heat"] == 99
    assert 77 in points
    snap("restore", "monday", "--key", "memories:3")
    assert points[3]["payload"] == {"heat": 1.5, "data": "memory 3"}
    snap("verify")


def test_the_key_is_in_no_message_and_no_file(
    snap: Snap, filled: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QDRANT_API_KEY")
    url = filled.url.replace("://", f"://:{KEY}@")
    said = [snap("take", url), snap("show", "latest", "--json"), snap("list", "--json")]
    del filled.collections["memories"].points[3]
    said.append(snap("restore", "latest", "--to", url))
    said.append(snap("take", url.replace(KEY, KEY + "x"), code=1))
    said.append(snap("take", url + "?api_key=" + KEY, code=2))
    assert all(KEY not in one.stdout + one.stderr for one in said)
    assert "401" in said[-2].stderr
    assert "QDRANT_API_KEY" in snap("status", code=1).stderr  # as recorded, so without the key
    assert KEY.encode() not in everywhere(folder)


def test_a_server_that_is_down_leaves_the_others_to_be_saved(snap: Snap, filled: Server, folder: Path) -> None:
    local = Agent(f"qdrant+path://{folder}/store")
    with local.client() as client:
        client.create_collection("mine", vectors_config={})
    down = "qdrant://127.0.0.1:1/memories"
    assert snap.error("take", local.url, down, code=1)["code"] == "unavailable"
    told = snap("take", local.url, down, "--allow-partial", code=3)
    assert "127.0.0.1:1" in told.stderr
    assert "saved and is incomplete" in told.stderr
    [source] = snap.json("show", "latest")["sources"]
    assert (source["kind"], [table["name"] for table in source["tables"]]) == ("qdrant", ["qdrant.mine"])


def test_a_collection_that_moves_while_it_is_read_is_said(snap: Snap, filled: Server) -> None:
    scrolls = []

    def write(route: str, name: str) -> None:
        scrolls.extend([route] if route.endswith("scroll") else [])
        if len(scrolls) == 2 and route == scrolls[-1]:
            filled.collections[name].points[1]["payload"] = {"heat": 0}

    filled.before = write
    assert "qdrant.memories changed while it was read" in snap("take", filled.url).stderr
    assert "qdrant.memories changed while it was read" in snap("show", "latest").stderr
    assert snap.json("show", "latest")["sources"][0]["position"]["moved"] == ["qdrant.memories"]


def test_conditions_and_columns_are_chosen(snap: Snap, filled: Server) -> None:
    condition = json.dumps({"must": [{"key": "heat", "range": {"gte": 9}}]})
    taken = snap.json("take", filled.url, "--where", f"memories={condition}", "--exclude-column", "memories.data")
    [table] = taken["sources"][0]["tables"]
    assert table["rows"] == 3
    assert snap.json("show", "latest")["sources"][0]["tables"][0]["left_out"] == ["data"]
    assert "filter of Qdrant" in snap.error("take", filled.url, "--where", "memories=heat > 9", code=2)["message"]


def test_a_restore_that_fails_half_way_says_what_was_done(snap: Snap, filled: Server) -> None:
    snap("take", filled.url)
    points = filled.collections["memories"].points
    del points[1]
    points[2]["payload"]["heat"] = 5.5

    def fail(route: str, _: str) -> None:
        if route == "PUT /collections/{name}/points":
            raise RuntimeError

    filled.before = fail
    failed = snap("restore", "latest", "--conflict", "update", code=1)
    assert "until then 1 point was updated in qdrant.memories" in failed.stderr
    assert "snap undo" in failed.stderr
    filled.before = lambda *_: None
    snap("restore", "latest", "--conflict", "update")
    snap("status", "--exit-code")
    assert points[1]["payload"]["heat"] == 0.5


def test_local_mode_has_its_own_url(snap: Snap, folder: Path) -> None:
    agent = Agent(f"qdrant+path://{folder}/store")
    with agent.client() as client:
        for name in ("one", "two"):
            client.create_collection(name, vectors_config={})
            client.upsert(name, [models.PointStruct(id=1, vector={}, payload={"a": 1})])
    taken = snap.json("take", f"{agent.url}?collection=one")
    assert [(one["name"], one["tables"][0]["name"]) for one in taken["sources"]] == [("one", "qdrant.one")]
    assert snap.json("take", agent.url)["sources"][0]["name"] == "store"
    assert "no Qdrant in the folder" in snap.error("take", f"qdrant+path://{folder}/none", code=1)["message"]
