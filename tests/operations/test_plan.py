"""A plan says to the row what a restore would do, has one id for one set of changes, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.errors import Conflict, Invalid
from snapstore.operations.plan import Mode, make_plan
from snapstore.operations.state import live, of_snapshot
from snapstore.repository import Repository
from snapstore.sources import Selection
from tests.operations.world import NOTES, World, counts, int4, only

Databases = Callable[..., str]
PgDump = Callable[..., str]


def test_a_dry_run_changes_nothing_anywhere(databases: Databases, pg_dump: PgDump) -> None:
    backend = RecordingBackend(MemoryBackend())
    world = World(Repository.init(backend), databases())
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 500) i")
    snapshot = world.take()
    world.run(
        "DELETE FROM notes WHERE id < 50; UPDATE notes SET heat = 0.1 WHERE id < 100; INSERT INTO notes VALUES (0)"
    )
    dump, objects = pg_dump(world.url), {entry.name for entry in backend.list()}
    backend.reset()
    plan = world.plan(snapshot)
    assert counts(plan) == {"public.notes": (49, 50, 1, 0, 0)}
    written = [call for call in backend.calls if call.verb in ("put", "replace", "delete")]
    # Its own announcement, so that a gc beside it waits, and the end of that.
    assert [call.verb for call in written] == ["put", "delete"]
    assert len({call.name for call in written}) == 1
    assert {entry.name for entry in backend.list()} == objects
    assert pg_dump(world.url) == dump


def test_a_plan_has_the_same_id_for_the_same_changes_only(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 3000) i")
    snapshot = world.take()
    world.run("UPDATE notes SET heat = 0.1 WHERE id % 7 = 0; DELETE FROM notes WHERE id % 11 = 0")
    plan = world.plan(snapshot)
    assert world.plan(snapshot).id == plan.id
    world.run("UPDATE notes SET body = body")
    world.run("VACUUM FULL notes")
    assert world.plan(snapshot).id == plan.id
    others = {plan.id, world.plan(snapshot, Mode.UPDATE).id, world.plan(snapshot, Mode.SKIP).id}
    for change in (
        "UPDATE notes SET heat = 0.2 WHERE id = 7",
        "UPDATE notes SET tag = 't' WHERE id = 7",
        "UPDATE notes SET tag = NULL, body = NULL WHERE id = 7",
        "DELETE FROM notes WHERE id = 7",
        "INSERT INTO notes VALUES (3001, 'note', 0.5)",
        "UPDATE notes SET body = '' WHERE id = 3001",
        "ALTER TABLE notes RENAME heat TO warmth",
    ):
        world.run(change)
        others.add(world.plan(snapshot).id)
    assert len(others) == 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE notes ALTER body TYPE int USING 0", "column body is"),
        ("ALTER TABLE notes DROP CONSTRAINT notes_pkey, ADD PRIMARY KEY (id, body)", "another key"),
        ("ALTER TABLE notes RENAME id TO number", "another key"),
        ("ALTER TABLE notes DROP CONSTRAINT notes_pkey", "another key"),
    ],
)
def test_a_table_of_another_shape_is_refused_or_made_anew(
    world: World, pg_dump: PgDump, change: str, words: str
) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5, 'x' FROM generate_series(1, 20) i")
    snapshot, dump = world.take(), pg_dump(world.url)
    world.run(change + "; INSERT INTO notes VALUES (100, '7')")
    changed = pg_dump(world.url)
    plan = world.plan(snapshot)
    assert words in plan.errors[0]
    with pytest.raises(Conflict, match=words):
        world.restore(snapshot)
    assert pg_dump(world.url) == changed
    anew = world.plan(snapshot, recreate=True)
    assert anew.tables[0].recreate
    assert counts(anew) == {"public.notes": (20, 0, 21, 0, 0)}
    done = world.restore(snapshot, recreate=True, plan_id=anew.id)
    assert pg_dump(world.url) == dump
    world.undo(done.safety)
    assert pg_dump(world.url) == changed


def test_making_anew_never_takes_more_than_the_snapshot_gives(world: World, pg_dump: PgDump) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', i / 10.0, 'x' FROM generate_series(1, 20) i")
    whole = world.take()
    some = world.take(where={"public.notes": "heat > 1"})
    narrow = world.take(exclude_columns=("public.notes.tag",))
    shape = world.take(rows=False)
    world.run("ALTER TABLE notes ALTER body TYPE varchar")
    dump = pg_dump(world.url)
    for snapshot, scope, words in (
        (whole, only(keys={"public.notes": [int4(1)]}), "some of its rows"),
        (whole, only(where={"public.notes": "id = 1"}), "some of its rows"),
        (some, only(), "some of its rows"),
        (narrow, only(), "does not hold tag"),
        (shape, only(), "none of its rows"),
    ):
        with pytest.raises(Conflict, match=words):
            world.restore(snapshot, recreate=True, scope=scope)
    assert pg_dump(world.url) == dump


def test_a_condition_that_nobody_can_be_asked_about_is_refused(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes VALUES (1)")
    snapshot = world.take()
    wanted = of_snapshot(world.repository, snapshot)
    with live(world.repository, "agents", world.source, Selection()) as state, pytest.raises(Invalid, match="source"):
        make_plan(state, wanted, Mode.EXACT, scope=only(where={"public.notes": "id = 1"}))


def test_columns_set_together_are_counted_together(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5, 'x' FROM generate_series(1, 1000) i")
    snapshot = world.take()
    world.run("UPDATE notes SET heat = 0 WHERE id % 2 = 0; UPDATE notes SET tag = NULL WHERE id % 3 = 0")
    [table] = world.plan(snapshot, Mode.UPDATE).tables
    assert table.column_sets == {("heat",): 334, ("tag",): 167, ("heat", "tag"): 166}
    assert table.updates == {"heat": 500, "tag": 333}
    assert table.update == 667
    [skipped] = world.plan(snapshot, Mode.SKIP).tables
    assert (skipped.skip, skipped.updates, skipped.is_empty) == (667, {}, True)
