"""Memories chosen by their roles: the same ones in every engine, and whatever type the columns have."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapstore.errors import Invalid, SnapstoreError
from snapstore.sources import Selection
from snapstore.sources.roles import Filters, Roles, Wanted
from tests.contracts.stores import PostgresStore, SqliteStore, Store

ROLES = Roles(
    memory="notes", heat="heat", owner="owner", type="kind", created="created", archived="archived", tags="tags"
)
TYPES = {
    "typed": "heat real, owner integer, kind text, created timestamptz, archived boolean, tags text[]",
    "texts": "heat text, owner text, kind text, created text, archived text, tags text",
    "numbers": "heat numeric, owner bigint, kind varchar(9), created double precision, archived integer, tags jsonb",
    "dates": "heat double precision, owner text, kind text, created date, archived timestamptz, tags varchar",
}
MOMENTS = {1: "2026-01-01", 2: "2026-01-02", 3: "2026-01-03"}


def literal(value: object) -> str:
    if value is None or isinstance(value, int | float):
        return "NULL" if value is None else str(value)
    return "'" + str(value).replace("'", "''") + "'"


def fill(store: Store, types: str, form: str) -> None:
    store.run(f"CREATE TABLE notes (id integer PRIMARY KEY, {types})")
    for key, heat, owner, kind, archived, tags in (
        (1, 0.7, 1, "fact", False, ["a", "b"]),
        (2, 0.2, 2, "it's", True, ["b"]),
        (3, 0.71, 1, "fact", None, []),
        (4, None, None, None, None, None),
    ):
        at = datetime.fromisoformat(MOMENTS[key]).replace(tzinfo=UTC) if key in MOMENTS else None
        created: object = None if at is None else MOMENTS[key]
        given: object = archived
        told: object = None if tags is None else "[" + ", ".join(f'"{one}"' for one in tags) + "]"
        if form == "typed":
            told = None if tags is None else "{" + ",".join(tags) + "}"
            given = None if archived is None else str(archived).lower()
        elif form == "numbers":
            created = None if at is None else at.timestamp() * (1000 if key == 2 else 1)
            given = None if archived is None else int(archived)
        elif form == "dates":
            given = "2026-01-09" if archived else None
            told = None if tags is None else ", ".join(tags)
        else:
            given = None if archived is None else str(archived)  # as Python writes it
            created = None if created is None else f"{created}T01:00:00+01:00"
        values = ", ".join(literal(one) for one in (key, heat, owner, kind, created, given, told))
        store.run(f"INSERT INTO notes VALUES ({values})")


@pytest.fixture(params=[*TYPES, "sqlite texts", "sqlite numbers", "sqlite dates"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    engine, _, form = request.param.rpartition(" ")
    if engine:
        store: Store = SqliteStore(tmp_path / "agents.db")
        fill(store, TYPES[form], form)
    else:
        store = PostgresStore(request.getfixturevalue("databases"))
        fill(store, TYPES[form], form)
    return store


def chosen(store: Store, wanted: Wanted) -> list[int]:
    assert isinstance(store.source, Filters)
    table = f"{store.schema}.notes"
    where = store.source.condition(ROLES, wanted)
    with store.source.view(Selection(where={table: where})) as view:
        [notes] = view.tables
        keys = [key or b"" for batch in view.read(notes) for key in batch.keys.to_list()]
        return [int.from_bytes(key, "big") & 0xFFFF for key in keys]


WANTED = [
    (Wanted(), [1, 2, 3, 4]),
    (Wanted(min_heat=0.7), [1, 3]),
    (Wanted(owners=("1",)), [1, 3]),
    (Wanted(owners=("2", "3")), [2]),
    (Wanted(types=("it's", "x\\")), [2]),
    (Wanted(tags=("a",)), [1]),
    (Wanted(tags=("a", "b")), [1, 2]),
    (Wanted(tags=("a'",)), []),
    (Wanted(created_after=datetime(2026, 1, 2, tzinfo=UTC)), [2, 3]),
    (Wanted(created_before=datetime(2026, 1, 2, tzinfo=UTC)), [1]),
    (Wanted(archived=False), [1, 3, 4]),
    (Wanted(archived=False, min_heat=0.1, created_after=datetime(2026, 1, 2, tzinfo=UTC)), [3]),
]


def test_the_same_memories_are_chosen_whatever_the_types(store: Store) -> None:
    assert [(wanted, chosen(store, wanted)) for wanted, _ in WANTED] == WANTED


def test_a_role_that_nobody_plays_is_refused(store: Store) -> None:
    assert isinstance(store.source, Filters)
    with pytest.raises(Invalid, match="the owner of a memory"):
        store.source.condition(Roles(memory="notes", heat="heat"), Wanted(owners=("x",)))


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
def test_a_text_that_is_no_time_fails_instead_of_being_left_out(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if engine == "sqlite":
        store: Store = SqliteStore(tmp_path / "agents.db")
    else:
        store = PostgresStore(request.getfixturevalue("databases"))
    store.run("CREATE TABLE notes (id integer PRIMARY KEY, created text); INSERT INTO notes VALUES (1, 'last week')")
    with pytest.raises(SnapstoreError, match="last week"):
        chosen(store, Wanted(created_after=datetime(2026, 1, 2, tzinfo=UTC)))


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
@pytest.mark.parametrize("heat", ["high", "0.7 or so"])
def test_a_text_that_is_no_number_fails_instead_of_counting_as_one(
    engine: str, heat: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if engine == "sqlite":
        store: Store = SqliteStore(tmp_path / "agents.db")
    else:
        store = PostgresStore(request.getfixturevalue("databases"))
    store.run(f"CREATE TABLE notes (id integer PRIMARY KEY, heat text); INSERT INTO notes VALUES (1, '{heat}')")
    with pytest.raises(SnapstoreError, match=heat):
        chosen(store, Wanted(min_heat=-1.0))


def test_a_heat_is_a_number_however_it_is_written(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "agents.db")
    for kind in ("text", "real", "numeric", "integer", ""):
        store.run(f"CREATE TABLE notes (id integer PRIMARY KEY, heat {kind})")
        store.run(
            "INSERT INTO notes VALUES (1, '0.7'), (2, ' .8 '), (3, '7e-1'), (4, 1), (5, 9e9), (6, '0.6'), (7, -1)"
        )
        assert chosen(store, Wanted(min_heat=0.7)) == [1, 2, 3, 4, 5]
        store.run("DROP TABLE notes")


@pytest.mark.parametrize("heat", ["''", "X'302E37'"])
def test_neither_nothing_nor_bytes_are_a_heat(heat: str, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "agents.db")
    store.run(f"CREATE TABLE notes (id integer PRIMARY KEY, heat); INSERT INTO notes VALUES (1, {heat})")
    with pytest.raises(SnapstoreError, match="not a number"):
        chosen(store, Wanted(min_heat=0.5))
