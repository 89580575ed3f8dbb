"""The databases that are measured, made once a run, the same in every run (a seed, no clock).

    python -m benchmarks.data wide 40000 postgresql://…

`wide`: memories with real text (`snap_cli.sample`, tiled) and a random unit vector of 1,536 dimensions each: random
bits compress worst, so sizes are not flattered. `narrow`: rows of two numbers, a short text and a time, where whatever
is paid by the row shows. No vector index: building one would drown what is compared.

It runs in a process of its own, which may grow: see `benchmarks.process`.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg

from snap_cli.sample import load

__all__ = ["DIMENSIONS", "TABLES"]

DIMENSIONS = 1536

TABLES = {
    "wide": f"""
        CREATE EXTENSION vector;
        CREATE TABLE memories (
            id text PRIMARY KEY,
            module text NOT NULL,
            content text NOT NULL,
            heat real NOT NULL,
            access_count integer NOT NULL,
            created_at timestamptz NOT NULL,
            embedding vector({DIMENSIONS}) NOT NULL
        )
    """,
    "narrow": """
        CREATE TABLE events (
            id bigint PRIMARY KEY,
            heat real NOT NULL,
            access_count integer NOT NULL,
            session text NOT NULL,
            created_at timestamptz NOT NULL
        )
    """,
}

_BLOCK = 1000
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Fill one empty database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__)
    parser.add_argument("kind", choices=TABLES)
    parser.add_argument("rows", type=int)
    parser.add_argument("url")
    arguments = parser.parse_args()
    with psycopg.connect(arguments.url, autocommit=True) as connection:
        connection.execute(TABLES[arguments.kind])
        if arguments.kind == "wide":
            _fill_wide(connection, arguments.rows)
        else:
            _fill_narrow(connection, arguments.rows)
        # Or the first reader would pay for what the load left behind.
        connection.execute("VACUUM (FREEZE, ANALYZE)")


def _fill_wide(connection: psycopg.Connection, rows: int) -> None:
    with connection.cursor() as cursor, cursor.copy("COPY memories FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for row in _memories(rows):
            copy.write(struct.pack(">h", len(row)) + b"".join(struct.pack(">i", len(cell)) + cell for cell in row))
        copy.write(b"\xff\xff")


def _memories(rows: int) -> Iterator[list[bytes]]:
    """Rows in PostgreSQL's binary form (for `vector`: pgvector's vector_send)."""
    random = np.random.default_rng(1536)
    memories = load(rows).memories
    for start in range(0, rows, _BLOCK):
        vectors = random.standard_normal((min(_BLOCK, rows - start), DIMENSIONS), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        heats = random.random(len(vectors), dtype=np.float32)
        counts = random.integers(0, 1000, len(vectors))
        for at, vector in enumerate(vectors.astype(">f4")):
            memory = memories[start + at]
            created = _FIRST_DAY + timedelta(seconds=97 * (start + at)) - _POSTGRES_EPOCH
            yield [
                memory.id.encode(),
                memory.module.encode(),
                memory.content.encode(),
                struct.pack(">f", heats[at]),
                struct.pack(">i", counts[at]),
                struct.pack(">q", created // timedelta(microseconds=1)),
                struct.pack(">HH", DIMENSIONS, 0) + vector.tobytes(),
            ]


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
