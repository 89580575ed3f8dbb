"""A row that the server does not take is named by its key, however many went with it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Conflict, SnapstoreError
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources.postgres.source import PostgresSource

# The name of the table is what a message must not be misread by; `kind` is held as text.
TABLE = """
    CREATE TYPE mood AS ENUM ('calm', 'tense');
    CREATE TABLE "we 12, line 3" (id int, who text, n int, kind mood, PRIMARY KEY (who, id));
    INSERT INTO "we 12, line 3" SELECT i, 'ann', i, 'calm' FROM generate_series(1, 1500) i;
"""
TEXT = 'ALTER TABLE "we 12, line 3" ADD what regclass;'
LOST = 'DELETE FROM "we 12, line 3";VACUUM "we 12, line 3";'
ROW = r"\(who, id\)=\(ann, 1333\)"


def run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("", LOST + "ALTER TABLE {} ADD CONSTRAINT below CHECK (n <> 1333)", "violates check constraint"),
        (
            "",
            LOST + "ALTER TABLE {} ADD UNIQUE (n); INSERT INTO {} VALUES (0, 'bob', 1333)",
            r"Key \(n\)=\(1333\) already",
        ),
        ("", LOST + "CREATE INDEX ON {} ((1 / (n - 1333)))", "division by zero"),
        ("", "UPDATE {} SET n = 0; ALTER TABLE {} ADD CONSTRAINT below CHECK (n <> 1333)", "violates check constraint"),
        ("", "UPDATE {} SET n = 0; CREATE INDEX ON {} ((1 / (n - 1333)))", "division by zero"),
        (TEXT, LOST + "ALTER TABLE {} ADD CONSTRAINT below CHECK (n <> 1333)", "violates check constraint"),
        (TEXT, LOST + "CREATE INDEX ON {} ((1 / (n - 1333)))", "division by zero"),
        (
            "UPDATE {} SET kind = 'tense' WHERE id = 1333;",
            "UPDATE {} SET kind = 'calm'; ALTER TYPE mood RENAME TO was; CREATE TYPE mood AS ENUM ('calm');"
            "ALTER TABLE {} ALTER kind TYPE mood USING kind::text::mood; DROP TYPE was",
            'invalid input value for enum mood: "tense"',
        ),
    ],
)
def test_the_row_that_failed_is_named(databases: Callable[..., str], before: str, after: str, words: str) -> None:
    url, name = databases(), '"we 12, line 3"'
    run(url, TABLE + before.replace("{}", name))
    repository, source = Repository.init(MemoryBackend()), PostgresSource(url)
    snapshot = take(repository, [Request("db", source)]).snapshot
    for statement in after.split(";"):  # an index is not made of rows that only the same transaction deleted
        run(url, statement.replace("{}", name))
    with pytest.raises(SnapstoreError, match=f"the row {ROW} cannot be (inserted into|updated in) .*{words}"):
        restore(repository, snapshot, source, Ask(Mode.UPDATE))
    assert len(repository.snapshots()) == 1


def test_rows_without_a_key_fail_by_their_content(databases: Callable[..., str]) -> None:
    url = databases()
    run(url, "CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 100)")
    repository, source = Repository.init(MemoryBackend()), PostgresSource(url)
    snapshot = take(repository, [Request("db", source)]).snapshot
    run(url, "DELETE FROM t; ALTER TABLE t ADD CHECK (n <> 33)")
    with pytest.raises(Conflict, match=r"rows cannot be inserted into public\.t: .*Failing row contains \(33\)"):
        restore(repository, snapshot, source, Ask())
