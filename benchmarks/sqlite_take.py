"""A full take of a SQLite file beside `sqlite3 FILE .dump | zstd -1`, in turn: A B, A B, …

    python -m benchmarks.sqlite_take --rows 1000000 --repeats 3

A program of its own, since it needs the programs `sqlite3` and `zstd` and no server. Both sides are whole processes on
a file in the operating system's cache; each take goes to a new repository. Processor time is told too: on a machine
that does other work it is what says more.
"""

from __future__ import annotations

import argparse
import random
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw

from benchmarks.process import Run, run

_WORDS = 3000


def main() -> int:
    """Measure, and print a line a round and the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sqlite_take", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of six columns (1,000,000)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (3)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="snap-bench-") as folder:
        place = Path(folder) / "memories.db"
        make(place, arguments.rows)
        rounds = [_round(Path(folder), place, turn) for turn in range(arguments.repeats)]
    for what in ("seconds", "cpu_seconds"):
        ours, peer = ([getattr(pair[side], what) for pair in rounds] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in zip(ours, peer, strict=True))
        print(
            f"{what}: snap take {statistics.median(ours):.2f}, .dump | zstd -1 {statistics.median(peer):.2f}, "
            f"ratio {ratio:.2f} (≤ 1.0 in seconds is the aim)"
        )
    return 0


def make(place: Path, count: int) -> None:
    """A table of memories without vectors, from a seed."""
    connection = apsw.Connection(str(place))
    connection.execute(
        "CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT NOT NULL, heat REAL, kind TEXT, seen INTEGER, "
        "owner TEXT)"
    )
    with connection:
        connection.executemany("INSERT INTO memories VALUES (?, ?, ?, ?, ?, ?)", _rows(count))
    connection.close()


def _rows(count: int) -> Iterator[tuple[object, ...]]:
    dice = random.Random(1)
    words = [f"w{dice.randrange(10**6):x}" for _ in range(_WORDS)]
    for number in range(count):
        content = " ".join(dice.choices(words, k=8))
        kind, seen = dice.choice(["fact", "event", "note"]), 1_700_000_000 + dice.randrange(10**7)
        yield number, content, dice.random(), kind, seen, f"user-{dice.randrange(5000)}"


def _round(folder: Path, place: Path, turn: int) -> tuple[Run, Run]:
    snap = [sys.executable, "-m", "snap_cli", "-r", str(folder / f"repository-{turn}")]
    run([*snap, "init"])
    ours = run([*snap, "take", f"sqlite://{place}"])
    dump = f"sqlite3 {shlex.quote(str(place))} .dump | zstd -1 -q -f -o {shlex.quote(str(folder / 'dump.zst'))}"
    peer = run(["sh", "-c", dump])
    print(f"round {turn + 1}: {ours.seconds:.2f} s beside {peer.seconds:.2f} s", file=sys.stderr)
    return ours, peer


if __name__ == "__main__":
    sys.exit(main())
