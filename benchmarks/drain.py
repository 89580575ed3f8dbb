"""The limit: the rows of a table read to their end with the same driver and the same COPY, and thrown away.

    python -m benchmarks.drain postgresql://… events
    {"seconds": 1.2, "bytes": 80000000}
    python -m benchmarks.drain postgresql://… events 'xmin, id'

It imports the driver and nothing else, so that its start is as cheap as such a program's can be.
"""

from __future__ import annotations

import json
import sys
import time

import psycopg


def main(url: str, table: str, columns: str = "*") -> None:
    """Read these columns of every row of the table, in order of its key."""
    began, moved = time.perf_counter(), 0
    with psycopg.connect(url) as connection:
        # As the source sets them: the sort, if there is one, is to be the same.
        connection.execute("SET work_mem = '64MB'; SET jit = off")
        query = f"COPY (SELECT {columns} FROM {table} ORDER BY id) TO STDOUT (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            for row in copy:
                moved += len(row)
    print(json.dumps({"bytes": moved, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
