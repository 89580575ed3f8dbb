"""mcp-memory-service in one SQLite file: memories, vectors in sqlite-vec, full text, a graph of relationships."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pysqlite3

from tests.clients.drivers.words import PEOPLE, memory_text

# Extensions can be loaded by this one, and not by the `sqlite3` of every Python.
sys.modules["sqlite3"] = pysqlite3
# Its own vectors from hashes, which it refuses otherwise.
os.environ["MCP_MEMORY_ALLOW_HASH_EMBEDDINGS"] = "1"


def _run(place: str, deed: Callable[[Any], Awaitable[Any]]) -> Any:
    from mcp_memory_service.storage.sqlite_vec import SqliteVecMemoryStorage

    async def run() -> Any:
        storage = SqliteVecMemoryStorage(place)
        await storage.initialize()
        try:
            return await deed(storage)
        finally:
            await storage.close()

    return asyncio.run(run())


def _memory(number: int) -> Any:
    from mcp_memory_service.models.memory import Memory

    content = memory_text(number)
    return Memory(
        content=content, content_hash=_hash(content), tags=[PEOPLE[number % 3], "likes"],
        memory_type="note", metadata={"day": number, "heat": number / 7}, created_at=1.7e9 + number * 86400,
    )  # fmt: skip


def _hash(content: str) -> str:
    from mcp_memory_service.utils.hashing import generate_content_hash

    return str(generate_content_hash(content))


def _key(number: int) -> str:
    return _hash(memory_text(number))


def _graph(place: str) -> Any:
    from mcp_memory_service.storage.graph import GraphStorage

    return GraphStorage(place)


def seed(place: str) -> None:
    async def deed(storage: Any) -> None:
        for number in range(60):
            kept, told = await storage.store(_memory(number), skip_semantic_dedup=True)
            assert kept, told
        await storage.delete(_key(3))
        await storage.update_memory_metadata(_key(5), {"tags": ["sea"], "metadata": {"moved": True}})
        await storage.update_memory_versioned(_key(6), "bob moved to the sea", "moved")

    _run(place, deed)

    async def relate() -> None:
        graph = _graph(place)
        for number in range(10, 20):
            await graph.store_association(_key(number), _key(number + 1), 0.5 + number / 100, ["temporal"])

    asyncio.run(relate())


def more(place: str) -> Any:
    from mcp_memory_service.models.memory import Memory

    async def deed(storage: Any) -> Any:
        content = "dave likes chess"
        new = Memory(content=content, content_hash=_hash(content), tags=["dave"])
        assert (await storage.store(new))[0]
        return [one.memory.content for one in await storage.retrieve(content, 1)]

    return _run(place, deed)


def ask(place: str) -> Any:
    async def deed(storage: Any) -> Any:
        # Searching counts and notes what was read: those notes are left out of the answers, as is when it was asked.
        def seen(memory: Any) -> Any:
            held = {name: one for name, one in memory.metadata.items() if "access" not in name}
            return memory.content, memory.tags, memory.memory_type, held, memory.created_at_iso

        everything = await storage.get_all_memories()
        graph = _graph(place)
        return {
            "all": sorted(map(seen, everything), key=str),
            "near": [
                [(found.memory.content, found.relevance_score) for found in await storage.retrieve(text, 3)]
                for text in (memory_text(7), memory_text(20), "cold rain")
            ],
            "full text": sorted(
                found.memory.content for found in await storage.retrieve_hybrid("bicycle", 5) if found.memory
            ),
            "of ann": sorted(one.content for one in await storage.search_by_tag(["ann"])),
            "deleted": await storage.is_deleted(_key(3)),
            "history": [one["content"] for one in await storage.get_memory_history(_key(6))],
            "related": sorted(map(str, await graph.find_connected(_key(12), max_hops=2))),
        }

    return _run(place, deed)


def wreck(place: str) -> None:
    async def deed(storage: Any) -> None:
        await storage.delete_by_tag("ann")
        await storage.update_memory_metadata(_key(1), {"tags": ["nothing"]})
        await storage.purge_deleted(0)

    _run(place, deed)
