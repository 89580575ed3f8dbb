"""Connections: passwords are never shown, and every refusal says what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from snapstore.errors import Conflict, Corrupt, Invalid, SnapstoreError, Unavailable, Unsupported
from snapstore.sources.postgres.connection import connect, redact, translate, translated


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@db:5433/agents", "postgresql://me@db:5433/agents"),
        ("postgres://me@db/agents", "postgresql://me@db/agents"),
        ("postgresql:///agents?host=/run/pg&user=me&password=secret", "postgresql://me@/agents?host=/run/pg"),
        ("postgresql://db/agents?sslpassword=secret&sslmode=require", "postgresql://db/agents?sslmode=require"),
        ("host=db user=me password='se cret' dbname=agents", "postgresql://me@db/agents"),
        ("postgresql://a:1,b:2/agents", "postgresql://a:1,b:2/agents"),
        ("postgresql://me:s%40cret@[::1]:5433/a%2Fb", "postgresql://me@[::1]:5433/a%2Fb"),
        ("postgresql://me:?sec?ret@db/agents", "postgresql://me@db/agents"),
        ("postgresql://m%40e:x@db/agents", "postgresql://m%40e@db/agents"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redact(url) == shown
    assert redact(shown) == shown
    without = {key: value for key, value in conninfo_to_dict(url).items() if "password" not in key}
    assert conninfo_to_dict(shown) == without


SECRET = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}/x@db/agents",
        f"postgresql://me:12/{SECRET}@db/agents",
        f"postgresql://me:{SECRET}:x@db:port/agents",
        f"postgresql://me:{SECRET}%zz@db/agents",
        f"postgresql://db/agents?password={SECRET}&nonsense=1",
        f"postgresql+psycopg://me:{SECRET}@db/agents",
        f"host=db password={SECRET} nonsense=1",
        f"host=db PASSWORD = '{SECRET}",
        f"sslpassword={SECRET} =",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str) -> None:
    assert SECRET not in redact(url)
    with pytest.raises(Invalid) as caught:
        connect(url)
    assert SECRET not in caught.value.message + caught.value.hint
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
    st.sampled_from(["password", "sslpassword"]),
)
def test_no_password_survives_redaction(password: str, key: str) -> None:
    marked = f"<{password}>"
    for url in (
        make_conninfo(host="db", user="me", dbname="agents", **{key: marked}),
        f"postgresql://me@db/agents?{key}={quote(marked, safe='')}",
        f"postgresql://me:{quote(marked, safe='')}@db/agents",
    ):
        assert redact(url) == "postgresql://me@db/agents"


@given(st.text(":/?@#%&=,[] 1a"), st.text(":/?@#%&=,[] 1a"))
def test_no_careless_password_survives_redaction(before: str, after: str) -> None:
    for url in (
        f"postgresql://me:{before}{SECRET}{after}@db/agents",
        f"postgresql://db/agents?user=me&password={before}{SECRET}{after}",
        f"host=db password={before}{SECRET}{after}",
    ):
        assert SECRET not in redact(url), url


def test_a_server_that_is_not_there_is_unavailable(tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = tmp_path_factory.mktemp("nowhere")
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        connect(f"postgresql://me:{SECRET}@/agents?host={nowhere}")
    assert SECRET not in str(caught.value)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="refused"):
            connect(f"postgresql://me@127.0.0.1:{taken.getsockname()[1]}/agents")


def test_a_wrong_database_or_role_is_invalid(database: str) -> None:
    given: dict[str, Any] = conninfo_to_dict(database)
    with pytest.raises(Invalid, match='database "nothing" does not exist') as caught:
        connect(make_conninfo(**{**given, "dbname": "nothing"}))
    assert caught.value.hint
    with pytest.raises(Invalid, match='role "nobody" does not exist'):
        connect(make_conninfo(**{**given, "user": "nobody"}))


def test_a_connection_says_who_it_is_and_speaks_utf8(database: str) -> None:
    with connect(database) as connection:
        assert connection.autocommit
        row = connection.execute(
            "SELECT current_setting('application_name'), current_setting('client_encoding')"
        ).fetchone()
    assert row == ("snapstore", "UTF8")


@contextmanager
def failing(url: str, *statements: str) -> Iterator[None]:
    with connect(url) as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        with translated("the work cannot be done"):
            connection.execute(statements[-1])
        yield


@pytest.mark.parametrize(
    ("statements", "kind"),
    [
        (("SELECT * FROM nothing",), Conflict),
        (("SET statement_timeout = 1", "SELECT pg_sleep(1)"), Unavailable),
        (("SELECT pg_terminate_backend(pg_backend_pid())",), Unavailable),
        (("SET default_transaction_read_only = on", "CREATE TABLE t ()"), Invalid),
        (("SELECT 1 / 0",), Invalid),
        (("SELEC 1",), Invalid),
        (("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (1)"), Conflict),
        (("DO $$ BEGIN RAISE SQLSTATE 'XX001' USING MESSAGE = 'invalid page'; END $$",), Corrupt),
        (("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$",), Conflict),
        (("DO $$ BEGIN RAISE SQLSTATE '53100' USING MESSAGE = 'disk full'; END $$",), Unavailable),
        (("DO $$ BEGIN RAISE SQLSTATE '0A000'; END $$",), Unsupported),
        (("CREATE ROLE powerless", "SET ROLE powerless", "CREATE DATABASE mine"), Invalid),
    ],
)
def test_errors_of_the_server_become_ours(
    database: str, statements: tuple[str, ...], kind: type[SnapstoreError]
) -> None:
    try:
        with pytest.raises(SnapstoreError, match="the work cannot be done: ") as caught, failing(database, *statements):
            pass
        assert type(caught.value) is kind
        assert isinstance(caught.value.__cause__, psycopg.Error)
        assert len(caught.value.message.splitlines()) == 1
    finally:
        with connect(database) as connection:
            connection.execute("DROP ROLE IF EXISTS powerless")


def test_an_error_without_words_still_says_something() -> None:
    assert translate(psycopg.OperationalError(), "work").message == "work: the connection was lost: OperationalError"
