"""What every source must do, whatever its engine: tables, rows, apply, schema, drift, interruption, stamps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

import apsw
import numpy as np
import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Conflict, Invalid, SnapstoreError, Unavailable
from snapstore.keys import is_ascending
from snapstore.operations.diff import diff
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, Restored, plan_restore, restore
from snapstore.operations.scope import Scope
from snapstore.operations.state import live, of_snapshot
from snapstore.operations.take import Request, Taken, take
from snapstore.operations.undo import undo_ask
from snapstore.repository import Repository, Snapshot
from snapstore.rows import Batch, Table
from snapstore.sources import Selection, Source, Work
from tests.contracts.stores import PostgresStore, QdrantStore, SqliteStore, Store
from tests.sources.qdrant.agent import unsynced
from tests.sources.qdrant.server import Server

NOTES = """
CREATE TABLE notes (id integer PRIMARY KEY, body text, heat double precision, tag text UNIQUE);
CREATE TABLE visits (who text NOT NULL, day text NOT NULL, note text, PRIMARY KEY (who, day));
CREATE TABLE log (line text, at integer);
CREATE INDEX notes_heat ON notes (heat);
"""
ROWS = """
INSERT INTO notes SELECT n, 'note ' || n, n / 8.0, 'tag ' || n FROM
  (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) SELECT n FROM c) AS counted;
INSERT INTO visits VALUES ('ann', '1', NULL), ('ann', '2', 'x'), ('bob', '1', 'y');
INSERT INTO log VALUES ('one', 1), ('one', 1), ('two', NULL);
"""


@pytest.fixture(params=["postgresql", "sqlite", "sqlite in a rollback journal", "qdrant", "qdrant in local mode"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "postgresql":
        store: Store = PostgresStore(request.getfixturevalue("databases"))
    elif request.param == "qdrant":
        servers = request.getfixturevalue("qdrant_servers")
        store = QdrantStore(servers(), servers)
    elif request.param == "qdrant in local mode":
        request.getfixturevalue("unsynced_folders")
        folders = (f"qdrant+path://{tmp_path}/{number}" for number in count())
        store = QdrantStore(next(folders), lambda: next(folders))
    else:
        store = SqliteStore(tmp_path / "agents.db", wal=request.param == "sqlite")
    store.run(NOTES)
    store.run(ROWS)
    return store


@pytest.fixture
def qdrant_servers() -> Iterator[Callable[[], str]]:
    """Call it for the URL of a new empty server."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Server()).url


@pytest.fixture
def unsynced_folders() -> Iterator[None]:
    with unsynced():
        yield


@pytest.fixture
def repository() -> Repository:
    return Repository.init(MemoryBackend())


def taken(repository: Repository, source: Source, **selection: object) -> Taken:
    return take(repository, [Request("agents", source, Selection(**selection))])  # type: ignore[arg-type]  # its fields


def back(repository: Repository, snapshot: Snapshot, source: Source, mode: Mode = Mode.EXACT) -> Restored:
    return restore(repository, snapshot, source, Ask(mode=mode))


def roots(snapshot: Snapshot) -> dict[str, bytes | None]:
    return {table.name: table.root for table in snapshot.sources[0].tables}


def rows_of(source: Source, name: str, **selection: object) -> list[Batch]:
    with source.view(Selection(**selection)) as view:  # type: ignore[arg-type]  # its fields
        table = next(one for one in view.tables if one.name.endswith("." + name))
        return list(view.read(table))


def test_tables_are_named_with_their_schema_and_have_a_key(store: Store) -> None:
    with store.source.view(Selection()) as view:
        assert {table.name for table in view.tables} == {f"{store.schema}.{one}" for one in ("notes", "visits", "log")}
        notes = next(table for table in view.tables if table.name.endswith("notes"))
        assert [part.name for part in notes.key] == ["id"]
        assert [column.name for column in notes.columns] == ["body", "heat", "tag"]
        view.confirm()


def test_rows_come_in_the_order_of_their_keys_and_twice_the_same(store: Store) -> None:
    with store.source.view(Selection()) as view:
        for table in view.tables:
            first, second = list(view.read(table)), list(view.read(table))
            keys = [key for batch in first for key in batch.keys.to_list()]
            assert keys == sorted(set(keys))  # type: ignore[type-var]  # none is None
            assert all(is_ascending(batch.keys) for batch in first)
            assert [batch.columns[0].to_list() for batch in first] == [batch.columns[0].to_list() for batch in second]


def test_a_view_is_one_moment_whatever_others_write(store: Store) -> None:
    if not store.has_transactions:
        pytest.skip("it has no transactions; its own tests say what is noticed")
    with store.source.view(Selection()) as view:
        table = next(one for one in view.tables if one.name.endswith("notes"))
        before = sum(map(len, view.read(table)))
        with suppress(apsw.BusyError):  # in a rollback journal writers wait for readers
            store.run("DELETE FROM notes WHERE id > 10")
        assert sum(map(len, view.read(table))) == before == 300


def test_a_selection_chooses_tables_columns_and_rows(store: Store) -> None:
    with store.source.view(Selection(tables=("no*",), exclude_columns=(f"{store.schema}.notes.heat",))) as view:
        [table] = view.tables
        assert [column.name for column in table.columns] == ["body", "tag"]
        assert table.definition["left_out"] == ["heat"]
    [batch] = rows_of(store.source, "notes", where={f"{store.schema}.notes": store.condition("id <= 3 -- a few")})
    assert len(batch) == 3


@pytest.mark.parametrize("selection", [Selection(tables=("nothing",)), Selection(exclude=("nothing",))])
def test_a_pattern_that_fits_nothing_is_told(store: Store, selection: Selection) -> None:
    with pytest.raises(Invalid, match="nothing"), store.source.view(selection):
        pass


def test_a_condition_that_is_none_is_told(store: Store) -> None:
    with pytest.raises(Invalid, match="no_such"):
        rows_of(store.source, "notes", where={f"{store.schema}.notes": "no_such > 1"})


def test_the_url_says_where_it_is(store: Store) -> None:
    scheme, _, rest = store.source.url.partition("://")
    assert scheme.partition("+")[0] == store.source.kind
    assert rest


def test_what_was_changed_is_put_back(store: Store, repository: Repository) -> None:
    before = taken(repository, store.source).snapshot
    store.run(
        "DELETE FROM notes WHERE id < 20; UPDATE notes SET heat = heat * 0.9;"
        "INSERT INTO notes VALUES (999, 'x', 1, 'x')"
    )
    store.run("DELETE FROM log WHERE line = 'one'; UPDATE visits SET note = 'z' WHERE who = 'ann'")
    restored = back(repository, before, store.source)
    counts = {t.name.partition(".")[2]: (t.insert, t.update, t.delete) for t in restored.plan.tables}
    assert counts["notes"] == (19, 281, 1)
    assert counts["visits"] == (0, 2, 0)
    assert counts["log"] == (2, 0, 0)
    assert roots(taken(repository, store.source).snapshot) == roots(before)
    assert restored.safety is not None
    undone = restore(repository, restored.safety, store.source, undo_ask(repository, restored.safety))
    assert {t.name.partition(".")[2]: (t.insert, t.update, t.delete) for t in undone.plan.tables}["notes"] == (
        1,
        281,
        19,
    )


def test_unique_values_may_swap(store: Store, repository: Repository) -> None:
    before = taken(repository, store.source).snapshot
    store.run("UPDATE notes SET tag = NULL WHERE id = 1; UPDATE notes SET tag = 'tag 1' WHERE id = 2")
    store.run("UPDATE notes SET tag = 'tag 2' WHERE id = 1")
    back(repository, before, store.source, Mode.UPDATE)
    assert store.rows("SELECT id, tag FROM notes WHERE id < 3 ORDER BY id") == [(1, "tag 1"), (2, "tag 2")]


def test_skip_leaves_live_rows_as_they_are(store: Store, repository: Repository) -> None:
    before = taken(repository, store.source).snapshot
    store.run("DELETE FROM notes WHERE id = 5; UPDATE notes SET body = 'mine' WHERE id = 6")
    back(repository, before, store.source, Mode.SKIP)
    assert store.rows("SELECT id, body FROM notes WHERE id IN (5, 6) ORDER BY id") == [(5, "note 5"), (6, "mine")]


def test_an_empty_database_gets_everything(store: Store, repository: Repository) -> None:
    before = taken(repository, store.source).snapshot
    empty = store.another()
    back(repository, before, empty.source, Mode.SKIP)
    assert roots(taken(repository, empty.source).snapshot) == roots(before)
    if not store.has_shapes:
        return
    with pytest.raises(Exception, match=r"(?i)unique"):
        empty.run("INSERT INTO notes VALUES (1000, 'x', 1, 'tag 1')")


def test_a_plan_that_rows_have_drifted_from_is_refused(store: Store, repository: Repository) -> None:
    before = taken(repository, store.source).snapshot
    store.run("DELETE FROM notes WHERE id = 5")
    plan = plan_restore(repository, before, store.source, Ask())
    store.run("DELETE FROM notes WHERE id = 6")
    with pytest.raises(Conflict, match="have changed"):
        restore(repository, before, store.source, Ask(), plan_id=plan.id)
    assert store.rows("SELECT count(*) FROM notes") == [(298,)]


def test_an_error_rolls_everything_back(store: Store) -> None:
    if not store.has_transactions:
        pytest.skip("it has no transactions; its own tests say what becomes of what was done")

    class StoppedError(Exception):
        pass

    def broken(table: Table, batches: list[Batch]) -> Iterator[Batch]:
        yield from (Batch(batch.keys, batch.columns) for batch in batches[:1])
        raise StoppedError

    batches = rows_of(store.source, "notes")
    with pytest.raises(StoppedError), store.source.target(Selection(tables=("notes",))) as target:  # noqa: PT012  # the error must leave it
        table = target.tables[0]
        target.begin(target.definition, [Work(table, exists=True, deletes=300, inserts=300)])
        assert target.delete(table, (batch.keys for batch in batches)) == 300
        target.insert(table, broken(table, batches))
    assert store.rows("SELECT count(*) FROM notes") == [(300,)]


def test_a_row_in_the_way_is_named(store: Store) -> None:
    batches = rows_of(store.source, "notes")
    with pytest.raises(Conflict, match="notes"), store.source.target(Selection(tables=("notes",))) as target:  # noqa: PT012  # the error must leave it
        target.begin(target.definition, [Work(target.tables[0], exists=True, inserts=300)])
        target.insert(target.tables[0], batches)


def test_two_restores_do_not_run_at_once(store: Store) -> None:
    if not store.has_lock:
        pytest.skip("it has no locks")
    selection = Selection(tables=("notes",))
    with store.source.target(selection), pytest.raises(Unavailable), store.source.target(selection):
        pass


def test_rows_that_need_not_be_live_meet_a_condition_or_not(store: Store) -> None:
    [*batches] = rows_of(store.source, "notes")
    batch = Batch.concat(batches)
    with store.source.view(Selection(tables=("notes",))) as view:
        table = view.tables[0]
    store.run("DELETE FROM notes")
    with store.source.matching(table, store.condition("heat > 30 AND body LIKE 'note 2%'")) as meets:
        assert np.flatnonzero(meets(batch)).tolist() == [at - 1 for at in range(241, 300)]
    with pytest.raises(Invalid, match="no_such"), store.source.matching(table, "no_such") as meets:
        meets(batch)


def test_a_restore_may_be_of_rows_that_meet_a_condition(store: Store, repository: Repository) -> None:
    before = taken(repository, store.source).snapshot
    store.run("DELETE FROM notes")
    scope = Scope(where={f"{store.schema}.notes": store.condition("id % 100 = 7")})
    restore(repository, before, store.source, Ask(scope=scope, tables=("notes",)))
    assert store.rows("SELECT id FROM notes ORDER BY id") == [(7,), (107,), (207,)]


def test_nothing_changed_and_nothing_is_read_again(store: Store, repository: Repository) -> None:
    if not store.has_stamps:
        pytest.skip("it has no stamps")
    time.sleep(0.05)
    first = taken(repository, store.source, tables=("notes",))
    again = taken(repository, store.source, tables=("notes",))
    assert roots(again.snapshot) == roots(first.snapshot)
    assert again.bytes_read == 0


def test_an_incremental_root_is_that_of_a_full_read(store: Store, repository: Repository) -> None:
    time.sleep(0.05)
    taken(repository, store.source)
    for change in ("UPDATE notes SET heat = 0 WHERE id = 9", "DELETE FROM notes WHERE id = 9", "SELECT 1"):
        store.run(change)
        quick = taken(repository, store.source)
        full = take(repository, [Request("agents", store.source)], full=True)
        assert roots(quick.snapshot) == roots(full.snapshot)


def test_live_is_a_state_like_any_other(store: Store, repository: Repository) -> None:
    before = taken(repository, store.source).snapshot
    store.run("UPDATE notes SET heat = 0 WHERE id <= 2")
    with live(repository, "agents", store.source, Selection()) as state:
        found = {one.name: one for one in diff(of_snapshot(repository, before), state)}
    assert found[f"{store.schema}.notes"].columns == {"heat": 2}
    assert sum(not one.is_equal for one in found.values()) == 1


def test_a_column_that_decays_does_not_store_the_others_again(store: Store, repository: Repository) -> None:
    store.run("CREATE TABLE vectors (id integer PRIMARY KEY, heat double precision, embedding text)")
    store.run("INSERT INTO vectors SELECT id, heat, '" + "long " * 200 + "' || id FROM notes")
    first = taken(repository, store.source, tables=("vectors",))
    store.run("UPDATE vectors SET heat = heat * 0.97")
    again = taken(repository, store.source, tables=("vectors",))
    assert first.bytes_new > 300_000
    assert again.bytes_new < 20_000


def test_a_table_of_another_shape_is_refused_or_made_anew(store: Store, repository: Repository) -> None:
    if not store.has_shapes:
        pytest.skip("its own tests change the vectors of a collection")
    before = taken(repository, store.source, tables=("visits",)).snapshot
    store.run("DROP TABLE visits; CREATE TABLE visits (who integer PRIMARY KEY, day text, note text)")
    with pytest.raises(Conflict, match="another key"):
        back(repository, before, store.source)
    restore(repository, before, store.source, Ask(mode=Mode.EXACT, recreate=True))
    assert roots(taken(repository, store.source, tables=("visits",)).snapshot) == roots(before)


def test_errors_are_our_own(store: Store) -> None:
    store.run("DROP TABLE log")
    with store.source.view(Selection()) as view:
        gone = next(table for table in view.tables if table.name.endswith("notes"))
    store.run("DROP TABLE notes")
    with pytest.raises(SnapstoreError, match="notes"), store.source.view(Selection()) as view:
        list(view.read(gone))
