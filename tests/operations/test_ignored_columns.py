"""Counters that go up whenever somebody looks: they are kept in snapshots, and a difference in them alone is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.digest import Digest
from snapstore.operations.diff import diff
from snapstore.operations.plan import Mode, Plan
from snapstore.operations.restore import Ask, Restored, plan_restore, restore
from snapstore.operations.state import State, live, of_snapshot, of_tables
from snapstore.operations.take import Request, take
from snapstore.operations.undo import undo_ask
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Selection
from snapstore.tree import Fetch
from tests.contracts.stores import PostgresStore, SqliteStore, Store

TABLES = """
CREATE TABLE memories (id integer PRIMARY KEY, body text, tag text UNIQUE, seen integer, seen_at text);
CREATE TABLE log (line text, seen integer);
INSERT INTO log VALUES ('one', 1), ('two', 1);
"""
IGNORED = ("memories.seen*", "log.seen")


@dataclass(frozen=True)
class Counted:
    """A store whose memories count how often they were seen, and a repository."""

    store: Store
    repository: Repository

    def take(self) -> Snapshot:
        return take(self.repository, [Request("agents", self.store.source)]).snapshot

    def ask(self, mode: Mode) -> Ask:
        return Ask(mode=mode, ignore_columns=IGNORED)

    def plan(self, snapshot: Snapshot, mode: Mode) -> Plan:
        return plan_restore(self.repository, snapshot, self.store.source, self.ask(mode))

    def restore(self, snapshot: Snapshot, mode: Mode, plan_id: str | None = None) -> Restored:
        return restore(self.repository, snapshot, self.store.source, self.ask(mode), plan_id=plan_id)

    def looked_at(self) -> None:
        """Everything is read once more by somebody whose reads write."""
        self.store.run("UPDATE memories SET seen = seen + 1, seen_at = 'today'")


@pytest.fixture(params=["postgresql", "sqlite"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Counted:
    if request.param == "postgresql":
        store: Store = PostgresStore(request.getfixturevalue("databases"))
    else:
        store = SqliteStore(tmp_path / "agents.db")
    store.run(TABLES)
    store.run("INSERT INTO memories VALUES " + ", ".join(f"({n}, 'body {n}', 'tag {n}', 0, NULL)" for n in range(50)))
    return Counted(store, Repository.init(MemoryBackend()))


def test_a_counter_that_alone_went_up_is_no_change(counted: Counted) -> None:
    before = counted.take()
    counted.looked_at()
    counted.store.run("UPDATE memories SET body = 'new' WHERE id = 7; DELETE FROM memories WHERE id = 8")
    after = counted.take()
    states = [of_snapshot(counted.repository, one).ignoring({"agents": IGNORED}) for one in (before, after)]
    found = {one.name.partition(".")[2]: one for one in diff(*states)}
    assert (found["memories"].removed, found["memories"].changed) == (1, 1)
    assert found["memories"].columns == {"body": 1}
    assert found["memories"].ignored == ("seen", "seen_at")
    if counted.store.schema == "public":
        assert found["log"].ignored == ()  # it has no key, which in SQLite is the number of the row
    with live(counted.repository, "agents", counted.store.source, Selection()) as now:
        assert all(one.is_equal for one in diff(states[1], now))
    counted.looked_at()
    with live(counted.repository, "agents", counted.store.source, Selection()) as now:
        assert all(one.is_equal for one in diff(states[1], now))
        assert not all(one.is_equal for one in diff(of_snapshot(counted.repository, after), now))


def test_a_plan_stays_the_same_while_counters_go_up(counted: Counted) -> None:
    before = counted.take()
    counted.store.run(
        "UPDATE memories SET body = 'new' WHERE id = 7; DELETE FROM memories WHERE id = 8;"
        "INSERT INTO memories VALUES (100, 'late', 'tag 100', 5, NULL)"
    )
    plan = counted.plan(before, Mode.EXACT)
    counted.looked_at()
    assert counted.plan(before, Mode.EXACT).id == plan.id
    [memories] = [one for one in plan.tables if one.name.endswith("memories")]
    assert (memories.insert, memories.update, memories.delete, memories.updates) == (1, 1, 1, {"body": 1})
    assert memories.ignored == ("seen", "seen_at")
    counted.restore(before, Mode.EXACT, plan.id)
    assert counted.store.rows("SELECT id, body, seen FROM memories WHERE id IN (7, 8, 9, 100) ORDER BY id") == [
        (7, "body 7", 1),  # what is live stays
        (8, "body 8", 0),  # a row that comes back has what it had
        (9, "body 9", 1),
    ]
    assert counted.plan(before, Mode.EXACT).is_empty


def test_rows_that_are_replaced_keep_their_live_counters_and_an_undo_takes_all_back(counted: Counted) -> None:
    before = counted.take()
    counted.store.run(
        "UPDATE memories SET tag = 'x' WHERE id = 1; UPDATE memories SET tag = 'tag 1' WHERE id = 2;"
        "UPDATE memories SET tag = 'tag 2' WHERE id = 1"
    )
    counted.looked_at()
    done = counted.restore(before, Mode.UPDATE)
    query = "SELECT id, tag, seen FROM memories WHERE id IN (1, 2) ORDER BY id"
    assert counted.store.rows(query) == [(1, "tag 1", 1), (2, "tag 2", 1)]
    assert done.safety is not None
    restore(counted.repository, done.safety, counted.store.source, undo_ask(counted.repository, done.safety))
    assert counted.store.rows(query) == [(1, "tag 2", 1), (2, "tag 1", 1)]


class Counting:
    """Gives blobs, and counts them."""

    def __init__(self, inner: Fetch) -> None:
        self.inner = inner
        self.count = 0

    def get_many(self, names: Sequence[Digest]) -> list[bytes]:
        self.count += len(names)
        return self.inner.get_many(names)


def test_ignored_columns_are_not_even_read(counted: Counted) -> None:
    counted.store.run(
        "INSERT INTO memories SELECT 50 * a.id + b.id + 100, a.body, NULL, b.id, NULL FROM memories a, memories b"
    )
    before = counted.take()
    counted.looked_at()
    after = counted.take()
    asked = []
    for patterns in ({"agents": IGNORED}, {}):
        counting = Counting(counted.repository.blobs)
        states = [
            State(one.id, of_tables("agents", "any", one.sources[0].tables, counting), counting).ignoring(patterns)
            for one in (before, after)
        ]
        found = list(diff(*states))
        assert all(one.is_equal for one in found) == bool(patterns)
        asked.append(counting.count)
    assert asked[0] == 8  # the root and the schema of two tables in both
    assert asked[1] > 8
