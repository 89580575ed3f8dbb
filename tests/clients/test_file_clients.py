"""Clients whose memory is a folder or a file: Chroma, LanceDB, txtai, the MCP memory server,
mcp-memory-service.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.command import Snap
from tests.clients.session import Client, Held, needs

_HERE = Path(__file__).parent
_SERVER = shutil.which(
    "mcp-server-memory", path=os.pathsep.join([str(_HERE / "node_modules" / ".bin"), os.environ.get("PATH", "")])
)


def garble(place: Path) -> None:
    """Bytes in the middle become others, and the size stays."""
    content = place.read_bytes()
    place.write_bytes(content[: len(content) // 2] + b"\xa5" * 64 + content[len(content) // 2 + 64 :])


@needs("chromadb")
def test_chroma_answers_as_before(folder: Path, snap: Snap) -> None:
    place = folder / "chroma"
    client = Client("chroma", (str(place),))
    client.run("seed")
    assert list(place.glob("*/data_level0.bin")), "the index has no files of its own yet"
    held = Held(snap, client, [f"file://{place}"])

    client.run("wreck")
    assert not held.is_there()
    held.comes_back()

    for path in place.glob("*/*.bin"):
        garble(path)
    (place / "chroma.sqlite3").unlink()
    held.comes_back()

    shutil.rmtree(place)
    held.comes_back()
    assert client.run("more") == [["new"]]
    held.comes_back()


@needs("lancedb", "pyarrow")
def test_lancedb_answers_as_before(folder: Path, snap: Snap) -> None:
    place = folder / "lance"
    client = Client("lancedb_table", (str(place),))
    client.run("seed")
    held = Held(snap, client, [f"file://{place}"])

    client.run("wreck")
    assert not held.is_there()
    held.comes_back()
    assert not (place / "other.lance").exists()

    for path in place.rglob("*.lance"):
        if path.is_file():
            garble(path)
    held.comes_back()

    shutil.rmtree(place)
    held.comes_back()
    assert client.run("more") == [999]
    held.comes_back()


@needs("txtai", "faiss")
def test_txtai_answers_as_before(folder: Path, snap: Snap) -> None:
    place = folder / "index"
    client = Client("txtai_index", (str(place),))
    client.run("seed")
    held = Held(snap, client, [f"file://{place}"])
    assert "looks like txtai" in snap("sources", f"file://{place}").stdout

    client.run("wreck")
    assert not held.is_there()
    held.comes_back()

    garble(place / "embeddings")
    (place / "documents").unlink()
    held.comes_back()

    shutil.rmtree(place)
    held.comes_back()
    assert client.run("more") == ["dave likes chess"]
    held.comes_back()


@pytest.mark.skipif(
    _SERVER is None, reason="not installed: npm install --prefix tests/clients @modelcontextprotocol/server-memory"
)
def test_the_mcp_memory_server_answers_as_before(folder: Path, snap: Snap) -> None:
    place = folder / "memory"
    place.mkdir()
    client = Client("mcp_memory", (str(place / "memory.jsonl"), str(_SERVER)))
    client.run("seed")
    held = Held(snap, client, [f"file://{place}"])

    client.run("wreck")
    assert not held.is_there()
    changed = snap("diff", held.id, "live", "--rows").stdout
    assert "ann" in changed
    held.comes_back()

    # What happens to it when the npm package is updated, or two servers write at once.
    (place / "memory.jsonl").write_bytes((place / "memory.jsonl").read_bytes()[:-40])
    held.comes_back()
    shutil.rmtree(place)
    held.comes_back()
    assert client.run("more") is True
    held.comes_back()


@needs("mcp_memory_service", "pysqlite3")
def test_mcp_memory_service_answers_as_before(folder: Path, snap: Snap) -> None:
    place = folder / "memory.db"
    client = Client("mcp_service", (str(place),))
    client.run("seed")
    held = Held(snap, client, [f"sqlite://{place}"])
    known = snap("sources", f"sqlite://{place}").stdout
    assert "looks like mcp-memory-service" in known

    client.run("wreck")
    assert not held.is_there()
    held.comes_back()

    # A clean-up by hand that went too far.
    with closing(sqlite3.connect(place)) as agent, agent:
        agent.execute("DELETE FROM memories WHERE id % 2 = 0")
        agent.execute("UPDATE memories SET content = 'nothing is left', tags = ''")
        agent.execute("DROP TABLE memory_content_fts")
        agent.execute("DROP TABLE memory_graph")
    held.comes_back()

    for path in folder.glob("memory.db*"):
        path.unlink()
    held.comes_back()
    assert client.run("more") == ["dave likes chess"]
    held.comes_back()
