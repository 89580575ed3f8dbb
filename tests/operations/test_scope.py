"""A restore of some rows means just these, and a snapshot of some rows or columns speaks of no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapstore.errors import Invalid
from snapstore.operations.scope import Scope
from tests.operations.world import NOTES, World, counts, int4, only

PgDump = Callable[..., str]


def test_a_condition_means_the_snapshots_rows_and_live_ones_that_are_new(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', i / 10.0, 'x' FROM generate_series(1, 20) i")
    snapshot = world.take()
    world.run(
        """UPDATE notes SET heat = 0, tag = 'y' WHERE id IN (5, 15); DELETE FROM notes WHERE id IN (6, 16);
        INSERT INTO notes VALUES (100, 'new', 0.9), (101, 'new', 2)"""
    )
    scope = only(where={"public.notes": "heat > 1"})
    plan = world.plan(snapshot, scope=scope)
    assert counts(plan) == {"public.notes": (1, 1, 1, 0, 0)}
    done = world.restore(snapshot, scope=scope, plan_id=plan.id)
    assert [row[0] for row in world.rows("SELECT id FROM notes WHERE id > 14 ORDER BY id")] == [*range(15, 21), 100]
    assert world.rows("SELECT heat, tag FROM notes WHERE id = 5") == [(0.0, "y")]
    world.run("INSERT INTO notes VALUES (102, 'later', 3); UPDATE notes SET tag = 'z' WHERE id = 5")
    world.undo(done.safety)
    assert world.rows("SELECT id, tag FROM notes WHERE id IN (5, 15, 16) OR id > 100 ORDER BY id") == [
        (5, "z"),
        (15, "y"),
        (101, None),
        (102, None),
    ]
    with pytest.raises(Invalid, match="warmth"):
        world.plan(snapshot, scope=only(where={"public.notes": "warmth > 1"}))


def test_keys_mean_these_rows_and_no_others(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5, 'x' FROM generate_series(1, 20) i")
    world.run("CREATE TABLE others (id int PRIMARY KEY, n int); INSERT INTO others VALUES (1, 1), (2, 2)")
    snapshot = world.take()
    world.run(
        """UPDATE notes SET tag = 'y'; DELETE FROM notes WHERE id < 5; DELETE FROM others;
        INSERT INTO notes VALUES (50), (51)"""
    )
    scope = only(keys={"public.notes": [int4(3), int4(7), int4(50), int4(999)]})
    plan = world.plan(snapshot, scope=scope)
    assert counts(plan) == {"public.others": (0, 0, 0, 0, 0), "public.notes": (1, 1, 1, 0, 0)}
    done = world.restore(snapshot, scope=scope)
    assert world.rows("SELECT id FROM notes WHERE tag = 'x' ORDER BY id") == [(3,), (7,)]
    assert world.rows("SELECT id FROM notes WHERE id > 20") == [(51,)]
    assert world.value("SELECT count(*) FROM others") == 0
    world.run("UPDATE notes SET tag = 'z' WHERE id = 8")
    world.undo(done.safety)
    assert world.rows("SELECT id, tag FROM notes WHERE id IN (3, 7, 8, 50, 51) ORDER BY id") == [
        (7, "y"),
        (8, "z"),
        (50, None),
        (51, None),
    ]
    with pytest.raises(Invalid, match="nowhere"):
        world.plan(snapshot, scope=only(keys={"public.nowhere": []}))


def test_a_missing_table_outside_the_scope_stays_missing(world: World) -> None:
    world.run(NOTES + "; CREATE TABLE others (id int PRIMARY KEY); INSERT INTO notes VALUES (1)")
    snapshot = world.take()
    world.run("DROP TABLE others; DELETE FROM notes")
    world.restore(snapshot, scope=only(keys={"public.notes": [int4(1)]}))
    assert world.rows("SELECT to_regclass('others')") == [(None,)]
    assert world.value("SELECT count(*) FROM notes") == 1


def test_a_snapshot_of_some_rows_knows_nothing_of_the_others(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', i / 10.0, 'x' FROM generate_series(1, 20) i")
    snapshot = world.take(where={"public.notes": "heat > 1"})
    assert snapshot.sources[0].tables[0].rows == 10
    world.run(
        """UPDATE notes SET heat = 0 WHERE id = 15; UPDATE notes SET heat = 5 WHERE id = 5;
        DELETE FROM notes WHERE id = 16;
        INSERT INTO notes VALUES (30, 'cold', 0), (31, 'hot', 3)"""
    )
    plan = world.plan(snapshot)
    # 15 is cold now but was held; the cold ones are nobody's business. 5 and 31 meet the condition now and are not in
    # the snapshot: 5 was there all the same, so nobody can tell which of them came later.
    assert counts(plan) == {"public.notes": (1, 1, 0, 0, 2)}
    assert (plan.tables[0].unsure, plan.tables[0].condition) == (2, "heat > 1")
    done = world.restore(snapshot, plan_id=plan.id)
    assert [row[0] for row in world.rows("SELECT id FROM notes ORDER BY id")] == [*range(1, 21), 30, 31]
    assert world.value("SELECT heat FROM notes WHERE id = 15") == 1.5
    world.undo(done.safety)
    assert world.rows("SELECT id, heat FROM notes WHERE id IN (5, 15, 31) ORDER BY id") == [(5, 5), (15, 0), (31, 3)]


def test_rows_that_meet_a_snapshots_condition_now_are_deleted_by_who_names_them(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', i / 10.0, 'x' FROM generate_series(1, 20) i")
    snapshot = world.take(where={"public.notes": "heat > 1"})
    world.run("UPDATE notes SET heat = 5 WHERE id IN (4, 5); INSERT INTO notes VALUES (30, 'cold', 0), (31, 'hot', 3)")
    by_condition, by_key = only(where={"public.notes": "heat > 2"}), only(keys={"public.notes": [int4(4), int4(30)]})
    assert counts(world.plan(snapshot, scope=by_condition)) == {"public.notes": (0, 0, 3, 0, 0)}
    done = world.restore(snapshot, scope=by_key)
    assert counts(done.plan) == {"public.notes": (0, 0, 1, 0, 0)}, (
        "30 does not meet the condition: it is none of its rows"
    )
    assert world.rows("SELECT id FROM notes WHERE id IN (4, 5, 30, 31) ORDER BY id") == [(5,), (30,), (31,)]
    world.undo(done.safety)
    assert world.value("SELECT heat FROM notes WHERE id = 4") == 5


def test_a_snapshot_without_rows_deletes_none(world: World, pg_dump: PgDump) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5, 'x' FROM generate_series(1, 20) i")
    snapshot, dump = world.take(rows=False), pg_dump(world.url)
    assert world.plan(snapshot).is_empty
    world.restore(snapshot)
    assert pg_dump(world.url) == dump
    world.run("DROP TABLE notes")
    world.restore(snapshot)
    assert world.value("SELECT count(*) FROM notes") == 0


def test_columns_left_out_of_a_snapshot_keep_their_live_cells(world: World) -> None:
    world.run(
        """CREATE EXTENSION vector;
        CREATE TABLE notes (id int PRIMARY KEY, code int UNIQUE, body text, secret text, embedding vector(3));
        INSERT INTO notes SELECT i, i, 'note', 'secret ' || i, '[1,2,3]' FROM generate_series(1, 20) i"""
    )
    snapshot = world.take(exclude_columns=("public.notes.secret",), vectors=False)
    assert set(snapshot.sources[0].tables[0].left_out) == {"secret", "embedding"}
    world.run("UPDATE notes SET code = code + 100, body = 'x' WHERE id < 5; DELETE FROM notes WHERE id = 20")
    world.restore(snapshot)
    assert world.rows(
        "SELECT id, code, body, secret, embedding::text FROM notes WHERE id < 5 OR id = 20 ORDER BY id"
    ) == [
        *((i, i, "note", f"secret {i}", "[1,2,3]") for i in range(1, 5)),
        (20, 20, "note", None, None),
    ]


def test_a_condition_without_a_source_is_not_passed_over(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes VALUES (1, 'a', 0.5), (2, 'b', 0.6)")
    snapshot = world.take()
    world.run("DELETE FROM notes")
    # `restore` asks its own source, whatever the scope came with.
    world.restore(snapshot, scope=Scope(where={"public.notes": "body = 'b'"}))
    assert world.rows("SELECT id FROM notes") == [(2,)]


def test_a_condition_is_met_by_values_of_types_that_are_held_in_forms_of_their_own(world: World) -> None:
    world.run(
        """CREATE TYPE mood AS ENUM ('low', 'high'); CREATE TYPE pair AS (m mood, n int);
        CREATE TABLE t (id int PRIMARY KEY, moods mood[], p pair, q tsquery, kind regtype,
            twice int GENERATED ALWAYS AS (id * 2) STORED);
        INSERT INTO t VALUES (1, '{low,high}', '(low,1)', 'cat & rat', 'text'),
            (2, '{low}', '(high,2)', 'dog', 'date'), (3, NULL, NULL, NULL, NULL);
        CREATE TABLE u (a int, g int GENERATED ALWAYS AS (a + 1) STORED PRIMARY KEY);
        INSERT INTO u VALUES (1), (2)"""
    )
    snapshot = world.take()
    held = world.rows("SELECT t::text FROM t ORDER BY id")
    found = {
        "t": {
            "kind = 'text'::regtype": [1],
            "kind = 'date'::regtype": [2],
            "kind IS NULL": [3],
            "to_tsvector('simple', 'the dog') @@ q": [2],
            "'high' = ANY (moods)": [1],
            "(p).m = 'high' AND (p).n = 2": [2],
            "twice > 2": [2, 3],
        },
        "u": {"a = 2 AND g = 3": [3]},
    }
    for table, conditions in found.items():
        for condition, ids in conditions.items():
            world.run("TRUNCATE t, u")
            world.restore(snapshot, tables=(table,), scope=only(where={f"public.{table}": condition}))
            key = "id" if table == "t" else "g"
            assert [row[0] for row in world.rows(f"SELECT {key} FROM {table} ORDER BY 1")] == ids, condition
            if table == "t":
                assert world.rows("SELECT t::text FROM t ORDER BY id") == [held[at - 1] for at in ids]
