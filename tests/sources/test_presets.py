"""Memory systems are known by tables as their versions of today make them, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from snapstore.operations.guess import guess_roles
from snapstore.rows import Column, KeyPart, Table
from snapstore.sources.presets import known_files, known_memories
from snapstore.sources.roles import Roles


def table(name: str, key: str, columns: str) -> Table:
    """A table of texts; a column called embedding or vector is one of floats."""
    return Table(
        name,
        tuple(KeyPart(one, "pg_catalog.text", "bytes") for one in key.split()),
        tuple(
            Column(one, "public.vector", stride=4) if one in ("embedding", "vector") else Column(one, "pg_catalog.text")
            for one in columns.split()
        ),
    )


MEM0 = table("public.memories", "id", "vector payload")
STORE = table("public.store", "prefix key", "value created_at updated_at expires_at ttl_minutes")
SYSTEMS = {
    "mem0 on pgvector": [MEM0, table("public.memories_entities", "id", "vector payload")],
    "mem0 on Qdrant": [
        table("qdrant.memories", "id", "vector vector:bm25 created_at data hash role text_lemmatized user_id")
    ],
    "mem0's history": [
        table("main.history", "id", "memory_id old_memory new_memory event created_at updated_at is_deleted rowid"),
        table("main.messages", "id", "session_scope role content name created_at rowid"),
    ],
    "LangChain PGVector": [
        table("public.langchain_pg_collection", "uuid", "name cmetadata"),
        table("public.langchain_pg_embedding", "id", "collection_id embedding document cmetadata"),
    ],
    "LangChain PGVectorStore": [table("public.agent memories", "id", "content embedding user langchain_metadata")],
    "LangGraph's store": [
        STORE,
        table("public.store_migrations", "v", ""),
        table("public.store_vectors", "prefix key field_name", "embedding created_at updated_at"),
    ],
    "LangGraph's checkpoints": [
        table("public.checkpoint_blobs", "thread_id checkpoint_ns channel version", "type blob"),
        table("public.checkpoints", "thread_id checkpoint_ns checkpoint_id", "type checkpoint metadata"),
    ],
    "LlamaIndex": [table("public.data_notes", "id", "text metadata_ node_id embedding")],
    "Letta": [
        table("public.agent_environment_variables", "id", "key value agent_id"),
        table("public.archival_passages", "id", "text embedding tags archive_id created_at is_deleted"),
        table("public.block_history", "id", "value"),
        table("public.conversation_messages", "id", "conversation_id message_id position"),
        table("public.conversations", "id", "agent_id summary"),
        table("public.prompts", "id", "prompt"),
    ],
    "agno's memories": [
        table("ai.agno_knowledge", "id", "name access_count"),
        table("ai.agno_memories", "memory_id", "memory agent_id user_id topics created_at updated_at"),
    ],
    "agno's PgVector": [
        table("ai.knowledge", "id", "name meta_data filters content embedding usage created_at content_hash user_id")
    ],
    "mcp-memory-service": [
        table(
            "main.memories", "id", "content_hash content tags memory_type metadata created_at created_at_iso deleted_at"
        ),
        table("main.memory_graph", "source_hash target_hash", "similarity connection_types"),
    ],
    "Chroma's database": [
        table("main.collections", "id", "name dimension"),
        table("main.embeddings", "id", "segment_id embedding_id seq_id created_at"),
    ],
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_known_by_its_tables_and_no_other_is(name: str) -> None:
    other = table("public.orders", "id", "content price")
    [known] = known_memories([*SYSTEMS[name], other])
    assert known.preset.name == name
    assert list(known.tables) == [one.name for one in SYSTEMS[name]]
    own = {one.name: one for one in SYSTEMS[name]}
    columns = {column.name for column in own[known.memories[0]].columns}
    for role in ("content", "vector", "owner", "created", "archived", "tags", "type"):
        assert getattr(known.roles, role) in columns | {""}


def test_a_memory_of_nobody_known_is_left_to_its_names() -> None:
    own = table("public.memories", "id", "content embedding heat user_id")
    assert known_memories([own, table("public.store", "id", "value"), table("public.history", "id", "event")]) == []
    assert guess_roles([own]).heat == "heat"


def test_columns_that_reading_changes_are_named_in_full_where_they_are() -> None:
    assert known_memories([STORE])[0].ignored == ("public.store.expires_at",)
    assert known_memories(SYSTEMS["agno's memories"])[0].ignored == ("ai.agno_knowledge.access_count",)
    early = table("public.store", "prefix key", "value created_at updated_at")
    assert known_memories([early])[0].ignored == ()


def test_roles_are_guessed_by_the_system_first_and_what_is_given_stays() -> None:
    roles = guess_roles(SYSTEMS["LangGraph's store"])
    assert (roles.memory, roles.content, roles.group) == ("public.store", "value", "prefix")
    graph = guess_roles(SYSTEMS["mcp-memory-service"])
    assert (graph.archived, graph.relationship, graph.relationship_to) == (
        "deleted_at", "main.memory_graph", "target_hash",
    )  # fmt: skip
    given = guess_roles(SYSTEMS["LangGraph's store"], Roles(memory="store", content="key"))
    assert (given.memory, given.content, given.created) == ("store", "key", "created_at")
    other = guess_roles([*SYSTEMS["LangGraph's store"], table("public.notes", "id", "text")], Roles(memory="notes"))
    assert (other.content, other.group) == ("text", "")


def test_of_several_tables_with_memories_none_is_chosen() -> None:
    [known] = known_memories([MEM0, table("public.work", "id", "vector payload")])
    assert known.memories == ("public.memories", "public.work")
    assert known.roles == Roles()


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("Chroma", [b"0f-1/data_level0.bin", b"chroma.sqlite3"]),
        ("LanceDB", [b"memories.lance/_versions/1.manifest", b"memories.lance/data/\xff.lance"]),
        ("Qdrant's local mode", [b"collection/memories/storage.sqlite", b"meta.json"]),
        ("txtai", [b"config.json", b"documents", b"embeddings"]),
        ("the MCP memory server", [b"memory.jsonl", b"notes.md"]),
    ],
)
def test_a_folder_is_known_by_its_files(name: str, paths: list[bytes]) -> None:
    assert [known.preset.name for known in known_files(paths)] == [name]
    assert known_files([b"old/" + path for path in paths if b"lance" not in path]) == []
