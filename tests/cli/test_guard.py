"""`snap guard`: a command is run between a snapshot and a look at what it did, and what it did can be taken back."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Snap, rows, run

FAILS = "import sys; sys.exit(7)"
DECLARED = """
SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT 'view ' || definition FROM pg_views WHERE schemaname = 'public'
UNION SELECT 'function ' || prosrc FROM pg_proc WHERE proname = 'warmth'
UNION SELECT 'key ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'
UNION SELECT format('column %s %s %s %s', table_name, column_name, data_type, column_default)
  FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1"""


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


def test_what_is_declared_around_rows_is_seen_and_put_back(snap: Snap, url: str) -> None:
    run(
        url,
        "CREATE INDEX by_heat ON memories (heat); CREATE VIEW warm AS SELECT id FROM memories WHERE heat > 0.5;"
        "ALTER TABLE visits ADD memory int DEFAULT 7 REFERENCES memories",
    )
    run(url, "CREATE FUNCTION warmth() RETURNS real LANGUAGE sql AS 'SELECT max(heat) FROM public.memories'")
    before = rows(url, DECLARED)
    guard = ["guard", "--source", url, "--restore-on-failure", "--"]
    harm = (
        "DROP INDEX by_heat; DROP FUNCTION warmth(); ALTER TABLE visits ALTER memory DROP DEFAULT;"
        "ALTER TABLE memories ADD COLUMN mood text; CREATE INDEX by_content ON memories (content)"
    )
    result = snap(*guard, *statement(url, harm, FAILS), code=7)
    for told in (
        "index by_heat of public.memories  (gone)",
        "function public.warmth()  (gone)",
        "column memory of public.visits  (changed)",
        "index by_content of public.memories  (new)",
    ):
        assert told in result.stdout
    assert "still not as it was" not in result.stderr
    assert rows(url, DECLARED) == before
    # With every row and table as it was, views and functions come back all the same.
    result = snap(*guard, *statement(url, "DROP VIEW warm", FAILS), code=7)
    assert "made again: view public.warm" in result.stdout
    assert rows(url, DECLARED) == before
    result = snap(*guard, *statement(url, "CREATE INDEX by_content ON memories (content)", FAILS), code=7)
    assert "still not as it was: index by_content of public.memories (new)" in result.stderr


def test_one_source_that_cannot_be_put_back_keeps_no_other_from_it(snap: Snap, url: str, folder: Path) -> None:
    with closing(sqlite3.connect(folder / "agents.db")) as file, file:
        file.executescript(
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, heat REAL); INSERT INTO notes VALUES (1, 0.5);"
            "CREATE VIEW warm AS SELECT * FROM notes WHERE heat > 0.5"
        )
    (folder / "tree").mkdir()
    (folder / "tree/notes.md").write_text("prefers tea")
    harm = (
        "ALTER TABLE memories DROP COLUMN heat; CREATE FUNCTION leaning() RETURNS SETOF memories LANGUAGE sql "
        "BEGIN ATOMIC SELECT * FROM memories; END"
    )
    others = "import sqlite3, os; os.remove('tree/notes.md'); c = sqlite3.connect('agents.db')\n"
    others += "c.execute('DELETE FROM notes'); c.execute('DROP VIEW warm'); c.commit()"
    sources = ["--source", url, "--source", f"sqlite://{folder}/agents.db", "--source", "./tree"]
    words = ["guard", *sources, "--restore-on-failure", "--", *statement(url, harm, f"{others}\n{FAILS}")]
    result = snap(*words, code=1)
    name = url.partition("?")[0].rpartition("/")[2]
    assert f"{name} was not put back: public.memories cannot be made anew" in result.stderr
    assert f"--exact --recreate --source {name}` tries again" in result.stderr
    assert "leaning" in result.stderr
    assert (folder / "tree/notes.md").read_text() == "prefers tea"
    with closing(sqlite3.connect(folder / "agents.db")) as file:
        assert file.execute("SELECT * FROM notes").fetchall() == [(1, 0.5)]
        assert file.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall() == [("warm",)]
    assert "still not as it was" not in result.stderr


@pytest.mark.parametrize(
    ("limit", "sql", "told"),
    [
        (["--max-deletes", "1"], "DELETE FROM visits", "2 rows deleted, and max-deletes 1 allows 1"),
        (["--max-deletes", "1%"], "DELETE FROM visits", "2 rows deleted, and max-deletes 1% allows 1"),
        (["--max-changes", "50"], "UPDATE memories SET heat = 2", "100 rows added, changed or deleted"),
        (["--max-deletes", "0"], "UPDATE memories SET heat = 2", ""),
        (
            ["--max-deletes", "99%"],
            "ALTER TABLE memories DROP COLUMN embedding; DELETE FROM visits",
            "102 rows deleted",
        ),
        (["--max-changes", "50"], "ALTER TABLE memories ALTER heat TYPE double precision", "100 rows added, changed"),
        (["--max-changes", "0"], "CREATE INDEX by_heat ON memories (heat)", "1 definition added, changed or deleted"),
    ],
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
    assert result["words"] == command
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
