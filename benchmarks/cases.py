"""What is measured: each operation beside its peers, in turn (A B C, A B C, …), so that a busy minute hits all of them.

    with EmbeddedServer(settings=SETTINGS) as server:
        results = measure(server, folder, Sizes(), repeats=3, peers=["restic"])

Making and clearing databases and repositories is not measured. Answers are checked: a fast wrong one is no number. The
cases that go by nights and by size are in `nights`, `month` and `scale`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench, Sizes, expect, total
from benchmarks.month import month
from benchmarks.nights import nights, one_night
from benchmarks.peers import PEERS, absent, peer_versions
from benchmarks.results import Results, machine, now, versions
from benchmarks.scale import scale
from snap_cli.embedded import EmbeddedServer

__all__ = ["measure"]

_TABLES = {"wide": "memories", "half": "memories", "narrow": "events"}


def measure(
    server: EmbeddedServer,
    folder: Path,
    sizes: Sizes,
    *,
    repeats: int,
    peers: Sequence[str] | None = None,
    only: Sequence[str] = ("",),
    say: Callable[[str], None] = print,
) -> Results:
    """Run every case (or those whose name contains one of `only`) and give all samples. `folder` is for repositories.

    `peers` are those beside which nights are measured: all that are installed, if not said.
    """
    date, here, found = now(), machine(), {**versions(), **peer_versions()}
    used = [name for name in PEERS if name not in absent()] if peers is None else list(peers)
    bench = Bench(server, folder, sizes, repeats, used, say)
    bench.compile()
    found["postgresql"] = bench.ask(server.url(), "SHOW server_version").partition(" ")[0]
    found["pgvector"] = bench.ask(
        server.url(), "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
    )
    for name, case in _CASES.items():
        if any(part in name for part in only):
            say(f"{name} ...")
            case(bench)
    rows = {name: getattr(sizes, name) for name in ("wide", "half", "narrow", "edits", "undone", "month", "month_wide")}
    return Results(date, here, found, rows, repeats, tuple(bench.samples), tuple(absent()))


def _start(bench: Bench) -> None:
    for turn in range(bench.repeats):
        done = bench.run([sys.executable, "-m", "snap_cli", "--version"])
        bench.keep("start", turn, done, {})


def _wide(bench: Bench) -> None:
    with bench.database("wide", "memories", bench.sizes.wide) as url:
        _full_take(bench, "wide", url)
        _restores(bench, "wide", url)
        _undo_decay(bench, "wide", url)
        nights(bench, "wide", url, bench.sizes.wide, 1536)


def _wide20(bench: Bench) -> None:
    with bench.database("wide20", "memories", bench.sizes.wide, "--columns", "20") as url:
        one_night(bench, "wide20", url)


def _half(bench: Bench) -> None:
    with bench.database("half", "memories", bench.sizes.half, "--dimensions", "384") as url:
        _full_take(bench, "half", url)
        _restores(bench, "half", url)
        _undo_decay(bench, "half", url)
        nights(bench, "half", url, bench.sizes.half, 384)


def _narrow(bench: Bench) -> None:
    with bench.database("narrow", "narrow", bench.sizes.narrow) as url:
        _full_take(bench, "narrow", url)
        _restores(bench, "narrow", url)
        _nothing_changed(bench, url)
        _undo_some(bench, url)


def _full_take(bench: Bench, kind: str, url: str) -> None:
    rows, dump = getattr(bench.sizes, kind), bench.folder / f"{kind}.dump"
    for turn in range(bench.repeats):
        bench.python(f"{kind} drain", turn, "drain", url, _TABLES[kind])
        for words in ((), ("--no-verify",)):
            what = f"{kind} take" + (" unverified" if words else "")
            with bench.repository() as repository:
                said = bench.snap(what, turn, "take", "-r", str(repository), url, *words)
                expect(total(said["sources"][0], "rows") == rows, what, said)
                bench.samples[-1].facts["stored_bytes"] = sum(bench.inside(repository).values())
        # Of wide rows once: it takes longest of all, and differs least from round to round.
        if turn == 0 or kind == "narrow":
            bench.peer(f"{kind} pg_dump", turn, "pg_dump", "-Fc", "-f", str(dump), "-d", url, makes=dump)


def _restores(bench: Bench, kind: str, url: str) -> None:
    """Into an empty database as pg_restore does, into an empty table as COPY does. Needs the dump of `_full_take`."""
    table, rows = _TABLES[kind], getattr(bench.sizes, kind)
    dump, plain = bench.folder / f"{kind}.dump", bench.folder / f"{kind}.copy"
    bench.prepare([sys.executable, "-m", "benchmarks.load", "save", url, table, str(plain)])
    with bench.repository(url) as repository:
        words = ("-r", str(repository), "latest", "--to")
        for turn in range(bench.repeats):
            with bench.empty_database() as to:
                said = bench.snap(f"{kind} restore", turn, "restore", *words, to)
                expect(total(said, "insert") == rows == _rows(bench, kind), "restore", said)
                bench.execute(to, f"TRUNCATE {table}")
                said = bench.snap(f"{kind} refill", turn, "restore", *words, to)
                expect(total(said, "insert") == rows == _rows(bench, kind), "refill", said)
                bench.execute(to, f"TRUNCATE {table}")
                bench.python(f"{kind} copy", turn, "load", "load", to, table, str(plain))
                expect(_rows(bench, kind) == rows, "copy", {})
            with bench.empty_database() as to:
                bench.peer(f"{kind} pg_restore", turn, "pg_restore", "-d", to, str(dump))
                expect(_rows(bench, kind) == rows, "pg_restore", {})
    dump.unlink()
    plain.unlink()


def _rows(bench: Bench, kind: str) -> int:
    return int(bench.ask(bench.url("restored"), f"SELECT count(*) FROM {_TABLES[kind]}"))


def _undo_decay(bench: Bench, kind: str, url: str) -> None:
    """One column of every row is wrong: put back in place."""
    rows = getattr(bench.sizes, kind)
    with bench.repository(url) as repository:
        for turn in range(bench.repeats):
            bench.execute(url, "UPDATE memories SET heat = heat * 0.97")
            words = ("-r", str(repository), "latest", "--to", url, "--conflict", "update")
            what = f"{kind} undo decay"
            said = bench.snap(what, turn, "restore", *words)
            expect(total(said, "update") == rows, what, said)
            bench.execute(url)


def _export(bench: Bench) -> None:
    """Every row as text that other programs read, of a snapshot and of the table itself."""
    rows = bench.sizes.wide
    with bench.database("export", "memories", rows) as url, bench.repository(url) as repository:
        for turn in range(bench.repeats):
            plain, out = bench.folder / "memories.csv", bench.folder / "exported"
            bench.peer("wide psql csv", turn, "psql", "-qX", "-d", url, "-c", f"\\copy memories TO '{plain}' CSV",
                       makes=plain)  # fmt: skip
            words = ("-r", str(repository), "latest", "--format", "json", "-o", str(out))
            said = bench.snap("wide export", turn, "export", *words)
            bench.samples[-1].facts["stored_bytes"] = (out / "export.json").stat().st_size
            expect(sum(said["rows"].values()) == rows, "export", said)
            plain.unlink()
            shutil.rmtree(out)


def _nothing_changed(bench: Bench, url: str) -> None:
    with bench.repository(url) as repository:
        for turn in range(bench.repeats):
            bench.python("narrow stamps", turn, "drain", url, "events", "id, xmin")
            said = bench.own_night("narrow idle take", turn, repository, url)
            expect(total(said["sources"][0], "changed") == 0, "narrow idle take", said)


def _undo_some(bench: Bench, url: str) -> None:
    """Scattered over the whole table: the hardest place for rows to be."""
    count, rows = bench.sizes.undone, bench.sizes.narrow
    step = rows // count
    with bench.repository(url) as repository:
        for turn in range(bench.repeats):
            changed = bench.execute(
                url, f"UPDATE events SET heat = heat + 1 WHERE id % {step} = {step // 2} AND id <= {step * count}"
            )
            expect(changed == count, "the update", {"rows": changed})
            words = ("-r", str(repository), "latest", "--to", url, "--conflict", "update")
            said = bench.snap("narrow undo some", turn, "restore", *words)
            expect(total(said, "update") == count, "narrow undo some", said)
            bench.execute(url)


_CASES: Mapping[str, Callable[[Bench], None]] = {
    "start": _start,
    "narrow": _narrow,
    "half": _half,
    "wide": _wide,
    "wide20": _wide20,
    "export": _export,
    "scale": scale,
    "month": month,
}
"""Each with a database of its own; nights come last in them, for they change rows."""
