"""The databases that are measured, made once a run, the same in every run (a seed, no clock).

    python -m benchmarks.data memories 40000 postgresql://… --dimensions 1536 --columns 10

`memories`: real text (`snap_cli.sample`, tiled), numbers, and a vector each. Of 384 dimensions the vectors are the
sample's own real ones; of any other they are random unit vectors: random bits compress worst, so sizes are not
flattered. `month`: the same in two tables, half the rows with random keys and half with rising ones. `narrow`: rows of
two numbers, a short text and a time, where whatever is paid by the row shows. No vector index: building one would drown
what is compared.

It runs in a process of its own, which may grow: see `benchmarks.process`.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
from numpy.typing import NDArray

from snap_cli.sample import DIMENSIONS, load

__all__ = ["NARROW", "memories_table"]

NARROW = """
    CREATE TABLE events (
        id bigint PRIMARY KEY,
        heat real NOT NULL,
        access_count integer NOT NULL,
        session text NOT NULL,
        created_at timestamptz NOT NULL
    )
"""

_BLOCK = 1000
_USUAL_COLUMNS = 10
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Fill one empty database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("kind", choices=["memories", "month", "narrow"])
    parser.add_argument("rows", type=int)
    parser.add_argument("url")
    parser.add_argument("--dimensions", type=int, default=1536)
    parser.add_argument("--columns", type=int, default=_USUAL_COLUMNS)
    arguments = parser.parse_args()
    with psycopg.connect(arguments.url, autocommit=True) as connection:
        if arguments.kind == "narrow":
            connection.execute(NARROW)
            _fill_narrow(connection, arguments.rows)
        else:
            connection.execute("CREATE EXTENSION vector")
            rows = _memories(arguments.rows, arguments.dimensions, arguments.columns)
            tables = (
                {"memories": "text"} if arguments.kind == "memories" else {"memories": "text", "episodes": "bigint"}
            )
            for table, key in tables.items():
                connection.execute(memories_table(table, key, arguments.dimensions, arguments.columns).encode())
                _fill(connection, table, key, rows, arguments.rows // len(tables))
        # Or the first reader would pay for what the load left behind.
        connection.execute("VACUUM (FREEZE, ANALYZE)")


def memories_table(name: str, key: str, dimensions: int, columns: int = _USUAL_COLUMNS) -> str:
    """The statement that makes a table of memories; beyond ten, columns are small numbers that never change."""
    more = "".join(f"fact{number} integer NOT NULL, " for number in range(columns - _USUAL_COLUMNS))
    return f"""
        CREATE TABLE {name} (
            id {key} PRIMARY KEY,
            module text NOT NULL,
            name text NOT NULL,
            content text NOT NULL,
            heat real NOT NULL,
            importance real NOT NULL,
            access_count integer NOT NULL,
            created_at timestamptz NOT NULL,
            accessed_at timestamptz NOT NULL,
            {more}
            embedding vector({dimensions}) NOT NULL
        )
    """


def _fill(connection: psycopg.Connection, table: str, key: str, rows: Iterator[list[bytes]], count: int) -> None:
    """Rows in PostgreSQL's binary form; the key is random text, or rises."""
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for number, row in zip(range(1, count + 1), rows, strict=False):
            if key == "bigint":
                row[0] = struct.pack(">q", number)
            copy.write(struct.pack(">h", len(row)) + b"".join(struct.pack(">i", len(cell)) + cell for cell in row))
        copy.write(b"\xff\xff")


def _memories(rows: int, dimensions: int, columns: int) -> Iterator[list[bytes]]:
    """Cells as `COPY … (FORMAT BINARY)` has them (for `vector`: pgvector's vector_send)."""
    random = np.random.default_rng(dimensions)
    sample = load(rows)
    for start in range(0, rows, _BLOCK):
        size = min(_BLOCK, rows - start)
        vectors = (
            sample.embeddings[start : start + size] if dimensions == DIMENSIONS else _units(random, size, dimensions)
        )
        heats = random.random((size, 2), dtype=np.float32)
        counts = random.integers(0, 1000, (size, 1 + columns - _USUAL_COLUMNS))
        waits = random.integers(0, 10**12, size)
        for at, vector in enumerate(vectors.astype(">f4")):
            memory = sample.memories[start + at]
            created = (_FIRST_DAY + timedelta(seconds=97 * (start + at)) - _POSTGRES_EPOCH) // timedelta(microseconds=1)
            numbers = [struct.pack(">i", number) for number in counts[at]]
            yield [
                hashlib.sha256(memory.id.encode()).hexdigest()[:24].encode(),
                memory.module.encode(),
                memory.name.encode(),
                memory.content.encode(),
                struct.pack(">f", heats[at, 0]),
                struct.pack(">f", heats[at, 1]),
                numbers[0],
                struct.pack(">q", created),
                struct.pack(">q", created + int(waits[at])),
                *numbers[1:],
                struct.pack(">HH", dimensions, 0) + vector.tobytes(),
            ]


def _units(random: np.random.Generator, count: int, dimensions: int) -> NDArray[np.float32]:
    vectors = random.standard_normal((count, dimensions), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _fill_narrow(connection: psycopg.Connection, rows: int) -> None:
    connection.execute("SELECT setseed(0.5)")
    connection.execute(
        """
        INSERT INTO events
        SELECT number, random(), (random() * 1000)::integer, 'session ' || left(md5(number::text), 16),
               timestamptz '2026-01-01 00:00Z' + number * interval '37 seconds' + random() * interval '37 seconds'
        FROM generate_series(1, %s) AS number
        """,
        [rows],
    )


if __name__ == "__main__":
    main()
