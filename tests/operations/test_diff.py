"""A diff counts exactly what changed, between snapshots and against the live rows, and reads only where they differ."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.errors import Invalid
from snapstore.operations.diff import diff, row_changes
from snapstore.operations.state import of_snapshot
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources.postgres.source import PostgresSource
from tests.operations.world import DATABASE_LAW, NOTES, World, int4, run

Databases = Callable[..., str]

COLUMNS = ("body", "heat", "tag")

# An edit of one row: its id, then nothing (the row goes) or the column that is set and to what; an id that is not
# there is made. Neighbours and far ids, so that edits meet in one chunk and in many.
VALUES = {
    "body": st.sampled_from([None, "", "a", "long " * 150, "y" * 70_000]),
    "heat": st.sampled_from([None, 0.0, 0.25]),
    "tag": st.sampled_from([None, "x", "y"]),
}
EDITS = st.lists(
    st.tuples(
        st.integers(0, 700) | st.integers(300, 310),
        st.none() | st.sampled_from(COLUMNS).flatmap(lambda name: st.tuples(st.just(name), VALUES[name])),
    ),
    max_size=40,
)
Rows = dict[int, dict[str, object]]


def test_rows_that_are_on_one_side_alone_come_in_stretches(database: str) -> None:
    run(database, NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 20000) i")
    repository = Repository.init(MemoryBackend())
    request = Request("db", PostgresSource(database))
    full = take(repository, [request]).snapshot
    run(database, "TRUNCATE notes")
    [before], [after] = (of_snapshot(repository, one).tables for one in (take(repository, [request]).snapshot, full))
    found = list(row_changes(before, after))
    assert len(found) > 1
    assert sum(len(changes.added) for changes in found) == 20000
    assert not any(len(changes.removed) for changes in found)
    assert sum(len(changes.removed) for changes in row_changes(after, before)) == 20000


def edit(url: str, model: Rows, edits: list[tuple[int, tuple[str, object] | None]]) -> None:
    """The same edits in the database and in the model."""
    with psycopg.connect(url) as connection:
        for key, change in edits:
            if change is None:
                connection.execute("DELETE FROM notes WHERE id = %s", (key,))
                model.pop(key, None)
                continue
            name, value = change
            connection.execute(
                f"INSERT INTO notes (id, {name}) VALUES (%s, %s) "
                f"ON CONFLICT (id) DO UPDATE SET {name} = excluded.{name}",
                (key, value),
            )
            model[key] = {**model.get(key, dict.fromkeys(COLUMNS)), name: value}


@DATABASE_LAW
@given(first=EDITS, second=EDITS, keys=st.none() | st.sets(st.integers(295, 315)))
def test_counts_are_those_of_a_model(
    small_world: World, first: list[tuple[int, tuple[str, object] | None]],
    second: list[tuple[int, tuple[str, object] | None]], keys: set[int] | None,
) -> None:  # fmt: skip
    world = small_world
    model: Rows = {key: {"body": f"note {key}", "heat": 0.5, "tag": None} for key in range(100, 600)}
    world.run(f"DROP TABLE IF EXISTS notes; {NOTES};")
    world.run("INSERT INTO notes SELECT i, 'note ' || i, 0.5, NULL FROM generate_series(100, 599) i")
    edit(world.url, model, first)
    then, before = {key: dict(row) for key, row in model.items()}, world.take()
    edit(world.url, model, second)
    asked = None if keys is None else [int4(key) for key in keys]
    if keys is not None:
        then, model = ({key: row for key, row in rows.items() if key in keys} for rows in (then, model))
    differ = [(then[key], model[key]) for key in then.keys() & model.keys() if then[key] != model[key]]
    cells = {name: sum(old[name] != new[name] for old, new in differ) for name in COLUMNS}
    live = world.status(before, keys=asked)["public.notes"]
    assert (live.added, live.removed, live.changed) == (
        len(model.keys() - then.keys()),
        len(then.keys() - model.keys()),
        len(differ),
    )
    assert live.columns == {name: count for name, count in cells.items() if count}
    assert live.is_equal == (then == model)
    after = world.take()
    assert world.diff(before, after, keys=asked)["public.notes"] == live
    back = world.diff(after, before, keys=asked)["public.notes"]
    assert (back.added, back.removed, back.changed, back.columns) == (
        live.removed,
        live.added,
        live.changed,
        live.columns,
    )
    for snapshot in (before, after):
        world.repository.remove(snapshot.id)


def test_rows_come_field_by_field_in_order_of_key(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5, 'x' FROM generate_series(1, 2000) i")
    before = world.take()
    world.run("UPDATE notes SET tag = 'y' WHERE id % 400 = 0; UPDATE notes SET heat = NULL WHERE id = 800")
    world.run("DELETE FROM notes WHERE id IN (5, 1995); INSERT INTO notes VALUES (-1), (5000)")
    after = world.take()
    [old], [new] = (of_snapshot(world.repository, snapshot).tables for snapshot in (before, after))
    found = list(row_changes(old, new))
    keys = {
        "added": [key for one in found for key in one.added.keys.to_list()],
        "removed": [key for one in found for key in one.removed.keys.to_list()],
        "changed": [key for one in found for key in one.changed.keys.to_list()],
    }
    assert keys == {
        "added": [int4(-1), int4(5000)],
        "removed": [int4(5), int4(1995)],
        "changed": [int4(at) for at in (400, 800, 1200, 1600, 2000)],
    }
    tags = [cell for one in found if 2 in one.changed.after for cell in one.changed.after[2].to_list()]
    assert tags == [b"y"] * 5
    heats = [
        (one.changed.before[1].to_list(), one.changed.after[1].to_list()) for one in found if 1 in one.changed.after
    ]
    assert heats == [([b"\x3f\x00\x00\x00"], [None])]


def test_a_diff_reads_only_where_the_tables_differ(databases: Databases) -> None:
    backend = RecordingBackend(MemoryBackend())
    world = World(Repository.init(backend), databases())
    world.run(
        NOTES + "; INSERT INTO notes SELECT i, md5(i::text), i / 7.0, md5(i::text) FROM generate_series(1, 40000) i"
    )
    before = world.taken()
    world.run("UPDATE notes SET heat = 0 WHERE id = 20000")
    after = world.take()
    cold = Repository.open(backend)
    backend.reset()
    found = list(diff(of_snapshot(cold, before.snapshot), of_snapshot(cold, after)))
    assert [(one.changed, one.columns) for one in found] == [(1, {"heat": 1})]
    packs = sum(call.bytes for call in backend.calls if call.verb == "get_range" and call.name.startswith("packs/"))
    assert packs < before.bytes_added / 4
    assert backend.count("get_range", prefix="packs/") < 30


def test_a_change_of_shape_is_told_in_words_and_common_columns_are_compared(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5, 'x' FROM generate_series(1, 100) i")
    before = world.take()
    world.run("ALTER TABLE notes DROP tag, ADD more int DEFAULT 7, ALTER heat TYPE float8")
    world.run("UPDATE notes SET body = 'new' WHERE id <= 10")
    found = world.status(before)["public.notes"]
    assert found.shape == (
        "column heat: real before, double precision after",
        "column tag (text) only before",
        "column more (integer) only after",
    )
    assert (found.added, found.removed, found.changed, found.columns) == (0, 0, 10, {"body": 10})
    assert not found.is_equal
    world.run("ALTER TABLE notes DROP CONSTRAINT notes_pkey, ADD PRIMARY KEY (id, body)")
    found = world.status(before)["public.notes"]
    assert found.shape[0] == "key: (id pg_catalog.int4) before, (id pg_catalog.int4, body pg_catalog.text) after"
    assert (found.added, found.removed, found.changed) == (100, 100, 0)


def test_a_table_on_one_side_only_is_said_to_be(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes VALUES (1), (2); CREATE TABLE empty (id int PRIMARY KEY)")
    before = world.take()
    world.run(
        "DROP TABLE notes; DROP TABLE empty; CREATE TABLE others (id int PRIMARY KEY); INSERT INTO others VALUES (1)"
    )
    found = {name: (one.only, one.added, one.removed) for name, one in world.status(before).items()}
    assert found == {
        "public.notes": ("before", 0, 2),
        "public.empty": ("before", 0, 0),
        "public.others": ("after", 1, 0),
    }


def test_a_snapshot_of_shapes_alone_says_nothing_of_rows(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes VALUES (1), (2)")
    shape, whole = world.take(rows=False), world.take()
    for found in (*world.diff(shape, whole).values(), *world.diff(whole, shape).values()):
        assert (found.added, found.removed, found.changed, found.only) == (0, 0, 0, "")
        assert found.shape in (("rows not taken before",), ("rows not taken after",))
    assert world.status(shape)["public.notes"].is_equal
    world.run("ALTER TABLE notes ADD more text")
    assert world.status(shape)["public.notes"].shape == ("column more (text) only after",)


def test_live_means_what_the_snapshot_took(world: World) -> None:
    world.run("CREATE EXTENSION vector; CREATE TABLE logs (id int PRIMARY KEY)")
    world.run("CREATE TABLE notes (id int PRIMARY KEY, body text, heat real, v vector(3))")
    world.run("INSERT INTO notes SELECT i, 'b', i, '[1,2,3]' FROM generate_series(1, 20) i")
    snapshot = world.take(
        "notes", where={"public.notes": "heat > 10"}, exclude_columns=("public.notes.body",), vectors=False
    )
    world.run("UPDATE notes SET body = 'c', v = '[0,0,0]'; DELETE FROM notes WHERE id < 5; INSERT INTO logs VALUES (1)")
    assert [(name, one.is_equal) for name, one in world.status(snapshot).items()] == [("public.notes", True)]
    world.run("UPDATE notes SET heat = 5 WHERE id = 15; UPDATE notes SET heat = 50 WHERE id = 16")
    found = world.status(snapshot)["public.notes"]
    assert (found.added, found.removed, found.columns) == (0, 1, {"heat": 1})


def test_two_databases_compare_table_by_table(small_world: World, databases: Databases) -> None:
    other = databases()
    for url, last in ((small_world.url, 9), (other, 10)):
        run(url, NOTES + f"; INSERT INTO notes (id) SELECT generate_series(1, {last})")
    here = small_world.take()
    there = take(small_world.repository, [Request("elsewhere", PostgresSource(other))]).snapshot
    found = small_world.diff(here, there)
    assert {name: (one.added, one.only) for name, one in found.items()} == {"public.notes": (1, "")}
    both = take(
        small_world.repository, [Request("agents", small_world.source), Request("elsewhere", PostgresSource(other))]
    ).snapshot
    states = of_snapshot(small_world.repository, here), of_snapshot(small_world.repository, both)
    told = [(one.source, one.only, one.added) for one in diff(*states)]
    assert told == [("agents", "", 0), ("elsewhere", "after", 10)]


def test_tables_are_narrowed_by_pattern(small_world: World) -> None:
    world = small_world
    world.run("CREATE TABLE notes (id int PRIMARY KEY); CREATE TABLE logs (id int PRIMARY KEY)")
    state = of_snapshot(world.repository, world.take())
    assert [table.name for table in state.narrowed(["no*"]).tables] == ["public.notes"]
    assert {table.name for table in state.narrowed(["public.*"]).tables} == {"public.notes", "public.logs"}
    assert state.narrowed([]) is state
    with pytest.raises(Invalid, match="'nope'"):
        state.narrowed(["notes", "nope"])


def test_equal_states_are_not_read_at_all(databases: Databases) -> None:
    backend = RecordingBackend(MemoryBackend())
    world = World(Repository.init(backend), databases())
    world.run(NOTES + "; INSERT INTO notes SELECT i, md5(i::text) FROM generate_series(1, 5000) i")
    before, after = world.take(), world.take()
    cold = Repository.open(backend)
    backend.reset()
    [found] = diff(of_snapshot(cold, before), of_snapshot(cold, after))
    assert found.is_equal
    assert backend.count("get_range", prefix="packs/") <= 2  # where the roots and the schema are
