"""A database taken to pieces and built again is the same to pg_dump, and changes set off nothing that they should not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
import pytest

from snapstore.sources import Selection, Work
from snapstore.sources.postgres.target import PostgresTarget, open_target
from snapstore.sources.postgres.view import PostgresView, open_view

ZOO = Path(__file__).with_name("zoo.sql").read_text(encoding="utf-8")

Databases = Callable[..., str]
PgDump = Callable[..., str]


def run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def rebuild(source: str, target: str, selection: Selection = Selection()) -> None:  # noqa: B008  # it is frozen
    """Everything selected in one database made again in another, in bounded batches."""
    with open_view(source, selection, PostgresView) as view, open_target(target, selection) as into:
        works = [Work(table, exists=False, inserts=1) for table in view.tables]
        into.begin(view.definition, works)
        for table in view.tables:
            into.insert(table, view.read(table))
        into.finish()


def test_a_zoo_comes_back_to_the_letter(databases: Databases, pg_dump: PgDump) -> None:
    source, target = databases(), databases()
    run(source, ZOO)
    rebuild(source, target)
    assert pg_dump(target) == pg_dump(source)
