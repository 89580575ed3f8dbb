"""An undo takes back exactly what a restore touched, and nothing that was written since."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Invalid
from snapstore.operations.gc import gc
from snapstore.operations.plan import Mode
from snapstore.operations.state import of_tables
from tests.operations.world import DATABASE_LAW, NOTES, STATES, Rows, World, expected, int4, notes, only, put

PgDump = Callable[..., str]


@DATABASE_LAW
@given(
    held=STATES, live=STATES, later=STATES, mode=st.sampled_from(Mode), keys=st.none() | st.sets(st.integers(-3, 40))
)
def test_touched_rows_go_back_and_others_stay(
    small_world: World, held: Rows, live: Rows, later: Rows, mode: Mode, keys: set[int] | None
) -> None:
    world = small_world
    world.run("DROP TABLE IF EXISTS notes;" + NOTES)
    put(world, held)
    snapshot = world.take()
    put(world, live)
    scope = only() if keys is None else only(keys={"public.notes": [int4(key) for key in keys]})
    done = world.restore(snapshot, mode, scope=scope)
    after = expected(mode, held, live)
    if keys is not None:
        after = {key: row for key, row in after.items() if key in keys} | {
            key: row for key, row in live.items() if key not in keys
        }
    assert notes(world) == after
    touched = {key for key in live.keys() | after.keys() if live.get(key) != after.get(key)}
    assert (done.safety is None) == (not touched)
    # Somebody goes on writing: rows of the restore and others.
    since = {**after, **later}
    put(world, since)
    if done.safety is not None:
        world.undo(done.safety)
        kept = {key: row for key, row in since.items() if key not in touched}
        assert notes(world) == kept | {key: row for key, row in live.items() if key in touched}
    for one in world.repository.snapshots():
        world.repository.remove(one.id)


def test_an_undo_can_be_undone(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 50) i")
    snapshot = world.take()
    world.run(
        "DELETE FROM notes WHERE id < 10; UPDATE notes SET tag = 'mine' WHERE id > 40; INSERT INTO notes VALUES (99)"
    )
    damaged = notes(world)
    done = world.restore(snapshot)
    restored = notes(world)
    undone = world.undo(done.safety)
    assert notes(world) == damaged
    redone = world.undo(undone.safety)
    assert notes(world) == restored
    world.undo(redone.safety)
    assert notes(world) == damaged
    world.check()


def test_where_every_row_is_touched_the_snapshots_own_tree_of_keys_is_kept(small_world: World) -> None:
    world = small_world
    for damage in ("TRUNCATE notes", "UPDATE notes SET heat = heat + 1"):
        world.run("DROP TABLE IF EXISTS notes;" + NOTES)
        world.run("INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 500) i")
        snapshot = world.take()
        held = notes(world)
        world.run(damage)
        damaged = notes(world)
        done = world.restore(snapshot)
        assert notes(world) == held
        assert done.safety is not None
        [kept], [whole] = (
            of_tables("", "", tables, world.repository.blobs)
            for tables in (done.safety.touched, snapshot.sources[0].tables)
        )
        assert kept.tree is not None
        assert whole.tree is not None
        assert kept.tree.count == 500
        assert kept.tree.spans()[0].refs == whole.tree.spans([])[0].refs[:1]
        world.repository.remove(snapshot.id)
        gc(world.repository)
        world.undo(done.safety)
        assert notes(world) == damaged


def test_what_cannot_be_taken_back_exactly_is_refused(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 50) i")
    snapshot = world.take()
    with pytest.raises(Invalid, match="not a safety snapshot"):
        world.undo(snapshot)
    world.run("DELETE FROM notes WHERE id < 10")
    done = world.restore(snapshot)
    world.repository.remove(snapshot.id)
    assert len(notes(world)) == 50
    world.undo(done.safety)
    assert len(notes(world)) == 41


def test_a_restore_that_only_made_tables_is_the_last_one_and_says_that_it_cannot_go_back(
    small_world: World, databases: Callable[..., str]
) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes VALUES (1)")
    snapshot = world.take()
    empty = World(world.repository, databases())
    done = empty.restore(snapshot)
    assert done.safety is not None
    assert world.repository.snapshots()[-1].id == done.safety.id
    with pytest.raises(Invalid, match="only made tables that were not there"):
        empty.undo(done.safety)


def test_an_undo_asks_no_condition_again(small_world: World) -> None:
    world = small_world
    world.run(
        NOTES
        + "; CREATE TABLE bad (id int PRIMARY KEY); INSERT INTO bad VALUES (3), (4);"
        + "INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 50) i"
    )
    snapshot = world.take()
    world.run("UPDATE notes SET heat = 0.9 WHERE id < 10")
    damaged = notes(world)
    scope = only(where={"public.notes": "id IN (SELECT id FROM public.bad)"})
    done = world.restore(snapshot, Mode.UPDATE, tables=("public.notes",), scope=scope)
    assert done.plan.tables[0].update == 2
    world.run("TRUNCATE bad")
    world.undo(done.safety)
    assert notes(world) == damaged
    assert done.safety is not None
    assert [(table.name, table.rows) for table in done.safety.touched] == [("public.notes", 2)]


def test_tables_made_anew_go_back_whole_and_others_by_row(world: World) -> None:
    world.run(
        NOTES
        + """; CREATE TABLE logs (id int PRIMARY KEY, line text);
        INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 20) i;
        INSERT INTO logs VALUES (1, 'a'), (2, 'b')"""
    )
    snapshot = world.take()
    world.run("ALTER TABLE logs RENAME line TO words; INSERT INTO logs VALUES (3, 'c'); DELETE FROM notes WHERE id < 5")
    done = world.restore(snapshot, recreate=True)
    assert world.rows("SELECT id, line FROM logs ORDER BY id") == [(1, "a"), (2, "b")]
    world.run("INSERT INTO notes VALUES (77)")
    world.undo(done.safety)
    assert world.rows("SELECT id, words FROM logs ORDER BY id") == [(1, "a"), (2, "b"), (3, "c")]
    assert sorted(notes(world)) == [*range(5, 21), 77]


def test_views_over_a_table_made_anew_go_back_as_they_were(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; CREATE VIEW bodies AS SELECT id, body FROM notes; CREATE VIEW ids AS SELECT id FROM bodies")
    world.run("CREATE TABLE other (id int PRIMARY KEY); INSERT INTO notes VALUES (1, 'a')")
    snapshot = world.take(exclude=("other",))
    world.run("ALTER TABLE notes ADD mood text; CREATE OR REPLACE VIEW bodies AS SELECT id, body, mood FROM notes")
    world.run("GRANT SELECT ON bodies TO pg_monitor; COMMENT ON VIEW ids IS 'all of them'")
    kept = """SELECT pg_get_viewdef('bodies'::regclass), obj_description('ids'::regclass),
      has_table_privilege('pg_monitor', 'bodies', 'SELECT')"""
    before = world.rows(kept)
    done = world.restore(snapshot, recreate=True)
    assert world.rows(kept) != before
    assert "were otherwise: view public.ids, view public.bodies" in " ".join(done.notes)
    world.undo(done.safety)
    assert world.rows(kept) == before


def test_a_table_the_restore_made_stays(small_world: World) -> None:
    world = small_world
    world.run(
        NOTES + "; CREATE TABLE logs (id int PRIMARY KEY); INSERT INTO notes VALUES (1); INSERT INTO logs VALUES (1)"
    )
    snapshot = world.take()
    world.run("DROP TABLE logs; DELETE FROM notes")
    done = world.restore(snapshot)
    world.undo(done.safety)
    assert notes(world) == {}
    assert world.rows("SELECT * FROM logs") == [(1,)]
