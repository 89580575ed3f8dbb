"""`snap guard`: a command is run between a snapshot and a look at what it did, and what it did can be taken back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Snap, rows

FAILS = "import sys; sys.exit(7)"


def statement(url: str, sql: str, after: str = "") -> list[str]:
    """A command that executes this and goes on with `after`."""
    return [sys.executable, "-c", f"import psycopg\nwith psycopg.connect({url!r}) as c: c.execute({sql!r})\n{after}"]


def test_what_a_command_did_is_shown(snap: Snap, url: str) -> None:
    result = snap("guard", "--source", url, "--tag", "clean-up", "--", *statement(url, "DELETE FROM visits"))
    assert "snapshot " in result.stderr
    assert "public.visits  -2" in result.stdout
    (held,) = snap.json("list")
    assert held["tags"] == ["clean-up"]
    assert held["description"].startswith("before: ")
    assert rows(url, "SELECT count(*) FROM visits") == [(0,)]


def test_the_exit_code_is_the_commands_and_the_way_back_is_said(snap: Snap, url: str) -> None:
    result = snap("guard", "--source", url, "--", *statement(url, "DELETE FROM visits", FAILS), code=7)
    assert "exit code 7" in result.stderr
    (held,) = snap.json("list")
    back = result.stderr.partition("as it was: ")[2].split("\n")[0]
    assert back == f"snap restore {held['snapshot'][:8]} --exact --recreate"
    snap(*back.split()[1:], "--yes")
    assert rows(url, "SELECT count(*) FROM visits") == [(2,)]


def test_a_failure_is_taken_back_rows_shapes_and_all(snap: Snap, url: str) -> None:
    before = rows(url, "SELECT * FROM memories ORDER BY id")
    harm = (
        "ALTER TABLE memories DROP COLUMN embedding; DELETE FROM memories WHERE id > 50; DROP TABLE visits;"
        "INSERT INTO memories VALUES (1000, 'made up', 1, now()); CREATE TABLE half_done (id int)"
    )
    result = snap("guard", "--source", url, "--restore-on-failure", "--", *statement(url, harm, FAILS), code=7)
    assert rows(url, "SELECT * FROM memories ORDER BY id") == before
    assert rows(url, "SELECT count(*) FROM visits") == [(2,)]
    assert "tables made since the snapshot stay: public.half_done" in result.stderr


@pytest.mark.parametrize(
    ("limit", "sql", "told"),
    [
        (["--max-deletes", "1"], "DELETE FROM visits", "2 rows deleted, and --max-deletes 1 allows 1"),
        (["--max-deletes", "1%"], "DELETE FROM visits", "2 rows deleted, and --max-deletes 1% allows 1"),
        (["--max-changes", "50"], "UPDATE memories SET heat = 2", "100 rows added, changed or deleted"),
        (["--max-deletes", "0"], "UPDATE memories SET heat = 2", ""),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_more_than_a_limit_allows_is_a_failure(snap: Snap, url: str, limit: list[str], sql: str, told: str) -> None:
    words = ["guard", "--source", url, "--restore-on-failure", *limit, "--", *statement(url, sql)]
    result = snap(*words, code=1 if told else 0)
    assert told in result.stderr
    is_back = rows(url, "SELECT (SELECT count(*) FROM visits), (SELECT count(*) FROM memories WHERE heat = 2)")
    assert (is_back == [(2, 0)]) == bool(told)


def test_the_document_says_what_happened(snap: Snap, url: str) -> None:
    command = statement(url, "DELETE FROM visits", f"print('words of its own'); {FAILS}")
    process = snap.start("--json", "guard", "--source", url, "--restore-on-failure", "--", *command)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "words of its own" in err
    result: Any = json.loads(out)
    assert result["exit_code"] == 7
    assert result["command"] == command
    assert {table["name"]: table["removed"] for table in result["diff"]["tables"]}["public.visits"] == 2
    assert [table["insert"] for table in result["restored"][0]["tables"] if table["name"] == "public.visits"] == [2]
    assert result["restored"][0]["safety"]


def test_without_a_snapshot_the_command_is_not_run(snap: Snap, url: str, folder: Path) -> None:
    touch = [sys.executable, "-c", "open('ran', 'w')"]
    snap("guard", "--source", url.replace("/test", "/absent"), "--", *touch, code=2)
    assert not (folder / "ran").exists()
    snap("guard", "--source", url, "--", *touch)
    assert (folder / "ran").exists()


def test_a_command_that_does_not_exist_costs_no_snapshot(snap: Snap, url: str) -> None:
    assert "no command 'no-such-command'" in snap("guard", "--source", url, "--", "no-such-command", code=2).stderr
    assert snap.json("list") == []


def test_options_behind_the_command_are_its_own(snap: Snap, url: str) -> None:
    snap("guard", "--source", url, sys.executable, "-c", "import sys; sys.exit(sys.argv[1:] != ['--json', '-q'])",
         "--json", "-q")  # fmt: skip


def test_a_command_that_a_signal_ended_has_failed(snap: Snap, url: str) -> None:
    snap("guard", "--source", url, "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 15)", code=128 + 15)


def test_a_failure_that_changed_nothing_needs_no_way_back(snap: Snap, url: str) -> None:
    result = snap("guard", "--source", url, "--restore-on-failure", "--", sys.executable, "-c", FAILS, code=7)
    assert "the memory is as it was before" in result.stderr
    assert len(snap.json("list")) == 1


def test_a_limit_must_be_one(snap: Snap, url: str) -> None:
    for wrong in ("-1", "many", "%", "5 %"):
        assert "5%" in snap("guard", "--source", url, f"--max-deletes={wrong}", "--", "true", code=2).stderr
