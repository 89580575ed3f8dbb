"""The catalogue says all there is, the same on every machine, and refuses by name what it cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import psycopg
import pytest

from snapstore.errors import Invalid, Unsupported
from snapstore.sources import Selection
from snapstore.sources.postgres.catalog import Catalog, read_catalog
from snapstore.sources.postgres.connection import connect
from snapstore.sources.postgres.querying import all_at_once, rows_of

ZOO = Path(__file__).with_name("zoo.sql").read_text(encoding="utf-8")

Databases = Callable[..., str]


def run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def catalogue(url: str, **selection: Any) -> Catalog:
    with connect(url) as connection:
        return read_catalog(connection, Selection(**selection))


def names(catalog: Catalog) -> list[str]:
    return [table.name for table in catalog.tables]


def test_names_are_taken_as_they_are(databases: Databases) -> None:
    url = databases()
    run(url, ZOO)
    run(
        url,
        'CREATE SCHEMA "a.b"; CREATE TABLE "a.b".c (id int PRIMARY KEY);'
        'CREATE SCHEMA a; CREATE TABLE a."b.c" (id int PRIMARY KEY)',
    )
    found = names(catalogue(url))
    assert len(set(found)) == len(found)
    for name in ("public.memories", 'Odd Schema."Order ""66"".x-y"', "Odd Schema.by_default", '"a.b".c', 'a."b.c"'):
        assert name in found


def test_definitions_are_plain_and_have_no_oids(databases: Databases) -> None:
    first, second = databases(), databases()
    run(first, ZOO)
    run(second, "CREATE TABLE gone (id int); CREATE TYPE gone_too AS ENUM ('x'); DROP TABLE gone; DROP TYPE gone_too")
    run(second, ZOO)
    one, other = catalogue(first), catalogue(second)
    assert one == other
    assert msgpack.unpackb(msgpack.packb(one.definition)) == one.definition
    for table in one.tables:
        assert msgpack.unpackb(msgpack.packb(dict(table.definition))) == table.definition


def test_a_definition_does_not_depend_on_how_the_table_came_about(databases: Databases) -> None:
    first, second = databases(vector=True), databases(vector=True)
    run(first, "CREATE TABLE t (id int PRIMARY KEY, note text NOT NULL DEFAULT 'x', v vector(3))")
    run(
        second,
        """
        CREATE TABLE old (a int, note varchar, b int, CONSTRAINT t_pkey PRIMARY KEY (a));
        ALTER TABLE old DROP COLUMN b;
        ALTER TABLE old ALTER COLUMN note TYPE text, ALTER COLUMN note SET DEFAULT 'x';
        ALTER TABLE old ADD COLUMN v vector(3);
        ALTER TABLE old RENAME COLUMN a TO id;
        ALTER TABLE old RENAME TO t;
        ALTER TABLE t RENAME CONSTRAINT old_a_not_null TO t_id_not_null;
        ALTER TABLE t ALTER COLUMN note SET NOT NULL;
        """,
    )
    assert catalogue(first).tables == catalogue(second).tables


def test_two_servers_of_different_age_give_one_catalogue(databases: Databases, databases16: Databases) -> None:
    new, old = databases(vector=True), databases16(vector=True)
    statements = """
        CREATE TYPE mood AS ENUM ('a', 'b');
        CREATE DOMAIN must AS text NOT NULL CHECK (VALUE <> '');
        CREATE TABLE parent (id bigserial PRIMARY KEY, m mood DEFAULT 'a', "limit" must);
        CREATE TABLE child (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
          parent bigint NOT NULL REFERENCES parent ON DELETE CASCADE,
          v vector(3), h halfvec(3), length int GENERATED ALWAYS AS (id * 2) STORED, CHECK (id > 0));
        CREATE INDEX ON child USING hnsw (v vector_l2_ops) WITH (m = 8);
        CREATE INDEX ON child USING ivfflat (v vector_cosine_ops);
        CREATE INDEX ON parent (lower("limit")) WHERE id > 5;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER f BEFORE UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION f();
    """
    run(new, statements)
    run(old, statements)
    assert catalogue(new) == catalogue(old)


def test_generated_columns_and_lossless_keys_are_not_stored_twice(databases: Databases) -> None:
    url = databases()
    run(url, ZOO)
    tables = {table.name: table for table in catalogue(url).tables}
    memories = tables["public.memories"]
    stored = [column.name for column in memories.columns]
    assert not {"id", "shouted", "doubled", "search"}.intersection(stored)
    assert stored[0] == "content"
    assert stored[-1] == "late"
    assert [part.name for part in tables["public.loose"].key] == ["at", "block"]
    # A float in the key does not say which zero it was, so its column is stored too.
    assert [column.name for column in tables["letta.floats"].columns] == ["f", "g"]


def test_referenced_tables_come_first(databases: Databases) -> None:
    url = databases()
    run(
        url,
        """
        CREATE TABLE z (id int PRIMARY KEY);
        CREATE TABLE a (id int PRIMARY KEY, z int REFERENCES z);
        CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, self int REFERENCES b);
        """,
    )
    assert names(catalogue(url)) == ["public.z", "public.a", "public.b"]


def test_a_pattern_that_fits_nothing_is_invalid_and_named(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    for selection in ({"tables": ("t", "memorys")}, {"exclude": ("memorys",)}):
        with pytest.raises(Invalid, match="memorys"):
            catalogue(url, **selection)
    with pytest.raises(Invalid, match=r"public\.t\.nothing"):
        catalogue(url, exclude_columns=("public.t.nothing",))
    with pytest.raises(Invalid, match=r"public\.t\.id.*part of the key"):
        catalogue(url, exclude_columns=("public.t.id",))
    with pytest.raises(Invalid, match=r"public\.u"):
        catalogue(url, where={"public.u": "true"})


def test_a_pattern_brings_what_its_tables_need_and_nothing_else(databases: Databases) -> None:
    url = databases()
    run(url, ZOO)
    found = catalogue(url, tables=("public.memories",))
    assert names(found) == ["public.memories"]
    objects = set(found.definition["objects"])
    assert {"extension vector", "type public.mood", "type public.embedding", "type public.score",
            "sequence public.ticket",
            "function public.shout(words text)", "function public.touch()", "schema letta"} <= objects  # fmt: skip
    assert not {"view public.happy", "sequence public.down", "type public.pair"} & objects


def test_columns_and_vectors_can_be_left_out(databases: Databases) -> None:
    url = databases()
    run(url, ZOO)
    [table] = catalogue(url, tables=("memories",), exclude_columns=("public.memories.big",), vectors=False).tables
    stored = [column.name for column in table.columns]
    assert not {"big", "embedding", "small", "sparse", "any_size", "dom"} & set(stored)
    assert len(table.definition["columns"]) == 21
    assert table.definition["left_out"] == ["embedding", "small", "sparse", "any_size", "dom", "big"]


UNHELD = """
    CREATE TYPE shared AS (f regproc);
    CREATE TABLE odd (id int PRIMARY KEY, s shared);
    CREATE TABLE good (id int PRIMARY KEY);
    CREATE VIEW of_unheld AS SELECT * FROM odd;
"""

REFUSED = ["table public.odd", "view public.of_unheld"]


def test_what_is_not_held_is_refused_by_name(databases: Databases) -> None:
    url = databases()
    run(url, UNHELD)
    with pytest.raises(Unsupported) as caught:
        catalogue(url)
    told = [line.strip().partition(": ")[0] for line in caught.value.message.splitlines()[1:]]
    assert sorted(told) == sorted(REFUSED)
    assert "--exclude" in caught.value.hint


def test_with_partial_what_is_not_held_is_missing_by_name(databases: Databases) -> None:
    url = databases()
    run(url, UNHELD)
    found = catalogue(url, partial=True)
    assert names(found) == ["public.good"]
    assert sorted(line.partition(": ")[0] for line in found.missing) == sorted(REFUSED)


def test_what_is_excluded_is_not_refused_but_what_needs_it_is(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE TABLE no_key (a int); CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT a FROM no_key")
    with pytest.raises(Unsupported, match=r"view public\.v: it needs table public\.no_key, which is left out"):
        catalogue(url, exclude=("no_key",))
    assert names(catalogue(url, exclude=("no_key", "v"))) == ["public.t"]


def test_what_lives_elsewhere_is_named_and_not_refused(databases: Databases) -> None:
    url = databases()
    run(
        url,
        """
        CREATE TABLE t (id int PRIMARY KEY);
        CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
        CREATE FOREIGN TABLE far (id int) SERVER s;
        CREATE PUBLICATION outlet FOR TABLE t;
        ALTER ROLE postgres IN DATABASE CURRENT_DATABASE SET work_mem = '5MB';
        """.replace("CURRENT_DATABASE", str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])),
    )
    subscription = "CREATE SUBSCRIPTION inlet CONNECTION 'host=nowhere' PUBLICATION outlet WITH (connect = false)"
    run(url, subscription)
    run(url, "ALTER SUBSCRIPTION inlet SET (slot_name = NONE)")  # so that the database can be dropped
    with connect(url) as connection:
        connection.execute("CREATE TEMPORARY TABLE brief (id int)")
        found = read_catalog(connection, Selection())
    assert names(found) == ["public.t"]
    run(url, "DROP SUBSCRIPTION inlet")
    told = "\n".join(found.missing)
    assert "foreign table public.far: it is a foreign table" in told
    assert "brief: it is temporary" in told
    assert "server s" in told
    assert "publication outlet: replication is set up anew" in told
    assert "subscription inlet: replication is set up anew" in told
    assert "setting work_mem of role postgres: roles are this server's own" in told


def test_queries_do_not_grow_with_the_number_of_tables(databases: Databases) -> None:
    url = databases()

    def queries() -> int:
        with connect(url) as connection:
            asked = 0
            plain = psycopg.Cursor.execute

            class Counting(psycopg.Cursor[Any]):
                def execute(self, *arguments: Any, **options: Any) -> Any:
                    nonlocal asked
                    asked += 1
                    return plain(self, *arguments, **options)

            connection.cursor_factory = Counting
            read_catalog(connection, Selection())
            return asked

    run(url, "CREATE TABLE t0 (id serial PRIMARY KEY)")
    few = queries()
    run(url, "".join(f"CREATE TABLE t{i} (id serial PRIMARY KEY, r int REFERENCES t{i - 1});" for i in range(1, 40)))
    assert queries() == few


def test_sequences_are_read_where_they_stand(databases: Databases) -> None:
    url = databases()
    run(url, ZOO)
    objects = catalogue(url).definition["objects"]
    assert objects["sequence public.fresh"]["state"] == [61, True]
    assert objects["sequence public.down"]["state"] == [-40, False]
    assert objects["sequence public.exhausted"]["state"] == [2, True]
    assert not any("state" in table.definition for table in catalogue(url).tables)


def test_a_role_that_owns_only_its_tables_can_read_the_catalogue(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE ROLE plain LOGIN; CREATE SCHEMA mine AUTHORIZATION plain")
    try:
        with connect(url) as connection:
            connection.execute("SET SESSION AUTHORIZATION plain")
            connection.execute("CREATE TABLE mine.t (id serial PRIMARY KEY, note text)")
            assert [table.name for table in read_catalog(connection, Selection()).tables] == ["mine.t"]
    finally:
        run(url, "DROP OWNED BY plain; DROP ROLE plain")


def test_an_invalid_index_is_refused(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(url, "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (v)")
    with pytest.raises(Unsupported, match=r"index public\.broken on table public\.t: it is not valid"):
        catalogue(url)


def test_a_tablespace_is_named(databases: Databases) -> None:
    url = databases()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET allow_in_place_tablespaces = on")
        connection.execute("CREATE TABLESPACE fast LOCATION ''")
        try:
            connection.execute("CREATE TABLE t (id int PRIMARY KEY) TABLESPACE fast")
            [told] = catalogue(url).missing
            assert told.startswith("tablespace fast of public.t: ")
        finally:
            connection.execute("DROP TABLE t")
            connection.execute("DROP TABLESPACE fast")


def test_rows_kept_in_an_extension_are_refused_if_there_are_any(databases: Databases) -> None:
    url = databases(vector=True)
    run(
        url,
        """
        CREATE TABLE kept (id int PRIMARY KEY); ALTER EXTENSION vector ADD TABLE kept;
        UPDATE pg_extension SET extconfig = ARRAY['kept'::regclass]::oid[], extcondition = ARRAY['WHERE id > 5']
          WHERE extname = 'vector';
        INSERT INTO kept VALUES (1);
        """,
    )
    assert catalogue(url).missing == ()
    run(url, "INSERT INTO kept VALUES (6)")
    with pytest.raises(Unsupported, match=r"rows of extension vector: public\.kept"):
        catalogue(url)


def test_what_is_dropped_between_two_readings_is_asked_for_no_more(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE SEQUENCE s; CREATE TABLE t (id serial PRIMARY KEY)")
    with connect(url) as connection:
        assert {"sequence public.s", "sequence public.t_id_seq"} <= set(
            read_catalog(connection, Selection()).definition["objects"]
        )
        run(url, "DROP SEQUENCE s; DROP TABLE t; CREATE SEQUENCE other")
        objects = read_catalog(connection, Selection()).definition["objects"]
    assert [key for key in objects if key.startswith("sequence ")] == ["sequence public.other"]


def test_a_question_that_failed_is_not_asked_before_again(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE TABLE t (id int)")
    with connect(url) as connection:
        with all_at_once(connection):
            assert rows_of(connection, "SELECT id FROM public.t") == []
        run(url, "DROP TABLE t")
        with pytest.raises(psycopg.errors.UndefinedTable), all_at_once(connection):
            pass
        with all_at_once(connection):
            assert rows_of(connection, "SELECT 1 AS one") == [{"one": 1}]
