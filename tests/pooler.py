"""A PgBouncer of a test's own in transaction mode: two sessions, dealt out by transaction, in front of one database.

with pooled(server, url, log) as folder:
    psycopg.connect(f"postgresql://postgres@/{database}?host={folder}&port={port}")
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from snap_cli.embedded import EmbeddedServer

__all__ = ["pooled"]


@contextmanager
def pooled(server: EmbeddedServer, url: str, log: Path, *, address: str = "", **settings: str) -> Iterator[str]:
    """The URL of the same database through a pooler on a socket, and on this address too; for everybody, unless the
    settings say otherwise.
    """
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed (apt-get install pgbouncer)")
    folder = server.folder / "pooler"  # an account that is not root must reach it, and so must the socket's length
    folder.mkdir(exist_ok=True)
    database = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    port = _free_port()
    given = {
        "unix_socket_dir": str(folder), "listen_port": str(port), "listen_addr": address, "auth_type": "any",
        "pool_mode": "transaction", "default_pool_size": "2", "server_round_robin": "1", "server_reset_query": "",
        **settings,
    }  # fmt: skip
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{database} = host={server.folder} port=5432 dbname={database} user=postgres\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in given.items())
    )
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        os.chown(folder, account.pw_uid, account.pw_gid)
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with log.open("w") as out:
        running = subprocess.Popen([program, "pgbouncer.ini"], cwd=folder, stderr=out, stdout=out, **identity)
    try:
        _until_it_listens(folder / f".s.PGSQL.{port}", running, log)
        yield f"postgresql://postgres@/{database}?host={folder}&port={port}"
    finally:
        running.terminate()
        running.wait(timeout=20)
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _until_it_listens(path: Path, running: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(400):
        assert running.poll() is None, log.read_text()
        with socket.socket(socket.AF_UNIX) as tried:
            if tried.connect_ex(str(path)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())
