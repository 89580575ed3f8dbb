"""A server of the distribution (Debian's 15, with contrib and ICU), run for a test as somebody who is not root.

with running_server() as folder:
    dump(f"host={folder} user=postgres dbname=postgres")
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import normalised

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


def is_installed() -> bool:
    return (PROGRAMS / "postgres").exists()


def somebody() -> dict[str, Any]:
    """Arguments of `subprocess.run` for an account that PostgreSQL lets run it."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@contextmanager
def running_server(settings: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Its folder, which belongs to who runs it and has its socket. With these settings beyond the necessary ones."""
    folder = Path(tempfile.mkdtemp(prefix="snap-15-", dir="/tmp"))
    identity = somebody()
    if identity:
        os.chown(folder, identity["user"], identity["group"])

    def call(*command: object) -> None:
        words = [str(word) for word in command]
        subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **identity)

    options = f"-c listen_addresses= -c fsync=off -k {folder}"
    options += "".join(f" -c {name}={value}" for name, value in (settings or {}).items())
    try:
        call(PROGRAMS / "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        call(PROGRAMS / "pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
        try:
            yield folder
        finally:
            call(PROGRAMS / "pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def dump(url: str, *arguments: str) -> str:
    """The database as this server's own pg_dump writes it."""
    command = [str(PROGRAMS / "pg_dump"), "--dbname", url, *arguments]
    return normalised(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
