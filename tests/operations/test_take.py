"""A take holds what the rows were at one moment, whatever went on around it; ended early, it leaves only garbage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.pack import object_name
from snapstore.errors import Conflict, Invalid, Unavailable, Unsupported
from snapstore.operations.plan import Mode
from snapstore.operations.take import Request, take
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from snapstore.rows import Batch, Table
from snapstore.sources import Selection, View
from snapstore.sources.postgres.source import PostgresSource
from tests.operations.points import Result, Wrapped
from tests.operations.world import NOTES, Crashing, World, roots, rows, run

Databases = Callable[..., str]
PgDump = Callable[..., str]

FILL = "INSERT INTO notes SELECT i, repeat('note ' || i, 1 + i % 90), i / 7.0, NULL FROM generate_series(1, {}) i"


def test_a_root_depends_on_the_rows_alone(small_world: World, databases: Databases) -> None:
    here, there = small_world, World(Repository.init(MemoryBackend()), databases())
    here.run(NOTES)
    here.run(FILL.format(3000))
    # The same rows by another way: backwards, with detours, dead rows, another storage, another session's settings.
    there.run("CREATE TABLE before (id int); DROP TABLE before; " + NOTES + " WITH (fillfactor = 100)")
    there.run(
        "ALTER TABLE notes RESET (fillfactor); INSERT INTO notes SELECT i, 'x', 0 FROM generate_series(5000, 1, -1) i"
    )
    there.run("DELETE FROM notes WHERE id > 3000 OR id % 3 = 0; UPDATE notes SET body = 'y', tag = 'z'")
    there.run("DELETE FROM notes WHERE id % 2 = 0; UPDATE notes SET heat = 5")
    there.run(
        "DELETE FROM notes; "
        + FILL.format(3000).replace("FROM generate_series(1, 3000)", "FROM generate_series(3000, 1, -1)")
    )
    there.run("VACUUM FULL notes")
    name = there.value("SELECT current_database()")
    for setting in (
        "timezone = 'Asia/Tokyo'",
        "bytea_output = escape",
        "extra_float_digits = 0",
        "datestyle = 'German'",
    ):
        there.run(f"ALTER DATABASE {name} SET {setting}")
    assert roots(here.take("notes")) == roots(there.take("notes"))


def test_what_is_there_already_is_not_stored_again(databases: Databases) -> None:
    backend = RecordingBackend(MemoryBackend())
    world = World(Repository.init(backend), databases())
    world.run(NOTES)
    world.run(FILL.format(4000))
    first = world.taken()
    assert first.bytes_new > 300_000
    backend.reset()
    again = world.taken()
    assert (again.bytes_new, again.bytes_added) == (0, 0)
    assert backend.count("put", "replace", prefix="packs/") == backend.count("put", "replace", prefix="index/") == 0
    assert again.snapshot.parent == first.snapshot.id
    [table] = again.snapshot.sources[0].tables
    assert (table.added, table.changed, table.removed) == (0, 0, 0)
    # A decay rewrites the column that decays.
    world.run("UPDATE notes SET heat = heat * 0.97")
    decayed = world.taken()
    assert 4000 * 4 < decayed.bytes_new < 4000 * 4 + 20_000
    [table] = decayed.snapshot.sources[0].tables
    assert (table.added, table.changed, table.removed) == (0, 4000, 0)


def test_a_take_into_another_repository_gives_the_same_roots(small_world: World, tmp_path: Path) -> None:
    small_world.run(NOTES)
    small_world.run(FILL.format(500))
    other = World(Repository.init(DirectoryBackend(tmp_path / "other", create=True)), small_world.url)
    assert roots(small_world.take()) == roots(other.take())


def test_words_are_kept_and_checked(small_world: World) -> None:
    world = small_world
    world.run(NOTES)
    request = Request("agents", world.source)
    taken = take(world.repository, [request], tags=("before-migration", "ü"), description="Ärger\nim Anzug", host="box")
    [held] = Repository.open(world.repository.backend).snapshots()
    assert (held.tags, held.description, held.host) == (("before-migration", "ü"), "Ärger\nim Anzug", "box")
    assert held == taken.snapshot or held.id == taken.snapshot.id
    bad: list[tuple[Sequence[Request], dict[str, Any], str]] = [
        ([], {}, "no source"),
        ([request, request], {}, "two sources"),
        *(
            ([request], {"tags": (tag,)}, "tag")
            for tag in ("", "latest", "live", "a b", "a:b", "a~1", "@x", "a/b", "a\n")
        ),
        *(([Request(name, world.source)], {}, "name") for name in ("", "a:b", "a\nb", " ", "\udc80")),
        ([request], {"description": "\udc80"}, "description"),
        ([request], {"tags": ("\udc80",)}, "tag"),
    ]
    for requests, words, said in bad:
        with pytest.raises(Invalid, match=said):
            take(world.repository, requests, **words)
    assert len(world.repository.snapshots()) == 1
    assert world.repository.pendings() == []


def test_several_sources_are_one_snapshot(small_world: World, databases: Databases) -> None:
    other = databases()
    small_world.run(NOTES + "; INSERT INTO notes VALUES (1)")
    run(other, "CREATE TABLE edges (a int, b int, PRIMARY KEY (b, a)); INSERT INTO edges VALUES (1, 2), (2, 1)")
    requests = [Request("memory", small_world.source), Request("graph", PostgresSource(other))]
    taken = take(small_world.repository, requests)
    assert taken.is_complete
    held = [(source.name, [(table.name, table.rows) for table in source.tables]) for source in taken.snapshot.sources]
    assert held == [("memory", [("public.notes", 1)]), ("graph", [("public.edges", 2)])]
    run(other, "DELETE FROM edges WHERE a = 1")
    again = take(small_world.repository, requests).snapshot
    counted = [(table.added, table.changed, table.removed) for source in again.sources for table in source.tables]
    assert counted == [(0, 0, 0), (0, 0, 1)]


def test_an_unavailable_source_fails_the_take_or_is_named(small_world: World, tmp_path: Path) -> None:
    small_world.run(NOTES)
    gone = PostgresSource(f"postgresql://postgres@/agents?host={tmp_path}")
    requests = [Request("gone", gone), Request("memory", small_world.source)]
    with pytest.raises(Unavailable):
        take(small_world.repository, requests)
    assert small_world.repository.snapshots() == small_world.repository.pendings() == []
    partial = [Request(one.name, one.source, Selection(partial=True)) for one in requests]
    taken = take(small_world.repository, partial)
    assert not taken.is_complete
    assert [source.name for source in taken.snapshot.sources] == ["memory"]
    assert taken.unavailable[0].startswith("gone: ")
    with pytest.raises(Unavailable):
        take(small_world.repository, partial[:1])
    assert small_world.repository.pendings() == []


@pytest.mark.parametrize("verb", ["get_range", "put"])
def test_a_repository_that_fails_is_no_unavailable_source(small_world: World, verb: str) -> None:
    class NoPacks(Wrapped):
        def _call(self, called: str, name: str, call: Callable[[], Result]) -> Result:
            if called == verb and name.startswith("packs/"):
                raise Unavailable(f"{name}: the store went away")
            return call()

    world = small_world
    world.run(NOTES + "; INSERT INTO notes SELECT i, md5(i::text) FROM generate_series(1, 9000) i")
    world.take()
    world.run("UPDATE notes SET body = 'x' WHERE id = 7")
    partial = [Request(name, world.source, Selection(partial=True)) for name in ("agents", "new")]
    with pytest.raises(Unavailable, match="packs/"):
        take(Repository.open(NoPacks(world.repository.backend)), partial)
    assert [one.sources[0].name for one in world.repository.snapshots()] == ["agents"]
    assert world.repository.pendings() == []


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_take_does_not_build_upon_what_is_lost_and_writes_it_anew(small_world: World, is_changed: bool) -> None:
    world = small_world
    world.run(
        "CREATE TABLE notes (id int PRIMARY KEY, body text);"
        "INSERT INTO notes SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 2000) i"
    )
    first = world.take()
    largest = max(world.repository.blobs.packs(), key=lambda pack: pack.size_bytes)
    world.repository.backend.delete(object_name(largest.name))
    if is_changed:
        world.run("UPDATE notes SET body = 'x' WHERE id = 7")
    taken = take(world.repository, [Request("agents", world.source)])
    assert [one.id for one in taken.damaged] == [first.id]
    assert taken.snapshot.sources[0].tables[0].reading == "in full: the last snapshot has lost blobs"
    harmed = {id_ for one in verify(world.repository).damaged for id_ in one.snapshots}
    assert harmed == ({first.id} if is_changed else set())
    assert world.take().sources[0].tables[0].reading.startswith("by stamps")


def test_what_cannot_be_held_is_refused_by_name_or_named_as_missing(small_world: World) -> None:
    world = small_world
    world.run(NOTES + "; CREATE TYPE shared AS (f regproc); CREATE TABLE odd (s shared)")
    with pytest.raises(Unsupported, match=r"public\.odd"):
        world.take()
    taken = world.taken(partial=True)
    assert not taken.is_complete
    missing = taken.snapshot.sources[0].missing
    assert [name.split(":")[0] for name in missing] == ["table public.odd"]
    assert [table.name for table in taken.snapshot.sources[0].tables] == ["public.notes"]


def test_a_selection_takes_just_what_it_says(world: World) -> None:
    world.run(
        """CREATE EXTENSION vector;
        CREATE TABLE notes (id int PRIMARY KEY, body text, secret text, embedding vector(3), heat real);
        CREATE TABLE logs (id int PRIMARY KEY); CREATE SCHEMA letta; CREATE TABLE letta.notes (id int PRIMARY KEY);
        INSERT INTO notes SELECT i, 'b', 's', '[1,2,3]', i FROM generate_series(1, 9) i; INSERT INTO logs VALUES (1)"""
    )

    def held(*tables: str, **selection: Any) -> dict[str, int]:
        return {table.name: table.rows for table in world.take(*tables, **selection).sources[0].tables}

    assert held() == {"public.notes": 9, "public.logs": 1, "letta.notes": 0}
    assert held("public.*") == {"public.notes": 9, "public.logs": 1}
    assert held("notes") == {"public.notes": 9, "letta.notes": 0}
    assert held(exclude=("letta.*", "logs")) == {"public.notes": 9}
    assert held("public.notes", where={"public.notes": "heat > 4 -- warm"}) == {"public.notes": 5}
    with pytest.raises(Invalid, match="nothing"):
        held("nothing")
    with pytest.raises(Invalid, match="warmth"):
        held(where={"public.notes": "warmth > 4"})
    narrow = world.take("public.notes", exclude_columns=("public.notes.secret",), vectors=False)
    [table] = narrow.sources[0].tables
    assert table.left_out == ("secret", "embedding")
    shape = world.take("public.notes", rows=False)
    [table] = shape.sources[0].tables
    assert (table.rows, table.root) == (0, None)
    assert world.repository.pendings() == []
    world.check()


class Disturbed(PostgresSource):
    """A source whose views are disturbed by another session: before the first batch, after it, or at the end."""

    def __init__(self, url: str, deeds: dict[str, Callable[[], None]]) -> None:
        super().__init__(url, lock_timeout_seconds=5)
        self.deeds = deeds
        self.views = 0

    def view(self, selection: Selection) -> AbstractContextManager[View]:
        return self._view(selection)

    @contextmanager
    def _view(self, selection: Selection) -> Iterator[View]:
        self.views += 1
        with super().view(selection) as view:
            yield DisturbedView(view, self.deeds)


class DisturbedView:
    def __init__(self, view: View, deeds: dict[str, Callable[[], None]]) -> None:
        self._view = view
        self._deeds = deeds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def read(self, table: Table) -> Iterator[Batch]:
        self._do("before")
        for batch in self._view.read(table):
            yield batch
            self._do("between")

    def confirm(self) -> None:
        if "end" in self._deeds:
            # The last row is read and its transaction over, so nothing holds others back from the shape any more.
            self._view._connection.execute("COMMIT")  # type: ignore[attr-defined]  # to stand between the two
        self._do("end")
        self._view.confirm()

    def _do(self, when: str) -> None:
        deed = self._deeds.pop(when, None)
        if deed is not None:
            deed()


@pytest.mark.parametrize("when", ["before", "between", "end"])
@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE notes; INSERT INTO notes VALUES (1)",
        "ALTER TABLE notes ALTER heat TYPE float8",
        "DROP TABLE notes",
        "DELETE FROM notes",
    ],
)
def test_another_session_does_not_change_what_is_being_taken(small_world: World, when: str, statement: str) -> None:
    """Schema changes wait for the reader; rows deleted meanwhile are still in the view."""
    world = small_world
    world.run(NOTES)
    world.run(FILL.format(20_000))
    before = world.value("SELECT count(*) FROM notes")
    is_shape = statement.startswith(("ALTER", "DROP"))
    is_held_back = when != "end" and not statement.startswith("DELETE")
    others: list[threading.Thread] = []

    def disturb() -> None:
        other = threading.Thread(target=run, args=(world.url, statement))
        other.start()
        others.append(other)
        if not is_held_back:
            other.join()
        while other.is_alive() and not waits(world.url):
            pass

    source = Disturbed(world.url, {when: disturb})
    taken = take(world.repository, [Request("agents", source)])
    for other in others:
        other.join()
    tables = {table.name: table for table in taken.snapshot.sources[0].tables}
    if source.views == 1:
        assert not (when == "end" and is_shape)
        assert tables["public.notes"].rows == before
    else:
        # The shape changed between the last row and the second look at it, so the take began again.
        assert is_shape
        assert tables.keys() == (set() if statement.startswith("DROP") else {"public.notes"})
    world.check()


def waits(url: str) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    [(count,)] = rows(url, query)
    return bool(count)


def test_a_table_truncated_between_list_and_lock_is_not_taken_as_empty(small_world: World) -> None:
    world = small_world
    world.run(NOTES)
    world.run(FILL.format(1000))
    with psycopg.connect(world.url) as other:
        other.execute("TRUNCATE notes; INSERT INTO notes VALUES (1), (2)")
        found: list[int] = []

        def taking() -> None:
            found.extend(table.rows for table in world.take().sources[0].tables)

        thread = threading.Thread(target=taking)
        thread.start()
        while thread.is_alive() and not waits(world.url):
            pass
        other.commit()
        thread.join()
    assert found == [2]


def test_tables_that_keep_changing_shape_are_a_conflict(small_world: World) -> None:
    world = small_world
    world.run(NOTES)
    world.run(FILL.format(10))

    class Restless(dict[str, Callable[[], None]]):
        count = 0

        def pop(self, when: str, default: Any = None) -> Any:  # every view is disturbed
            return self.alter if when == "end" else default

        def alter(self) -> None:
            self.count += 1
            world.run(f"ALTER TABLE notes ADD c{self.count} int")

    source = Disturbed(world.url, Restless(end=print))
    with pytest.raises(Conflict, match=r"public\.notes changed its shape"):
        take(world.repository, [Request("agents", source)])
    assert source.views == 3
    assert world.repository.pendings() == world.repository.snapshots() == []


@pytest.mark.parametrize("is_done", [False, True])
def test_a_take_that_ends_at_any_storage_call_leaves_only_garbage(small_world: World, is_done: bool) -> None:
    world = small_world
    world.run(NOTES)
    world.run(FILL.format(300))
    first = world.take()
    world.run("UPDATE notes SET heat = heat * 0.9; INSERT INTO notes VALUES (0)")
    backend = world.repository.backend
    for at in range(200):
        crashing = Crashing(backend, at, is_done=is_done)
        try:
            World(Repository(crashing, world.repository.settings), world.url).take()
        except Unavailable:
            reopened = Repository.open(backend)
            kept = [snap.id for snap in reopened.snapshots()]
            assert kept[0] == first.id
            # A reply that was lost on the last call: the snapshot is there, though nobody was told.
            assert len(kept) == 1 or is_done
            for pending in reopened.pendings():  # what a gc does with those that nobody works on any more
                reopened.remove(pending.id)
            if len(kept) == 2:
                break
            continue
        assert not is_done
        break
    else:
        pytest.fail("the take never came to its end")
    assert at > 8
    after = World(Repository.open(backend), world.url)
    assert len(after.repository.snapshots()) == 2
    assert roots(after.take()) == roots(after.repository.snapshots()[1])
    after.check()


def test_an_interrupt_abandons_the_take(small_world: World) -> None:
    world = small_world
    world.run(NOTES)
    world.run(FILL.format(20_000))

    def interrupt() -> None:
        raise KeyboardInterrupt

    for when in ("before", "between", "end"):
        with pytest.raises(KeyboardInterrupt):
            take(world.repository, [Request("agents", Disturbed(world.url, {when: interrupt}))])
        assert world.repository.pendings() == world.repository.snapshots() == []
    idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while world.value(idle):  # a server needs a moment to see that its client is gone
        pass
    assert world.take().sources[0].tables[0].rows == 20_000
    world.check()


def test_everything_is_durable_before_something_names_it(databases: Databases) -> None:
    backend = RecordingBackend(MemoryBackend())
    world = World(Repository.init(backend), databases())
    world.run(NOTES)
    world.run(FILL.format(3000))
    backend.reset()
    snapshot = world.take()
    written = [(call.verb, call.name.split("/")[0]) for call in backend.calls if call.verb in ("put", "replace")]
    assert written[0] == ("put", "snapshots")
    assert written[-1] == ("replace", "snapshots")
    between = [place for _, place in written[1:-1]]
    assert between == sorted(between, key=["packs", "index"].index)
    assert set(between) == {"packs", "index"}
    assert backend.count("delete") == 0
    assert f"snapshots/{snapshot.id}" == next(call.name for call in backend.calls if call.verb == "replace")


# One column for each built-in type, with values at its edges. The text is what the server reads.
TYPES: dict[str, list[str]] = {
    "boolean": ["t", "f"],
    "\"char\"": ["x", ""],
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "0"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "real": ["NaN", "-0", "1e-45", "-Infinity"],
    "double precision": ["NaN", "-0", "5e-324", "Infinity", "0.1"],
    "numeric": ["NaN", "-Infinity", "0.000", "1.50", "-123456789012345678901234567890.123456789", "1e500"],
    "numeric(8,3)": ["1.500", "-99999.999"],
    "money": ["-1.23", "92233720368547758.07"],
    "text": ["", "ünïcode \\ \t\n", "x" * 600, "y" * 70_000],
    "varchar(20)": ["a b "],
    "char(5)": ["a", ""],
    "name": ["a name"],
    "bytea": ["\\x", "\\x00ff00", "\\x" + "00" * 700],
    "date": ["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"],
    "time": ["00:00:00", "24:00:00", "12:34:56.789012"],
    "timetz": ["12:34:56.789012+13:30", "00:00-15:59:59"],
    "timestamp": ["infinity", "-infinity", "2000-01-01 00:00:00.000001", "294276-12-31 23:59:59.999999"],
    "timestamptz": ["infinity", "1999-12-31 23:59:59.999999+00"],
    "interval": ["1 mon -1 day 00:00:01", "-178000000 years", "30 days", "infinity"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"b": 1,  "a": 1.10, "a": 2}', "null"],
    "jsonb": ['{"b": [1, 2.50, null], "a": "\\u00fc"}', "null"],
    "jsonpath": ["$.a[*] ? (@ > 1)"],
    "inet": ["10.0.0.1/8", "::1", "fe80::1/64"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "bit(5)": ["10101"],
    "bit varying": ["", "1", "101010101"],
    "point": ["(1,-0)", "(NaN,Infinity)"],
    "line": ["{1,2,3}"],
    "lseg": ["[(1,2),(3,4)]"],
    "box": ["(3,4),(1,2)"],
    "path": ["[(1,2),(3,4)]", "((1,2))"],
    "polygon": ["((1,2),(3,4),(5,6))"],
    "circle": ["<(1,2),3>"],
    "tsvector": ["'a':1A 'b':2,3"],
    "tsquery": ["'a' & !'b':*"],
    "oid": ["4294967295"],
    "xid": ["4294967295"],
    "xid8": ["18446744073709551615"],
    "pg_lsn": ["FFFFFFFF/FFFFFFFF"],
    "int4range": ["empty", "[1,5)", "(,)"],
    "numrange": ["[1.50,2.500]", "(,1)"],
    "tstzrange": ["[2020-01-01 00:00+00,infinity)"],
    "int4multirange": ["{}", "{[1,2),[5,9)}"],
    "integer[]": ["{}", "{1,NULL,3}", "[-1:0][2:3]={{1,2},{3,4}}"],
    "text[]": ['{a,NULL,"b,c",""}'],
    "numeric[]": ["{1.50,NaN}"],
    "timestamptz[]": ["{infinity}"],
    "bytea[]": ['{"\\\\x00"}'],
    "vector(3)": ["[1,-0,3.4e38]"],
    "vector": ["[1]", "[1,2,3,4]"],
    "halfvec(2)": ["[1,65504]"],
    "sparsevec(5)": ["{1:1.5,5:2}/5", "{}/5"],
}  # fmt: skip


def test_every_built_in_type_comes_back_to_the_bit(world: World, databases: Databases, pg_dump: PgDump) -> None:
    names = {f"c{at}": kind for at, kind in enumerate(TYPES)}
    columns = ", ".join(f"{name} {kind}" for name, kind in names.items())
    world.run("CREATE EXTENSION vector")
    world.run(f"CREATE TABLE everything (id int PRIMARY KEY, {columns}); INSERT INTO everything VALUES (-1), (0)")
    for at, values in enumerate(TYPES.values()):
        for number, value in enumerate(values):
            world.run(
                f"INSERT INTO everything (id, c{at}) VALUES (%s, %s) "
                f"ON CONFLICT (id) DO UPDATE SET c{at} = excluded.c{at}",
                number,
                value,
            )

    def binary(url: str) -> bytes:
        query = "COPY (SELECT * FROM everything ORDER BY id) TO STDOUT (FORMAT BINARY)"
        with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(query) as copy:
            return b"".join(bytes(part) for part in copy)

    snapshot, bits, dump = world.take(), binary(world.url), pg_dump(world.url)
    empty = World(world.repository, databases())
    empty.restore(snapshot)
    assert binary(empty.url) == bits
    assert pg_dump(empty.url) == dump
    # And into the live table: each column damaged, half of the rows gone.
    world.run(
        f"UPDATE everything SET {', '.join(f'{name} = NULL' for name in names)} WHERE id <> 1;"
        "DELETE FROM everything WHERE id = 1"
    )
    world.restore(snapshot)
    assert binary(world.url) == bits


# Keys of every kind: the columns of the table and of the key, then rows of values.
KEYS: dict[str, tuple[str, str, list[str]]] = {
    "composite": (
        "a text, b int, c uuid",
        "b, a, c",
        ["'x', 1, gen_random_uuid()", "'', -1, gen_random_uuid()", "'x', -1, gen_random_uuid()"],
    ),
    "text": ("a text", "a", ["'a'", "'B'", "''", "'ä'", "'a b'", "'Z'", "'z'", "repeat('k', 600)"]),
    "collated": ("a text COLLATE pg_unicode_fast", "a", ["'a'", "'B'", "'-a'", "'Ä'", "'z'", "' b'"]),
    "char": ("a char(5), b int", "a, b", ["'a', 1", "'a', 2", "E'a\\t', 1", "'', 1"]),
    "numeric": ("a numeric", "a", ["1.500", "-1.5", "0.00", "'NaN'", "1e30", "'-Infinity'", "123456789.123456789"]),
    "float": ("a float8, b real", "b, a", ["'-0', 1", "'NaN', 1", "0.1, 'NaN'", "'Infinity', '-0'", "-5e-324, 2"]),
    "enum": ("a mood, b mood", "a, b", ["'sad', 'ok'", "'ok', 'ok'", "'ok', 'sad'"]),
    "inet": ("a inet", "a", ["'10.0.0.1'", "'10.0.0.1/8'", "'::1'", "'9.255.0.1'"]),
    "bytea": (
        "a bytea, b bytea",
        "a, b",
        ["'', '\\x00'", "'\\x00', ''", "'\\x0000', '\\xff'", "'\\x00ff', '\\x00'", "'\\xff', ''"],
    ),
    "domain": ("a score, b short", "b, a", ["1, 'x'", "2, 'x'", "1, 'a'"]),
    "times": (
        "a timestamptz, b date, c time",
        "a, b, c",
        [
            "'infinity', '2020-01-01', '12:00'",
            "'-infinity', 'infinity', '24:00'",
            "'2020-01-01', '4713-01-01 BC', '00:00'",
        ],
    ),
    "bool": ("a boolean, b bigint", "a, b", ["true, 1", "false, 1", "false, -9223372036854775808"]),
    "others": (
        "a jsonb, b int4range, c interval, d bit(3)",
        "a, b, c, d",
        ["'{}', '[1,2)', '1 day', '101'", "'[1]', 'empty', '-1 day', '000'"],
    ),
}


def test_rows_are_found_again_under_every_kind_of_key(small_world: World, pg_dump: PgDump) -> None:
    world = small_world
    world.run(
        """CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE DOMAIN score AS int CHECK (VALUE > 0); CREATE DOMAIN short AS text"""
    )
    for name, (columns, key, values) in KEYS.items():
        filled = "; ".join(f"INSERT INTO k_{name} VALUES ({row}, 'note')" for row in values)
        world.run(f"CREATE TABLE k_{name} ({columns}, note text, PRIMARY KEY ({key})); {filled}")
    snapshot, dump = world.take(), pg_dump(world.url)
    for name in KEYS:
        world.run(f"UPDATE k_{name} SET note = 'changed'")
    after = world.take()
    changed = {
        table: (found.added, found.removed, found.changed) for table, found in world.diff(snapshot, after).items()
    }
    assert changed == {f"public.k_{name}": (0, 0, len(values)) for name, (_, _, values) in KEYS.items()}
    plan = world.plan(snapshot)
    assert {table.name: table.updates for table in plan.tables} == {
        f"public.k_{name}": {"note": len(values)} for name, (_, _, values) in KEYS.items()
    }
    world.restore(snapshot, Mode.UPDATE)
    assert pg_dump(world.url) == dump
    for name in KEYS:
        world.run(f"DELETE FROM k_{name} WHERE ctid IN (SELECT ctid FROM k_{name} LIMIT 1)")
    world.run(
        """INSERT INTO k_text VALUES ('new'); UPDATE k_numeric SET a = 1.50 WHERE a = 1.5;
        UPDATE k_float SET a = 0 WHERE a = 0"""
    )
    world.restore(snapshot)
    assert pg_dump(world.url) == dump
