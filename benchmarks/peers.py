"""What people use today to keep a database as it was, night after night: each keeps all nights, in a folder of its own.

    keeper = begin("restic", server.programs, folder, url, environment)
    run(*keeper.night(0), environment=environment)
    keeper.stored_bytes()

Who is not installed is not there, and is named by `absent`. Settings are kind to the peer: borg compresses with zstd
where its default is lz4, and of a physical backup only the files of the measured database count, without any WAL. This
module runs nothing that is measured; it says what to run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.process import run

__all__ = ["PEERS", "Keeper", "absent", "begin", "peer_environment", "peer_versions", "size_of"]

Command = list[str]


@dataclass(frozen=True, slots=True)
class Keeper:
    """One peer with a place to keep nights in: the commands of a night (a pipe), and what is stored by now."""

    name: str
    night: Callable[[int], Sequence[Command]]
    stored_bytes: Callable[[], int]


def begin(name: str, programs: Path, folder: Path, url: str, environment: Mapping[str, str]) -> Keeper:
    """Make ready what this peer needs before its first night."""
    folder.mkdir(parents=True)
    return PEERS[name](programs, folder, url, environment)


def absent() -> list[str]:
    """Peers that are not installed here."""
    return [name for name in ("restic", "borg") if shutil.which(name) is None]


def peer_versions() -> dict[str, str]:
    """Of those that are not PostgreSQL's own."""
    found = {}
    for name, words in (("restic", ["restic", "version"]), ("borg", ["borg", "--version"])):
        if name not in absent():
            found[name] = run(words).output.split()[1]
    return found


def peer_environment(folder: Path) -> Mapping[str, str]:
    """What restic and borg need to ask nobody, and to leave nothing in anybody's home."""
    return {
        "RESTIC_PASSWORD": "benchmark",
        "RESTIC_CACHE_DIR": str(folder / "restic-cache"),
        "BORG_BASE_DIR": str(folder / "borg-base"),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }


def size_of(folder: Path) -> int:
    """Bytes of every file below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _restic(programs: Path, folder: Path, url: str, environment: Mapping[str, str]) -> Keeper:
    run(["restic", "-q", "-r", str(folder / "repository"), "init"], environment=environment)
    backup = ["restic", "-q", "-r", str(folder / "repository"), "backup", "--stdin", "--stdin-filename", "memory.sql"]
    return Keeper("restic", lambda _: [_dump(programs, url), backup], lambda: size_of(folder / "repository"))


def _borg(programs: Path, folder: Path, url: str, environment: Mapping[str, str]) -> Keeper:
    repository = folder / "repository"
    run(["borg", "init", "--encryption", "none", str(repository)], environment=environment)

    def night(turn: int) -> Sequence[Command]:
        return [
            _dump(programs, url),
            ["borg", "create", "--compression", "zstd,3", f"{repository}::night{turn}", "-"],
        ]

    return Keeper("borg", night, lambda: size_of(repository))


def _custom(programs: Path, folder: Path, url: str, _environment: Mapping[str, str]) -> Keeper:
    def night(turn: int) -> Sequence[Command]:
        return [[str(programs / "pg_dump"), "-Fc", "-f", str(folder / f"night{turn}.dump"), "-d", url]]

    return Keeper("pg_dump -Fc", night, lambda: size_of(folder))


def _physical(programs: Path, folder: Path, url: str, _environment: Mapping[str, str]) -> Keeper:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET summarize_wal = on")
        connection.execute("SELECT pg_reload_conf()")
        row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    assert row is not None
    database = f"base/{row[0]}"

    def night(turn: int) -> Sequence[Command]:
        since = ["--incremental", str(folder / f"night{turn - 1}" / "backup_manifest")] if turn else []
        whole = [str(programs / "pg_basebackup"), "-d", url, "-D", str(folder / f"night{turn}"), "--checkpoint", "fast"]
        return [[*whole, *since]]

    sizes: dict[str, int] = {}

    def stored_bytes() -> int:
        """What was written so far. The next night needs the manifest alone: the thousand files beside it go."""
        for one in folder.glob("night*"):
            if one.name not in sizes:
                sizes[one.name] = size_of(one / database)
                for path in one.iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
        return sum(sizes.values())

    return Keeper("pg_basebackup", night, stored_bytes)


def _dump(programs: Path, url: str) -> Command:
    return [str(programs / "pg_dump"), "-d", url]


PEERS: Mapping[str, Callable[[Path, Path, str, Mapping[str, str]], Keeper]] = {
    "restic": _restic,
    "borg": _borg,
    "pg_dump -Fc": _custom,
    "pg_basebackup": _physical,
}
"""In the order they are run and shown."""
