"""Is a vector index cheaper kept or built anew, when a restore puts back some share of a table's rows?

    python -m benchmarks.vector_index [--rows 2000 6000] [--repeats 3]
    python -m benchmarks.vector_index_plot          # draws the newest samples

Both sides do what a restore does to a live table in one transaction: rows are inserted with the index in place, or the
index is dropped, the rows inserted, and the index made again, with memory for all of it (maintenance_work_mem) or for a
part. Each starts from a copy of the same database, whose table has lost that share of its rows and was vacuumed. Within
a round all sides of every share are measured in turn.

The samples are kept in benchmarks/results/vector_index; the rule made of them is docs/decisions/0010.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psycopg

from benchmarks.results import FOLDER, Results, Sample, machine, newest, now, versions, write
from snap_cli.embedded import EmbeddedServer

__all__ = ["curve", "measure"]

SAMPLES = FOLDER / "vector_index"
DIMENSIONS = 384
SHARES = (0.05, 0.1, 0.2, 0.4)
"""Rows put back, of the rows there are then."""

METHODS = {"hnsw": "", "ivfflat": "WITH (lists = 100)"}

SIDES = {"hnsw": ("keep", "fits", "spills"), "ivfflat": ("keep", "fits")}
"""The index kept; built anew in memory; built anew with memory for about half of it (IVFFlat refuses that)."""

MEMORY = {"keep": 2, "fits": 2, "spills": 0.5}
_BYTES_A_ROW = 4 * DIMENSIONS + 512  # of an HNSW graph while it is built, near enough

# As a server stands after installation, but for a log that need not be cut short in the middle of a measurement.
SETTINGS = {"max_wal_size": "4GB", "autovacuum": "off"}


def measure(
    server: EmbeddedServer, rows: Sequence[int], shares: Sequence[float], *, repeats: int, say: Callable[[str], None]
) -> Iterator[Results]:
    """Measure all sides of every share, for tables of so many rows, with each method; gives what it has each round."""
    began, facts = now(), machine()
    samples: list[Sample] = []
    whole = {}
    for count in rows:
        for method, options in METHODS.items():
            whole[count, method] = server.create_database(f"{method}_{count}")
            _fill(whole[count, method], count, method, options)
    about = {**versions(), **_versions(server)}
    for turn in range(repeats):
        for (count, method), url in whole.items():
            for share in shares:
                for side in SIDES[method]:
                    memory = max(count, 1000) * _BYTES_A_ROW * (8 if method == "ivfflat" else MEMORY[side]) / 1024
                    seconds, cpu_seconds = _measure(server, _name(url), share, side, method, f"{round(memory)}kB")
                    told = {"method": method, "rows": count, "share": share, "side": side}
                    samples.append(Sample(f"{method} {count} {share} {side}", turn, seconds, cpu_seconds, 0, told))
                    say(f"{samples[-1].what}: {seconds:.2f} s, {cpu_seconds:.2f} s of processors")
        yield Results(began, facts, about, {str(count): count for count in rows}, turn + 1, tuple(samples))


def curve(results: Results, method: str, rows: int, *, of: str = "seconds") -> list[tuple[float, dict[str, float]]]:
    """For each share: the median of each side, of seconds or of `cpu_seconds`."""
    found: dict[float, dict[str, list[float]]] = {}
    for sample in results.samples:
        if (sample.facts["method"], sample.facts["rows"]) == (method, rows):
            found.setdefault(sample.facts["share"], {}).setdefault(sample.facts["side"], []).append(getattr(sample, of))
    return [
        (share, {side: statistics.median(own) for side, own in sides.items()}) for share, sides in sorted(found.items())
    ]


def crossing(points: Sequence[tuple[float, dict[str, float]]], side: str) -> float | None:
    """The share above which this side costs less than keeping, between two measured ones; None if it never does."""
    gaps = [(0.0, -1.0)] + [(share, seconds["keep"] - seconds[side]) for share, seconds in points]
    for (low, before), (high, after) in zip(gaps, gaps[1:], strict=False):
        if before < 0 <= after:
            return low + (high - low) * before / (before - after)
    return None


def _fill(url: str, count: int, method: str, options: str) -> None:
    """A table of memories around a few hundred topics, as embeddings of texts lie."""
    generator = np.random.default_rng(7)
    topics = generator.standard_normal((400, DIMENSIONS))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute(f"CREATE TABLE memories (id int PRIMARY KEY, heat real, e vector({DIMENSIONS}))")
        with connection.cursor().copy("COPY memories FROM STDIN") as copy:
            for row in range(count):
                vector = topics[row % 400] + 0.6 * generator.standard_normal(DIMENSIONS)
                copy.write_row((row, 1, "[" + ",".join(f"{x:.4f}" for x in vector) + "]"))
        connection.execute("CREATE TABLE held AS TABLE memories")
        connection.execute(_create(method, options).encode())
        connection.execute("VACUUM ANALYZE memories")
        connection.execute("CHECKPOINT")


def _create(method: str, options: str) -> str:
    return f"CREATE INDEX memories_e ON memories USING {method} (e vector_cosine_ops) {options}"


def _measure(
    server: EmbeddedServer, whole: str, share: float, side: str, method: str, memory: str
) -> tuple[float, float]:
    copy = f"{whole}_{side}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{whole}" STRATEGY FILE_COPY'.encode())
    try:
        with psycopg.connect(server.url(copy), autocommit=True) as connection:
            # Spread over the table, as what a bad clean-up takes is.
            lost = f"(id * 7919) % 1000 < {round(share * 1000)}"
            connection.execute(f"DELETE FROM memories WHERE {lost}".encode())
            connection.execute("VACUUM ANALYZE memories")
            connection.execute("SELECT count(e <=> e) FROM held")  # all sides find it in memory
            connection.execute(f"SET maintenance_work_mem = '{memory}'".encode())
            before, began = _processors(server), time.perf_counter()
            connection.execute("BEGIN")
            if side != "keep":
                connection.execute("DROP INDEX memories_e")
            connection.execute(f"INSERT INTO memories SELECT * FROM held WHERE {lost}".encode())
            if side != "keep":
                connection.execute(_create(method, METHODS[method]).encode())
            connection.execute("COMMIT")
            seconds = time.perf_counter() - began
        return seconds, _processors(server) - before
    finally:
        server.drop_database(copy)


def _processors(server: EmbeddedServer) -> float:
    """Seconds of processors that the sessions and workers of the server have used, those that are over included.

    A session that is ending could be counted twice, or not at all: it is counted until nothing moves any more.
    """
    before, ticks = -1, _ticks(server)
    while before != ticks:
        time.sleep(0.2)
        before, ticks = ticks, _ticks(server)
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(server: EmbeddedServer) -> int:
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, fields = int(path.parent.name), path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended, and its parent counts it
        parent = int(fields[1])
        if number == server.process:
            ticks += int(fields[13]) + int(fields[14])  # children that are over
        elif parent == server.process:
            ticks += int(fields[11]) + int(fields[12])
    return ticks


def _name(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


def _versions(server: EmbeddedServer) -> dict[str, str]:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(
            "SELECT split_part(current_setting('server_version'), ' ', 1), default_version "
            "FROM pg_available_extensions WHERE name = 'vector'"
        ).fetchone()
    assert row is not None
    return {"postgresql": row[0], "pgvector": row[1]}


def main() -> int:
    """Measure, keep the samples, and say where both cost the same."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vector_index", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 6_000])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with EmbeddedServer(settings=SETTINGS) as server:
        for results in measure(server, arguments.rows, SHARES, repeats=arguments.repeats, say=_say):
            _say(f"every sample is in {write(results, SAMPLES)}")
    results = newest(SAMPLES)
    for count in results.rows.values():
        for method in METHODS:
            for of in ("seconds", "cpu_seconds"):
                points = curve(results, method, count, of=of)
                meets = {side: crossing(points, side) for side in SIDES[method][1:]}
                told = ", ".join(f"{side} {'never' if meet is None else f'{meet:.0%}'}" for side, meet in meets.items())
                print(f"{method}, {count:,} rows, {of}: building anew costs less above: {told}")
                for share, own in points:
                    print(f"  {share:4.0%}  " + "  ".join(f"{side} {number:7.2f}" for side, number in own.items()))
    return 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
