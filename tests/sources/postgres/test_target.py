"""A database built again is the same to pg_dump, and changing rows sets off nothing that it should not."""

# ruff: noqa: PT012, SIM117  # what must fail is a whole restore, and where in it does not matter
from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from snapstore.errors import Conflict, Unavailable, Unsupported
from snapstore.rows import Batch, Table
from snapstore.sources import Selection, Work
from snapstore.sources.postgres.target import PostgresTarget, open_target
from snapstore.sources.postgres.view import PostgresView, open_view

ZOO = Path(__file__).with_name("zoo.sql").read_text(encoding="utf-8")

Databases = Callable[..., str]
PgDump = Callable[..., str]


def run(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode())


def ask(url: str, query: str) -> Any:
    """The one value, or the list of rows where there are several columns."""
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(query.encode()).fetchall()
    return rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else rows


@dataclass(frozen=True)
class State:
    """All rows of a database at one moment, in memory: these are small."""

    definition: Mapping[str, Any]
    tables: dict[str, Table]
    rows: dict[str, Batch]

    def pick(self, name: str, at: Collection[int] | None = None, columns: Sequence[str] | None = None) -> Batch:
        """Rows by their place in order of key (all if not said), with these columns."""
        batch = self.rows[name]
        batch = batch if at is None else batch.take(np.array(sorted(at), np.int64))
        if columns is None:
            return batch
        return Batch(batch.keys, tuple(batch.columns[self.tables[name].column(column)] for column in columns))


def state_of(url: str, selection: Selection = Selection()) -> State:  # noqa: B008  # it is frozen
    with open_view(url, selection, PostgresView) as view:
        rows = {table.name: Batch.concat(list(view.read(table)) or [_nothing(table)]) for table in view.tables}
        return State(view.definition, {table.name: table for table in view.tables}, rows)


def _nothing(table: Table) -> Batch:
    from snapstore.rows import Cells

    return Batch(Cells.of([]), tuple(Cells.of([], width=column.width) for column in table.columns))


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


def test_what_was_made_has_the_roots_of_what_it_was_made_from(databases: Databases) -> None:
    source, target = databases(), databases()
    run(source, ZOO)
    rebuild(source, target)
    with open_view(source, Selection(), PostgresView) as one, open_view(target, Selection(), PostgresView) as other:
        assert one.tables == other.tables
        assert one.definition == other.definition
        for table in one.tables:
            for left, right in zip(one.read(table), other.read(table), strict=True):
                assert left.keys.to_list() == right.keys.to_list()
                for here, there in zip(left.columns, right.columns, strict=True):
                    assert here.to_list() == there.to_list()


def test_one_table_brings_what_it_needs(databases: Databases, pg_dump: PgDump) -> None:
    source, target = databases(), databases()
    run(source, ZOO)
    rebuild(source, target, Selection(tables=("memories",)))
    only = ("--table", "public.memories")
    assert pg_dump(target, *only) == pg_dump(source, *only)
    made = "SELECT array_agg(relname::text) FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = 2200"
    assert ask(target, made) == ["memories"]


def test_naming_every_table_brings_everything(databases: Databases, pg_dump: PgDump) -> None:
    source, target = databases(), databases()
    run(source, ZOO)
    with (
        open_view(source, Selection(), PostgresView) as view,
        open_target(target, Selection(tables=tuple(table.name for table in view.tables))) as into,
    ):
        into.begin(view.definition, [Work(table, exists=False, inserts=1) for table in view.tables])
        for table in view.tables:
            into.insert(table, view.read(table))
        into.finish()
    assert pg_dump(target) == pg_dump(source)


def test_a_table_without_the_one_it_refers_to_is_refused(databases: Databases) -> None:
    source, target = databases(), databases()
    run(
        source,
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int CONSTRAINT of_a REFERENCES a)",
    )
    with pytest.raises(Conflict, match=r"public\.b has the foreign key of_a to public\.a"):
        rebuild(source, target, Selection(tables=("b",)))


def test_settings_of_the_database_come_back(databases: Databases) -> None:
    source, target = databases(), databases()
    for url, statements in (
        (source, ["search_path = app, public", "hnsw.ef_search = 77", "work_mem = '5MB'"]),
        (target, ["work_mem = '7MB'"]),
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            [(name,)] = connection.execute("SELECT quote_ident(current_database())").fetchall()
            connection.execute("CREATE SCHEMA app")
            for statement in statements:
                connection.execute(f"ALTER DATABASE {name} SET {statement}".encode())
    rebuild(source, target)
    with psycopg.connect(target) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone() for name in ("search_path", "hnsw.ef_search", "work_mem")
        ]
    assert shown == [("app, public",), ("77",), ("7MB",)]


# Changes of a live database: a snapshot is read, the database moves on, and something of the snapshot is put back.

PARENTS = """
    CREATE TABLE parent (id int PRIMARY KEY, note text);
    CREATE TABLE child (id int PRIMARY KEY, parent int CONSTRAINT family REFERENCES parent ON DELETE CASCADE);
    CREATE TABLE grandchild (id int PRIMARY KEY, child int REFERENCES child ON DELETE SET NULL ON UPDATE CASCADE);
    INSERT INTO parent VALUES (1, 'one'), (2, 'two'), (3, 'three');
    INSERT INTO child VALUES (10, 1), (20, 2);
    INSERT INTO grandchild VALUES (100, 10), (200, 20);
"""


def test_replacing_a_parent_does_not_cascade_into_tables_outside(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(url, PARENTS)
    then = state_of(url)
    before = pg_dump(url)
    with open_target(url, Selection(tables=("parent",))) as target:
        parent = then.tables["public.parent"]
        target.begin(then.definition, [Work(parent, exists=True, inserts=3, deletes=3)])
        assert target.delete(parent, [then.pick("public.parent").keys]) == 3
        assert target.insert(parent, [then.pick("public.parent")]) == 3
        target.finish()
    assert pg_dump(url) == before


def test_a_deleted_parent_with_children_outside_fails_by_name_and_changes_nothing(
    databases: Databases, pg_dump: PgDump
) -> None:
    url = databases()
    run(url, PARENTS)
    then = state_of(url)
    before = pg_dump(url)
    with pytest.raises(Conflict, match=r"foreign key family of public\.child.*\(parent\)=\(2\)"):
        with open_target(url, Selection(tables=("parent",))) as target:
            parent = then.tables["public.parent"]
            target.begin(then.definition, [Work(parent, exists=True, deletes=1)])
            assert target.delete(parent, [then.pick("public.parent", [1]).keys]) == 1
            target.finish()
    assert pg_dump(url) == before


def test_cycles_and_self_references_go_into_live_tables(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(url, ZOO)
    then = state_of(url)
    before = pg_dump(url)
    run(
        url,
        "ALTER TABLE block DISABLE ROW LEVEL SECURITY; ALTER TABLE loose NO FORCE ROW LEVEL SECURITY;"
        "TRUNCATE block CASCADE",
    )
    run(url, "ALTER TABLE block ENABLE ROW LEVEL SECURITY; ALTER TABLE loose FORCE ROW LEVEL SECURITY")
    names = ["public.loose", "public.block", "public.block_history"]
    with open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(then.tables[name], exists=True, inserts=3) for name in names])
        for name in names:
            assert target.insert(then.tables[name], [then.pick(name)]) == 3
        target.finish()
    assert pg_dump(url) == before


def test_an_update_may_point_at_a_row_that_is_inserted_later(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(url, PARENTS)
    then = state_of(url)
    before = pg_dump(url)
    run(url, "UPDATE child SET parent = 3 WHERE id = 10; DELETE FROM parent WHERE id = 1")
    with open_target(url, Selection()) as target:
        parent, child = then.tables["public.parent"], then.tables["public.child"]
        works = [Work(parent, exists=True, inserts=1), Work(child, exists=True, updates=frozenset({"parent"}))]
        target.begin(then.definition, works)
        assert target.update(child, ["parent"], [then.pick("public.child", [0], ["parent"])]) == 1
        assert target.insert(parent, [then.pick("public.parent", [0])]) == 1
        target.finish()
    assert pg_dump(url) == before


def test_foreign_keys_are_left_alone_when_nothing_can_upset_them(databases: Databases) -> None:
    url = databases()
    run(url, PARENTS)
    then = state_of(url)
    run(url, "TRUNCATE parent CASCADE")
    keys = "SELECT oid, conname FROM pg_constraint WHERE contype = 'f' ORDER BY 1"
    before = ask(url, keys)
    with open_target(url, Selection()) as target:
        names = ["public.parent", "public.child", "public.grandchild"]
        target.begin(then.definition, [Work(then.tables[name], exists=True, inserts=3) for name in names])
        for name in names:
            target.insert(then.tables[name], [then.pick(name)])
        target.finish()
    assert ask(url, keys) == before


TRIGGERS = "SELECT tgname::text, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"


def test_triggers_do_not_fire_and_come_back_as_they_were(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(url, ZOO)
    then = state_of(url)
    run(url, "TRUNCATE fired")
    before, states = pg_dump(url), ask(url, TRIGGERS)
    run(
        url,
        "ALTER TABLE memories DISABLE TRIGGER USER; DELETE FROM memories WHERE late = -1;"
        "UPDATE memories SET content = 'x', heat = 0",
    )
    run(url, "".join(f"ALTER TABLE memories {how} TRIGGER {name};" for how, name in (
        ("ENABLE", "touch"), ("ENABLE", '"a count"'),
        ("ENABLE ALWAYS", "always"), ("ENABLE REPLICA", "replica"))))  # fmt: skip
    assert ask(url, TRIGGERS) == states
    memories = then.tables["public.memories"]
    now = state_of(url).rows["public.memories"].keys.to_list()
    keys = then.rows["public.memories"].keys.to_list()
    gone = [at for at, key in enumerate(keys) if key not in set(now)]
    kept = [at for at, key in enumerate(keys) if key in set(now)]
    with open_target(url, Selection(tables=("memories",))) as target:
        work = Work(memories, exists=True, inserts=len(gone), updates=frozenset({"content", "heat"}))
        target.begin(then.definition, [work])
        assert target.update(
            memories, ["content", "heat"], [then.pick("public.memories", kept, ["content", "heat"])]
        ) == len(kept)
        assert target.insert(memories, [then.pick("public.memories", gone)]) == len(gone)
        target.finish()
    assert ask(url, TRIGGERS) == states
    assert pg_dump(url) == before


def test_swapped_unique_values_are_replaced(databases: Databases) -> None:
    url = databases()
    run(
        url,
        """
        CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, plain text, email text,
          g int GENERATED ALWAYS AS (length(plain)) STORED,
          serial int GENERATED ALWAYS AS IDENTITY);
        CREATE UNIQUE INDEX ON t (lower(email)) WHERE id > 0;
        CREATE TABLE h (id int PRIMARY KEY, plain text, other text,
          g int GENERATED ALWAYS AS (length(plain)) STORED UNIQUE);
        INSERT INTO t VALUES (1, 10, 'a', 'A'), (2, 20, 'b', 'B');
        """,
    )
    then = state_of(url)
    run(url, "UPDATE t SET u = -u; UPDATE t SET u = 30 - abs(u)")
    t, h = then.tables["public.t"], then.tables["public.h"]
    with open_target(url, Selection()) as target:
        assert [name for name in ("u", "plain", "email", "serial") if target.replaces(t, [name])] == [
            "u",
            "email",
            "serial",
        ]
        assert target.replaces(h, ["plain"])
        assert not target.replaces(t, [])
        target.begin(then.definition, [Work(t, exists=True, inserts=2, deletes=2)])
        assert target.delete(t, [then.pick("public.t").keys]) == 2
        assert target.insert(t, [then.pick("public.t")]) == 2
        target.finish()
    assert ask(url, "SELECT id, u, g, serial FROM t ORDER BY id") == [(1, 10, 1, 1), (2, 20, 1, 2)]


def test_identity_values_stay_and_sequences_only_move_forward(databases: Databases) -> None:
    url = databases()
    run(
        url,
        """
        CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int);
        CREATE SEQUENCE ahead; CREATE SEQUENCE behind; CREATE SEQUENCE down INCREMENT BY -1; CREATE SEQUENCE same;
        INSERT INTO t (v) SELECT i FROM generate_series(1, 5) i;
        SELECT setval('ahead', 10), setval('behind', 10), setval('down', -10), setval('same', 5);
        """,
    )
    then = state_of(url)
    run(
        url,
        "TRUNCATE t RESTART IDENTITY;"
        "SELECT setval('ahead', 50), setval('behind', 3), setval('down', -3), setval('same', 5, false)",
    )
    t = then.tables["public.t"]
    with open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(t, exists=True, inserts=5)])
        target.insert(t, [then.pick("public.t")])
        target.finish()
    assert ask(url, "INSERT INTO t (v) VALUES (6) RETURNING id") == 6
    assert [ask(url, f"SELECT nextval('{name}')") for name in ("ahead", "behind", "down", "same")] == [51, 11, -11, 6]


def test_only_the_named_columns_are_set(databases: Databases) -> None:
    url = databases(vector=True)
    run(
        url,
        "CREATE TABLE t (a text, id int, v vector(3), heat real, PRIMARY KEY (id, a));"
        "INSERT INTO t VALUES ('x', 1, '[1,2,3]', 1), ('y', 1, NULL, 2)",
    )
    then = state_of(url)
    run(url, "UPDATE t SET v = '[9,9,9]', heat = 0")
    t = then.tables["public.t"]
    with open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(t, exists=True, updates=frozenset({"v", "heat"}))])
        assert (
            target.update(t, ["heat"], [then.pick("public.t", [0], ["heat"]), then.pick("public.t", [1], ["heat"])])
            == 2
        )
        assert target.update(t, ["v"], [then.pick("public.t", [1], ["v"])]) == 1
        assert target.update(t, ["v"], []) == 0
        assert target.delete(t, []) == 0
        target.finish()
    assert ask(url, "SELECT a, heat, v::text FROM t ORDER BY a") == [("x", 1.0, "[9,9,9]"), ("y", 2.0, None)]


def test_keys_that_lose_something_find_their_rows(databases: Databases) -> None:
    url = databases()
    values = "0, -0, 1.50, -1.50, 12345678.000100, -99999999999999999999.5, 0.00001, 10000, 100000000"
    values += ", 'NaN', 'Infinity', '-Infinity'"
    run(
        url,
        f"""
        CREATE TABLE n (a numeric, t text, b float8, c real, v int, PRIMARY KEY (t, a, b, c));
        INSERT INTO n SELECT x, E't' || i, x::float8, -x::float8::real, 1
          FROM unnest(ARRAY[{values}]::numeric[]) WITH ORDINALITY AS u(x, i);
        UPDATE n SET b = '-0', c = 0 WHERE a = 0 AND t = 't2';
        """,
    )
    then = state_of(url)
    n = then.tables["public.n"]
    run(url, "UPDATE n SET v = 2, a = a * 1.000")
    with open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(n, exists=True, inserts=5, deletes=5, updates=frozenset({"v"}))])
        assert target.update(n, ["v"], [then.pick("public.n", None, ["v"])]) == 12
        assert target.delete(n, [then.pick("public.n", range(5)).keys]) == 5
        assert target.insert(n, [then.pick("public.n", range(5))]) == 5
        target.finish()
    assert ask(url, "SELECT count(*) FROM n WHERE v = 1") == 12


def test_a_row_in_the_way_is_named_and_nothing_changes(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(
        url,
        "CREATE TABLE t (id int PRIMARY KEY, u text CONSTRAINT one_u UNIQUE, c int CONSTRAINT small CHECK (c < 10))",
    )
    run(url, "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()")
    run(
        url,
        "ALTER TABLE t DISABLE TRIGGER x; INSERT INTO t SELECT i, 'u' || i, i FROM generate_series(1, 5) i;"
        "ALTER TABLE t ENABLE TRIGGER x",
    )
    then = state_of(url)
    t = then.tables["public.t"]
    run(url, "UPDATE t SET id = 20 WHERE id = 2")
    before = pg_dump(url)
    with pytest.raises(Conflict, match=r"public\.t.*one_u.*Key \(u\)=\(u2\) already exists"):
        with open_target(url, Selection()) as target:
            target.begin(then.definition, [Work(t, exists=True, inserts=2, deletes=1)])
            target.delete(t, [then.pick("public.t", [0]).keys])
            target.insert(t, [then.pick("public.t", [0, 1])])
            target.finish()
    assert pg_dump(url) == before
    with pytest.raises(Conflict, match=r"public\.t.*t_pkey.*Key \(id\)=\(1\) already exists"):
        with open_target(url, Selection()) as target:
            target.begin(then.definition, [Work(t, exists=True, inserts=2)])
            target.insert(t, [then.pick("public.t", [0])])
    run(
        url,
        "ALTER TABLE t DROP CONSTRAINT small; DELETE FROM t WHERE id = 5;"
        "ALTER TABLE t ADD CONSTRAINT small CHECK (c < 5)",
    )
    with pytest.raises(Conflict, match=r"public\.t.*small.*\(5, u5, 5\)"):
        with open_target(url, Selection()) as target:
            target.begin(then.definition, [Work(t, exists=True, inserts=1)])
            target.insert(t, [then.pick("public.t", [4])])


def test_rows_that_an_unvalidated_constraint_would_not_let_in_come_back(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(
        url,
        """
        CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, p int, c int, n text); INSERT INTO t
        VALUES (1, 77, 100, NULL); ALTER TABLE t ADD CONSTRAINT small CHECK (c < 10) NOT VALID, ADD CONSTRAINT of_p
        FOREIGN KEY (p) REFERENCES p NOT VALID,
          ADD CONSTRAINT must NOT NULL n NOT VALID;
        COMMENT ON CONSTRAINT must ON t IS 'from now on'; COMMENT ON CONSTRAINT of_p ON t IS 'too';
        """,
    )
    then = state_of(url)
    before = pg_dump(url)
    run(url, "TRUNCATE t")
    t = then.tables["public.t"]
    with open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(t, exists=True, inserts=1)])
        target.insert(t, [then.pick("public.t")])
        target.finish()
    assert pg_dump(url) == before


def test_an_error_of_the_caller_rolls_everything_back(databases: Databases, pg_dump: PgDump) -> None:
    source, url = databases(), databases()
    run(source, ZOO)
    then = state_of(source)
    before = pg_dump(url)

    def batches() -> Iterator[Batch]:
        yield then.pick("public.memories", range(5))
        raise RuntimeError("the repository is gone")

    with pytest.raises(RuntimeError, match="the repository is gone"), open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(table, exists=False, inserts=1) for table in then.tables.values()])
        target.insert(then.tables["public.memories"], batches())
    assert pg_dump(url) == before


INDEXES = "SELECT relname::text, oid FROM pg_class WHERE relkind = 'i' AND relname LIKE 'memories%' ORDER BY 1"


@pytest.mark.parametrize(("share", "rebuilt"), [(0.1, False), (0.5, True)])
def test_vector_indexes_are_built_anew_when_many_rows_change(
    databases: Databases, pg_dump: PgDump, share: float, rebuilt: bool
) -> None:
    url = databases()
    run(url, ZOO)
    run(url, "ANALYZE memories")
    then = state_of(url)
    before, indexes = pg_dump(url), dict(ask(url, INDEXES))
    memories = then.tables["public.memories"]
    some = range(int(61 * share))
    with open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(memories, exists=True, inserts=len(some), deletes=len(some))])
        assert target.delete(memories, [then.pick("public.memories", some).keys]) == len(some)
        target.insert(memories, [then.pick("public.memories", some)])
        target.finish()
    assert pg_dump(url) == before
    changed = {name for name, oid in dict(ask(url, INDEXES)).items() if indexes[name] != oid}
    assert changed == ({"memories_hnsw", "memories_half", "memories_cast"} if rebuilt else set())


def test_a_vector_index_that_does_not_fit_into_memory_is_kept_for_longer(databases: Databases) -> None:
    url = databases(vector=True)
    run(
        url,
        """CREATE TABLE memories (id int PRIMARY KEY, e vector(3));
        INSERT INTO memories SELECT i, ARRAY[i, 1, 2]::real[] FROM generate_series(1, 1000) i;
        CREATE INDEX memories_hnsw ON memories USING hnsw (e vector_l2_ops); ANALYZE memories""",
    )
    then, anew = state_of(url), []
    for memory in ("64kB", "64MB"):
        run(url, f"ALTER ROLE postgres SET maintenance_work_mem = '{memory}'")
        before = ask(url, INDEXES)
        with open_target(url, Selection()) as target:
            work = Work(then.tables["public.memories"], exists=True, updates=frozenset({"e"}), updated=300)
            target.begin(then.definition, [work])
            target.finish()
        anew.append(ask(url, INDEXES) != before)
    run(url, "ALTER ROLE postgres RESET maintenance_work_mem")
    assert anew == [False, True]


def test_a_table_made_anew_brings_back_what_leaned_on_it(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(
        url,
        PARENTS + "CREATE VIEW leaning AS SELECT note FROM parent; CREATE VIEW on_it AS SELECT note FROM leaning;"
        "CREATE MATERIALIZED VIEW kept AS SELECT upper(note) AS note FROM on_it; CREATE INDEX by_note ON kept (note);"
        "GRANT SELECT ON leaning TO pg_monitor; CREATE VIEW aside AS SELECT id FROM child",
    )
    then = state_of(url)
    before = pg_dump(url)
    oid = ask(url, "SELECT 'aside'::regclass::oid")
    run(url, "ALTER TABLE parent ADD COLUMN extra int; DELETE FROM grandchild; DELETE FROM child WHERE id = 20")
    run(url, "INSERT INTO child VALUES (20, 2); INSERT INTO grandchild VALUES (100, 10), (200, 20)")
    with open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(then.tables["public.parent"], exists=True, recreate=True, inserts=3)])
        target.insert(then.tables["public.parent"], [then.pick("public.parent")])
        target.finish()
    assert pg_dump(url) == before
    assert ask(url, "SELECT 'aside'::regclass::oid") == oid


def test_a_table_made_anew_refuses_to_take_with_it_what_the_snapshot_does_not_have(
    databases: Databases, pg_dump: PgDump
) -> None:
    url = databases()
    run(url, PARENTS + "CREATE VIEW known AS SELECT note FROM parent")
    then = state_of(url)
    run(url, "CREATE VIEW leaning AS SELECT note FROM parent")
    before = pg_dump(url)
    with pytest.raises(Conflict, match=r"public\.parent cannot be made anew.*leaning"):
        with open_target(url, Selection()) as target:
            target.begin(then.definition, [Work(then.tables["public.parent"], exists=True, recreate=True, inserts=3)])
    assert pg_dump(url) == before


def test_tables_are_made_anew_together(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(url, PARENTS)
    then = state_of(url)
    before = pg_dump(url)
    run(url, "ALTER TABLE parent DROP COLUMN note; ALTER TABLE child ADD COLUMN extra int")
    names = list(then.tables)
    with open_target(url, Selection()) as target:
        target.begin(
            then.definition, [Work(then.tables[name], exists=True, recreate=True, inserts=3) for name in names]
        )
        for name in names:
            target.insert(then.tables[name], [then.pick(name)])
        target.finish()
        assert [table.definition for table in target.tables] == [then.tables[t.name].definition for t in target.tables]
    assert pg_dump(url) == before


def test_rules_do_not_bend_what_is_done_and_come_back_as_they_were(databases: Databases, pg_dump: PgDump) -> None:
    url = databases()
    run(url, "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2)")
    then = state_of(url)
    run(
        url,
        """
        UPDATE t SET v = 9 WHERE id = 1; INSERT INTO t VALUES (3, 3);
        CREATE RULE quiet AS ON DELETE TO t DO INSTEAD NOTHING; CREATE RULE still AS ON UPDATE TO t DO INSTEAD NOTHING;
        CREATE RULE asleep AS ON INSERT TO t DO INSTEAD NOTHING;
        ALTER TABLE t DISABLE RULE asleep; ALTER TABLE t ENABLE ALWAYS RULE still;
        """,
    )
    before = pg_dump(url, "--schema-only")
    t = then.tables["public.t"]
    third = state_of(url).rows["public.t"].keys.slice(2, 3)
    with open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(t, exists=True, deletes=1, updates=frozenset({"v"}))])
        assert target.delete(t, [third]) == 1
        assert target.update(t, ["v"], [then.pick("public.t", [0], ["v"])]) == 1
        target.finish()
    assert ask(url, "SELECT id, v FROM t ORDER BY id") == [(1, 1), (2, 2)]
    assert pg_dump(url, "--schema-only") == before


def test_another_writer_is_waited_for_and_then_named(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE TABLE t (id int PRIMARY KEY)")
    with psycopg.connect(url) as other:
        other.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(Unavailable, match=r"public\.t cannot be locked"):
            with open_target(url, Selection(), lock_timeout_seconds=0.1):
                pass


def test_an_extension_the_server_lacks_is_named(databases: Databases) -> None:
    source, url = databases(vector=True), databases()
    then = state_of(source)
    lacking = {
        **then.definition["objects"],
        "extension vector": {**then.definition["objects"]["extension vector"], "version": "99.1"},
    }
    with pytest.raises(Unsupported, match=r"extension vector 99\.1"), open_target(url, Selection()) as target:
        target.begin({**then.definition, "objects": lacking}, [])


def test_a_type_that_changed_since_is_not_built_upon(databases: Databases) -> None:
    url = databases()
    run(url, "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE t (id int PRIMARY KEY, m mood)")
    then = state_of(url)
    run(url, "DROP TABLE t; DROP TYPE mood; CREATE TYPE mood AS ENUM ('a')")
    with pytest.raises(Conflict, match=r"type public\.mood"), open_target(url, Selection(tables=("t",))) as target:
        target.begin(then.definition, [Work(then.tables["public.t"], exists=False)])


def test_a_definition_can_be_made_on_an_older_server(databases: Databases, databases16: Databases) -> None:
    source, url = databases(vector=True), databases16()
    run(
        source,
        PARENTS + "CREATE TABLE v (id serial PRIMARY KEY, e vector(2)); CREATE INDEX ON v USING hnsw (e vector_l2_ops);"
        "INSERT INTO v (e) VALUES ('[1,2]')",
    )
    rebuild(source, url)
    one, other = state_of(source), state_of(url)
    assert one.tables == other.tables
    assert one.definition == other.definition


def test_a_read_after_finish_sees_the_changes(databases: Databases) -> None:
    source, url = databases(), databases()
    run(source, PARENTS)
    then = state_of(source)
    with open_target(url, Selection()) as target:
        assert isinstance(target, PostgresTarget)
        target.begin(then.definition, [Work(table, exists=False, inserts=1) for table in then.tables.values()])
        for name, table in then.tables.items():
            target.insert(table, [then.rows[name]])
        target.finish()
        assert list(target.tables) == list(then.tables.values())
        for table in target.tables:
            [batch] = target.read(table)
            assert batch.keys.to_list() == then.rows[table.name].keys.to_list()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE t ALTER v TYPE real", r"public\.t\.v was integer and is real now"),
        ("ALTER TABLE t ALTER n TYPE numeric(8, 1)", r"public\.t\.n was numeric\(8,3\) and is numeric\(8,1\) now"),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (v)", r"public\.t has another key"),
    ],
)
def test_cells_are_not_taken_for_something_else(databases: Databases, change: str, words: str) -> None:
    url = databases()
    run(
        url,
        "CREATE TABLE t (id int PRIMARY KEY, v int, n numeric(8, 3), s text); INSERT INTO t VALUES (1, 5, 1.125, '')",
    )
    then = state_of(url)
    run(url, f"DELETE FROM t; {change}; ALTER TABLE t ALTER s TYPE varchar(9), ADD extra int DEFAULT 3")
    with pytest.raises(Conflict, match=words), open_target(url, Selection()) as target:
        target.begin(then.definition, [Work(then.tables["public.t"], exists=True, inserts=1)])


def test_privileges_come_back(databases: Databases, pg_dump: PgDump) -> None:
    source, target = databases(), databases()
    run(source, 'CREATE ROLE reader; CREATE ROLE "Writer é"')
    try:
        run(source, ZOO)
        run(
            source,
            """
            GRANT SELECT ON memories, happy TO reader; GRANT INSERT, UPDATE ON memories TO "Writer é" WITH GRANT OPTION;
            GRANT SELECT ON block_history_id_seq TO PUBLIC; GRANT USAGE ON SCHEMA letta TO reader;
            GRANT CREATE ON SCHEMA public TO reader; GRANT UPDATE (id, parent) ON block TO reader;
            REVOKE EXECUTE ON FUNCTION shout(text) FROM PUBLIC; GRANT EXECUTE ON PROCEDURE letta.tidy TO reader;
            REVOKE USAGE ON TYPE mood FROM PUBLIC; REVOKE DELETE ON fired FROM postgres;
            GRANT SELECT ON "Odd Schema".by_default_id_seq TO reader;
            """,
        )
        rebuild(source, target)
        # The order of a list of privileges is that of the grants, which is history.
        assert sorted(pg_dump(target).splitlines()) == sorted(pg_dump(source).splitlines())
        lacking = databases()
        run(source, "ALTER ROLE reader RENAME TO gone")
        then = state_of(source)
        run(source, "ALTER ROLE gone RENAME TO reader")
        works = [Work(table, exists=False) for table in then.tables.values()]
        with pytest.raises(Unsupported, match="lacks: gone") as caught, open_target(lacking, Selection()) as into:
            into.begin(then.definition, works)
        assert "--no-privileges" in caught.value.hint
        with open_target(lacking, Selection()) as into:
            into.begin(then.definition, works, privileges=False)
            into.finish()
        lacking = databases()
        rebuild(source, lacking, Selection(exclude=("grants",)))
    finally:
        for url in (source, target):
            run(url, 'DROP OWNED BY reader, "Writer é"')
        run(source, 'DROP ROLE reader; DROP ROLE "Writer é"')
