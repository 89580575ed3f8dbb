"""PostgreSQL's own regression database: everything its tests leave behind is restored, or named.

Run where POSTGRES_SOURCE names an unpacked source of version 15, with a compiler and the headers of the server:

    apt-get install postgresql-15 postgresql-server-dev-15 && apt-get source postgresql-15
    POSTGRES_SOURCE=postgresql-15.18 pytest tests/sources/postgres/test_regression.py

It runs the SQL of src/test/regress in the order of its schedule, one file after the other. What the files print is not
compared: the database that they leave is all that is wanted of them.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository, Snapshot
from snapstore.sources.postgres.source import PostgresSource
from tests.sources.postgres.distribution import PROGRAMS, dump, is_installed, running_server, somebody

SOURCE = os.environ.get("POSTGRES_SOURCE", "")
HEADERS = Path("/usr/include/postgresql/15/server")

# As pg_regress sets them for the database and for psql.
DATABASE = """
ALTER DATABASE regression SET lc_messages TO 'C'; ALTER DATABASE regression SET lc_monetary TO 'C';
ALTER DATABASE regression SET lc_numeric TO 'C'; ALTER DATABASE regression SET lc_time TO 'C';
ALTER DATABASE regression SET bytea_output TO 'hex'; ALTER DATABASE regression SET timezone_abbreviations TO 'Default'
"""
ENVIRONMENT = {
    "PGTZ": "PST8PDT",
    "PGDATESTYLE": "Postgres, MDY",
    "PGOPTIONS": "-c intervalstyle=postgres_verbose",
    "PGUSER": "postgres",
    "PGDATABASE": "regression",
    "PG_DLSUFFIX": ".so",
}


@pytest.fixture(scope="module")
def regression() -> Iterator[str]:
    """The URL of a server with the regression database, without a database's name."""
    regress = Path(SOURCE).resolve() / "src/test/regress"
    if not SOURCE or not (regress / "sql").is_dir():
        pytest.skip("POSTGRES_SOURCE does not name an unpacked source of PostgreSQL 15")
    if not is_installed() or not HEADERS.is_dir():
        pytest.skip("PostgreSQL 15 and its headers are wanted (postgresql-15, postgresql-server-dev-15)")
    with running_server({"max_prepared_transactions": "2"}) as folder:
        for name in ("lib", "testtablespace"):
            subprocess.run(["mkdir", name], check=True, cwd=folder, **somebody())
        library = folder / "lib/regress.so"
        compiler = ["cc", "-O1", "-fPIC", "-shared", f"-I{HEADERS}", str(regress / "regress.c"), "-o", str(library)]
        subprocess.run(compiler, check=True)
        for name in ("autoinc", "refint"):
            (folder / f"lib/{name}.so").symlink_to(PROGRAMS.parent / f"lib/{name}.so")
        url = f"host={folder} user=postgres"
        create = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        with psycopg.connect(f"{url} dbname=postgres", autocommit=True) as connection:
            for name in ("regression", "again"):
                connection.execute(f"CREATE DATABASE {name} {create}".encode())
            for statement in DATABASE.split(";"):
                connection.execute(statement.encode())
        places = {"PG_ABS_SRCDIR": regress, "PG_ABS_BUILDDIR": folder, "PG_LIBDIR": folder / "lib", "PGHOST": folder}
        environment = {**os.environ, **ENVIRONMENT, **{name: str(place) for name, place in places.items()}}
        psql = [str(PROGRAMS / "psql"), "-X", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]
        schedule = (regress / "parallel_schedule").read_text(encoding="utf-8")
        for name in re.findall(r"(?m)^(?:test|ignore): (.*)$", schedule):
            for one in name.split():
                command = [*psql, "-f", f"sql/{one}.sql"]
                subprocess.run(command, check=False, cwd=regress, env=environment, capture_output=True, **somebody())
        yield url


def entries(text: str) -> Counter[str]:
    """What a dump consists of."""
    return Counter(
        re.split(r"\n(?=--\n-- (?:Name|Data for Name): )", text.partition("-- PostgreSQL database dump comp")[0])
    )


def test_the_regression_database_comes_back_or_is_named(regression: str) -> None:
    repository = Repository.init(MemoryBackend())
    there, again = (f"{regression} dbname={name}" for name in ("regression", "again"))
    snapshot = take(repository, [Request("regression", PostgresSource(there))]).snapshot
    assert len(snapshot.sources[0].tables) > 600
    restore(repository, snapshot, PostgresSource(again), Ask())
    # Owners are not held, and that is said. One table's owner took from himself what its new owner lacks then.
    before, after = (entries(dump(url, "--no-owner")) for url in (there, again))
    differing = [*(before - after).elements(), *(after - before).elements()]
    assert len(differing) < 40
    unnamed = [one for one in differing if "Name: TABLE datdba_only; Type: ACL;" not in one]
    unnamed = [one for one in unnamed if not is_named(one, snapshot)]
    assert unnamed == []
    roots = {table.name: table.root for table in snapshot.sources[0].tables}
    anew = take(repository, [Request("again", PostgresSource(again))]).snapshot
    assert {table.name: table.root for table in anew.sources[0].tables} == roots


def is_named(entry: str, snapshot: Snapshot) -> bool:
    """Whether what an entry of a dump is about is among the things that were said not to be held as they were."""
    found = re.search(r"^-- (?:Data for )?Name: (?:TABLE )?([^\s;]+)", entry, re.MULTILINE)
    assert found is not None, entry[:200]
    return any(re.search(rf"\b{re.escape(found[1])}\b", line) for line in snapshot.sources[0].missing)
