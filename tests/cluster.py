"""A PostgreSQL server that a test stops, crashes, copies, winds forward and promotes.

    with Cluster(server.programs) as cluster:
        cluster.stop()
        cluster.run("pg_resetwal", "-o", "20000", "data")
        cluster.start()

`snap_cli.embedded` has the one that merely runs. Nothing listens on the network; the folder goes with the block.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DEBIAN = Path("/usr/lib/postgresql/15/bin")

_SETTINGS = {"fsync": "off", "autovacuum": "off", "max_prepared_transactions": "4", "wal_level": "replica"}


class Cluster:
    """Made and started on entry: empty, from files of another one as they are (`data`), or as its standby."""

    def __init__(
        self,
        programs: Path,
        *,
        settings: Mapping[str, str] | None = None,
        data: Path | None = None,
        standby_of: Cluster | None = None,
    ) -> None:
        self._programs = programs
        self._settings = {**_SETTINGS, **(settings or {})}
        self._identity: dict[str, Any] = {}
        self._given = data
        self._primary = standby_of
        self._is_up = False
        self.folder = Path(tempfile.mkdtemp(prefix="snap-cl-", dir="/tmp"))
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            self._identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)

    def __enter__(self) -> Self:
        try:
            if self._primary is not None:
                place = ("-h", str(self._primary.folder), "-p", "5432", "-U", "postgres")
                self.run("pg_basebackup", *place, "-D", "data", "-R", "-X", "stream", "-c", "fast", "-N")
            elif self._given is None:
                self.run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
            else:
                self.call("cp", "-a", str(self._given), "data")
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder)

    @property
    def data(self) -> Path:
        """The files."""
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        """Of one database, on the socket."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port=5432"

    def start(self) -> None:
        """And wait until it answers."""
        settings = {"listen_addresses": "''", "unix_socket_directories": str(self.folder), **self._settings}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self.run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
        self._is_up = True

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is a crash."""
        if self._is_up:
            self.run("pg_ctl", "-D", "data", "-w", "-m", mode, "stop")
            self._is_up = False

    def run(self, program: str, *words: str) -> None:
        """One of PostgreSQL's own, in the folder."""
        self.call(str(self._programs / program), *words)

    def call(self, *command: str) -> None:
        """Any program, as the account that owns the files."""
        done = subprocess.run(
            command, check=False, cwd=self.folder, capture_output=True, text=True, env=_ENVIRONMENT, **self._identity
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self._log()}"

    def _log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""


_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
