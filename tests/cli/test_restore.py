"""`snap restore` and `snap undo`: what is shown, what is asked, what is done, and nothing else."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from snap_cli.embedded import EmbeddedServer
from snap_cli.plans import plan_lines
from snapstore.operations.plan import Mode, Plan, TablePlan
from tests.cli.command import PROGRAM, Snap, environment, rows, run

DAMAGE = """
UPDATE memories SET heat = 0.5, content = 'garbled' WHERE id <= 10;
DELETE FROM memories WHERE id > 95;
INSERT INTO memories VALUES (200, 'new', 0, NULL, NULL);
"""


@pytest.fixture
def damaged(snap: Snap, url: str) -> Snap:
    snap("take", url, "--name", "agents")
    run(url, DAMAGE)
    return snap


def numbers(document: dict[str, list[dict[str, object]]], table: str = "public.memories") -> tuple[object, ...]:
    (found,) = (one for one in document["tables"] if one["name"] == table)
    return tuple(found[what] for what in ("insert", "update", "delete", "skip"))


def test_a_dry_run_as_json_has_the_shape_of_the_contract(damaged: Snap, url: str, pg_dump: Callable[..., str]) -> None:
    before = pg_dump(url)
    document = damaged.json("restore", "latest", "--dry-run")
    assert len(document["plan"]) == 32
    for table in document["tables"]:
        assert {"source", "name", "insert", "update", "delete", "skip", "errors"} <= table.keys()
    assert numbers(document) == (5, 0, 0, 10)
    assert numbers(damaged.json("restore", "latest", "--dry-run", "--conflict", "update")) == (5, 10, 0, 0)
    assert numbers(damaged.json("restore", "latest", "--dry-run", "--exact")) == (5, 10, 1, 0)
    assert pg_dump(url) == before
    assert len(damaged.json("list", "--all")) == 1


def test_a_dry_run_says_which_columns_and_which_command(damaged: Snap) -> None:
    shown = damaged("restore", "latest", "--dry-run", "--conflict", "update").stdout
    assert "content in 10 rows" in shown
    assert "heat in 10 rows" in shown
    assert "nothing is changed" in shown
    command = next(line.strip() for line in shown.splitlines() if line.strip().startswith("snap restore"))
    damaged(*shlex.split(command)[1:])
    assert numbers(damaged.json("restore", "latest", "--dry-run", "--conflict", "update")) == (0, 0, 0, 0)


def test_skip_is_the_default_and_puts_back_only_what_is_missing(damaged: Snap, url: str) -> None:
    document = damaged.json("restore", "latest")
    assert numbers(document) == (5, 0, 0, 10)
    assert rows(url, "SELECT count(*) FROM memories") == [(101,)]
    assert rows(url, "SELECT count(*) FROM memories WHERE content = 'garbled'") == [(10,)]


def test_exact_brings_the_table_back_to_the_bit(snap: Snap, url: str, pg_dump: Callable[..., str]) -> None:
    before = pg_dump(url)
    snap("take", url)
    run(url, DAMAGE)
    snap("restore", "latest", "--exact", "--yes")
    assert pg_dump(url) == before
    assert "nothing to do" in snap("restore", "latest", "--exact", "--yes").stdout


def test_without_a_terminal_nothing_is_deleted_unless_yes_is_said(
    damaged: Snap, url: str, pg_dump: Callable[..., str]
) -> None:
    before = pg_dump(url)
    error = damaged.error("restore", "latest", "--exact", code=2)
    assert "--yes" in error["hint"]
    damaged("restore", "latest", "--exact", answer="1\n", code=2)
    assert pg_dump(url) == before
    assert len(damaged.json("list", "--all")) == 1


def test_exact_needs_no_yes_where_it_deletes_nothing(damaged: Snap, url: str) -> None:
    run(url, "DELETE FROM memories WHERE id = 200")
    damaged("restore", "latest", "--exact")


@pytest.mark.parametrize(("answer", "code"), [("1", 0), ("memories", 0), ("public.memories", 0), ("yes", 2), ("", 2)])
def test_deletions_are_confirmed_by_typing_what_is_lost(damaged: Snap, url: str, answer: str, code: int) -> None:
    keyboard, terminal = pty.openpty()
    child = subprocess.Popen(
        [*PROGRAM, "restore", "latest", "--exact"], cwd=damaged.folder, env=environment(TERM="dumb"),
        stdin=terminal, stderr=terminal, stdout=subprocess.PIPE,
    )  # fmt: skip
    os.close(terminal)
    said = b""
    while b"to go on" not in said:
        said += os.read(keyboard, 4096)
    os.write(keyboard, answer.encode() + b"\n")
    child.communicate()
    os.close(keyboard)
    assert child.returncode == code
    assert (rows(url, "SELECT count(*) FROM memories WHERE id = 200") == [(0,)]) == (code == 0)


def test_tables_keys_and_conditions_narrow_a_restore(damaged: Snap, url: str) -> None:
    damaged("restore", "latest", "--conflict", "update", "--key", "memories:3")
    assert rows(url, "SELECT count(*) FROM memories WHERE content = 'garbled'") == [(9,)]
    damaged("restore", "latest", "--conflict", "update", "--table", "memories", "--where", "id IN (4, 5)")
    assert rows(url, "SELECT count(*) FROM memories WHERE content = 'garbled'") == [(7,)]
    damaged("restore", "latest", "--conflict", "update", "--where", "memories=id < 6 OR id = 99")
    assert rows(url, "SELECT count(*) FROM memories WHERE content = 'garbled'") == [(5,)]
    assert rows(url, "SELECT count(*) FROM memories") == [(97,)]
    assert numbers(damaged.json("restore", "latest", "--table", "visits"), "public.visits") == (0, 0, 0, 0)


def test_exact_may_delete_a_single_row(damaged: Snap, url: str) -> None:
    damaged("restore", "latest", "--exact", "--key", "memories:200", "--yes")
    assert rows(url, "SELECT count(*) FROM memories") == [(95,)]


def test_a_condition_must_leave_no_doubt_which_table_it_is_about(damaged: Snap) -> None:
    assert "TABLE=SQL" in damaged.error("restore", "latest", "--where", "id = 1", code=2)["hint"]
    damaged("restore", "latest", "--where", "memories=nonsense (", code=2)
    damaged("restore", "latest", "--table", "nothing", code=2)
    damaged("restore", "latest", "--key", "memories:x", code=2)
    assert damaged.error("restore", "latest", "--key", "memories:200", code=1)["code"] == "not_found"
    damaged("restore", "latest", "--exact", "--conflict", "skip", code=2)
    damaged("restore", "latest", "--conflict", "merge", code=2)
    damaged("restore", "latest", "--dry-run", "--plan", "0", code=2)
    damaged("restore", "nothing", code=1)


def test_a_plan_is_carried_out_exactly_or_refused(damaged: Snap, url: str, pg_dump: Callable[..., str]) -> None:
    plan = damaged.json("restore", "latest", "--dry-run", "--conflict", "update")["plan"]
    run(url, "UPDATE memories SET heat = 0.1 WHERE id = 1")
    before = pg_dump(url)
    error = damaged.error("restore", "latest", "--conflict", "update", "--plan", plan, code=5)
    assert error["code"] == "conflict"
    assert pg_dump(url) == before
    run(url, "UPDATE memories SET heat = 0.5 WHERE id = 1")
    assert damaged.json("restore", "latest", "--conflict", "update", "--plan", plan)["plan"] == plan


def test_a_stale_plan_that_deletes_is_refused_before_anybody_is_asked(damaged: Snap, url: str) -> None:
    plan = damaged.json("restore", "latest", "--dry-run", "--exact")["plan"]
    damaged("restore", "latest", "--exact", "--plan", plan, code=2)
    run(url, "INSERT INTO memories VALUES (201, 'newer', 0, NULL, NULL)")
    damaged("restore", "latest", "--exact", "--plan", plan, code=5)
    damaged("restore", "latest", "--exact", "--plan", plan, "--yes", code=5)


def test_an_empty_database_gets_everything(
    snap: Snap, url: str, databases: Callable[..., str], pg_dump: Callable[..., str]
) -> None:
    run(url, "CREATE INDEX ON memories USING hnsw (embedding vector_l2_ops)")
    snap("take", url)
    empty = databases()
    result = snap("restore", "latest", "--to", empty)
    assert "2 tables made" in result.stdout
    assert pg_dump(empty) == pg_dump(url)


def test_a_table_that_changed_shape_is_restored_over_the_common_columns_or_recreated(damaged: Snap, url: str) -> None:
    run(url, "ALTER TABLE memories DROP COLUMN heat, ADD COLUMN mood text")
    shown = damaged("restore", "latest", "--dry-run", "--conflict", "update").stdout
    assert "mood" in shown
    assert "heat" in shown
    damaged("restore", "latest", "--recreate", code=2)
    damaged("restore", "latest", "--recreate", "--yes")
    assert rows(url, "SELECT sum(heat) FROM memories") == [(100,)]


def test_a_shape_that_cannot_take_the_rows_is_refused(damaged: Snap, url: str) -> None:
    run(url, "ALTER TABLE memories ALTER COLUMN heat TYPE boolean USING true")
    assert "cannot be restored" in damaged("restore", "latest", "--dry-run").stdout
    assert damaged.json("restore", "latest", "--dry-run")["tables"][0]["errors"]
    damaged("restore", "latest", code=5)


def test_a_row_in_the_way_is_named_and_nothing_is_done(snap: Snap, url: str, pg_dump: Callable[..., str]) -> None:
    run(url, "ALTER TABLE memories ADD UNIQUE (content)")
    snap("take", url)
    run(
        url,
        "INSERT INTO memories SELECT 300, content || '!', 0, NULL, NULL FROM memories WHERE id = 1;"
        "DELETE FROM memories WHERE id IN (1, 2); UPDATE memories SET content = rtrim(content, '!') WHERE id = 300",
    )
    before = pg_dump(url)
    assert "content" in snap("restore", "latest", code=5).stderr
    assert pg_dump(url) == before


def test_undo_takes_back_exactly_the_restore(damaged: Snap, url: str, pg_dump: Callable[..., str]) -> None:
    before = pg_dump(url)
    result = damaged("restore", "latest", "--exact", "--yes")
    assert "snap undo" in result.stdout
    restored = pg_dump(url)
    assert numbers(damaged.json("undo", "--dry-run")) == (1, 10, 5, 0)
    assert "--yes" in damaged("undo", code=2).stderr
    damaged("undo", "--yes")
    assert pg_dump(url) == before
    damaged("undo", "--yes")
    assert pg_dump(url) == restored


def test_a_dry_undo_names_a_plan_that_can_be_carried_out(damaged: Snap, url: str) -> None:
    damaged("restore", "latest", "--conflict", "update", "--key", "memories:1")
    shown = damaged("undo", "--dry-run").stdout
    command = next(line.strip() for line in shown.splitlines() if line.strip().startswith("snap undo"))
    damaged(*shlex.split(command)[1:])
    assert rows(url, "SELECT content FROM memories WHERE id = 1") == [("garbled",)]


def test_undo_goes_to_the_database_that_was_restored(
    damaged: Snap, url: str, databases: Callable[..., str], pg_dump: Callable[..., str]
) -> None:
    other = databases(vector=True)
    damaged("restore", "latest", "--to", other)
    run(other, DAMAGE)
    damaged("restore", "latest", "--exact", "--yes", "--to", other)
    original, restored = pg_dump(url), pg_dump(other)
    assert other.partition("?")[0] in damaged("undo", "--yes").stderr
    assert pg_dump(url) == original
    assert pg_dump(other) != restored


def test_undo_refuses_a_database_that_took_the_place_of_the_restored_one(
    damaged: Snap, url: str, server: EmbeddedServer
) -> None:
    damaged("restore", "latest", "--conflict", "update")
    database = url.partition("@/")[2].partition("?")[0]
    server.drop_database(database)
    server.create_database(database)
    run(url, "CREATE EXTENSION vector")
    assert "--to" in damaged.error("undo", "--yes", code=2)["hint"]


def test_without_a_restore_there_is_nothing_to_undo(snap: Snap, url: str) -> None:
    snap("take", url)
    assert snap.error("undo", code=1)["code"] == "not_found"
    snap("undo", "latest", code=2)


def test_one_of_several_sources_is_restored(snap: Snap, url: str, databases: Callable[..., str], folder: Path) -> None:
    other = databases()
    run(other, "CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1)")
    (folder / "snap.toml").write_text(f'[sources.a]\nurl = "{url}"\n[sources.b]\nurl = "{other}"\n', encoding="utf-8")
    snap("take")
    run(other, "DELETE FROM t")
    assert numbers(snap.json("restore", "latest", "--source", "b"), "public.t") == (1, 0, 0, 0)
    assert snap.json("status", "--source", "b")["tables"][0]["added"] == 0
    assert {table["source"] for table in snap.json("status")["tables"]} == {"a", "b"}
    snap("restore", "latest", "--source", "c", "--to", url, code=1)


def test_a_dry_run_warns_of_rows_without_their_embeddings(snap: Snap, url: str) -> None:
    snap("take", url, "--no-vectors")
    run(url, "DELETE FROM memories WHERE id < 50")
    told = "public.memories: 49 rows will have no embedding (not in the snapshot, or left out)"
    assert told in snap("restore", "latest", "--dry-run").stdout
    [table] = [one for one in snap.json("restore", "latest", "--dry-run")["tables"] if one["insert"]]
    assert table["without"] == ["embedding"]
    run(url, "DROP TABLE memories")
    assert told.replace("49", "100") in snap("restore", "latest", "--dry-run").stdout
    assert "will have no" not in snap("restore", "latest", "--dry-run", "--table", "visits").stdout


def test_exact_keeps_rows_of_which_a_filtered_snapshot_cannot_tell(snap: Snap, url: str) -> None:
    snap("take", url, "--table", "memories", "--where", "memories=heat > 0.7")
    run(
        url,
        "UPDATE memories SET heat = 0.1 WHERE id = 1;INSERT INTO memories VALUES (200, 'cold', 0.2), (201, 'hot', 0.9)",
    )
    document = snap.json("restore", "latest", "--exact", "--dry-run")
    assert (numbers(document), document["tables"][0]["unsure"]) == ((0, 1, 0, 0), 1)
    shown = snap("restore", "latest", "--exact").stdout
    assert "1 row kept that the snapshot lacks, though its condition is met now" in shown
    named = shlex.split(
        next(line for line in shown.splitlines() if "name them" in line).partition("them: ")[2].rstrip(")")
    )
    assert rows(url, "SELECT id FROM memories WHERE id IN (1, 200, 201) ORDER BY id") == [(1,), (200,), (201,)]
    snap("restore", "latest", "--exact", "--yes", *named)
    assert rows(url, "SELECT id FROM memories WHERE id IN (1, 200, 201) ORDER BY id") == [(1,), (200,)]


def test_exact_says_which_rows_damage_may_have_hidden() -> None:
    plan = Plan("0" * 32, Mode.EXACT, "0" * 8, (TablePlan("agent", "main.hurt", keep=3, unsure=3),))
    told = "\n".join(plan_lines(plan))
    assert "main.hurt: 3 rows kept that the snapshot lacks: not all of its rows are held" in told
    assert "--where main.hurt=true" in told
