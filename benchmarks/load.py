"""The limit of a restore: the same rows from a file of binary COPY into the same empty table, with the same driver.

python -m benchmarks.load save postgresql://… memories FILE
python -m benchmarks.load load postgresql://… memories FILE
{"seconds": 1.2, "bytes": 80000000}
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psycopg

_BLOCK_BYTES = 1 << 20


def main(what: str, url: str, table: str, file: str) -> None:
    """Write the table's rows to the file, or the file's rows to the table."""
    began, path = time.perf_counter(), Path(file)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        if what == "save":
            query = f"COPY (SELECT * FROM {table} ORDER BY id) TO STDOUT (FORMAT BINARY)"
            with path.open("wb") as rows, cursor.copy(query.encode()) as copy:
                for block in copy:
                    rows.write(block)
        else:
            with path.open("rb") as rows, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy:
                while block := rows.read(_BLOCK_BYTES):
                    copy.write(block)
    print(json.dumps({"bytes": path.stat().st_size, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
