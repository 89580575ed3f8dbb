"""A snapshot of a part of a source is a parent of snapshots of the same part, and is never taken for the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Invalid
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, restore
from snapstore.operations.scope import Scope
from snapstore.operations.selected import is_filtered
from snapstore.operations.take import Request, take
from snapstore.repository import Repository, SnapshotSource
from snapstore.sources import Selection
from tests.contracts.stores import PostgresStore, SqliteStore, Store

TABLES = """
CREATE TABLE notes (id integer PRIMARY KEY, body text, heat real, vector text);
CREATE TABLE edges (id integer PRIMARY KEY, a integer);
INSERT INTO notes VALUES (1, 'one', 0.1, 'x'), (2, 'two', 0.9, 'y'), (3, 'three', 0.8, 'z');
INSERT INTO edges VALUES (1, 1), (2, 3);
"""


@pytest.fixture(params=["postgresql", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "postgresql":
        store: Store = PostgresStore(request.getfixturevalue("databases"))
    else:
        store = SqliteStore(tmp_path / "agents.db")
    store.run(TABLES)
    return store


def test_full_and_filtered_takes_each_go_by_their_own(databases: Callable[..., str]) -> None:
    store = PostgresStore(databases)
    # Enough for more than one chunk: what is small is read in full.
    store.run(TABLES + "INSERT INTO edges SELECT n, n FROM generate_series(10, 2000) n;")
    store.run("INSERT INTO notes SELECT n, 'note', 0.7 - n % 2, 'v' FROM generate_series(10, 4000) n")
    repository = Repository.init(MemoryBackend())

    def taken(**selection: object) -> SnapshotSource:
        request = Request("agents", store.source, Selection(**selection))  # type: ignore[arg-type]  # its fields
        return take(repository, [request]).snapshot.sources[0]

    where = {"public.notes": "heat > 0.5"}
    taken()
    [edges, notes] = sorted(taken(where=where).tables, key=lambda table: table.name)
    assert "another condition" in notes.reading
    assert (notes.added, notes.removed) == (None, None)  # not the rows that were left out
    assert edges.reading.startswith("by stamps")
    store.run("UPDATE notes SET body = 'new' WHERE id = 2")
    for selection, changed in (({}, 1), ({"where": where}, 1), ({}, 0)):
        [_, notes] = sorted(taken(**selection).tables, key=lambda table: table.name)
        assert notes.reading.startswith("by stamps"), selection
        assert (notes.added, notes.changed, notes.removed) == (0, changed, 0)


def test_exact_deletes_and_sets_nothing_outside_the_filter(store: Store) -> None:
    repository, schema = Repository.init(MemoryBackend()), store.schema
    selection = Selection(
        tables=("notes",), where={f"{schema}.notes": "heat > 0.5"}, columns={f"{schema}.notes": ("body", "heat")}
    )
    snapshot = take(repository, [Request("agents", store.source, selection)]).snapshot
    assert is_filtered(snapshot.sources[0].selection)
    [table] = snapshot.sources[0].tables
    assert (table.rows, table.left_out) == (2, ("vector",))
    store.run(
        "DELETE FROM edges; UPDATE notes SET body = 'x', vector = 'changed'; INSERT INTO edges VALUES (9, 9);"
        "INSERT INTO notes VALUES (4, 'cold', 0.2, 'v'), (5, 'hot', 0.95, 'v')"
    )
    restore(repository, snapshot, store.source, Ask(mode=Mode.EXACT))
    assert store.rows("SELECT id, body, vector FROM notes ORDER BY id") == [
        (1, "x", "changed"),
        (2, "two", "changed"),
        (3, "three", "changed"),
        (4, "cold", "v"),
        (5, "hot", "v"),  # nobody knows whether it was there then
    ]
    assert store.rows("SELECT id FROM edges") == [(9,)]


@pytest.mark.parametrize(
    ("selection", "told"),
    [
        ({"where": {"{}.note": "heat > 0.5"}}, "{}.note"),
        ({"columns": {"{}.note": ("body",)}}, "{}.note"),
        ({"columns": {"{}.notes": ("bodi",)}}, "bodi"),
        ({"exclude_columns": ("{}.notes.bodi",)}, "bodi"),
        ({"exclude_columns": ("{}.notes.id",)}, "part of the key"),
        ({"tables": ("edges",), "where": {"{}.notes": "heat > 0.5"}}, "{}.notes"),
    ],
)
def test_a_filter_that_fits_nothing_is_refused_and_never_means_everything(
    store: Store, selection: dict[str, object], told: str
) -> None:
    def named(value: object) -> object:
        if isinstance(value, dict):
            return {str(named(name)): own for name, own in value.items()}
        if isinstance(value, tuple):
            return tuple(named(one) for one in value)
        return str(value).replace("{}", store.schema)

    chosen = Selection(**{name: named(value) for name, value in selection.items()})  # type: ignore[arg-type]  # as above
    with pytest.raises(Invalid, match=told.replace("{}", store.schema)), store.source.view(chosen):
        pass


def test_a_condition_on_a_column_that_was_left_out_is_refused(store: Store) -> None:
    repository, table = Repository.init(MemoryBackend()), f"{store.schema}.notes"
    selection = Selection(tables=("notes",), exclude_columns=(f"{table}.heat",))
    snapshot = take(repository, [Request("agents", store.source, selection)]).snapshot
    store.run("DELETE FROM notes")
    with pytest.raises(Invalid, match="heat"):
        restore(repository, snapshot, store.source, Ask(scope=Scope(where={table: "heat > 0.5"})))
    assert (
        restore(repository, snapshot, store.source, Ask(scope=Scope(where={table: "id > 1"}))).plan.tables[0].insert
        == 2
    )
