"""What every test may ask for: a real PostgreSQL, fresh databases on it, dumps to compare, and real memories.

    def test_restore_brings_rows_back(database: str, pg_dump: Callable[..., str]) -> None: ...

`server` is one throwaway server per test process. `database` is the URL of an empty database of this test alone;
`databases()` makes as many as are wanted, `databases(vector=True)` with pgvector in them; `databases16` on version 16.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from snap_cli.embedded import EmbeddedServer
from snap_cli.sample import Sample, load

# Bounded: the same examples on every machine, so that a change is never blamed for another's bug. The soak looks for
# new ones.
settings.register_profile(
    "bounded", max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "soak", max_examples=5000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("bounded")

# Who runs the tests in the background may have Ctrl-C ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# libpq and the command line read these; a test must not depend on the shell it was started from.
for _name in [
    name for name in os.environ if name.startswith(("PG", "SNAP_", "QDRANT_")) or name in ("NO_COLOR", "FORCE_COLOR")
]:
    del os.environ[_name]

# Servers, databases and repositories of tests need not outlive them: where memory is plenty and programs may be run
# there, the disk has nothing to do with them. TMPDIR=/var/tmp chooses otherwise.
_MEMORY = Path("/dev/shm")
_PLENTY_BYTES = 8 << 30
if (
    sys.platform == "linux"  # under Wine the folder is there as well
    and "TMPDIR" not in os.environ
    and os.access(_MEMORY, os.W_OK)
    and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
    and shutil.disk_usage(_MEMORY).free > _PLENTY_BYTES
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and listed here stays: looking for cycles in it again and again took a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# Whole sessions and stories of ten seconds and more. Begun last they would leave the other processes idle.
_LONG = ("test_docs.py", "test_benchmarks.py", "test_demo.py", "test_story.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first."""
    items.sort(key=lambda item: item.path.name not in _LONG)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """PostgreSQL 18 with pgvector, stopped with this test process however that ends."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture(scope="session")
def server16() -> Iterator[EmbeddedServer]:
    """PostgreSQL 16 with pgvector, for what older servers lack."""
    with EmbeddedServer(version=16) as running:
        yield running


@pytest.fixture
def databases(server: EmbeddedServer) -> Iterator[Callable[..., str]]:
    """Call it for the URL of a new empty database, with `vector=True` for one that has the extension."""
    yield from _databases(server)


@pytest.fixture
def databases16(server16: EmbeddedServer) -> Iterator[Callable[..., str]]:
    """As `databases`, on PostgreSQL 16."""
    yield from _databases(server16)


@pytest.fixture
def database(databases: Callable[..., str]) -> str:
    """The URL of a new empty database."""
    return databases()


@pytest.fixture(scope="session")
def pg_dump(server: EmbeddedServer) -> Callable[..., str]:
    """Call it with a URL and arguments of pg_dump: the database as text, equal for equal databases."""

    def dump(url: str, *arguments: str) -> str:
        command = [str(server.programs / "pg_dump"), "--dbname", url, *arguments]
        done = subprocess.run(command, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return normalised(done.stdout.decode())

    return dump


@pytest.fixture(scope="session")
def memory_rows() -> Sample:
    """2,400 real memories with their embeddings and relationships."""
    return load()


def normalised(dump: str) -> str:
    """A dump without what differs between dumps of one database: `\\restrict` tokens, and the order of rows."""
    lines: list[str] = []
    rows: list[str] | None = None
    for line in dump.removesuffix("\n").split("\n"):  # names may have any other line end in them
        if rows is not None and line != "\\.":
            rows.append(line)
        elif rows is not None:
            lines += [*sorted(rows), line]
            rows = None
        elif not line.startswith(("\\restrict ", "\\unrestrict ")):
            lines.append(line)
            if line.startswith("COPY ") and line.endswith(" FROM stdin;"):
                rows = []
    assert rows is None, "the dump ends inside a table"
    return "\n".join(lines) + "\n"


_numbers = count()


def _databases(running: EmbeddedServer) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def make(*, vector: bool = False) -> str:
        name = f"test{next(_numbers)}"
        url = running.create_database(name)
        made.append(name)
        if vector:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION vector")
        return url

    yield make
    for name in made:
        running.drop_database(name)
