"""A repository and a database to try operations on: statements in, rows out, takes and restores in one word.

world = World(Repository.init(MemoryBackend()), url)
world.run("CREATE TABLE t (id int PRIMARY KEY)")
before = world.take()
world.restore(before, Mode.EXACT)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from snapstore.backends import Backend
from snapstore.blobs.check import check
from snapstore.errors import Unavailable
from snapstore.operations.diff import TableDiff, diff
from snapstore.operations.plan import Mode, Plan
from snapstore.operations.restore import Ask, Restored, plan_restore, restore
from snapstore.operations.scope import Scope
from snapstore.operations.selected import selection_of
from snapstore.operations.state import live, of_snapshot
from snapstore.operations.take import Request, Taken, take
from snapstore.operations.undo import undo_ask
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Selection
from snapstore.sources.postgres.source import PostgresSource
from tests.operations.points import Result, Wrapped

# An example costs a take, a plan and a restore on a real server, so laws about them get a part of the profile's.
DATABASE_LAW = settings(
    max_examples=max(1, settings.default.max_examples // 4) if settings.default else 10,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


class Crashing(Wrapped):
    """A backend that fails at one call and at every later one, as a store that went away does.

    With `is_done` that one call has its effect all the same: only the reply is lost.
    """

    def __init__(self, inner: Backend, at: int, *, is_done: bool = False) -> None:
        super().__init__(inner)
        self.at = at
        self.is_done = is_done
        self.calls = 0

    def _call(self, verb: str, name: str, call: Callable[[], Result]) -> Result:
        self.calls += 1
        if self.calls <= self.at:
            return call()
        if self.is_done and self.calls == self.at + 1:
            call()
        raise Unavailable("the store went away")


def run(url: str, statements: str, *parameters: object) -> None:
    """Execute statements, each committed by itself where the server allows."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements.encode(), parameters or None)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


@dataclass(frozen=True)
class World:
    """A repository, a database, and what people do with both."""

    repository: Repository
    url: str
    source: PostgresSource = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", PostgresSource(self.url, lock_timeout_seconds=5))

    def run(self, statements: str, *parameters: object) -> None:
        run(self.url, statements, *parameters)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return rows(self.url, query)

    def value(self, query: str) -> Any:
        [(value,)] = self.rows(query)
        return value

    def taken(self, *tables: str, **selection: Any) -> Taken:
        return take(self.repository, [Request("agents", self.source, Selection(tables=tables, **selection))])

    def take(self, *tables: str, **selection: Any) -> Snapshot:
        return self.taken(*tables, **selection).snapshot

    def plan(self, snapshot: Snapshot, mode: Mode = Mode.EXACT, **ask: Any) -> Plan:
        return plan_restore(self.repository, snapshot, self.source, Ask(mode=mode, **ask))

    def restore(
        self, snapshot: Snapshot, mode: Mode = Mode.EXACT, *, plan_id: str | None = None, **ask: Any
    ) -> Restored:
        return restore(self.repository, snapshot, self.source, Ask(mode=mode, **ask), plan_id=plan_id)

    def undo(self, safety: Snapshot | None) -> Restored:
        assert safety is not None
        return restore(self.repository, safety, self.source, undo_ask(self.repository, safety))

    def diff(self, before: Snapshot, after: Snapshot, **asked: Any) -> dict[str, TableDiff]:
        found = diff(of_snapshot(self.repository, before), of_snapshot(self.repository, after), **asked)
        return {table.name: table for table in found}

    def status(self, before: Snapshot, **asked: Any) -> dict[str, TableDiff]:
        """The snapshot against the live rows that it means."""
        selection = selection_of(before.sources[0].selection)
        with live(self.repository, "agents", self.source, selection) as state:
            return {t.name: t for t in diff(of_snapshot(self.repository, before), state, **asked)}

    def check(self) -> None:
        """The repository is whole: every byte is what was written and every snapshot can be walked."""
        assert list(check(self.repository.blobs)) == []
        repository = Repository.open(self.repository.backend)
        assert repository.pendings() == []
        for snapshot in repository.snapshots():
            for table in of_snapshot(repository, snapshot).tables:
                counted = sum(len(batch) for batch in table.tree.rows()) if table.tree else 0
                assert counted == table.entry.rows


def roots(snapshot: Snapshot) -> dict[str, bytes | None]:
    """The root of each table."""
    return {table.name: table.root for source in snapshot.sources for table in source.tables}


def counts(plan: Plan) -> dict[str, tuple[int, int, int, int, int]]:
    """Insert, update, delete, skip and keep of each table of a plan."""
    return {one.name: (one.insert, one.update, one.delete, one.skip, one.keep) for one in plan.tables}


def only(keys: Mapping[str, Sequence[bytes]] | None = None, where: Mapping[str, str] | None = None) -> Scope:
    """A scope of these keys and conditions."""
    return Scope(keys=dict(keys or {}), where=dict(where or {}))


def int4(number: int) -> bytes:
    """The key of one integer."""
    return (number + 2**31).to_bytes(4, "big")


NOTES = "CREATE TABLE notes (id int PRIMARY KEY, body text, heat real, tag text)"

# A state of NOTES: its rows by id. Few ids and values, so that states meet; long bodies, so that some are spilled.
BODIES = st.sampled_from([None, "", "a", "b", "long " * 150, "other " * 150])
STATES = st.dictionaries(
    st.integers(-3, 40), st.tuples(BODIES, st.sampled_from([None, 0.0, 0.5]), st.sampled_from([None, "x", "y"]))
)
Rows = dict[int, tuple[str | None, float | None, str | None]]


def put(world: World, state: Rows) -> None:
    """Make the rows of NOTES these, touching only those that differ."""
    live = notes(world)
    with psycopg.connect(world.url) as connection, connection.cursor() as cursor:
        cursor.executemany("DELETE FROM notes WHERE id = %s", [(key,) for key in live if key not in state])
        cursor.executemany(
            "INSERT INTO notes VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET "
            "body = excluded.body, heat = excluded.heat, tag = excluded.tag",
            [(key, *row) for key, row in state.items() if live.get(key) != row],
        )


def notes(world: World) -> Rows:
    return {key: (body, heat, tag) for key, body, heat, tag in world.rows("SELECT * FROM notes")}


def expected(mode: Mode, held: Rows, live: Rows) -> Rows:
    """The table of modes in words: what each row is afterwards."""
    after = {**held, **live} if mode is Mode.SKIP else {**live, **held}
    return held if mode is Mode.EXACT else after
