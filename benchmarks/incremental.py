"""What a change costs: takes and undoes of little, of one column of everything, of nothing, near by and far off.

    python -m benchmarks.incremental                     # about ten minutes; one line of JSON a measurement
    python -m benchmarks.incremental --scale 0.1 --only idle

Ratios are of medians of one run, each beside what it is held against. Seconds are those of whole processes, start and
all; `own` are those that the command itself counts, from when it was asked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.bench import SETTINGS
from benchmarks.line import Line
from benchmarks.peers import size_of
from benchmarks.process import run
from snap_cli.embedded import EmbeddedServer

__all__ = ["main"]

_WIDE, _NARROW = 40_000, 1_000_000
_DATA = {"wide": "memories", "narrow": "narrow"}
_DECAY = "UPDATE memories SET heat = heat * 0.97"
_EDIT = """
UPDATE memories SET content = content || ' ' || md5(random()::text), embedding = (
  SELECT array_agg(random() - 0.5 + 0 * n * length(content))::vector FROM generate_series(1, 1536) n)
WHERE id IN (SELECT id FROM memories ORDER BY random() LIMIT 200)"""
_NEW = """
SELECT sum(length(content) + pg_column_size(embedding)) FROM memories
WHERE xmin::text = (SELECT max(xmin::text::int8)::text FROM memories)"""


class _Bench:
    """A server, a folder for repositories, and how often each thing is measured."""

    def __init__(self, server: EmbeddedServer, folder: Path, scale: float, repeats: int) -> None:
        self.server = server
        self.repeats = repeats
        self.rows = {"wide": max(1000, int(_WIDE * scale)), "narrow": max(1000, int(_NARROW * scale))}
        self._folder = folder
        self._made = 0
        for kind, rows in self.rows.items():
            run([sys.executable, "-m", "benchmarks.data", _DATA[kind], str(rows), server.create_database(kind)])

    def url(self, kind: str) -> str:
        return self.server.url(kind)

    def execute(self, kind: str, statement: str) -> None:
        with psycopg.connect(self.url(kind), autocommit=True) as connection:
            connection.execute(statement.encode())
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")

    def ask(self, kind: str, query: str) -> int:
        with psycopg.connect(self.url(kind), autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def repository(self, kind: str) -> Path:
        """A new one, with one snapshot."""
        self._made += 1
        folder = self._folder / f"repository{self._made}"
        run([sys.executable, "-m", "snap_cli", "init", str(folder)])
        self.take(folder, self.url(kind))
        return folder

    def take(self, repository: Path, url: str) -> dict[str, float]:
        """Seconds of the process, `own` ones, cells read, and what the repository grew by."""
        before = size_of(repository)
        seconds, said = self.snap("take", "-r", str(repository), url)
        added = size_of(repository) - before
        return {"seconds": seconds, "own": said["seconds"], "read_bytes": said["bytes_read"], "added_bytes": added}

    def snap(self, *words: str) -> tuple[float, Mapping[str, Any]]:
        done = run([sys.executable, "-m", "snap_cli", *words, "--json"])
        return done.seconds, json.loads(done.output)


def _idle(bench: _Bench) -> dict[str, float]:
    """Nothing changed, a million narrow rows: over draining their keys and xmin."""
    repository = bench.repository("narrow")
    drains, takes = [], []
    for _ in range(bench.repeats):
        done = run([sys.executable, "-m", "benchmarks.drain", bench.url("narrow"), "events", "stamps"])
        drains.append({"seconds": done.seconds, "own": json.loads(done.output)["seconds"]})
        takes.append(bench.take(repository, bench.url("narrow")))
    drain, take = _median(drains), _median(takes)
    return {
        **take,
        "drain": drain["seconds"],
        "drain_own": drain["own"],
        "over_drain": take["seconds"] / drain["seconds"],
        "own_over_drain": take["own"] / drain["own"],
    }


def _decay(bench: _Bench) -> dict[str, float]:
    """One column of every wide row."""
    repository = bench.repository("wide")

    def once() -> dict[str, float]:
        bench.execute("wide", _DECAY)
        return bench.take(repository, bench.url("wide"))

    return _median([once() for _ in range(bench.repeats)])


def _edits(bench: _Bench) -> dict[str, float]:
    """200 scattered texts and vectors: what is added besides them."""
    repository = bench.repository("wide")

    def once() -> dict[str, float]:
        bench.execute("wide", _EDIT)
        taken = bench.take(repository, bench.url("wide"))
        return {**taken, "besides_an_edit": (taken["added_bytes"] - bench.ask("wide", _NEW)) / 200}

    return _median([once() for _ in range(bench.repeats)])


def _undo_of_a_decay(bench: _Bench) -> dict[str, float]:
    """Over a restore of all rows into an empty database."""
    repository = bench.repository("wide")
    undone, full = [], []
    for _ in range(bench.repeats):
        bench.execute("wide", _DECAY)
        words = ("restore", "-r", str(repository), "latest", "--to", bench.url("wide"), "--exact", "--yes")
        undone.append({"seconds": bench.snap(*words)[0]})
        empty = bench.server.create_database("empty")
        full.append({"seconds": bench.snap("restore", "-r", str(repository), "latest", "--to", empty)[0]})
        bench.server.drop_database("empty")
    undo, restore = _median(undone)["seconds"], _median(full)["seconds"]
    return {"seconds": undo, "full_restore": restore, "over_full_restore": undo / restore}


def _undo_of_few(bench: _Bench) -> dict[str, float]:
    """1,000 changed among a million narrow rows."""
    repository, few = bench.repository("narrow"), min(1000, bench.rows["narrow"])
    step = bench.rows["narrow"] // few

    def once() -> dict[str, float]:
        bench.execute("narrow", f"UPDATE events SET heat = heat + 1 WHERE id % {step} = 0")
        words = ("restore", "-r", str(repository), "latest", "--to", bench.url("narrow"), "--exact", "--yes")
        return {"seconds": bench.snap(*words)[0]}

    return _median([once() for _ in range(bench.repeats)])


def _far(bench: _Bench) -> dict[str, float]:
    """The same over a line of 20 ms a round trip and 100 Mbit/s each way."""
    repository = bench.repository("wide")
    found = {}
    with Line(bench.server.folder, delay_seconds=0.02, bytes_per_second=12.5e6) as line:
        url = bench.url("wide").replace(str(bench.server.folder), str(line.folder))

        def measure(what: str, *words: str) -> None:
            line.reset()
            found[what] = bench.snap(*words)[0]
            found[f"{what}_round_trips"], found[f"{what}_bytes"] = line.round_trips, line.bytes_up + line.bytes_down

        take = ("take", "-r", str(repository), url)
        measure("full", *take, "--full")
        measure("idle", *take)
        bench.execute("wide", _EDIT)
        measure("edits_diff", "diff", "-r", str(repository), "latest", "live", "--to", url)
        measure("edits", *take)
        bench.execute("wide", _DECAY)
        measure("decay", *take)
        measure("undo", "restore", "-r", str(repository), "latest~1", "--to", url, "--exact", "--yes")
    return found


_CASES: dict[str, Callable[[_Bench], dict[str, float]]] = {
    "idle": _idle,
    "decay": _decay,
    "edits": _edits,
    "undo of a decay": _undo_of_a_decay,
    "undo of few": _undo_of_few,
    "far": _far,
}


def _median(samples: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in samples) for name in samples[0]}


def main() -> None:
    """Print what was found, a line a case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incremental", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of 40,000 wide and 1,000,000 narrow rows")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    arguments = parser.parse_args()
    with EmbeddedServer(settings=SETTINGS) as server, tempfile.TemporaryDirectory(prefix="snap-bench-") as folder:
        bench = _Bench(server, Path(folder), arguments.scale, arguments.repeats)
        for name, case in _CASES.items():
            if arguments.only in name:
                rounded = {what: round(number, 3) for what, number in case(bench).items()}
                print(json.dumps({"case": name, "rows": bench.rows, **rounded}), flush=True)


if __name__ == "__main__":
    main()
