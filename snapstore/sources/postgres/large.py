"""Large objects, which stand beside all tables under numbers (`lo_create`, `lo_put`), as the rows of one table.

    pg_catalog.pg_largeobject        # loid (the key), comment, data: all of its bytes

One row an object, so that a diff, a mode and a plan mean to an object what they mean to a row, and a cell dedups as any
other. The catalogue of that name cuts them into pages, with holes, and is open to superusers alone; `lo_get` gives an
object whole to whoever may read it, in the state of the snapshot. Numbers are kept, so columns that hold them stay
right. Privileges are with all others (`snapstore.sources.postgres.grants`).

It knows how they are listed, read and written, and nothing of when.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from snapstore.errors import Invalid
from snapstore.rows import Batch, Cells, Table
from snapstore.sources.postgres.querying import rows_of

__all__ = [
    "LARGE_OBJECTS",
    "LargeObjects",
    "definition",
    "is_large_objects",
    "is_object_id",
    "lock",
    "object_id",
    "read_state",
    "rows",
]

LARGE_OBJECTS = "table pg_catalog.pg_largeobject"
"""The id of the table that they are."""

_PIECE_BYTES = 8 << 20

_SCHEMA, _NAME, _ID = "pg_catalog", "pg_largeobject", "large object "


def is_large_objects(table: Table) -> bool:
    """Whether this table is the one that stands for them."""
    return bool(table.definition.get("large_objects"))


def object_id(oid: int) -> str:
    """The id that privileges know one by."""
    return f"{_ID}{oid}"


def is_object_id(key: str) -> bool:
    """Whether it is an `object_id`."""
    return key.startswith(_ID)


def definition() -> dict[str, Any]:
    """What a table's definition says of others, for them."""
    lists = ("constraints", "indexes", "triggers", "policies", "statistics")
    return {
        "schema": _SCHEMA,
        "name": _NAME,
        "large_objects": True,
        "persistence": "p",
        "options": None,
        "toast_options": None,
        "replica_identity": "d",
        "row_security": False,
        "force_row_security": False,
        "comment": None,
        "columns": [_column("loid", "oid"), _column("comment", "text"), _column("data", "bytea")],
        "key": {"index": "pg_largeobject_metadata_oid_index", "columns": ["loid"]},
        **{part: [] for part in lists},
    }


def _column(name: str, kind: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "base_type": f"pg_catalog.{kind}",
        "base_kind": "b",
        "element": None,
        "send": f"{kind}send",
        "extension": None,
        "not_null": name != "comment",
        "not_null_name": None,
        "not_null_valid": True,
        "not_null_no_inherit": False,
        "not_null_comment": None,
        "identity": None,
        "generated": None,
        "default": None,
        "collation": None,
        "storage": None,
        "compression": None,
        "statistics": None,
        "options": None,
        "comment": None,
    }


_LISTED = """
SELECT count(*) AS count, (array_agg(oid::int8 ORDER BY oid) FILTER (WHERE NOT may_read))[:4] AS hidden
FROM (SELECT m.oid, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
    OR current_setting('lo_compat_privileges')::bool OR pg_has_role(m.lomowner, 'USAGE')
    OR EXISTS (SELECT FROM aclexplode(m.lomacl) x WHERE x.privilege_type = 'SELECT'
      AND (x.grantee = 0 OR pg_has_role(x.grantee, 'USAGE'))) AS may_read
  FROM pg_largeobject_metadata m) AS one"""

# COPY gives and takes no row of 1 GB, nor lo_get an object; pages are of 2 kB (LOBLKSIZE). Who may not read the
# catalogue of pages gets the server's own error instead, when it is read.
_HUGE = f"""
SELECT m.oid::int8 AS oid FROM pg_largeobject_metadata m WHERE EXISTS (SELECT FROM pg_largeobject p
  WHERE p.loid = m.oid AND p.pageno >= {(1 << 30) // 2048 - 1}) ORDER BY 1"""  # noqa: S608  # a number of this module


def read_state(connection: psycopg.Connection[Any]) -> tuple[bool, str]:
    """Whether there are any, and why they cannot be held (empty: they can).

    All or none: a part of them would look like fewer of them.
    """
    [found] = rows_of(connection, _LISTED)
    if found["hidden"]:
        return True, f"this role may not read {_some(found['hidden'])}"
    [may] = rows_of(connection, "SELECT has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') AS see_pages")
    huge = [row["oid"] for row in rows_of(connection, _HUGE)] if found["count"] and may["see_pages"] else []
    return found["count"] > 0, f"{_some(huge)} has 1 GB or more" if huge else ""


def _some(oids: Sequence[int]) -> str:
    named = ", ".join(map(str, oids[:3])) + (" and others" if len(oids) > 3 else "")
    return f"the large object{'s' if len(oids) > 1 else ''} {named}"


def rows() -> sql.SQL:
    """What to read from in place of a table: the rows, in the state of the transaction's snapshot."""
    return sql.SQL(
        "(SELECT oid AS loid, pg_catalog.obj_description(oid, 'pg_largeobject') AS comment, pg_catalog.lo_get(oid) "
        "AS data FROM pg_catalog.pg_largeobject_metadata) AS pg_largeobject"
    )


def lock(connection: psycopg.Connection[Any], mode: str) -> None:
    """Keep others from writing them, where this role may; nothing needs to be kept from those who only read."""
    if mode != "ACCESS SHARE" and _may_lock(connection):
        connection.execute(sql.SQL("LOCK TABLE pg_catalog.pg_largeobject IN {} MODE").format(sql.SQL(mode)))


def _may_lock(connection: psycopg.Connection[Any]) -> bool:
    # In a transaction that must not have a snapshot yet, LOCK TABLE itself cannot be tried: it would end it.
    return connection.info.parameter_status("is_superuser") == "on"


class LargeObjects:
    """Changes them in the transaction that is open, and remembers which it made."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._made: list[NDArray[np.uint32]] = []

    def made_among(self, ids: Iterable[str]) -> set[str]:
        """Those of these ids (`object_id`; others are passed over) that were inserted here."""
        named = {int(one.removeprefix(_ID)): one for one in ids if is_object_id(one)}
        wanted = np.fromiter(named, np.uint32, len(named))
        return {named[int(oid)] for some in self._made for oid in np.intersect1d(some, wanted)}

    @property
    def has_made(self) -> bool:
        """Whether any was inserted here."""
        return bool(self._made)

    def insert(self, table: Table, batches: Iterable[Batch]) -> int:
        """Make them, under their numbers, with their comments."""
        done = 0
        with self._connection.cursor() as cursor:
            for oids, cells in self._given(table, [column.name for column in table.columns], batches):
                given = list(zip(oids, cells.get("data", [memoryview(b"")] * len(oids)), strict=True))
                cursor.executemany(
                    "SELECT pg_catalog.lo_from_bytea(%s::pg_catalog.oid, %b)",
                    [(oid, data[:_PIECE_BYTES]) for oid, data in given],
                )
                for oid, data in given:
                    self._put(oid, data, _PIECE_BYTES)
                self._made.append(np.asarray(oids, np.uint32))
                self._comment([one for one in zip(oids, cells.get("comment", ()), strict=False) if one[1] is not None])
                done += len(oids)
        return done

    def update(self, table: Table, columns: Sequence[str], batches: Iterable[Batch]) -> int:
        """Set the content or the comment of those with these numbers."""
        self._check("change")
        done = 0
        for oids, cells in self._given(table, columns, batches):
            for oid, data in zip(oids, cells.get("data", ()), strict=False):
                self._truncate(oid)
                self._put(oid, data)
            self._comment(list(zip(oids, cells.get("comment", ()), strict=False)))
            done += len(oids)
        return done

    def delete(self, groups: Iterable[Cells]) -> int:
        """Unlink those with these numbers."""
        self._check("delete")
        done = 0
        with self._connection.cursor() as cursor:
            for oids in map(_numbers, groups):
                cursor.executemany("SELECT pg_catalog.lo_unlink(%s::pg_catalog.oid)", [(oid,) for oid in oids])
                done += len(oids)
        return done

    def _check(self, doing: str) -> None:
        if not _may_lock(self._connection):
            raise Invalid(
                f"only a superuser can {doing} large objects that are there: others cannot keep writers from them",
                hint="restore as a superuser, or without pg_largeobject; those that are missing any role may make",
            )

    def _given(
        self, table: Table, columns: Sequence[str], batches: Iterable[Batch]
    ) -> Iterator[tuple[list[int], dict[str, list[Any]]]]:
        """Numbers, the bytes of each object and its comment or None."""
        for batch in batches:
            if len(batch):
                cells = dict(zip(columns, batch.columns, strict=True))
                yield (
                    _numbers(batch.keys),
                    {name: own.to_list() if name == "comment" else _views(own) for name, own in cells.items()},
                )

    def _truncate(self, oid: int) -> None:
        query = "SELECT pg_catalog.lo_open(%s::pg_catalog.oid, 131072) AS fd"  # INV_WRITE
        [opened] = rows_of(self._connection, query, (oid,))
        self._connection.execute("SELECT pg_catalog.lo_truncate(%s, 0)", (opened["fd"],))
        self._connection.execute("SELECT pg_catalog.lo_close(%s)", (opened["fd"],))

    def _put(self, oid: int, data: memoryview, start: int = 0) -> None:
        """The bytes from there on, a piece at a time: the driver and the server each hold what they are given twice."""
        for at in range(start, len(data), _PIECE_BYTES):
            self._connection.execute(
                "SELECT pg_catalog.lo_put(%s::pg_catalog.oid, %s, %b)", (oid, at, data[at : at + _PIECE_BYTES])
            )

    def _comment(self, comments: Sequence[tuple[int, bytes | None]]) -> None:
        for oid, comment in comments:
            words = None if comment is None else comment.decode()
            statement = sql.SQL("COMMENT ON LARGE OBJECT {} IS {}")
            self._connection.execute(statement.format(sql.Literal(oid), sql.Literal(words)))


def _views(cells: Cells) -> list[memoryview]:
    """The bytes of each cell, which are not copied; none where NULL."""
    view, ends = np.ascontiguousarray(cells.data).data, cells.offsets.tolist()
    return [view[start:stop] for start, stop in zip(ends, ends[1:], strict=False)]


def _numbers(keys: Cells) -> list[int]:
    """The object numbers in these keys (format.md §8, fixed4)."""
    found: list[int] = np.ascontiguousarray(keys.data).view(">u4").tolist()
    return found
