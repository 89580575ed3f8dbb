"""Which rows may have changed since an earlier view: by xmin, and by what must be the same for xmin to mean anything.

    context = read_context(connection, tables, position, types)       # kept with the snapshot
    doubt(context_now, context_then, "public.memories")               # "" if xmin can be trusted
    moved(xmins, window)                                              # shape (n,), bool

A row that is visible now was there then, and the same, iff its key was there and the transaction that made it (xmin)
had ended before the earlier snapshot began: xmin is not in [xmin of that snapshot, xmax of this one), modulo 2^32. That
holds within one run of one server, for one heap and one meaning of its bytes; everything else is a doubt, and a
doubt is a full read. Sources of the rule: PostgreSQL's documentation of pg_snapshot and of transaction id wraparound.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from snapstore.digest import digest
from snapstore.rows import Cells, Table
from snapstore.sources.postgres.tables import rows_of

__all__ = ["Window", "doubt", "moved", "moved_condition", "read_context", "window_of"]

_XMIN = sql.SQL("xmin")
_HALF = 1 << 31
_ALL = 1 << 32
_PATIENCE_SECONDS = 1.0

_TABLES = """
SELECT c.oid::int8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, m.amname::text AS method,
  (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(a.attnum, a.attname, a.atttypid::int8, a.atttypmod)
      ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text AS columns
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam
WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::name[], %s::name[]))"""

# Every type that a cell of these tables is made of: what its bytes mean can change without a row being touched.
_TYPES = """
WITH RECURSIVE used(oid) AS (
  SELECT a.atttypid FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT part.oid FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid CROSS JOIN LATERAL (
    SELECT t.typelem AS oid WHERE t.typelem <> 0
    UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
      WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS part)
SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(t.oid::int8, n.nspname, t.typname, t.typtype, t.typlen,
    t.typsend::int8, t.typbasetype::int8,
    (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(e.oid::int8, e.enumlabel) ORDER BY e.oid)
      FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
    (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(a.attnum, a.attname, a.atttypid::int8, a.attisdropped)
        ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute a WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0),
    (SELECT p.prosrc || ' ' || COALESCE(p.probin, '') FROM pg_catalog.pg_proc p WHERE p.oid = t.typsend),
    (SELECT x.extversion FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
      WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid
        AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e')
  ) ORDER BY t.oid)::text AS types
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.oid IN (SELECT oid FROM used)"""

_SERVER = ("system_identifier", "server_started", "server_version", "timeline", "database_oid")


@dataclass(frozen=True, slots=True)
class Window:
    """Transaction ids that may have changed rows: `span` of them from `low` on, modulo 2^32."""

    low: int
    span: int


def read_context(
    connection: psycopg.Connection[Any], tables: Sequence[Table], position: Mapping[str, Any]
) -> dict[str, Any]:
    """What a later view must find equal, and where its window begins; read in the view's own transaction.

    `durable` says that the log had been flushed past this snapshot: only then can a crash not hand out its transaction
    ids a second time (commits may be asynchronous). Waits up to a second for that where a later view could not tell
    that there was no crash.
    """
    names = [(table.definition["schema"], table.definition["name"]) for table in tables]
    found = rows_of(connection, _TABLES, ([schema for schema, _ in names], [name for _, name in names]))
    facts = {(row["schema"], row["name"]): row for row in found}
    types = rows_of(connection, _TYPES, ([row["oid"] for row in found],))[0]["types"] or ""
    return {
        **{name: position.get(name) for name in _SERVER},
        "xmin": position["snapshot_xmin"],
        "durable": _is_durable(connection, position),
        "run_started": position.get("run_started"),
        "types": digest(types.encode()).hex(),
        "tables": {
            table.name: [facts[place]["oid"], facts[place]["kind"], facts[place]["method"], facts[place]["columns"]]
            for table, place in zip(tables, names, strict=True)
            if place in facts
        },
    }


def _is_durable(connection: psycopg.Connection[Any], position: Mapping[str, Any]) -> bool:
    if position["in_recovery"]:
        return False
    query = sql.SQL("SELECT pg_catalog.pg_current_wal_flush_lsn() >= %s::pg_lsn")
    end = time.monotonic() + (_PATIENCE_SECONDS if position.get("run_started") is None else 0)
    while True:
        row = connection.execute(query, (position["wal"],)).fetchone()
        if row is not None and row[0]:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.02)


def doubt(now: Mapping[str, Any], then: Mapping[str, Any], table: str) -> str:
    """Why rows of this table cannot be judged by xmin, in words; empty if they can."""
    words = {
        "system_identifier": "another server",
        "server_started": "the server was restarted",
        "server_version": "another version of the server",
        "timeline": "the server was promoted or restored",
        "database_oid": "another database",
        "types": "the meaning of a type changed",
    }
    if not then or then.get("xmin") is None:
        return "the last snapshot has no stamps"
    for name, word in words.items():
        if then.get(name) is None or now.get(name) is None:
            return f"the server does not say its {name.replace('_', ' ')}"
        if then[name] != now[name]:
            return word
    is_same_run = then.get("run_started") is not None and then["run_started"] == now.get("run_started")
    if not then.get("durable") and not is_same_run:
        return "the server crashed, and the last snapshot was taken before its log was flushed"
    if not 0 <= now["xmin"] - then["xmin"] < _HALF:
        return "too many transactions since the last snapshot"
    mine, theirs = now["tables"].get(table), then.get("tables", {}).get(table)
    if theirs is None:
        return "the table is new"
    if mine is None or list(mine) != list(theirs):
        return "the table was made anew or its columns changed"
    if mine[1] != "r" or mine[2] != "heap":
        return "the table is not an ordinary heap"
    return ""


def window_of(position: Mapping[str, Any], since: Mapping[str, Any], *, is_writable: bool) -> Window:
    """The window since that state. A view that writes sees rows of its own, made by ids not yet given out when its
    snapshot began, so for it the window is open at the end.
    """
    span = _HALF if is_writable else position["snapshot_xmax"] - since["xmin"]
    return Window(since["xmin"] % _ALL, min(span, _HALF))


def moved(xmins: Cells, window: Window) -> NDArray[np.bool_]:
    """Which of these rows the window holds; `xmins` are big-endian, 4 bytes each."""
    numbers = xmins.data.view(">u4").astype(np.int64)
    inside: NDArray[np.bool_] = (numbers - window.low) % _ALL < window.span
    return inside


def moved_condition(window: Window, xmin: sql.Composable = _XMIN) -> sql.Composed:
    """The same as a condition on a row, in SQL."""
    return sql.SQL("(({}::pg_catalog.text::pg_catalog.int8 - {} + {}) % {} < {})").format(
        xmin, sql.Literal(window.low), sql.Literal(_ALL), sql.Literal(_ALL), sql.Literal(window.span)
    )
