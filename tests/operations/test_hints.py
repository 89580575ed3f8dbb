"""Large values that have not moved with their row are not read again, and never taken for others."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapstore import Ask, Mode, PostgresSource, SnapshotTable, restore
from snapstore.digest import Digest, digest
from snapstore.operations.gc import gc
from snapstore.operations.parent import Parent
from snapstore.operations.verify import verify
from tests.operations.watched import Watched, wide

ROWS = 300
DECAY = "UPDATE memories SET heat = heat * 0.97"
IDS = "SELECT id, pg_column_toast_chunk_id(embedding) FROM memories ORDER BY id"


@pytest.fixture
def watched(database: str, tmp_path: Path) -> Iterator[Watched]:
    one = Watched(database, tmp_path, wide(ROWS))
    yield one
    one.connection.close()


def kept(table: SnapshotTable) -> int:
    """How many large values were left out; −1 where the table was read in full."""
    if not table.reading.startswith("by stamps"):
        return -1
    _, _, rest = table.reading.partition(" rows less ")
    return int(rest.partition(" ")[0].replace(",", "") or 0)


# What happens, and which rows have a new value after it.
NOT_READ = {
    "a decay": (DECAY, "false"),
    "an embedding in four made anew": (
        f"{DECAY}; UPDATE memories SET embedding = array_append(embedding, 1) WHERE id % 4 = 0",
        "id % 4 = 0",
    ),
    "rows that come and go": (
        f"{DECAY}; DELETE FROM memories WHERE id % 7 = 0; "
        "INSERT INTO memories SELECT id + 1000, content, heat, embedding FROM memories WHERE id % 10 = 1",
        "id > 1000",
    ),
    "an embedding set to NULL, and one too small to stand out of line": (
        f"{DECAY}; UPDATE memories SET embedding = NULL WHERE id = 3; "
        "UPDATE memories SET embedding = '{1}' WHERE id = 4",
        "false",
    ),
    "an embedding of another row": (
        f"{DECAY}; UPDATE memories m SET embedding = o.embedding FROM memories o WHERE m.id = 5 AND o.id = 6",
        "id = 5",
    ),
    "embeddings that change places": (
        f"{DECAY}; UPDATE memories m SET embedding = o.embedding FROM memories o "
        "WHERE m.id IN (5, 6) AND o.id = 11 - m.id",
        "id IN (5, 6)",
    ),
    "savepoints": (
        f"BEGIN; {DECAY}; SAVEPOINT a; UPDATE memories SET embedding = NULL WHERE id < 50; ROLLBACK TO a; COMMIT",
        "false",
    ),
    "VACUUM": (f"{DECAY}; VACUUM memories", "false"),
    "VACUUM FREEZE": (f"{DECAY}; VACUUM FREEZE memories", "false"),
}
_OLD = "SELECT count(*) FROM memories WHERE pg_column_toast_chunk_id(embedding) IS NOT NULL AND NOT ({})"


def test_values_that_have_not_moved_are_not_read(watched: Watched) -> None:
    for story, (statements, is_new) in NOT_READ.items():
        watched.run(statements)
        table = watched.check()
        old = watched.connection.execute(_OLD.format(is_new).encode()).fetchone()
        assert old is not None
        assert old[0] > 0
        assert kept(table) == old[0], story


def test_values_that_have_not_moved_are_not_read_where_few_rows_did(watched: Watched) -> None:
    watched.run(
        f"{DECAY} WHERE id % 10 = 0; UPDATE memories SET embedding = array_append(embedding, 1) WHERE id % 30 = 0"
    )
    assert kept(watched.check()) == ROWS // 10 - ROWS // 30


READ_AGAIN = {
    "keys that change places": "UPDATE memories SET id = -id; UPDATE memories SET id = 301 + id",
    "a key that changes": f"{DECAY}; UPDATE memories SET id = id + 1000 WHERE id = 7",
    "VACUUM FULL": f"VACUUM FULL memories; {DECAY}",
    "VACUUM FULL after a decay": f"{DECAY}; VACUUM FULL memories",
    "CLUSTER": f"CLUSTER memories USING memories_pkey; {DECAY}",
    "VACUUM FULL, then keys that change places": "VACUUM FULL memories; "
    "UPDATE memories SET id = -id; UPDATE memories SET id = 301 + id",
    "TRUNCATE and reload": "BEGIN; CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE memories; TRUNCATE memories; "
    "INSERT INTO memories SELECT id, content, heat, embedding FROM kept ORDER BY random(); COMMIT",
    "another storage and VACUUM FULL": "ALTER TABLE memories ALTER embedding SET STORAGE EXTENDED; "
    f"UPDATE memories SET embedding = array_fill(id::real, '{{600}}'); VACUUM FULL memories; {DECAY}",
}


def test_values_are_read_again_where_ids_may_mean_something_else(watched: Watched) -> None:
    for story, statements in READ_AGAIN.items():
        watched.run(statements)
        assert kept(watched.check()) <= 0, story


def test_no_value_is_out_of_line_and_no_hint_is_kept(database: str, tmp_path: Path) -> None:
    watched = Watched(database, tmp_path, wide(ROWS, floats=8))
    watched.run(DECAY)
    assert watched.check().hints is None
    watched.connection.close()


def test_hints_are_the_same_whichever_way_they_were_had(watched: Watched) -> None:
    watched.run(f"{DECAY}; UPDATE memories SET embedding = array_append(embedding, 2) WHERE id % 5 = 0")
    table = watched.take()
    assert kept(table) == ROWS - ROWS // 5
    assert table.hints is not None
    assert table.hints == watched.take(full=True).hints
    # On an idle day nothing at all is added.
    assert watched.take().hints == table.hints


def until_flushed(watched: Watched) -> None:
    """Takes until one's log was flushed: a role that cannot tell whether the server crashed goes only by such a one."""
    end = time.monotonic() + 30
    while not watched.parent.source.context["durable"]:
        assert time.monotonic() < end
        watched.run("CREATE TABLE flushed (); DROP TABLE flushed")
        watched.take()


def test_a_role_that_may_not_look_reads_everything(watched: Watched) -> None:
    watched.run(
        "DROP ROLE IF EXISTS hints_plain; CREATE ROLE hints_plain LOGIN; GRANT SELECT ON memories TO hints_plain; "
        "GRANT EXECUTE ON FUNCTION pg_control_system() TO hints_plain"
    )
    until_flushed(watched)
    url = watched.url
    watched.url = url.replace("postgres@", "hints_plain@")
    watched.run(DECAY)
    table = watched.take()
    assert kept(table) == 0
    assert table.hints is None
    watched.run("GRANT pg_read_all_data TO hints_plain")
    watched.take(full=True)
    until_flushed(watched)
    watched.run(DECAY)
    assert kept(watched.check()) == ROWS
    watched.run("DROP OWNED BY hints_plain; DROP ROLE hints_plain")


def test_a_server_without_chunk_ids_is_read_in_full(databases16: Callable[..., str], tmp_path: Path) -> None:
    watched = Watched(databases16(), tmp_path, wide(ROWS))
    watched.run(DECAY)
    table = watched.check()
    assert table.hints is None
    assert table.rows == ROWS
    watched.connection.close()


def lying(parent: Parent, hints: Digest | None) -> Parent:
    """The same parent with other hints."""
    tables = tuple(dataclasses.replace(table, hints=hints) for table in parent.source.tables)
    return Parent(parent.snapshot, dataclasses.replace(parent.source, tables=tables))


def test_hints_of_another_snapshot_are_not_believed(watched: Watched) -> None:
    early = watched.parent
    watched.run("UPDATE memories m SET embedding = o.embedding FROM memories o WHERE o.id = 301 - m.id")
    watched.take()
    late = watched.parent
    assert early.source.tables[0].hints != late.source.tables[0].hints
    watched.run(DECAY)
    right = watched.take(full=True).root
    for own, other in ((early, late), (late, early)):
        table = watched.capture(lying(own, other.source.tables[0].hints))["public.memories"]
        assert table.root == right
        assert kept(table) <= 0


def test_hints_that_are_gone_or_none_only_cost_a_read(watched: Watched) -> None:
    parent = watched.parent
    entry = parent.source.tables[0]
    watched.run(DECAY)
    right = watched.take(full=True).root
    for hints in (None, digest(b"no blob"), entry.root, entry.schema):
        table = watched.capture(lying(parent, hints))["public.memories"]
        assert table.root == right
        assert kept(table) <= 0


def test_another_database_of_the_same_ids_is_read_in_full(watched: Watched, databases: Callable[..., str]) -> None:
    parent = watched.parent
    watched.reconnect(databases())
    watched.run(wide(ROWS))
    table = watched.capture(parent)["public.memories"]
    assert table.reading == "in full: another database"
    assert table.root == watched.capture(None)["public.memories"].root


def test_undo_of_a_decay_leaves_large_values_where_they_are(watched: Watched) -> None:
    before = watched.connection.execute(IDS).fetchall()
    assert all(place is not None for _, place in before)
    snapshot = watched.repository.snapshots()[-1]
    watched.run(DECAY)
    done = restore(watched.repository, snapshot, PostgresSource(watched.url), Ask(mode=Mode.EXACT))
    assert done.plan.tables[0].update == ROWS
    assert set(done.plan.tables[0].updates) == {"heat"}
    assert watched.connection.execute(IDS).fetchall() == before
    assert done.safety is not None
    assert kept(done.safety.sources[0].tables[0]) == ROWS
    assert watched.check().root == snapshot.sources[0].tables[0].root


def test_a_restore_sets_only_the_columns_that_differ_in_each_row(watched: Watched) -> None:
    snapshot = watched.repository.snapshots()[-1]
    before: dict[int, int | None] = dict(watched.connection.execute(IDS).fetchall())
    watched.run(
        f"{DECAY}; UPDATE memories SET content = 'gone', embedding = '{{1}}' WHERE id = 5; "
        "UPDATE memories SET embedding = array_append(embedding, 1) WHERE id = 6"
    )
    restore(watched.repository, snapshot, PostgresSource(watched.url), Ask(mode=Mode.EXACT))
    after: dict[int, int | None] = dict(watched.connection.execute(IDS).fetchall())
    assert {key for key in before if after[key] != before[key]} == {5, 6}
    assert watched.check().root == snapshot.sources[0].tables[0].root


def test_hints_survive_gc_and_are_sound_to_verify(watched: Watched) -> None:
    watched.run(DECAY)
    watched.take()
    gc(watched.repository)
    assert not verify(watched.repository, read_data=True).damaged
    watched.run(DECAY)
    assert kept(watched.check()) == ROWS
