"""Which rows of a batch meet a condition: asked of a database in memory that holds them and nothing else.

    with matching(table, "heat > 0.5") as meets:
        meets(batch)                        # one truth for each row

The live database is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apsw
import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid
from snapstore.multiset import DIGEST_BYTES
from snapstore.rows import Batch, Table
from snapstore.sources.patterns import mentioned
from snapstore.sources.sqlite.applying import insert_rows
from snapstore.sources.sqlite.connection import create, memory, quoted, translated
from snapstore.sources.sqlite.reading import read_rows

__all__ = ["matching"]


@contextmanager
def matching(table: Table, where: str) -> Iterator[Callable[[Batch], NDArray[np.bool_]]]:
    """As `Source.matching`."""
    left_out = mentioned(where, table.definition.get("left_out", ()))
    if left_out:  # there it would be NULL, and no row would meet a condition on it
        raise Invalid(
            f"the condition for {table.name} ({where}) is about {left_out}, which was left out",
            hint="choose rows by columns that are held, or with --key",
        )
    connection = memory()
    name = f"main.{quoted(table.definition['name'])}"
    try:
        with translated(table.name, "a table like it cannot be made in memory"):
            create(connection, table.definition["sql"])
        check_condition(connection, table, where)

        def meets(batch: Batch) -> NDArray[np.bool_]:
            with translated(table.name, f"the condition ({where}) cannot be tried"):
                connection.execute(f"DELETE FROM {name}")
                insert_rows(connection, table, [batch])
                found = {one for some in read_rows(connection, table, where=where) for one in _names(table, some)}
            return np.fromiter((one in found for one in _names(table, batch)), np.bool_, len(batch))

        yield meets
    finally:
        connection.close(True)


def _names(table: Table, batch: Batch) -> list[bytes]:
    """What tells rows apart: without a key their content does, and not the number that counts those alike."""
    end = DIGEST_BYTES if table.by_content else None
    return [(key or b"")[:end] for key in batch.keys.to_list()]


def check_condition(connection: apsw.Connection, table: Table, where: str) -> None:
    """Raises `Invalid` naming a condition that is none on this table."""
    try:
        connection.execute(f"EXPLAIN SELECT 1 FROM main.{quoted(table.definition['name'])} WHERE (\n{where}\n)")
    except apsw.SQLError as error:
        raise Invalid(
            f"the condition for {table.name} ({where}) is not one SQLite understands: {error}",
            hint="write what could stand after WHERE, over the columns of that table",
        ) from error
