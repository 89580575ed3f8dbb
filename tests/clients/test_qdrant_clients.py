"""mem0 on Qdrant's local mode, with its history in SQLite beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.command import Snap
from tests.clients.session import Client, Held, needs


@needs("mem0", "langchain_core", "qdrant_client")
def test_mem0_on_qdrant_answers_as_before(folder: Path, snap: Snap) -> None:
    place = folder / "qdrant"
    # Local mode normalises again at every start, so the last bits of scores move (docs/qdrant.md).
    client = Client("mem0_memory", (str(place), str(folder)), digits=6)
    client.run("seed")
    held = Held(snap, client, [f"qdrant+path://{place}", f"sqlite://{folder}/history.db"])
    client.run("wreck")
    assert not held.is_there()
    held.comes_back()
    client.run("reset")
    held.comes_back()
    shutil.rmtree(place)
    place.mkdir()
    held.comes_back()
    assert client.run("more") == ["dave likes chess"]
    held.comes_back()
