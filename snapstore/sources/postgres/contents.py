"""Rows without a key, deleted by what is in them: exactly so many of each as are too many.

    delete_by_content(connection, table, keys)

No type need have an equality for it: the live rows are read once more, with the places they stand at, and those whose
content has one of the keys are deleted by place. The table is locked against other writers, so places stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from snapstore.multiset import KEY_BYTES, digests_of, in_order, numbered
from snapstore.rows import Cells, Table
from snapstore.sources.postgres.copying import HEADER, TRAILER, Field, encode
from snapstore.sources.postgres.reading import read_cells, relation_of

__all__ = ["delete_by_content"]

_PLACES = sql.Identifier("pg_temp", "snapstore_places")


def delete_by_content(connection: psycopg.Connection[Any], table: Table, groups: Iterable[Cells]) -> int:
    """Delete the rows with these keys, which ascend; returns how many there were."""
    connection.execute("CREATE TEMPORARY TABLE snapstore_places (place pg_catalog.tid) ON COMMIT DROP")
    # Sorting reads everything before it gives anything, so the one COPY has ended when the other begins.
    found = numbered(table.name, in_order(_live(connection, table)))
    first = next(found, None)
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT BINARY)").format(_PLACES)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        for places in _matching(first, found, groups):
            copy.write(encode(table.name, [Field("ctid", 6)], [Cells.fixed(places.data.reshape(-1, 6))]))
        copy.write(TRAILER)
    delete = sql.SQL("DELETE FROM ONLY {} AS live USING {} AS given WHERE live.ctid = given.place")
    done = connection.execute(delete.format(relation_of(table), _PLACES)).rowcount
    connection.execute(sql.SQL("DROP TABLE {}").format(_PLACES))
    return done


def _live(connection: psycopg.Connection[Any], table: Table) -> Iterator[tuple[Any, Cells]]:
    for count, (places, *cells) in read_cells(connection, table, more=[(Field("ctid", 6), sql.SQL("ctid"))]):
        yield digests_of(table, cells or count), Cells(0, places.data, places.offsets)


def _matching(
    first: tuple[Cells, Cells] | None, rest: Iterator[tuple[Cells, Cells]], groups: Iterable[Cells]
) -> Iterator[Cells]:
    """The places of the live rows whose keys are in the groups; both ascend."""
    live = first
    for group in groups:
        wanted = _comparable(group)
        while live is not None and len(wanted):
            keys, places = live
            here = _comparable(keys)
            chosen = np.flatnonzero(np.isin(here, wanted))
            if len(chosen):
                yield places.take(chosen)
            if here[-1] > wanted[-1]:
                past = int(np.searchsorted(here, wanted[-1], side="right"))
                live = keys.slice(past, len(keys)), places.slice(past, len(places))
                break
            live = next(rest, None)


def _comparable(keys: Cells) -> Any:
    # Of one width, so the zeros that numpy passes over at the end of a string make no two of them equal.
    return np.ascontiguousarray(keys.data).view(f"S{KEY_BYTES}")
