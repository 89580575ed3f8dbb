"""What every case needs: databases to measure on, programs run and measured there, and the samples so far.

    bench = Bench(server, folder, sizes, repeats=3, peers=("restic",), say=print)
    with bench.database("narrow", "narrow", 1_000_000) as url:
        bench.python("narrow drain", 0, "drain", url, "events")

Every measured step is a process of its own, on a quiet disk. This module knows no case.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.peers import Keeper, begin, peer_environment
from benchmarks.process import Failed, Run, run
from benchmarks.results import Sample
from snap_cli.embedded import EmbeddedServer

__all__ = ["SETTINGS", "Bench", "Sizes", "expect", "python", "snap", "total"]

SETTINGS = {"fsync": "on", "max_wal_size": "4GB"}
"""As on a real server; and no checkpoint in the middle of one side but not of the other."""

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of each database. `wide` and `half` are memories of 1,536 and 384 dimensions, `narrow` rows of numbers.

    `scale` are the sizes over which growth is shown, with `scale_half` for memories of 384 dimensions; `month` the rows
    at the start of `days` simulated days, of which those with 1,536 dimensions are as many as `month_wide`.
    """

    wide: int = 40_000
    half: int = 40_000
    narrow: int = 1_000_000
    edits: int = 200
    undone: int = 1000
    scale: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    scale_half: tuple[int, ...] = (10_000, 100_000)
    month: int = 4000
    month_wide: int = 2000
    days: int = 30

    @classmethod
    def of(cls, wide: int) -> Sizes:
        """All sizes in proportion to that of the wide table; months as usual, or no larger than it."""
        share = wide / 40_000

        def part(rows: int) -> int:
            return max(20, round(rows * share))

        usual = cls()
        return cls(
            wide=wide,
            half=wide,
            narrow=part(usual.narrow),
            edits=min(usual.edits, wide // 4),
            undone=min(usual.undone, part(usual.narrow) // 4),
            scale=tuple(map(part, usual.scale)),
            scale_half=tuple(map(part, usual.scale_half)),
            month=min(usual.month, wide),
            month_wide=min(usual.month_wide, wide),
        )

    @classmethod
    def full(cls) -> Sizes:
        """What takes hours: a million memories of 384 dimensions, and months of 10,000."""
        return cls(scale_half=(10_000, 100_000, 1_000_000), month=10_000, month_wide=10_000)


@dataclass(slots=True)
class Bench:
    """The server, the databases, and the samples so far. `peers` are those that a case may use, by name."""

    server: EmbeddedServer
    folder: Path
    sizes: Sizes
    repeats: int
    peers: Sequence[str]
    say: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    last: dict[Path, dict[str, int]] = field(default_factory=dict)

    def compile(self) -> None:
        """Leave our modules as an installer does: compiled."""
        run([sys.executable, "-m", "compileall", "-q", str(_ROOT / "snapstore"), str(_ROOT / "cli")])

    @contextmanager
    def database(self, name: str, kind: str, rows: int, *words: str) -> Iterator[str]:
        """A new database of this kind (`benchmarks.data`), gone afterwards; gives its URL."""
        self.say(f"{rows:,} rows for {name} ...")
        with self.empty_database(name) as url:
            run(python("data", kind, str(rows), url, *words), environment=self.environment())
            yield url

    @contextmanager
    def empty_database(self, name: str = "restored") -> Iterator[str]:
        """A new database without anything in it; gives its URL."""
        url = self.server.create_database(f"bench_{name}")
        try:
            yield url
        finally:
            self.server.drop_database(f"bench_{name}")

    def url(self, name: str) -> str:
        """Of a database that is there."""
        return self.server.url(f"bench_{name}")

    def ask(self, url: str, query: str) -> str:
        """The first value of the first row."""
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return "" if row is None else str(row[0])

    def execute(self, url: str, *statements: str) -> int:
        """Change a database, and leave it as tidy as it was; returns how many rows changed."""
        with psycopg.connect(url, autocommit=True) as connection:
            changed = sum(connection.execute(statement.encode()).rowcount for statement in statements)
            connection.execute("VACUUM (ANALYZE)")
        return changed

    def snap(self, what: str, turn: int, *words: str, **facts: Any) -> dict[str, Any]:
        """Measure a command of `snap`; returns the JSON it printed."""
        done = self.run(snap(*words))
        said: dict[str, Any] = json.loads(done.output)
        own = {"own_seconds": round(said["seconds"], 4)} if "seconds" in said else {}
        self.keep(what, turn, done, {**own, **facts})
        return said

    def python(self, what: str, turn: int, module: str, *words: str, **facts: Any) -> dict[str, Any]:
        """Measure a module of this package, which prints JSON with its own seconds; `facts` are kept too."""
        done = self.run(python(module, *words))
        said: dict[str, Any] = json.loads(done.output)
        self.keep(what, turn, done, {"own_seconds": round(said["seconds"], 4), **facts})
        return said

    def peer(self, what: str, turn: int, program: str, *words: str, makes: Path | None = None) -> None:
        """Measure a program of PostgreSQL; with `makes` the size of what it wrote is kept."""
        done = self.run([str(self.server.programs / program), *words])
        self.keep(what, turn, done, {} if makes is None else {"stored_bytes": makes.stat().st_size})

    @contextmanager
    def keepers(self, names: Sequence[str], url: str) -> Iterator[list[Keeper]]:
        """These peers, each with a new place to keep nights in, which is gone afterwards."""
        folder = self.folder / f"keepers{next(self.numbers)}"
        try:
            yield [
                begin(name, self.server.programs, folder / str(place), url, self.environment())
                for place, name in enumerate(names)
            ]
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def night(self, what: str, turn: int, keeper: Keeper, number: int) -> None:
        """Measure a night of a peer; what it added and what it holds are kept."""
        before = keeper.stored_bytes()
        done = self.run(*keeper.night(number))
        after = keeper.stored_bytes()
        self.keep(what, turn, done, {"added_bytes": after - before, "stored_bytes": after})

    def own_night(self, what: str, turn: int, repository: Path, url: str) -> dict[str, Any]:
        """Measure a take; what it added, of that the frames of large cells, and what it holds are kept.

        Between two nights of one repository nothing else may write to it.
        """
        before = self.last.get(repository) or self.inside(repository)
        done = self.run(snap("take", "-r", str(repository), url))
        after = self.inside(repository)
        self.last = {repository: after}
        said: dict[str, Any] = json.loads(done.output)
        facts = {
            "own_seconds": round(said["seconds"], 4),
            "added_bytes": sum(after.values()) - sum(before.values()),
            "added_values": after["values"] - before["values"],
            "stored_bytes": sum(after.values()),
        }
        self.keep(what, turn, done, facts)
        return said

    def inside(self, repository: Path) -> dict[str, int]:
        """Bytes of a repository by what they are for (`benchmarks.inside`)."""
        return dict(json.loads(run(python("inside", str(repository)), environment=self.environment()).output))

    def prepare(self, command: Sequence[str]) -> dict[str, Any]:
        """Run something that is not measured; returns the JSON it printed."""
        return dict(json.loads(run(command, environment=self.environment()).output))

    @contextmanager
    def repository(self, url: str = "") -> Iterator[Path]:
        """A new one, with a snapshot of this database if one is named; gone afterwards."""
        folder = self.folder / f"repository{next(self.numbers)}"
        self.prepare(snap("init", str(folder)))
        try:
            if url:
                self.take(folder, url)
            yield folder
        finally:
            shutil.rmtree(folder)

    def take(self, repository: Path, url: str) -> None:
        """Take a snapshot that is not measured."""
        self.prepare(snap("take", "-r", str(repository), url))

    def run(self, *commands: Sequence[str]) -> Run:
        """Run what is measured, on a quiet disk."""
        # What the last step left to be written must not be this one's to wait for.
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        os.sync()
        return run(*commands, environment=self.environment())

    def keep(self, what: str, turn: int, done: Run, facts: Mapping[str, Any]) -> None:
        """Add a sample."""
        self.samples.append(
            Sample(what, turn, round(done.seconds, 4), round(done.cpu_seconds, 4), done.peak_bytes, dict(facts))
        )
        added = f" {facts['added_bytes'] / 1e6:9.3f} MB added" if "added_bytes" in facts else ""
        self.say(f"  {what:32} {done.seconds:8.2f} s {done.peak_bytes / 1e6:7.0f} MB{added}")

    def environment(self) -> dict[str, str]:
        """Without what libpq, `snap` and peers read; with this checkout, wherever the benchmark was started."""
        ours = ("PG", "SNAP_", "RESTIC_", "BORG_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        paths = [str(_ROOT), str(_ROOT / "cli"), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**kept, **peer_environment(self.folder), "PYTHONPATH": os.pathsep.join(paths)}


def total(said: Mapping[str, Any], count: str) -> int:
    """The sum over the tables of what a command of `snap` said."""
    return sum(table[count] for table in said["tables"])


def expect(holds: bool, what: str, said: Mapping[str, Any]) -> None:
    """Raise `Failed` for a wrong answer: a fast one is no number."""
    if not holds:
        raise Failed(f"{what} gave a wrong answer: {said}")


def python(module: str, *words: str) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable, "-m", f"benchmarks.{module}", *words]


def snap(*words: str) -> list[str]:
    """The command that runs `snap`."""
    return [sys.executable, "-m", "snap_cli", *words, "--json"]
