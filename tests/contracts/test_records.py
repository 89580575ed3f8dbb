"""What every source must do, said in words that all of them have; what only tables can do is in test_sources.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Conflict, Invalid, Unavailable
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
from snapstore.sources import Selection, Work
from snapstore.sources.display import parse_key
from tests.contracts.records import Records, SqlRecords, TreeRecords
from tests.contracts.stores import SqliteStore

SOME = {f"{letter}{number:02}": f"text {number} of {letter}" for letter in "abc" for number in range(30)}


@pytest.fixture(params=["sqlite", "files"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Records:
    made: Records
    if request.param == "sqlite":
        made = SqlRecords(SqliteStore(tmp_path / "agents.db"))
    else:
        made = TreeRecords(tmp_path / "memory")
    made.fill(SOME)
    return made


@pytest.fixture
def repository() -> Repository:
    return Repository.init(MemoryBackend())


def taken(repository: Repository, records: Records, *, full: bool = False) -> Taken:
    return take(repository, [Request("agents", records.source)], full=full)


def back(repository: Repository, snapshot: Snapshot, records: Records, mode: Mode = Mode.EXACT) -> Restored:
    return restore(repository, snapshot, records.source, Ask(mode=mode))


def root(snapshot: Snapshot) -> bytes | None:
    return snapshot.sources[0].tables[0].root


def rows_of(records: Records) -> tuple[Table, list[Batch]]:
    with records.source.view(Selection()) as view:
        [table] = view.tables
        return table, list(view.read(table))


def wreck(records: Records) -> dict[str, str]:
    """Some records gone, one changed, one more."""
    records.drop("a03")
    records.drop("b11")
    records.put("c07", "another text")
    records.put("d00", "new")
    return records.texts()


def test_rows_come_in_the_order_of_their_keys_and_twice_the_same(records: Records) -> None:
    with records.source.view(Selection()) as view:
        [table] = view.tables
        assert table.name == records.table
        first, second = (Batch.concat(list(view.read(table))) for _ in range(2))
        assert len(first) == len(SOME)
        assert is_ascending(first.keys)
        at = table.column(records.text_column)
        assert first.columns[at].to_list() == second.columns[at].to_list()
        view.confirm()


@pytest.mark.parametrize("selection", [Selection(tables=("nothing",)), Selection(exclude=("nothing",))])
def test_a_pattern_that_fits_nothing_is_told(records: Records, selection: Selection) -> None:
    with pytest.raises(Invalid, match="nothing"), records.source.view(selection):
        pass


def test_the_url_says_where_it_is(records: Records) -> None:
    assert records.source.url.startswith(f"{records.source.kind}://")


def test_what_was_changed_is_put_back_and_that_can_be_undone(records: Records, repository: Repository) -> None:
    before = taken(repository, records).snapshot
    wrecked = wreck(records)
    restored = back(repository, before, records)
    [plan] = restored.plan.tables
    assert (plan.insert, plan.update, plan.delete) == (2, 1, 1)
    assert records.texts() == SOME
    assert root(taken(repository, records).snapshot) == root(before)
    assert restored.safety is not None
    restore(repository, restored.safety, records.source, undo_ask(repository, restored.safety))
    assert records.texts() == wrecked


def test_each_mode_does_what_it_says(records: Records, repository: Repository) -> None:
    before = taken(repository, records).snapshot
    wreck(records)
    back(repository, before, records, Mode.SKIP)
    assert records.texts() == {**SOME, "c07": "another text", "d00": "new"}
    back(repository, before, records, Mode.UPDATE)
    assert records.texts() == {**SOME, "d00": "new"}
    back(repository, before, records, Mode.EXACT)
    assert records.texts() == SOME
    assert back(repository, before, records).safety is None


def test_an_empty_store_gets_everything(records: Records, repository: Repository) -> None:
    before = taken(repository, records).snapshot
    empty = records.another()
    plan = plan_restore(repository, before, empty.source, Ask())
    restore(repository, before, empty.source, Ask(), plan_id=plan.id)
    assert empty.texts() == SOME
    assert root(taken(repository, empty).snapshot) == root(before)


def test_a_plan_that_rows_have_drifted_from_is_refused(records: Records, repository: Repository) -> None:
    before = taken(repository, records).snapshot
    records.drop("a05")
    plan = plan_restore(repository, before, records.source, Ask())
    records.drop("a06")
    with pytest.raises(Conflict, match="have changed"):
        restore(repository, before, records.source, Ask(), plan_id=plan.id)
    assert len(records.texts()) == len(SOME) - 2


def test_an_error_rolls_everything_back(records: Records) -> None:
    class StoppedError(Exception):
        pass

    def broken(batch: Batch) -> Iterator[Batch]:
        yield batch
        raise StoppedError

    table, batches = rows_of(records)
    with pytest.raises(StoppedError), records.source.target(Selection()) as target:  # noqa: PT012  # the error must leave it
        target.begin(target.definition, [Work(table, exists=True, deletes=len(SOME), inserts=len(SOME))])
        assert target.delete(table, (batch.keys for batch in batches)) == len(SOME)
        target.insert(table, broken(Batch.concat(batches)))
    assert records.texts() == SOME


def test_a_row_in_the_way_is_named(records: Records) -> None:
    table, batches = rows_of(records)
    with pytest.raises(Conflict, match="a00"), records.source.target(Selection()) as target:  # noqa: PT012  # the error must leave it
        target.begin(target.definition, [Work(table, exists=True, inserts=len(SOME))])
        target.insert(table, batches)


def test_two_restores_do_not_run_at_once(records: Records) -> None:
    with (
        records.source.target(Selection()),
        pytest.raises(Unavailable),
        records.source.target(Selection(tables=("*",))),
    ):
        pass


def test_rows_meet_a_condition_or_not(records: Records, repository: Repository) -> None:
    table, batches = rows_of(records)
    with records.source.matching(table, records.starting_with("b")) as meets:
        assert np.flatnonzero(meets(Batch.concat(batches))).tolist() == list(range(30, 60))
    with pytest.raises(Invalid, match="!"), records.source.matching(table, "!") as meets:
        meets(batches[0])
    before = taken(repository, records).snapshot
    for name in ("a01", "b01", "c01"):
        records.drop(name)
    scope = Scope(where={records.table: records.starting_with("b")})
    restore(repository, before, records.source, Ask(scope=scope))
    assert records.texts().keys() == SOME.keys() - {"a01", "c01"}


def test_a_selection_may_choose_rows(records: Records, repository: Repository) -> None:
    chosen = Selection(where={records.table: records.starting_with("c")})
    before = take(repository, [Request("agents", records.source, chosen)]).snapshot
    assert before.sources[0].tables[0].rows == 30
    records.drop("c00")
    records.drop("a00")
    back(repository, before, records)
    assert records.texts().keys() == SOME.keys() - {"a00"}


def test_one_row_is_restored_by_its_key(records: Records, repository: Repository) -> None:
    before = taken(repository, records).snapshot
    wreck(records)
    table, _ = rows_of(records)
    scope = Scope(keys={records.table: [parse_key(table, "b11")]})
    restore(repository, before, records.source, Ask(mode=Mode.EXACT, scope=scope))
    assert records.texts().keys() == (SOME.keys() - {"a03"}) | {"d00"}


def test_nothing_changed_and_nothing_is_read_again(records: Records, repository: Repository) -> None:
    time.sleep(0.05)
    first = taken(repository, records)
    again = taken(repository, records)
    assert root(again.snapshot) == root(first.snapshot)
    assert again.bytes_read == 0


def test_an_incremental_root_is_that_of_a_full_read(records: Records, repository: Repository) -> None:
    time.sleep(0.05)
    taken(repository, records)
    for change in ("put", "drop", "nothing"):
        if change == "put":
            records.put("a09", "x")
        if change == "drop":
            records.drop("a09")
        assert root(taken(repository, records).snapshot) == root(taken(repository, records, full=True).snapshot)


def test_live_is_a_state_like_any_other(records: Records, repository: Repository) -> None:
    before = taken(repository, records).snapshot
    records.put("a02", "x")
    with live(repository, "agents", records.source, Selection()) as state:
        [found] = diff(of_snapshot(repository, before), state)
    assert (found.added, found.removed, found.changed, found.columns[records.text_column]) == (0, 0, 1, 1)
