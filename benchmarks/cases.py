"""What is measured: each operation beside its peers, in turn (A B C, A B C …), so that a busy minute hits all of them.

    with EmbeddedServer(settings=SETTINGS) as server:
        results = measure(server, folder, Sizes(), repeats=3)

Every measured step is a process of its own on a repository or database of its own; making and clearing those is not
measured. Answers are checked: a fast wrong one is no number.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.process import Failed, Run, run
from benchmarks.results import Results, Sample, machine, now, versions
from snap_cli.embedded import EmbeddedServer

__all__ = ["SETTINGS", "Sizes", "measure"]

SETTINGS = {"fsync": "on", "max_wal_size": "4GB"}
"""As on a real server; and no checkpoint in the middle of one side but not of the other."""

_ROOT = Path(__file__).parent.parent
_TABLES = {"wide": "memories", "narrow": "events", "small": "events"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of each database, and how many rows differ where few do. `small` is narrow rows, to see memory grow."""

    wide: int = 40_000
    narrow: int = 1_000_000
    small: int = 100_000
    changed: int = 100

    @classmethod
    def of(cls, wide: int) -> Sizes:
        """All sizes in proportion to that of the wide table."""
        return cls(wide, 25 * wide, max(1, 25 * wide // 10), min(100, wide))


def measure(
    server: EmbeddedServer,
    folder: Path,
    sizes: Sizes,
    *,
    repeats: int,
    only: str = "",
    say: Callable[[str], None] = print,
) -> Results:
    """Run every case (or those whose name contains `only`) and give all samples. `folder` is for repositories."""
    date, here, found = now(), machine(), versions()
    bench = _Bench(server, folder, sizes, repeats, say)
    rows = {"wide": sizes.wide, "narrow": sizes.narrow, "small": sizes.small, "changed": sizes.changed}
    with bench.databases():
        found["postgresql"] = bench.ask("wide", "SHOW server_version").partition(" ")[0]
        found["pgvector"] = bench.ask("wide", "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        for name, case in _CASES.items():
            if only in name:
                say(f"{name} ...")
                case(bench)
    return Results(date, here, found, rows, repeats, tuple(bench.samples))


@dataclass(slots=True)
class _Bench:
    """The server, the databases, and the samples so far."""

    server: EmbeddedServer
    folder: Path
    sizes: Sizes
    repeats: int
    say: Callable[[str], None]
    samples: list[Sample] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    @contextmanager
    def databases(self) -> Iterator[None]:
        """The data, made once; gone afterwards, and what a failed case left behind too."""
        try:
            for kind, rows in (("wide", self.sizes.wide), ("narrow", self.sizes.narrow), ("small", self.sizes.small)):
                self.say(f"{rows:,} rows for {kind} ...")
                url = self.server.create_database(f"bench_{kind}")
                run(_python("data", "wide" if kind == "wide" else "narrow", str(rows), url), environment=_environment())
            yield
        finally:
            for kind in ("wide", "narrow", "small", "restored"):
                self.server.drop_database(f"bench_{kind}")

    def url(self, kind: str) -> str:
        return self.server.url(f"bench_{kind}")

    def ask(self, kind: str, query: str) -> str:
        with psycopg.connect(self.url(kind), autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return "" if row is None else str(row[0])

    def execute(self, kind: str, statement: str) -> int:
        """Change a database, and leave it as tidy as it was."""
        with psycopg.connect(self.url(kind), autocommit=True) as connection:
            changed = connection.execute(statement.encode()).rowcount
            connection.execute("VACUUM (ANALYZE)")
        return changed

    def snap(self, what: str, turn: int, *words: str) -> dict[str, Any]:
        """Measure a command of `snap`; returns the JSON it printed."""
        done = self.run(_snap(*words))
        said: dict[str, Any] = json.loads(done.output)
        facts = {"own_seconds": round(said["seconds"], 4)} if "seconds" in said else {}
        self.keep(what, turn, done, facts)
        return said

    def python(self, what: str, turn: int, module: str, *words: str, **facts: Any) -> dict[str, Any]:
        """Measure a module of this package, which prints JSON with its own seconds; `facts` are kept too."""
        done = self.run(_python(module, *words))
        said: dict[str, Any] = json.loads(done.output)
        self.keep(what, turn, done, {"own_seconds": round(said["seconds"], 4), **facts})
        return said

    def peer(self, what: str, turn: int, program: str, *words: str, makes: Path | None = None) -> None:
        """Measure a program of PostgreSQL; with `makes` the size of what it wrote is kept."""
        done = self.run([str(self.server.programs / program), *words])
        self.keep(what, turn, done, {} if makes is None else {"stored_bytes": makes.stat().st_size})

    def prepare(self, command: list[str]) -> dict[str, Any]:
        """Run something that is not measured; returns the JSON it printed."""
        return dict(json.loads(run(command, environment=_environment()).output))

    def repository(self, kind: str = "") -> Path:
        """A new one, with a snapshot of this database if one is named."""
        folder = self.folder / f"repository{next(self.numbers)}"
        self.prepare(_snap("init", str(folder)))
        if kind:
            self.take(folder, kind)
        return folder

    def take(self, repository: Path, kind: str) -> None:
        """Take a snapshot that is not measured."""
        self.prepare(_snap("take", "-r", str(repository), self.url(kind)))

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        url = self.server.create_database("bench_restored")
        try:
            yield url
        finally:
            self.server.drop_database("bench_restored")

    def run(self, command: list[str]) -> Run:
        """Run what is measured, on a quiet disk."""
        # What the last step left to be written must not be this one's to wait for.
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        os.sync()
        return run(command, environment=_environment())

    def keep(self, what: str, turn: int, done: Run, facts: Mapping[str, Any]) -> None:
        """Add a sample."""
        self.samples.append(
            Sample(what, turn, round(done.seconds, 4), round(done.cpu_seconds, 4), done.peak_bytes, dict(facts))
        )
        self.say(f"  {what:24} {done.seconds:8.2f} s {done.peak_bytes / 1e6:7.0f} MB")


def _start(bench: _Bench) -> None:
    for turn in range(bench.repeats):
        done = bench.run([sys.executable, "-m", "snap_cli", "--version"])
        bench.keep("start", turn, done, {})


def _full_take(bench: _Bench, kind: str) -> None:
    url, rows = bench.url(kind), getattr(bench.sizes, kind)
    dump = bench.folder / f"{kind}.dump"
    for turn in range(bench.repeats):
        bench.python(f"{kind} drain", turn, "drain", url, _TABLES[kind])
        for words in ((), ("--no-verify",)):
            repository = bench.repository()
            what = f"{kind} take" + (" unverified" if words else "")
            said = bench.snap(what, turn, "take", "-r", str(repository), url, *words)
            _expect(_sum(said["sources"][0], "rows") == rows, what, said)
            bench.samples[-1].facts["stored_bytes"] = size_of(repository)
            shutil.rmtree(repository)
        bench.peer(f"{kind} pg_dump", turn, "pg_dump", "-Fc", "-f", str(dump), "-d", url, makes=dump)
        dump.unlink()


def _restores(bench: _Bench, kind: str) -> None:
    dump, rows, repository = bench.folder / f"{kind}.dump", getattr(bench.sizes, kind), bench.repository(kind)
    run([str(bench.server.programs / "pg_dump"), "-Fc", "-f", str(dump), "-d", bench.url(kind)])
    for turn in range(bench.repeats):
        for words in ((), ("--no-verify",)):
            what = f"{kind} restore" + (" unverified" if words else "")
            with bench.empty_database() as url:
                said = bench.snap(what, turn, "restore", "-r", str(repository), "latest", "--to", url, *words)
                _expect(_sum(said, "insert") == rows == _rows(bench, kind), what, said)
        with bench.empty_database() as url:
            bench.peer(f"{kind} pg_restore", turn, "pg_restore", "-d", url, str(dump))
            _expect(_rows(bench, kind) == rows, "pg_restore", {})
    shutil.rmtree(repository)
    dump.unlink()


def _rows(bench: _Bench, kind: str) -> int:
    return int(bench.ask("restored", f"SELECT count(*) FROM {_TABLES[kind]}"))


def _few_changes(bench: _Bench) -> None:
    """Scattered over the whole table: the hardest place for a hundred rows to be."""
    repository, changed = bench.repository("narrow"), bench.sizes.changed
    step = bench.sizes.narrow // changed
    updated = bench.execute(
        "narrow", f"UPDATE events SET heat = heat + 1 WHERE id % {step} = {step // 2} AND id <= {step * changed}"
    )
    _expect(updated == changed, "the update", {"rows": updated})
    bench.take(repository, "narrow")
    words = (str(repository), "latest~1", "latest")
    counted = bench.prepare(_python("cold_diff", "count", *words))
    facts = {name: counted[name] for name in ("blobs", "reads", "bytes")}
    for turn in range(bench.repeats):
        said = bench.python("narrow diff alone", turn, "cold_diff", "time", *words, **facts)
        _expect(said["changed"] == changed, "diff", said)
        said = bench.snap("narrow diff", turn, "diff", "-r", *words)
        _expect([_sum(said, count) for count in ("added", "removed", "changed")] == [0, 0, changed], "diff", said)
    shutil.rmtree(repository)


def _memory(bench: _Bench) -> None:
    """What the other cases have not shown: a tenth of the narrow rows, and the live comparison of each database."""
    for kind in ("small", "narrow", "wide"):
        repository = bench.repository("" if kind == "small" else kind)
        words = ("-r", str(repository))
        if kind == "small":
            bench.snap("small take", 0, "take", *words, bench.url(kind))
        said = bench.snap(f"{kind} diff live", 0, "diff", *words, "latest", "live", "--to", bench.url(kind))
        _expect(_sum(said, "changed") == 0, "diff live", said)
        if kind == "small":
            with bench.empty_database() as url:
                bench.snap("small restore", 0, "restore", *words, "latest", "--to", url)
        shutil.rmtree(repository)


def _increments(bench: _Bench) -> None:
    """The same repository again and again: an idle night, then one in which every heat decays."""
    repository = bench.repository("wide")
    for turn in range(bench.repeats):
        for what in ("nothing", "decay"):
            if what == "decay":
                bench.execute("wide", "UPDATE memories SET heat = heat * 0.97")
            before = size_of(repository)
            bench.snap(f"wide {what} take", turn, "take", "-r", str(repository), bench.url("wide"))
            bench.samples[-1].facts["stored_bytes"] = size_of(repository) - before
    shutil.rmtree(repository)


_CASES: dict[str, Callable[[_Bench], None]] = {
    "start": _start,
    "full take, wide": lambda bench: _full_take(bench, "wide"),
    "full take, narrow": lambda bench: _full_take(bench, "narrow"),
    "restore, wide": lambda bench: _restores(bench, "wide"),
    "restore, narrow": lambda bench: _restores(bench, "narrow"),
    "few changes": _few_changes,
    "memory": _memory,
    "increments": _increments,  # last: they change the wide rows
}


def size_of(folder: Path) -> int:
    """Bytes of every file below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sum(said: Mapping[str, Any], count: str) -> int:
    return sum(table[count] for table in said["tables"])


def _expect(holds: bool, what: str, said: Mapping[str, Any]) -> None:
    if not holds:
        raise Failed(f"{what} gave a wrong answer: {said}")


def _python(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{module}", *words]


def _snap(*words: str) -> list[str]:
    return [sys.executable, "-m", "snap_cli", *words, "--json"]


def _environment() -> dict[str, str]:
    """Without what libpq and `snap` read; with this checkout, wherever the benchmark was started."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "SNAP_"))}
    paths = [str(_ROOT), str(_ROOT / "cli"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}
