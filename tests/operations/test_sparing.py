"""A restore that leaves out the rows the database refuses: the others go in, and nothing is broken or forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Conflict, Invalid
from snapstore.operations.ask import OnError
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Restored
from snapstore.repository import Snapshot
from tests.operations.world import (
    DATABASE_LAW,
    NOTES,
    STATES,
    Rows,
    World,
    expected,
    int4,
    notes,
    only,
    put,
    roots,
)

MEMORIES = """
CREATE TABLE people (id int PRIMARY KEY, name text);
CREATE TABLE memories (id int PRIMARY KEY, owner int REFERENCES people, body text, heat real);
CREATE TABLE edges (id int PRIMARY KEY, source int NOT NULL REFERENCES memories, target int REFERENCES memories);
INSERT INTO people SELECT i, 'person ' || i FROM generate_series(1, 10) i;
INSERT INTO memories SELECT i, i % 10 + 1, 'memory ' || i, i FROM generate_series(1, 200) i;
INSERT INTO edges SELECT i, i, i % 200 + 1 FROM generate_series(1, 200) i;
"""


def spared(world: World, snapshot: Snapshot, mode: Mode = Mode.UPDATE, **ask: Any) -> Restored:
    return world.restore(snapshot, mode, on_error=OnError.SKIP, **ask)


def left_out(restored: Restored, table: str = "public.memories") -> dict[int, str]:
    return {one.key["id"]: one.reason for one in restored.refused if one.table == table}


def test_rows_that_a_check_refuses_are_left_out_with_those_that_refer_to_them(small_world: World) -> None:
    world = small_world
    world.run(MEMORIES)
    snapshot = world.take()
    world.run("TRUNCATE edges, memories; ALTER TABLE memories ADD CONSTRAINT warm CHECK (heat > 3)")
    done = spared(world, snapshot)
    assert set(left_out(done)) == {1, 2, 3}
    assert "warm" in left_out(done)[1]
    assert set(left_out(done, "public.edges")) == {1, 2, 3, 200}
    assert "edges_source_fkey" in left_out(done, "public.edges")[1]
    assert world.value("SELECT count(*) FROM memories") == 197
    assert world.value("SELECT count(*) FROM edges") == 196
    again = spared(world, snapshot)
    assert [one.key for one in again.refused] == [one.key for one in done.refused]
    assert again.safety is None
    world.undo(done.safety)
    assert world.value("SELECT count(*) FROM memories") == 0
    world.run("ALTER TABLE memories DROP CONSTRAINT warm")
    assert spared(world, snapshot).refused == ()
    assert roots(world.take()) == roots(snapshot)
    world.check()


REFUSED = {
    "check": ("ALTER TABLE notes ADD CONSTRAINT cold CHECK (id % 150 <> 0)", {150, 300, 450, 600}),
    "not null": ("ALTER TABLE notes ALTER body SET NOT NULL", {5, 599}),
    "unique": ("CREATE UNIQUE INDEX tags ON notes (tag); INSERT INTO notes VALUES (-1, '', 0, 'tag 17')", {17, 6}),
    "deferred": (
        "INSERT INTO notes VALUES (-1, '', 0, 'tag 17'); "
        "ALTER TABLE notes ADD UNIQUE (tag) DEFERRABLE INITIALLY DEFERRED",
        {17, 6},
    ),
    "exclusion": (
        "INSERT INTO notes VALUES (-1, '', 17, ''); ALTER TABLE notes ADD EXCLUDE USING btree (heat WITH =)",
        {17},
    ),
    "function": (
        "CREATE FUNCTION judged(note text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
        "IF note = 'note 9' THEN RAISE 'not this one'; END IF; RETURN note; END $$; "
        "CREATE INDEX ON notes (judged(body))",
        {9},
    ),
    "domain": (
        "CREATE DOMAIN warm AS real CHECK (VALUE < 598); ALTER TABLE notes ALTER heat TYPE warm",
        {598, 599, 600},
    ),
    "length": ("ALTER TABLE notes ALTER tag TYPE varchar(9)", {8}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_every_kind_of_refusal_is_the_rows_own(small_world: World, kind: str) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note ' || i, i, 'tag ' || i FROM generate_series(1, 600) i")
    world.run("UPDATE notes SET body = NULL WHERE id IN (5, 599); UPDATE notes SET tag = 'tag 5' WHERE id = 6")
    world.run("UPDATE notes SET tag = 'a tag of many words' WHERE id = 8")
    held = notes(world)
    snapshot = world.take()
    cause, refused = REFUSED[kind]
    world.run("TRUNCATE notes; " + cause)
    before = notes(world)
    done = spared(world, snapshot, Mode.SKIP)
    assert set(left_out(done, "public.notes")) == refused
    assert notes(world) == before | {key: row for key, row in held.items() if key not in refused}
    assert [one.doing for one in done.refused] == ["insert"] * len(refused)
    world.undo(done.safety)
    assert notes(world) == before


def test_rows_that_are_live_stay_as_they_are_where_their_change_is_refused(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; CREATE UNIQUE INDEX tags ON notes (tag)")
    world.run("INSERT INTO notes SELECT i, 'note ' || i, i, 'tag ' || i FROM generate_series(1, 50) i")
    snapshot = world.take()
    # 1 and 2 change a column alone; 3 would be deleted and inserted again, for its tag is unique and taken by now.
    world.run("UPDATE notes SET heat = -id WHERE id < 3; UPDATE notes SET tag = 'mine' WHERE id = 3")
    world.run("INSERT INTO notes VALUES (100, 'new', 0, 'tag 3'); DELETE FROM notes WHERE id = 50")
    world.run("ALTER TABLE notes ADD CONSTRAINT cold CHECK (heat <> 2)")
    before = notes(world)
    done = spared(world, snapshot)
    assert {one.key["id"]: one.doing for one in done.refused} == {2: "update", 3: "update"}
    assert notes(world) == before | {1: ("note 1", 1.0, "tag 1"), 50: ("note 50", 50.0, "tag 50")}
    world.undo(done.safety)
    assert notes(world) == before
    # --exact deletes the row that has the tag, so it is free; the CHECK still refuses.
    done = spared(world, snapshot, Mode.EXACT)
    assert {one.key["id"] for one in done.refused} == {2}
    assert notes(world)[3] == ("note 3", 3.0, "tag 3")
    assert 100 not in notes(world)
    world.undo(done.safety)
    assert notes(world) == before


def test_references_to_a_row_that_stays_as_it_is_live_hold(small_world: World) -> None:
    """The parent's change is refused: its live version is there, so its children are not left out with it."""
    world = small_world
    world.run(
        "CREATE TABLE parents (id int PRIMARY KEY, name text UNIQUE);"
        "CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents);"
        "INSERT INTO parents VALUES (1, 'a'), (2, 'b'); INSERT INTO children VALUES (10, 1), (20, 2)"
    )
    snapshot = world.take()
    world.run("DELETE FROM children; UPDATE parents SET name = 'x' WHERE id = 1; INSERT INTO parents VALUES (3, 'a')")
    done = spared(world, snapshot)
    assert [(one.table, one.key["id"]) for one in done.refused] == [("public.parents", 1)]
    assert world.rows("SELECT id FROM children ORDER BY 1") == [(10,), (20,)]


def test_a_thread_of_replies_is_left_out_as_a_whole_at_once(small_world: World) -> None:
    world = small_world
    world.run(
        "CREATE TABLE replies (id int PRIMARY KEY, parent int REFERENCES replies, body text);"
        "INSERT INTO replies SELECT i, CASE WHEN i > 1 AND i <> 50 THEN i - 1 END, '' FROM generate_series(1, 80) i"
    )
    snapshot = world.take()
    world.run("TRUNCATE replies; ALTER TABLE replies ADD CHECK (id <> 3)")
    done = spared(world, snapshot)
    assert set(left_out(done, "public.replies")) == set(range(3, 50))
    assert world.value("SELECT count(*) FROM replies") == 80 - 47
    assert world.value("SELECT count(*) FROM pg_constraint WHERE conname = 'replies_parent_fkey'") == 1


def test_tables_that_are_made_leave_out_rows_that_refer_to_refused_ones(small_world: World) -> None:
    world = small_world
    world.run(MEMORIES)
    snapshot = world.take()
    world.run("DROP TABLE edges; TRUNCATE memories; ALTER TABLE memories ADD CHECK (id <> 7)")
    done = spared(world, snapshot)
    assert set(left_out(done, "public.edges")) == {6, 7}
    assert world.value("SELECT count(*) FROM edges") == 198
    assert world.value("SELECT count(*) FROM pg_constraint WHERE conrelid = 'edges'::regclass AND contype = 'f'") == 2


def test_rows_without_a_key_are_left_out_too(small_world: World) -> None:
    world = small_world
    world.run(
        "CREATE TABLE log (at int, line text); INSERT INTO log SELECT i % 5, 'line' FROM generate_series(1, 50) i"
    )
    snapshot = world.take()
    world.run("TRUNCATE log; ALTER TABLE log ADD CHECK (at <> 2)")
    done = spared(world, snapshot)
    assert [dict(one.key) for one in done.refused] == [{}] * 10
    assert world.value("SELECT count(*) FROM log") == 40


def test_what_is_no_rows_own_fault_stops_and_nothing_is_changed(small_world: World) -> None:
    world = small_world
    world.run(MEMORIES)
    snapshot = world.take()
    # A row that stays refers to one that --exact would delete: no row of the snapshot is refused.
    world.run("INSERT INTO people VALUES (11, 'eve'); CREATE TABLE friends (id int PRIMARY KEY REFERENCES people)")
    world.run("INSERT INTO friends VALUES (11); DELETE FROM edges")
    with pytest.raises(Conflict, match="friends_id_fkey"):
        spared(world, snapshot, Mode.EXACT)
    assert world.value("SELECT count(*) FROM edges") == 0
    # A function that a CHECK calls is gone wrong: every row fails, and none for what is in it.
    world.run("CREATE FUNCTION fine(n int) RETURNS bool LANGUAGE sql AS 'SELECT n > 0'")
    world.run("ALTER TABLE edges ADD CHECK (fine(id))")
    world.run("CREATE OR REPLACE FUNCTION fine(n int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN nothing(n); END'")
    with pytest.raises(Invalid, match="nothing"):
        spared(world, snapshot)
    assert world.value("SELECT count(*) FROM edges") == 0
    assert world.repository.pendings() == []
    assert len(world.repository.snapshots()) == 1


@DATABASE_LAW
@given(
    held=STATES,
    live=STATES,
    bad=st.sets(st.integers(-3, 40)),
    taken=st.sampled_from([None, "x", "y"]),
    mode=st.sampled_from(Mode),
)
def test_what_is_live_after_is_the_snapshot_but_for_the_refused(
    small_world: World, held: Rows, live: Rows, bad: set[int], taken: str | None, mode: Mode
) -> None:
    world = small_world
    world.run("DROP TABLE IF EXISTS notes;" + NOTES)
    put(world, held)
    snapshot = world.take()
    live = {key: row for key, row in live.items() if key not in bad and row[2] != taken}
    put(world, live)
    listed = ", ".join(map(str, sorted(bad))) or "99"
    world.run(f"ALTER TABLE notes ADD CONSTRAINT bad CHECK (id NOT IN ({listed}) AND tag <> '{taken or ''}')")
    done = spared(world, snapshot, mode)
    refused = {
        key
        for key, row in held.items()
        if (key in bad or (taken is not None and row[2] == taken)) and (key not in live or mode is not Mode.SKIP)
    }
    assert set(left_out(done, "public.notes")) == refused
    whole = expected(mode, held, live)
    left = {key: row for key, row in whole.items() if key not in refused}
    assert notes(world) == left | {key: row for key, row in live.items() if key in refused}
    assert (done.safety is None) == (notes(world) == live)
    if done.safety is not None:
        world.undo(done.safety)
        assert notes(world) == live
        assert [one.key_bytes for one in spared(world, snapshot, mode).refused] == [
            int4(key) for key in sorted(refused)
        ]
    world.run("ALTER TABLE notes DROP CONSTRAINT bad")
    if refused:
        scope = only(keys={"public.notes": [one.key_bytes for one in done.refused]})
        world.restore(snapshot, Mode.UPDATE, scope=scope)
    assert notes(world) == whole
    for one in world.repository.snapshots():
        world.repository.remove(one.id)
