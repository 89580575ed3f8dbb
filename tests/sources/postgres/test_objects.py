"""Objects that are no tables come back to the letter: pg_dump before and after is the same text."""

# ruff: noqa: SIM117  # what must fail is the opening
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from snap_cli.embedded import EmbeddedServer
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Unsupported
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources import Selection, Work
from snapstore.sources.postgres.source import PostgresSource
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


def as_role(url: str, role: str) -> str:
    """The same database for another role."""
    return psycopg.conninfo.make_conninfo(url, user=role)


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
        run(one.url(), 'CREATE ROLE "a reader"; CREATE ROLE "App Owner" LOGIN')
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


FIRED = """
    CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1);
    CREATE TABLE ddl (tag text PRIMARY KEY);
    CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $f$
    BEGIN INSERT INTO public.ddl VALUES (tg_tag) ON CONFLICT DO NOTHING; END $f$;
    CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER row AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION ignore();
    CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION on_ddl();
    CREATE EVENT TRIGGER always ON sql_drop EXECUTE FUNCTION on_ddl();
    ALTER EVENT TRIGGER always ENABLE ALWAYS;
"""


def test_event_triggers_do_not_fire_and_are_as_they_were(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(url, FIRED)
    before = pg_dump(url)
    with open_target(url, Selection()) as target:
        [_, t] = target.tables
        assert t.name == "public.t"
        rows = list(target.read(t))
        target.begin(target.definition, [Work(t, exists=True, inserts=1, deletes=1)])
        assert target.delete(t, [rows[0].keys]) == 1
        assert target.insert(t, rows) == 1
        target.finish()
        assert list(target.notes) == []
    assert pg_dump(url) == before
    run(url, "CREATE TABLE watched (id int)")
    assert ask(url, "SELECT tag FROM ddl") == [("CREATE TABLE",)]


def test_an_event_trigger_that_the_role_may_not_disable_fires_and_is_told(
    databases: Databases, pg_dump: PgDump
) -> None:
    url = databases()
    run(url, FIRED + 'ALTER TABLE t OWNER TO "App Owner"; GRANT ALL ON ddl TO "App Owner"; DROP EVENT TRIGGER always')
    with open_target(as_role(url, "App Owner"), Selection(tables=("t",))) as target:
        [t] = target.tables
        rows = list(target.read(t))
        target.begin(target.definition, [Work(t, exists=True, inserts=1, deletes=1)])
        target.delete(t, [rows[0].keys])
        target.insert(t, rows)
        target.finish()
        assert list(target.notes) == ["the event trigger watcher fires: this role may not disable it"]
    assert ("ALTER TABLE",) in ask(url, "SELECT tag FROM ddl")


def test_default_privileges_of_the_target_give_nobody_what_he_did_not_have(databases: Databases) -> None:
    source, target = databases(), databases()
    run(source, 'CREATE TABLE t (id serial PRIMARY KEY); GRANT UPDATE ON t TO "a reader"')
    run(
        target,
        'CREATE TABLE other (id int PRIMARY KEY); ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "a reader";'
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC",
    )
    assert rebuild(source, target) == ["what was made belongs to postgres"]
    others = """
        SELECT c.relname::text, x.grantee::regrole::text, x.privilege_type FROM pg_class c, aclexplode(c.relacl) x
        WHERE c.relname IN ('t', 't_id_seq') AND x.grantee <> c.relowner"""
    assert ask(target, others) == [("t", '"a reader"', "UPDATE")]


def test_a_cycle_is_named_when_it_is_taken(databases: Databases) -> None:
    url = databases()
    run(
        url,
        """
        CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT id FROM t;
        CREATE FUNCTION f() RETURNS SETOF v LANGUAGE sql STABLE BEGIN ATOMIC SELECT id FROM t; END;
        CREATE OR REPLACE VIEW v AS SELECT id FROM t UNION SELECT id FROM f();
        """,
    )
    with pytest.raises(Unsupported, match=r"view public\.v: it and function public\.f\(\) need each other"):
        with open_view(url, Selection(), PostgresView):
            pass
    with open_view(url, Selection(partial=True), PostgresView) as view:
        assert [table.name for table in view.tables] == ["public.t"]


def test_a_snapshot_of_every_object_is_restored_from_nothing(databases: Databases, pg_dump: PgDump) -> None:
    source, target = databases(), databases()
    run(source, OBJECTS)
    repository = Repository.init(MemoryBackend())
    taken = take(repository, [Request("zoo", PostgresSource(source))])
    assert taken.is_complete
    restored = restore(repository, taken.snapshot, PostgresSource(target), Ask())
    assert restored.notes == ("what was made belongs to postgres",)
    assert lines(pg_dump(target)) == lines(pg_dump(source))
    bare = databases()
    restore(repository, taken.snapshot, PostgresSource(bare), Ask(privileges=False))
    assert lines(pg_dump(bare, "--no-privileges")) == lines(pg_dump(source, "--no-privileges"))
    assert not [line for line in pg_dump(bare).splitlines() if '"a reader"' in line and "ON SCHEMA" not in line]
