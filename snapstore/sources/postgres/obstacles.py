"""What must step aside while rows are changed, and come back after: foreign keys, triggers, vector indexes.

    keys = upset_foreign_keys(read_foreign_keys(connection, names), works)
    for key in keys:
        connection.execute(key.drop())
    ...
    for key in keys:
        for statement in key.create(): ...

Rows are changed in an order that a foreign key may not like, and its ON DELETE CASCADE or SET NULL would destroy rows
in silence, also in tables that nobody selected. So a key that the work can upset is dropped and made again in the same
transaction, where it is checked against all rows: what it would have hidden now fails, and by name. This module decides
and composes; `snapstore.sources.postgres.aside` executes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from snapstore.sources import Work
from snapstore.sources.postgres.ddl import Statement, alter, create_constraint, not_null_of
from snapstore.sources.postgres.querying import full_name, rows_of

__all__ = [
    "EventTrigger",
    "ForeignKey",
    "dear_indexes",
    "read_event_triggers",
    "read_foreign_keys",
    "unvalidated",
    "upset_foreign_keys",
]

# Above this share of its rows written, an HNSW index is built anew instead of kept: where all of it fits into
# maintenance_work_mem, and where not. IVFFlat is always kept (docs/decisions/0010, measured).
_SHARE_IN_MEMORY = 0.15
_SHARE_BEYOND_MEMORY = 0.5

_NOT_VALID = " NOT VALID"  # how pg_get_constraintdef ends


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A live foreign key: on which table, to which, and how the server would write it.

    Columns stand in its order, each with the operator by which the referenced one equals it.
    """

    table: str
    schema: str
    table_name: str
    name: str
    columns: tuple[str, ...]
    other: str
    other_schema: str
    other_name: str
    other_columns: tuple[str, ...]
    operators: tuple[str, ...]
    definition: str
    comment: str | None
    altered: bool

    def drop(self) -> sql.Composed:
        """The statement that drops it."""
        return alter(self._owner, "DROP CONSTRAINT {}", sql.Identifier(self.name))

    def create(self) -> Iterator[Statement]:
        """The statements that make it again, as valid or not as it was."""
        constraint = {
            "name": self.name,
            "kind": "foreign key",
            "definition": self.definition,
            "comment": self.comment,
        }
        return create_constraint(self._owner, constraint)

    @property
    def _owner(self) -> Mapping[str, Any]:
        return {"schema": self.schema, "name": self.table_name}


# The keys that partitions inherit (conparentid) come and go with their parent's.
_FOREIGN_KEYS = """
SELECT n.nspname AS schema, c.relname AS table_name, k.conname AS name, rn.nspname AS other_schema,
  rc.relname AS other_name,
  pg_get_constraintdef(k.oid) AS definition, obj_description(k.oid, 'pg_constraint') AS comment,
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS part(number, place)
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = part.number ORDER BY place) AS columns,
  ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS part(number, place)
    JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = part.number ORDER BY place) AS other_columns,
  ARRAY(SELECT 'OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
    FROM unnest(k.conpfeqop) WITH ORDINALITY AS part(number, place)
    JOIN pg_operator o ON o.oid = part.number JOIN pg_namespace n ON n.oid = o.oprnamespace
    ORDER BY place) AS operators,
  EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O') AS altered
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class rc ON rc.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = rc.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 2, 3"""

_EVENT_TRIGGERS = """
SELECT evtname AS name, evtenabled AS enabled, pg_has_role(evtowner, 'USAGE') AS may_alter
FROM pg_event_trigger WHERE evtenabled IN ('O', 'A') ORDER BY 1"""


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """An event trigger that would fire: its state (as in pg_event_trigger) and whether this role may change it."""

    name: str
    enabled: str
    may_alter: bool


def read_foreign_keys(connection: psycopg.Connection[Any]) -> list[ForeignKey]:
    """Every foreign key of the database, in order of table and name; also those of tables that are not selected."""
    keys = []
    for row in rows_of(connection, _FOREIGN_KEYS):
        keys.append(
            ForeignKey(
                table=full_name(row["schema"], row["table_name"]),
                schema=row["schema"],
                table_name=row["table_name"],
                name=row["name"],
                columns=tuple(row["columns"]),
                other=full_name(row["other_schema"], row["other_name"]),
                other_schema=row["other_schema"],
                other_name=row["other_name"],
                other_columns=tuple(row["other_columns"]),
                operators=tuple(row["operators"]),
                definition=row["definition"],
                comment=row["comment"],
                altered=row["altered"],
            )
        )
    return keys


def read_event_triggers(connection: psycopg.Connection[Any]) -> list[EventTrigger]:
    """The event triggers of the database that DDL would set off."""
    return [EventTrigger(**row) for row in rows_of(connection, _EVENT_TRIGGERS)]


def upset_foreign_keys(
    keys: Sequence[ForeignKey],
    works: Sequence[Work],
    above: Mapping[str, Sequence[str]] | None = None,
    *,
    tries: bool = False,
) -> list[ForeignKey]:
    """The keys that this work could violate on its way, or whose actions it could set off.

    Rows are deleted, then updated, then inserted; tables come in the order of `works`, referenced ones first, as far as
    that goes. Inserting parents before children upsets nothing, nor does deleting children. `above` has the partitioned
    tables that each partition belongs to, whose keys are its own. Where a restore only `tries` its rows, some may stay
    away, and a table's own arrive in several statements, so no key of a table that is written can stay.
    """
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    by_name: dict[str, Work] = {}
    for at, work in enumerate(works):
        for name in (work.table.name, *(above or {}).get(work.table.name, ())):
            first.setdefault(name, at)
            last[name] = at
            by_name[name] = _both(by_name[name], work) if name in by_name else work
    upset = []
    for key in keys:
        child, parent = by_name.get(key.table), by_name.get(key.other)
        # Rows that it does not hold for may be in the snapshot, as they may be in the live table.
        is_unvalidated = False
        if child is not None and key.definition.endswith(_NOT_VALID):
            is_unvalidated = child.inserts > 0 or not child.updates.isdisjoint(key.columns)
        fires = parent is not None and (parent.deletes > 0 or not parent.updates.isdisjoint(key.other_columns))
        # A child may come to point at a row that is not inserted yet. A table's own rows arrive in one statement.
        too_early = parent is not None and parent.inserts > 0 and child is not None
        if child is not None and too_early:
            too_early = not child.updates.isdisjoint(key.columns) or (
                child.inserts > 0 and last[key.other] > first[key.table]
            )
        is_written = child is not None and (child.inserts > 0 or not child.updates.isdisjoint(key.columns))
        if fires or too_early or is_unvalidated or (tries and is_written):
            upset.append(key)
    return upset


def _both(one: Work, other: Work) -> Work:
    """The work on two partitions, as work on the table they belong to."""
    return replace(
        one,
        inserts=one.inserts + other.inserts,
        deletes=one.deletes + other.deletes,
        updates=one.updates | other.updates,
        updated=one.updated + other.updated,
    )


def unvalidated(definition: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The constraints of a live table that hold for new rows only (NOT VALID): rows put back are not new."""
    found = [
        one
        for one in definition["constraints"]
        if one["kind"] == "check" and one["definition"].endswith(_NOT_VALID) and not one.get("inherited")
    ]
    columns = [
        one
        for one in definition["columns"]
        if one["not_null"] and not one["not_null_valid"] and not one.get("inherited")
    ]
    return found + [not_null_of(definition, column) for column in columns]


def dear_indexes(
    definition: Mapping[str, Any], work: Work, rows: float, fits: Callable[[Mapping[str, Any], float], bool]
) -> list[Mapping[str, Any]]:
    """The indexes of a live table of so many rows that are cheaper to build anew than to keep through this work.

    `fits(index, growth)` says whether an index that grows by this factor could be built in memory. A row that is
    deleted costs an index nothing; one that is updated counts as written, since few updates spare the indexes.
    """
    written = work.inserts + work.updated
    after = max(rows + work.inserts - work.deletes, written, 1)
    found = []
    for index in definition["indexes"]:
        # One that is attached to a partitioned table's cannot be dropped.
        if index["method"] == "hnsw" and "attach" not in index:
            share = _SHARE_IN_MEMORY if fits(index, after / rows if rows else 1.0) else _SHARE_BEYOND_MEMORY
            if written > share * after:
                found.append(index)
    return found
