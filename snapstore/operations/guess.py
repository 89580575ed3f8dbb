"""Which table and columns are the memory, by their names and types: a proposal to show, never to act on unseen.

    roles = guess_roles([table.table for table in state.tables])
    roles.memory, roles.content, roles.heat

What a person said in `snap.toml` comes first, then what is known of the system whose tables these are (`presets`), then
what the names suggest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from snapstore.rows import Table
from snapstore.sources.presets import known_memories
from snapstore.sources.roles import Roles

__all__ = ["guess_roles"]

_MEMORY = ("memories", "memory", "mem", "documents", "points", "items", "embedding", "embeddings", "passages", "store")
_RELATIONSHIP = ("relationships", "relations", "relationship", "edges", "links", "memory_graph", "graph_edges")
# Of each role the names that columns have in the systems people use, the likeliest first.
_NAMES = {
    "content": ("content", "text", "memory", "document", "body", "message", "data", "value", "payload", "summary"),
    "vector": ("embedding", "vector", "embeddings", "emb", "content_embedding"),
    "heat": ("heat", "heat_score", "relevance", "importance", "score", "weight", "activation"),
    "owner": ("user_id", "owner", "owner_id", "user", "agent_id", "account_id"),
    "group": ("client", "project", "client_id", "project_id", "namespace", "collection", "group", "agent_id", "module"),
    "type": ("memory_type", "type", "kind", "category"),
    "created": ("created_at", "created", "timestamp", "created_on", "inserted_at"),
    "archived": ("archived", "is_archived", "archived_at", "is_deleted"),
    "tags": ("tags", "labels", "keywords"),
}
_ENDS = (
    ("source", "target"), ("source_id", "target_id"), ("from_id", "to_id"), ("from", "to"), ("src", "dst"),
    ("source_memory_id", "target_memory_id"), ("source_hash", "target_hash"), ("subject", "object"),
    ("memory_id", "related_id"),
)  # fmt: skip


def guess_roles(tables: Sequence[Table], given: Roles | None = None) -> Roles:
    """What is given, and for what is not the likeliest table and columns; empty where nothing is likely."""
    found = given or Roles()
    known = next((one.roles for one in known_memories(tables) if one.roles.memory), None)
    if known is not None and found.memory in ("", known.memory, known.memory.partition(".")[2]):
        found = _filled(found, {field.name: getattr(known, field.name) for field in fields(known)})
    memory = _table(tables, found.memory) if found.memory else _likeliest(tables)
    if memory is not None:
        names = {column.name: column for column in memory.columns} | dict.fromkeys(
            (part.name for part in memory.key if part.name), None
        )
        likeliest = {"memory": memory.name}
        for role, likely in _NAMES.items():
            column = next((name for name in likely if name in names), "")
            if role == "vector" and not column:
                column = next((one.name for one in memory.columns if one.stride > 1), "")
            likeliest[role] = column
        found = _filled(found, likeliest)
    relationship = _table(tables, found.relationship) if found.relationship else _between(tables)
    if relationship is not None:
        start, end = _ends(relationship) or ("", "")
        found = _filled(found, {"relationship": relationship.name, "relationship_from": start, "relationship_to": end})
    return found


def _filled(roles: Roles, known: dict[str, str]) -> Roles:
    empty = {field.name for field in fields(roles) if not getattr(roles, field.name)}
    return replace(roles, **{role: name for role, name in known.items() if role in empty})


def _table(tables: Sequence[Table], name: str) -> Table | None:
    return next((one for one in tables if name in (one.name, one.name.partition(".")[2])), None)


def _plain(table: Table) -> str:
    return table.name.rpartition(".")[2].lower()


def _likeliest(tables: Sequence[Table]) -> Table | None:
    """By its name; else the one with vectors, if there is one such; else none."""
    own = [table for table in tables if not table.part_of]
    for word in _MEMORY:
        for table in own:
            if _plain(table) == word:
                return table
    named = [one for one in own if ("memory" in _plain(one) or "memories" in _plain(one)) and _ends(one) is None]
    vectors = [one for one in own if any(column.stride > 1 for column in one.columns)]
    for likely in (named, vectors):
        if len(likely) == 1:
            return likely[0]
    return None


def _between(tables: Sequence[Table]) -> Table | None:
    likely = [table for table in tables if _ends(table) is not None]
    named = [table for word in _RELATIONSHIP for table in likely if _plain(table) == word]
    return named[0] if named else likely[0] if len(likely) == 1 else None


def _ends(table: Table) -> tuple[str, str] | None:
    names = {column.name for column in table.columns} | {part.name for part in table.key}
    return next((pair for pair in _ENDS if set(pair) <= names), None)
