"""Every way in which people tell libpq where a database is works on the command line; TLS holds what it promises."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from snap_cli.embedded import EmbeddedServer
from tests.cli.command import Snap, rows, run
from tests.pooler import pooled

NAME = "memory.test"
SECRET = "hunter2 and more"


def taken(snap: Snap) -> list[int]:
    """How many rows each source of the last snapshot has."""
    shown = snap.json("show", "latest")
    return [sum(table["rows"] for table in source["tables"]) for source in shown["sources"]]


def test_a_source_is_found_by_the_variables_of_libpq(snap: Snap, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = psycopg.conninfo.conninfo_to_dict(url)
    for name, key in (("PGHOST", "host"), ("PGPORT", "port"), ("PGUSER", "user"), ("PGDATABASE", "dbname")):
        monkeypatch.setenv(name, str(given[key]))
    snap("take", "postgresql://")
    assert taken(snap) == [102]
    run(url, "DELETE FROM memories WHERE id = 5")
    # What was recorded names no place, so it is found in the same way.
    snap("restore", "latest")
    assert rows(url, "SELECT count(*) FROM memories") == [(100,)]


def test_a_source_is_found_by_a_service_file_and_by_keys_and_values(
    snap: Snap, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = psycopg.conninfo.conninfo_to_dict(url)
    lines = "\n".join(f"{key}={value}" for key, value in given.items())
    (snap.folder / "services.conf").write_text(f"[memory]\n{lines}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(snap.folder / "services.conf"))
    snap("take", "service=memory")
    snap("take", "postgresql://?service=memory")
    snap("take", " ".join(f"{key}={value}" for key, value in given.items()), "--name", "memory")
    listed = snap.json("list")
    assert {source["name"] for one in listed for source in one["sources"]} == {"memory"}
    run(url, "DELETE FROM memories WHERE id = 5")
    snap("restore", "latest~1")
    assert rows(url, "SELECT count(*) FROM memories") == [(100,)]
    assert "PGSERVICEFILE" in snap.error("take", "service=nothing", code=2)["hint"]


@pytest.fixture
def secured(databases: Callable[..., str], server: EmbeddedServer, tmp_path: Path) -> Iterator[tuple[str, str, Path]]:
    """A database that lets people in by TLS and password alone: its name, where it listens, the authority's folder.

    The embedded server is built without TLS; what stands in front of it does that here.
    """
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make certificates")
    url = databases()
    run(url, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    with tempfile.TemporaryDirectory(prefix="snap-tls-") as name:
        folder = Path(name)
        for one in ("ours", "another"):
            _openssl(folder, f"req -x509 -nodes -days 2 -subj /CN={one} -keyout {one}.key -out {one}.crt")
        _openssl(folder, f"req -nodes -subj /CN={NAME} -keyout server.key -out server.csr")
        _openssl(
            folder, "x509 -req -days 2 -in server.csr -CA ours.crt -CAkey ours.key -CAcreateserial -out server.crt"
        )
        (folder / "users").write_text(f'"agent" "{SECRET}"\n')
        folder.chmod(0o755)
        for private in ("server.key", "users"):
            (folder / private).chmod(0o644)  # what stands in front may run as somebody else
        files = {"client_tls_cert_file": "server.crt", "client_tls_key_file": "server.key", "auth_file": "users"}
        settings = {key: str(folder / file) for key, file in files.items()}
        settings |= {"client_tls_sslmode": "require", "auth_type": "scram-sha-256"}
        with pooled(server, url, tmp_path / "log", address="127.0.0.1", **settings) as through:
            given = psycopg.conninfo.conninfo_to_dict(through)
            yield str(given["dbname"]), f"hostaddr=127.0.0.1&port={given['port']}", folder


def _openssl(folder: Path, words: str) -> None:
    kind, *rest = words.split()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "req" else []
    subprocess.run(["openssl", kind, *key, *rest], cwd=folder, check=True, capture_output=True)


def test_the_server_is_who_it_says_or_nothing_is_sent(
    snap: Snap, secured: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, place, folder = secured
    passwords = snap.folder / "pgpass"
    passwords.write_text(f"*:*:*:agent:{SECRET}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))

    def source(*, host: str = NAME, mode: str = "verify-full", root: str = "ours.crt") -> str:
        return f"postgresql://agent@{host}/{database}?{place}&sslmode={mode}&sslrootcert={folder / root}"

    snap("take", source())
    assert taken(snap) == [2]
    assert snap.json("status")["tables"], "what was recorded leads there too"
    for url, words in (
        (source(root="another.crt"), "certificate verify failed"),
        (source(host="other.test"), f'server certificate for "{NAME}" does not match host name "other.test"'),
        (source(root="nowhere.crt"), "root certificate file"),
        (source(mode="disable"), "SSL required"),
    ):
        error = snap.error("take", url, code=2)
        assert words in error["message"]
        assert error["hint"]
    passwords.write_text(f"*:*:*:agent:not {SECRET}\n")
    error = snap.error("take", source(), code=2)
    assert "authentication failed" in error["message"]
    assert SECRET not in str(error)
    assert len(snap.json("list")) == 1
