"""Objects that are no tables come back to the letter: pg_dump before and after is the same text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from snap_cli.embedded import EmbeddedServer
from snapstore.sources import Selection, Work
from snapstore.sources.postgres.target import open_target
from snapstore.sources.postgres.view import PostgresView, open_view

OBJECTS = Path(__file__).with_name("objects.sql").read_text(encoding="utf-8")

Databases = Callable[..., str]
PgDump = Callable[..., str]


def run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def rebuild(source: str, target: str, selection: Selection = Selection()) -> list[str]:  # noqa: B008  # it is frozen
    """Everything selected in one database made again in another; what the target has to say."""
    with open_view(source, selection, PostgresView) as view, open_target(target, selection) as into:
        into.begin(view.definition, [Work(table, exists=False, inserts=1) for table in view.tables])
        for table in view.tables:
            into.insert(table, view.read(table))
        into.finish()
        return list(into.notes)


def lines(dump: str) -> list[str]:
    """The order of a list of privileges is that of the grants, which is history."""
    return sorted(dump.splitlines())


@pytest.fixture(scope="module", autouse=True)
def roles(server: EmbeddedServer, server16: EmbeddedServer) -> Iterator[None]:
    """The roles that the statements speak of."""
    for one in (server, server16):
        run(one.url(), 'CREATE ROLE "a reader"; CREATE ROLE "App Owner"')
    yield
    for one in (server, server16):
        run(one.url(), 'DROP ROLE "a reader"; DROP ROLE "App Owner"')


def test_every_object_comes_back_to_the_letter(databases: Databases, pg_dump: PgDump) -> None:
    source, target = databases(), databases()
    run(source, OBJECTS)
    rebuild(source, target)
    assert lines(pg_dump(target)) == lines(pg_dump(source))


def test_every_object_comes_back_on_an_older_server(databases16: Databases, pg_dump: PgDump) -> None:
    source, target = databases16(), databases16()
    run(source, OBJECTS)
    rebuild(source, target)
    assert lines(pg_dump(target)) == lines(pg_dump(source))
