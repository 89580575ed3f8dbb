"""A year of one table, and what its history costs: `snap log` of one row and `snap find` of a word.

    python -m benchmarks.history make FOLDER            # 365 takes of 100,000 rows, a tenth of them new or gone
    python -m benchmarks.history time FOLDER            # the commands as processes of their own
    python -m benchmarks.history count FOLDER           # blobs that `log` and `find` read, and bytes

Each day 1 % of the rows change: of 100,000 rows 800 have another text, 100 are new and 100 are gone. The row 5,000
holds the word `zanzibar` from day 100 to day 299, with another text from day 200; nobody else does.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import psycopg

from benchmarks.bench import SETTINGS, snap
from benchmarks.cold_diff import CountedStore
from benchmarks.process import run
from snap_cli.embedded import EmbeddedServer
from snap_cli.sample import load
from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.operations.chain import chains
from snapstore.operations.find import find
from snapstore.operations.log import log
from snapstore.operations.needle import Needle
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources.postgres.source import PostgresSource

_TABLE = """
    CREATE TABLE memories (
        id bigint PRIMARY KEY,
        content text NOT NULL,
        heat real NOT NULL,
        created_at timestamptz NOT NULL
    )
"""
WORD, ROW = "zanzibar", 5000


def make(folder: Path, rows: int, days: int) -> None:
    """Fill a database, and take it after each day."""
    folder.mkdir(parents=True, exist_ok=True)
    repository = Repository.init(DirectoryBackend(folder / "repo", create=True))
    texts = [memory.content for memory in load(2400).memories]
    changed, replaced = rows * 8 // 1000, rows // 1000
    with EmbeddedServer(settings=SETTINGS) as server:
        url = server.create_database("history")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_TABLE)
            connection.execute("CREATE TABLE texts (number integer PRIMARY KEY, content text NOT NULL)")
            with connection.cursor() as cursor, cursor.copy("COPY texts FROM STDIN") as copy:
                for number, text in enumerate(texts):
                    copy.write_row((number, text))
            connection.execute(
                b"INSERT INTO memories SELECT n, content || ' (' || n || ')', 1, '2026-01-01Z'"
                b" FROM generate_series(1, %d) n JOIN texts ON number = n %% %d" % (rows, len(texts))
            )
            for day in range(days):
                if day:
                    connection.execute("SELECT setseed(%s)", [day / days])
                    connection.execute(
                        b"UPDATE memories m SET content = t.content || ' (' || m.id || ' on day %d)', heat = heat * 0.9"
                        b" FROM (SELECT id, row_number() OVER () AS n FROM memories WHERE id <> %d"
                        b" ORDER BY random() LIMIT %d) picked JOIN texts t ON t.number = (picked.n * 7 + %d) %% %d"
                        b" WHERE m.id = picked.id" % (day, ROW, changed, day, len(texts))
                    )
                    connection.execute(
                        b"DELETE FROM memories WHERE id IN (SELECT id FROM memories WHERE id <> %d"
                        b" ORDER BY random() LIMIT %d)" % (ROW, replaced)
                    )
                    connection.execute(
                        b"INSERT INTO memories SELECT %d + n, content || ' (new on day %d)', 1, '2026-01-01Z'"
                        b" FROM generate_series(1, %d) n JOIN texts ON number = (n + %d) %% %d"
                        % (rows + (day - 1) * replaced, day, replaced, day, len(texts))
                    )
                planted = {100: f"the user went to {WORD}", 200: f"the user came back from {WORD}", 300: "forgotten"}
                if day in planted:
                    connection.execute("UPDATE memories SET content = %s WHERE id = %s", [planted[day], ROW])
                take(repository, [Request("agents", PostgresSource(url))])
                if day % 50 == 0:
                    print(f"day {day}", file=sys.stderr, flush=True)


_COMMANDS = {
    "log": ["log", f"memories:{ROW}"],
    "find a word": ["find", WORD],
    "find any case": ["find", WORD.upper(), "--ignore-case"],
    "find a pattern": ["find", "--regex", "zan[a-z]+ar"],
    "stats": ["stats"],
}


def measure(folder: Path, repeats: int) -> None:
    """Print what each command costs: the run of median time of `repeats`, with processor time and peak memory.

    On a machine that does other work, processor time is what says more.
    """
    for name, words in _COMMANDS.items():
        runs = [run(snap("-r", str(folder / "repo"), *words)) for _ in range(repeats)]
        usual = sorted(runs, key=lambda one: one.seconds)[repeats // 2]
        told = {"seconds": round(usual.seconds, 3), "cpu_seconds": round(usual.cpu_seconds, 3)}
        print(json.dumps({"what": name, **told, "peak_bytes": usual.peak_bytes}), flush=True)


def count(folder: Path) -> None:
    """Print how many blobs the history of a row and of a word read, and how many different ones."""
    for name in ("log", "find"):
        backend = RecordingBackend(DirectoryBackend(folder / "repo"))
        repository = Repository.open(backend)
        repository.blobs = store = CountedStore(backend)
        chain = next(one for one in chains(repository.snapshots()) if one.name == "public.memories")
        found = log(repository, chain, str(ROW)).events if name == "log" else find(repository, [chain], Needle(WORD))
        told = {"what": name, "found": len(list(found)), "blobs": store.blobs}
        print(json.dumps({**told, "reads": backend.count("get", "get_range"), "bytes": backend.bytes_read}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("what", choices=["make", "time", "count"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "make":
        make(arguments.folder, arguments.rows, arguments.days)
    elif arguments.what == "count":
        count(arguments.folder)
    else:
        measure(arguments.folder, arguments.repeats)
