"""A restore does what its plan says, to the row, and nothing else; whatever goes wrong, nothing has happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import Conflict, Invalid, NotFound, SnapstoreError, Unavailable
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, restore
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources import Selection, Target
from snapstore.sources.postgres.source import PostgresSource
from tests.operations.world import (
    DATABASE_LAW,
    NOTES,
    STATES,
    Crashing,
    Rows,
    World,
    counts,
    expected,
    notes,
    put,
    roots,
    run,
)

Databases = Callable[..., str]
PgDump = Callable[..., str]


@DATABASE_LAW
@given(held=STATES, live=STATES, mode=st.sampled_from(Mode))
def test_rows_are_as_the_mode_says_and_a_second_plan_is_empty(
    small_world: World, held: Rows, live: Rows, mode: Mode
) -> None:
    world = small_world
    world.run("DROP TABLE IF EXISTS notes;" + NOTES)
    put(world, held)
    snapshot = world.take()
    put(world, live)
    plan = world.plan(snapshot, mode)
    missing, gone = held.keys() - live.keys(), live.keys() - held.keys()
    differ = {key for key in held.keys() & live.keys() if held[key] != live[key]}
    assert counts(plan)["public.notes"] == (
        len(missing),
        0 if mode is Mode.SKIP else len(differ),
        len(gone) if mode is Mode.EXACT else 0,
        len(differ) if mode is Mode.SKIP else 0,
        0 if mode is Mode.EXACT else len(gone),
    )
    cells = {
        name: sum(held[key][at] != live[key][at] for key in differ) for at, name in enumerate(("body", "heat", "tag"))
    }
    assert plan.tables[0].updates == ({} if mode is Mode.SKIP else {name: n for name, n in cells.items() if n})
    assert notes(world) == live
    done = world.restore(snapshot, mode, plan_id=plan.id)
    assert done.plan == plan
    assert notes(world) == expected(mode, held, live)
    assert world.plan(snapshot, mode).is_empty
    for snapshot in world.repository.snapshots():
        world.repository.remove(snapshot.id)


# People with unique codes and bosses among themselves, and jots that go with them; every state drawn is consistent.
PEOPLE = """
    CREATE TABLE people (id int PRIMARY KEY, code int UNIQUE, boss int REFERENCES people ON DELETE SET NULL);
    CREATE TABLE jots (id int PRIMARY KEY, person int NOT NULL REFERENCES people ON DELETE CASCADE, body text)
"""
People = tuple[dict[int, tuple[int | None, int | None]], dict[int, tuple[int, str]]]


@st.composite
def people(draw: st.DrawFn) -> People:
    ids = draw(st.sets(st.integers(1, 9)))
    codes = draw(st.permutations(range(12)))
    known = sorted(ids)
    bosses = st.sampled_from([None, *known])
    persons = {
        key: (draw(st.sampled_from([None, code])), draw(bosses)) for key, code in zip(known, codes, strict=False)
    }
    if not known:
        return persons, {}
    row = st.tuples(st.sampled_from(known), st.sampled_from(["a", "b"]))
    return persons, draw(st.dictionaries(st.integers(1, 12), row, max_size=8))


def live_people(world: World) -> People:
    return (
        {key: (code, boss) for key, code, boss in world.rows("SELECT * FROM people")},
        {key: (person, body) for key, person, body in world.rows("SELECT * FROM jots")},
    )


def put_people(world: World, state: People) -> None:
    with psycopg.connect(world.url) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM jots; UPDATE people SET boss = NULL; DELETE FROM people")
        cursor.executemany("INSERT INTO people VALUES (%s, %s)", [(key, code) for key, (code, _) in state[0].items()])
        cursor.executemany("UPDATE people SET boss = %s WHERE id = %s", [(b, key) for key, (_, b) in state[0].items()])
        cursor.executemany("INSERT INTO jots VALUES (%s, %s, %s)", [(key, *row) for key, row in state[1].items()])


@DATABASE_LAW
@given(held=people(), live=people())
def test_consistent_states_turn_into_each_other_past_their_constraints(
    small_world: World, held: People, live: People
) -> None:
    world = small_world
    world.run("DROP TABLE IF EXISTS people, jots;" + PEOPLE)
    put_people(world, held)
    snapshot = world.take()
    put_people(world, live)
    done = world.restore(snapshot)
    assert live_people(world) == held
    if done.safety is not None:
        world.undo(done.safety)
        assert live_people(world) == live
        # Rows that are new to either side and no others: what stands in the way is named, and nothing is half done.
        for mode in (Mode.SKIP, Mode.UPDATE):
            refused = ""
            try:
                world.restore(snapshot, mode)
            except Conflict as error:
                refused = error.message
            persons, jots = live_people(world)
            if refused:
                assert "public." in refused
                assert (persons, jots) == live
            else:
                assert persons.keys() == held[0].keys() | live[0].keys()
                assert jots.keys() == held[1].keys() | live[1].keys()
                put_people(world, live)
    for one in world.repository.snapshots():
        world.repository.remove(one.id)


def test_a_drifted_plan_is_refused_and_nothing_is_touched(world: World, pg_dump: PgDump) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 300) i")
    snapshot = world.take()
    world.run("DELETE FROM notes WHERE id < 100")
    plan = world.plan(snapshot)
    world.run("UPDATE notes SET body = 'mine' WHERE id = 200")
    dump = pg_dump(world.url)
    with pytest.raises(Conflict, match="changed since the plan"):
        world.restore(snapshot, plan_id=plan.id)
    assert pg_dump(world.url) == dump
    assert [snap.id for snap in world.repository.snapshots()] == [snapshot.id]
    world.check()


class Watched(PostgresSource):
    """A source that does something before its target commits, or fails there."""

    def __init__(self, url: str, before_commit: Callable[[], None]) -> None:
        super().__init__(url)
        self._before_commit = before_commit

    def target(self, selection: Selection) -> AbstractContextManager[Target]:
        return self._target(selection)

    @contextmanager
    def _target(self, selection: Selection) -> Iterator[Target]:
        with super().target(selection) as target:
            yield target
            self._before_commit()


def test_the_safety_snapshot_is_committed_before_the_database(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 300) i")
    snapshot = world.take()
    world.run("DELETE FROM notes WHERE id < 100; INSERT INTO notes VALUES (-1, 'new')")
    before = world.take()
    seen: list[tuple[int, str | None]] = []

    def look() -> None:
        # On a connection of its own: what the others see.
        newest = Repository.open(world.repository.backend).snapshots()[-1]
        seen.append((world.value("SELECT count(*) FROM notes"), newest.safety))
        assert roots(newest) == roots(before)

    done = restore(world.repository, snapshot, Watched(world.url, look), Ask(mode=Mode.EXACT))
    assert seen == [(202, snapshot.id)]
    assert done.safety is not None
    assert world.value("SELECT count(*) FROM notes") == 300


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Unavailable("the disk is full")])
def test_a_restore_that_ends_before_the_commit_keeps_its_safety_snapshot_and_the_database(
    world: World, pg_dump: PgDump, error: BaseException
) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 300) i")
    snapshot = world.take()
    world.run("DELETE FROM notes WHERE id < 100")
    dump = pg_dump(world.url)

    def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        restore(world.repository, snapshot, Watched(world.url, fail), Ask(mode=Mode.EXACT))
    assert pg_dump(world.url) == dump
    # Whether the database committed is not known from here, so the state before it stays at hand.
    assert world.repository.snapshots()[-1].safety == snapshot.id
    world.check()
    assert world.restore(snapshot).plan.tables[0].insert == 99


@pytest.mark.parametrize("is_done", [False, True])
def test_a_restore_that_ends_at_any_storage_call_has_changed_nothing(small_world: World, is_done: bool) -> None:
    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, repeat('note', 200), 0.5 FROM generate_series(1, 60) i")
    snapshot = world.take()
    world.run("DELETE FROM notes WHERE id < 10; UPDATE notes SET tag = 'x' WHERE id > 50")
    damaged, backend = notes(world), world.repository.backend
    for at in range(200):
        crashing = Repository(Crashing(backend, at, is_done=is_done), world.repository.settings)
        try:
            restore(crashing, snapshot, world.source, Ask(mode=Mode.EXACT))
        except Unavailable:
            assert notes(world) == damaged
            for one in (*world.repository.pendings(), *world.repository.snapshots()):
                if one.id != snapshot.id:
                    assert one.safety == (snapshot.id if one.sources else None)
                    world.repository.remove(one.id)
            continue
        break
    else:
        pytest.fail("the restore never came to its end")
    assert at > 8
    assert len(notes(world)) == 60
    assert world.repository.snapshots()[-1].safety == snapshot.id
    world.check()


def test_a_restore_that_fails_in_the_database_leaves_no_safety_snapshot(world: World, pg_dump: PgDump) -> None:
    world.run(
        """CREATE TABLE people (id int PRIMARY KEY); CREATE TABLE notes (id int PRIMARY KEY, person int);
        INSERT INTO people VALUES (1), (2); INSERT INTO notes VALUES (1, 1), (2, 2)"""
    )
    snapshot = world.take()
    world.run(
        """DELETE FROM people WHERE id = 2; DELETE FROM notes WHERE id = 2;
        ALTER TABLE notes ADD CONSTRAINT of_person FOREIGN KEY (person) REFERENCES people"""
    )
    dump = pg_dump(world.url)
    with pytest.raises(Conflict, match="of_person"):
        world.restore(snapshot, tables=("notes",))
    assert pg_dump(world.url) == dump
    assert [snap.id for snap in world.repository.snapshots()] == [snapshot.id]
    world.check()
    assert world.restore(snapshot).safety is not None


def test_untouched_rows_and_cells_stay_where_they_are(world: World) -> None:
    world.run(
        """CREATE EXTENSION vector; CREATE TABLE notes (id int PRIMARY KEY, heat real, embedding vector(1500));
        ALTER TABLE notes ALTER embedding SET STORAGE EXTERNAL;
        INSERT INTO notes SELECT i, 0.5, (SELECT array_agg(random()) FROM generate_series(1, 1500))::vector
        FROM generate_series(1, 40) i"""
    )
    snapshot = world.take()
    world.run("UPDATE notes SET heat = heat * 0.9 WHERE id <= 20")
    toast = "SELECT id, pg_column_toast_chunk_id(embedding) FROM notes ORDER BY id"
    rows = "SELECT id, xmin::text, ctid::text FROM notes WHERE id > 20 ORDER BY id"
    before = world.rows(toast), world.rows(rows)
    assert all(chunk for _, chunk in before[0])
    done = world.restore(snapshot)
    assert done.plan.tables[0].updates == {"heat": 20}
    assert (world.rows(toast), world.rows(rows)) == before
    assert roots(world.take()) == roots(snapshot)


def test_a_parent_comes_back_past_cascades_of_tables_outside(world: World) -> None:
    world.run(
        """CREATE TABLE people (id int PRIMARY KEY, name text UNIQUE);
        CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people ON DELETE CASCADE ON UPDATE CASCADE);
        INSERT INTO people VALUES (1, 'ann'), (2, 'bob');
        INSERT INTO notes SELECT i, 1 + i % 2 FROM generate_series(1, 9) i"""
    )
    snapshot = world.take()
    world.run("UPDATE people SET name = 'x' WHERE id = 1; UPDATE people SET name = 'ann' WHERE id = 2")
    world.run("UPDATE people SET name = 'bob' WHERE id = 1")
    notes_before = world.rows("SELECT *, xmin::text FROM notes ORDER BY id")
    # The names were swapped, so both rows are deleted and inserted again: their notes must not go with them.
    world.restore(snapshot, tables=("people",))
    assert world.rows("SELECT * FROM people ORDER BY id") == [(1, "ann"), (2, "bob")]
    assert world.rows("SELECT *, xmin::text FROM notes ORDER BY id") == notes_before
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        world.run("INSERT INTO notes VALUES (10, 3)")


def test_identity_and_generated_columns_come_back_and_sequences_move_on(world: World, pg_dump: PgDump) -> None:
    world.run(
        """CREATE TABLE notes (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, body text,
          size int GENERATED ALWAYS AS (length(body)) STORED, doubled int GENERATED ALWAYS AS (n * 2) VIRTUAL);
        CREATE TABLE logs (id bigserial PRIMARY KEY, body text);
        INSERT INTO notes (id, body) SELECT i, repeat('x', i) FROM generate_series(1, 20) i;
        INSERT INTO logs (body) SELECT 'line' FROM generate_series(1, 20)"""
    )
    snapshot, dump = world.take(), pg_dump(world.url)
    world.run(
        """DELETE FROM notes WHERE id <= 5; DELETE FROM logs WHERE id > 10; UPDATE notes SET body = 'y' WHERE id > 15;
        UPDATE notes SET n = DEFAULT WHERE id = 10; ALTER SEQUENCE logs_id_seq RESTART WITH 3"""
    )
    world.restore(snapshot)
    query = "SELECT id, n, body, size, doubled FROM notes ORDER BY id"
    assert world.rows(query) == [(i, i, "x" * i, i, 2 * i) for i in range(1, 21)]
    world.run("INSERT INTO logs (body) VALUES ('next'); INSERT INTO notes (id, body) VALUES (99, 'next')")
    assert world.value("SELECT max(id) FROM logs") == 21
    assert world.value("SELECT n FROM notes WHERE id = 99") == 22  # 21 was drawn: sequences only move forward
    assert "size integer GENERATED ALWAYS AS (length(body)) STORED" in dump


def test_triggers_do_not_fire_and_are_as_they_were(world: World, pg_dump: PgDump) -> None:
    world.run(
        NOTES
        + """; CREATE TABLE audit (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, what text);
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN INSERT INTO audit (what) VALUES (TG_OP); NEW.body := 'sabotaged'; RETURN NEW; END$$;
        INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 20) i;
        CREATE TRIGGER one BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION noted();
        CREATE TRIGGER two BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION noted();
        CREATE TRIGGER three BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION noted();
        ALTER TABLE notes ENABLE ALWAYS TRIGGER two, DISABLE TRIGGER three"""
    )
    snapshot, dump = world.take(), pg_dump(world.url)
    world.run("ALTER TABLE notes DISABLE TRIGGER USER; DELETE FROM notes WHERE id < 5; UPDATE notes SET heat = 1")
    world.run("INSERT INTO notes VALUES (0); ALTER TABLE notes ENABLE TRIGGER one, ENABLE ALWAYS TRIGGER two")
    world.restore(snapshot)
    assert pg_dump(world.url) == dump


SPY = """
    CREATE FUNCTION spy(int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN {} RETURN true; END$$;
    ALTER TABLE notes ADD CONSTRAINT spying CHECK (spy(id)) NOT VALID
"""


@pytest.mark.parametrize(
    ("deed", "mode"),
    [
        ("DELETE FROM notes WHERE id = 7;", Mode.SKIP),
        ("UPDATE notes SET tag = 'spied' WHERE id = 7;", Mode.EXACT),
        ("UPDATE notes SET tag = 'spied' WHERE id = 999;", Mode.SKIP),
        ("INSERT INTO notes VALUES (1000) ON CONFLICT DO NOTHING;", Mode.UPDATE),
        ("UPDATE notes SET extra = 'spied' WHERE id = 7;", Mode.EXACT),
    ],
)
def test_what_the_database_does_behind_a_restore_is_found_and_taken_back(
    world: World, pg_dump: PgDump, deed: str, mode: Mode
) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 20) i")
    snapshot = world.take()
    world.run("ALTER TABLE notes ADD extra text; DELETE FROM notes WHERE id < 5; INSERT INTO notes VALUES (999)")
    guarded = f"IF $1 < 5 AND pg_trigger_depth() = 0 THEN {deed} END IF;"
    world.run(SPY.format(guarded).replace(" NOT VALID", ""))
    dump = pg_dump(world.url)
    with pytest.raises(Conflict, match=r"not what was planned|changed other rows"):
        world.restore(snapshot, mode)
    assert pg_dump(world.url) == dump
    assert [snap.id for snap in world.repository.snapshots()] == [snapshot.id]


def test_columns_that_only_one_side_has_are_left_as_they_are(world: World) -> None:
    world.run(
        """CREATE TABLE notes (id int PRIMARY KEY, body text, code int UNIQUE, gone text);
        INSERT INTO notes SELECT i, 'note ' || i, i, 'gone' FROM generate_series(1, 20) i"""
    )
    snapshot = world.take()
    world.run("ALTER TABLE notes DROP gone, ADD extra text DEFAULT 'more'")
    world.run(
        "UPDATE notes SET extra = 'own ' || id, code = 100 + code WHERE id <= 10; DELETE FROM notes WHERE id > 15"
    )
    plan = world.plan(snapshot)
    assert plan.tables[0].shape == (
        "column extra (text) only live",
        "column gone (text) only in the snapshot",
    )
    assert counts(plan) == {"public.notes": (5, 10, 0, 0, 0)}
    world.restore(snapshot, plan_id=plan.id)
    assert world.rows("SELECT * FROM notes ORDER BY id") == [
        (i, f"note {i}", i, f"own {i}" if i <= 10 else "more") for i in range(1, 21)
    ]
    assert world.plan(snapshot).is_empty


def test_an_empty_database_gets_everything(world: World, databases: Databases, pg_dump: PgDump) -> None:
    world.run(
        """CREATE EXTENSION vector; CREATE SCHEMA letta; CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TABLE people (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text UNIQUE, feels mood DEFAULT 'ok');
        CREATE TABLE letta.notes (id bigserial PRIMARY KEY, person uuid REFERENCES people ON DELETE CASCADE,
          body text NOT NULL CHECK (body <> ''), embedding vector(8),
          size int GENERATED ALWAYS AS (length(body)) STORED);
        CREATE INDEX by_vector ON letta.notes USING hnsw (embedding vector_cosine_ops) WITH (m = 8);
        CREATE VIEW happy AS SELECT * FROM people WHERE feels = 'ok';
        CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)';
        CREATE SEQUENCE tickets START 7; SELECT nextval('tickets');
        INSERT INTO people (name) SELECT 'p' || i FROM generate_series(1, 50) i;
        INSERT INTO letta.notes (person, body, embedding)
          SELECT id, name || ' says', ARRAY[1, 2, 3, 4, 5, 6, 7, random()]::vector FROM people;
        COMMENT ON TABLE people IS 'those who say'"""
    )
    snapshot, dump = world.take(), pg_dump(world.url)
    empty = World(world.repository, databases())
    plan = empty.plan(snapshot, Mode.SKIP)
    assert [(table.name, table.create, table.insert) for table in plan.tables] == [
        ("public.people", True, 50),
        ("letta.notes", True, 50),
    ]
    done = empty.restore(snapshot, Mode.SKIP, plan_id=plan.id)
    assert done.safety is not None
    assert done.safety.sources[0].tables == ()
    assert pg_dump(empty.url) == dump
    assert roots(empty.take()) == roots(snapshot)
    assert [snap.safety for snap in world.repository.snapshots()] == [None, snapshot.id, None]
    world.check()


def test_a_dropped_table_comes_back_among_the_others(world: World, pg_dump: PgDump) -> None:
    world.run(
        """CREATE TABLE people (id int PRIMARY KEY, name text);
        CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people);
        CREATE VIEW named AS SELECT name, person FROM people JOIN notes ON person = people.id;
        INSERT INTO people SELECT i, 'p' FROM generate_series(1, 50) i;
        INSERT INTO notes SELECT i, i FROM generate_series(1, 50) i"""
    )
    snapshot, dump = world.take(), pg_dump(world.url)
    world.run("DROP TABLE people CASCADE")
    world.restore(snapshot, Mode.SKIP)
    live = pg_dump(world.url)
    # The foreign key of the live table went with the CASCADE: a restore puts back rows, and what is missing as a whole.
    assert "CREATE VIEW public.named" in live
    assert set(dump.splitlines()) - set(live.splitlines()) <= {
        "-- Name: notes notes_person_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres",
        "ALTER TABLE ONLY public.notes",
        "    ADD CONSTRAINT notes_person_fkey FOREIGN KEY (person) REFERENCES public.people(id);",
    }


def test_another_session_that_holds_a_table_is_named(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes VALUES (1)")
    snapshot = world.take()
    world.run("DELETE FROM notes")
    source = PostgresSource(world.url, lock_timeout_seconds=0.2)
    with psycopg.connect(world.url) as other:
        other.execute("LOCK TABLE notes IN ROW EXCLUSIVE MODE")
        with pytest.raises(Unavailable, match=r"public\.notes cannot be locked") as caught:
            restore(world.repository, snapshot, source, Ask(mode=Mode.EXACT))
        assert "public.notes is held by" in caught.value.message
        assert "the other session" in caught.value.hint
        other.rollback()
    assert world.repository.pendings() == []
    assert world.restore(snapshot).plan.tables[0].insert == 1


def test_a_writer_that_waits_for_a_restore_sees_what_it_put_back(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes SELECT i, 'note', 0.5 FROM generate_series(1, 10) i")
    snapshot = world.take()
    world.run("DELETE FROM notes WHERE id < 5")
    touched: list[int] = []

    def write() -> None:
        with psycopg.connect(world.url, autocommit=True) as connection:
            touched.append(connection.execute("UPDATE notes SET heat = 1 WHERE id < 5").rowcount)

    writer = threading.Thread(target=write)

    def start_writer() -> None:
        writer.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while world.value(waiting) == 0:
            assert writer.is_alive()

    restore(world.repository, snapshot, Watched(world.url, start_writer), Ask(mode=Mode.EXACT))
    writer.join()
    assert touched == [4]
    assert world.value("SELECT count(*) FROM notes WHERE heat = 1") == 4


def test_more_sets_of_columns_than_statements_are_all_restored(small_world: World) -> None:
    world = small_world
    names = [f"c{at}" for at in range(8)]
    world.run(f"CREATE TABLE wide (id int PRIMARY KEY, {', '.join(f'{name} text' for name in names)})")
    world.run(f"INSERT INTO wide SELECT i, {', '.join(['repeat(i::text, 200)'] * 8)} FROM generate_series(0, 399) i")
    snapshot = world.take()
    for at, name in enumerate(names):
        world.run(f"UPDATE wide SET {name} = 'changed' WHERE (id / {2**at}) % 2 = 1")
    plan = world.plan(snapshot)
    assert len(plan.tables[0].column_sets) == 255
    assert plan.tables[0].update == sum(1 for i in range(400) if i % 256)
    assert plan.tables[0].updates == {n: sum(i >> at & 1 for i in range(400)) for at, n in enumerate(names)}
    world.restore(snapshot, plan_id=plan.id)
    assert roots(world.take()) == roots(snapshot)


def test_swapped_unique_values_among_many_changes(small_world: World) -> None:
    world = small_world
    world.run("CREATE TABLE notes (id int PRIMARY KEY, code int UNIQUE, body text, heat real)")
    world.run("INSERT INTO notes SELECT i, i, repeat('b', i), 0.5 FROM generate_series(1, 200) i")
    snapshot = world.take()
    world.run("UPDATE notes SET code = -code; UPDATE notes SET code = 201 + code WHERE id % 3 > 0")
    world.run(
        """UPDATE notes SET heat = 0 WHERE id % 2 = 0; DELETE FROM notes WHERE id % 17 = 0;
        UPDATE notes SET body = 'x' WHERE id % 5 = 0"""
    )
    world.restore(snapshot, Mode.UPDATE)
    assert roots(world.take()) == roots(snapshot)


def test_cells_of_megabytes_go_out_and_come_back(world: World, databases: Databases) -> None:
    world.run(
        """CREATE TABLE files (name text PRIMARY KEY, body bytea, note text);
        INSERT INTO files SELECT 'file' || i, decode(repeat(md5(i::text), i * 40000), 'hex'), NULL
          FROM generate_series(1, 6) i;
        INSERT INTO files SELECT 'rand', string_agg(sha512(i::text::bytea), ''), 'n' FROM generate_series(1, 50000) i"""
    )
    snapshot = world.take()
    query = "SELECT name, length(body), md5(body), note FROM files ORDER BY name"
    rows = world.rows(query)
    assert max(size for _, size, _, _ in rows) > 3_000_000
    world.run(
        "UPDATE files SET body = substr(body, 1, 2000000) || '\\x00' || substr(body, 2000001) WHERE name = 'rand'"
    )
    after = world.taken()
    assert after.bytes_new < 1_500_000  # the parts around the edit
    world.run("DELETE FROM files WHERE name = 'file3'; UPDATE files SET note = 'x' WHERE name = 'file5'")
    world.restore(snapshot)
    assert world.rows(query) == rows
    empty = World(world.repository, databases())
    empty.restore(snapshot)
    assert empty.rows(query) == rows


def test_a_restore_needs_to_know_which_source_is_meant(world: World, databases: Databases) -> None:
    other = databases()
    for url in (world.url, other):
        run(url, NOTES + "; INSERT INTO notes VALUES (1)")
    requests = [Request("one", world.source), Request("two", PostgresSource(other))]
    snapshot = take(world.repository, requests).snapshot
    world.run("DELETE FROM notes")
    with pytest.raises(Invalid, match="several sources"):
        world.restore(snapshot)
    with pytest.raises(NotFound, match="three"):
        world.restore(snapshot, source="three")
    with pytest.raises(Invalid, match="nothing"):
        world.restore(snapshot, source="one", tables=("nothing",))
    assert world.restore(snapshot, source="one").plan.tables[0].insert == 1


def test_a_row_in_the_way_is_named(world: World, pg_dump: PgDump) -> None:
    world.run("CREATE TABLE notes (id int PRIMARY KEY, code text UNIQUE); INSERT INTO notes VALUES (1, 'a'), (2, 'b')")
    snapshot = world.take()
    world.run("DELETE FROM notes WHERE id = 1; INSERT INTO notes VALUES (3, 'a')")
    dump = pg_dump(world.url)
    with pytest.raises(Conflict, match=r"public\.notes.*\(code\)=\(a\)"):
        world.restore(snapshot, Mode.SKIP)
    assert pg_dump(world.url) == dump
    world.restore(snapshot, Mode.EXACT)
    assert world.rows("SELECT * FROM notes ORDER BY id") == [(1, "a"), (2, "b")]


def test_something_else_in_a_tables_place_is_refused_and_kept(world: World, pg_dump: PgDump) -> None:
    world.run(NOTES + "; INSERT INTO notes VALUES (1), (2)")
    snapshot = world.take()
    world.run("DROP TABLE notes; CREATE VIEW notes AS SELECT 1 AS id")
    dump = pg_dump(world.url)
    for recreate in (False, True):
        with pytest.raises(SnapstoreError, match=r"public\.notes"):
            world.restore(snapshot, recreate=recreate)
    assert pg_dump(world.url) == dump


def test_a_partitioned_table_in_a_tables_place_is_refused_or_made_anew(world: World) -> None:
    world.run(NOTES + "; INSERT INTO notes VALUES (1), (2)")
    snapshot = world.take()
    world.run("DROP TABLE notes; CREATE TABLE notes (id int PRIMARY KEY) PARTITION BY HASH (id)")
    world.run("CREATE TABLE part PARTITION OF notes FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
    world.run("INSERT INTO notes VALUES (3)")
    with pytest.raises(Conflict, match=r"public\.notes is a partitioned table in one"):
        world.restore(snapshot)
    with pytest.raises(Conflict, match=r"its partition public\.part would go with it"):
        world.restore(snapshot, recreate=True)
    assert world.rows("TABLE notes") == [(3,)]
    world.run("ALTER TABLE notes DETACH PARTITION part")
    world.restore(snapshot, recreate=True)
    assert world.rows("SELECT id FROM notes ORDER BY id") == [(1,), (2,)]
