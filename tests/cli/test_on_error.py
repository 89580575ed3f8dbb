"""`snap restore --on-error skip` and `--retry`: what is listed where, how it ends, and what is refused beforehand."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.cli.command import Snap, rows, run
from tests.cli.test_several import execute, fetch

REFUSING = "ALTER TABLE memories ADD CONSTRAINT known CHECK (id NOT IN (3, 40, 99))"
MENDED = "ALTER TABLE memories DROP CONSTRAINT known"


@pytest.fixture
def refusing(snap: Snap, url: str) -> Snap:
    snap("take", url, "--name", "agents")
    run(url, "DELETE FROM memories WHERE id <= 50 OR id = 99; " + REFUSING)
    return snap


def count(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM memories")[0][0])


def test_refused_rows_are_listed_and_can_be_retried(refusing: Snap, url: str) -> None:
    stopped = refusing.error("restore", "latest", code=5)
    assert "(id)=(3)" in stopped["message"]
    done = refusing("restore", "latest", "--on-error", "skip", "--failed", "failed.jsonl", code=3)
    assert "public.memories:3  " in done.stdout
    assert "known" in done.stdout
    assert "failed.jsonl" in done.stderr
    assert count(url) == 97
    head, *listed = [json.loads(line) for line in Path("failed.jsonl").read_text().splitlines()]
    assert head["mode"] == "skip"
    assert [one["key"] for one in listed] == [{"id": 3}, {"id": 40}, {"id": 99}]
    assert {(one["source"], one["table"], one["doing"]) for one in listed} == {("agents", "public.memories", "insert")}
    assert stat.S_IMODE(Path("failed.jsonl").stat().st_mode) == 0o600
    command = next(line for line in done.stderr.splitlines() if "--retry" in line).partition(": ")[2]
    run(url, MENDED)
    run(url, "DELETE FROM memories WHERE id = 7")
    refusing(*command.split()[1:])
    assert count(url) == 99  # row 7 was not listed
    assert rows(url, "SELECT count(*) FROM memories WHERE id IN (3, 40, 99)") == [(3,)]


def test_the_document_has_every_refused_row(refusing: Snap, url: str) -> None:
    document = refusing.json("restore", "latest", "--on-error", "skip", code=3)
    assert [one["key"]["id"] for one in document["refused"]] == [3, 40, 99]
    assert document["tables"][0]["insert"] == 48
    assert Path(document["failed"]).name.startswith(f"failed-{document['snapshot']}-")
    refusing("undo", "--yes")
    assert count(url) == 49
    run(url, MENDED)
    whole = refusing.json("restore", "latest", "--on-error", "skip")
    assert (whole["refused"], whole["failed"]) == ([], None)
    assert len(list(Path().glob("failed-*"))) == 1  # where nothing failed there is no file


def test_an_undo_leaves_out_what_is_refused_and_a_restore_puts_that_back(snap: Snap, url: str) -> None:
    snap("take", url, "--name", "agents")
    run(url, "UPDATE memories SET heat = 5 WHERE id <= 40; DELETE FROM memories WHERE id > 90")
    snap("restore", "latest", "--conflict", "update")
    run(url, "ALTER TABLE memories ADD CONSTRAINT cool CHECK (id <> 3 OR heat < 5)")
    assert "cool" in snap.error("undo", "--yes", code=5)["message"]
    assert "--on-error skip" in snap.error("undo", "--failed", "failed.jsonl", code=2)["hint"]
    assert "--on-error skip --plan" in snap("undo", "--dry-run", "--on-error", "skip").stdout
    done = snap("undo", "--yes", "--on-error", "skip", "--failed", "failed.jsonl", code=3)
    assert rows(url, "SELECT count(*), sum((heat = 5)::int) FROM memories") == [(90, 39)]
    run(url, "ALTER TABLE memories DROP CONSTRAINT cool")
    command = next(line for line in done.stderr.splitlines() if "--retry" in line).partition(": ")[2]
    snap(*command.split()[1:])
    assert rows(url, "SELECT count(*), sum((heat = 5)::int) FROM memories") == [(90, 40)]


def test_a_screen_shows_some_and_says_how_many_more(snap: Snap, url: str) -> None:
    snap("take", url)
    run(url, "DELETE FROM memories; ALTER TABLE memories ADD CHECK (id > 60)")
    shown = snap("restore", "latest", "--on-error", "skip", code=3).stdout
    assert "60 rows left out" in shown
    assert "and 40 rows more" in shown
    assert shown.count("public.memories:") == 20


def test_what_cannot_be_done_is_refused_before_anything_is(refusing: Snap, url: str) -> None:
    Path("taken.jsonl").write_text("mine\n")
    skip = ["restore", "latest", "--on-error", "skip"]
    assert "is there already" in refusing.error(*skip, "--failed", "taken.jsonl", code=1)["message"]
    assert Path("taken.jsonl").read_text() == "mine\n"
    refusing.error(*skip, "--failed", "no/such/folder.jsonl", code=1)
    assert "--on-error skip" in refusing.error("restore", "latest", "--failed", "x", code=2)["hint"]
    refusing.error("restore", "latest", "--retry", "taken.jsonl", code=2)
    refusing.error("restore", "latest", "--retry", "none.jsonl", code=1)
    refusing("restore", "latest", "--on-error", "skip", "--failed", "failed.jsonl", "--dry-run")
    assert not Path("failed.jsonl").exists()
    assert count(url) == 49
    refusing(*skip, "--failed", "failed.jsonl", code=3)
    refusing.error("restore", "latest", "--retry", "failed.jsonl", "--exact", code=2)
    lines = Path("failed.jsonl").read_text().splitlines()
    other = json.dumps({**json.loads(lines[1]), "key_bytes": "00"})
    Path("wrong.jsonl").write_text("\n".join([lines[0], other]))
    assert "line 2" in refusing.error("restore", "latest", "--retry", "wrong.jsonl", code=2)["message"]
    refusing("take", url)
    assert "of the snapshot" in refusing.error("restore", "latest", "--retry", "failed.jsonl", code=2)["message"]


def test_a_folder_cannot_leave_out_rows_and_nothing_is_begun(snap: Snap, url: str, folder: Path) -> None:
    notes = folder / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("a")
    snap("take", url, f"file://{notes}")
    (notes / "a.md").unlink()
    run(url, "DELETE FROM memories")
    assert snap.error("restore", "latest", "--on-error", "skip", code=1)["code"] == "unsupported"
    assert count(url) == 0
    assert not list(Path().glob("failed-*"))


def test_several_sources_have_one_list(snap: Snap, url: str, folder: Path) -> None:
    graph = folder / "graph.db"
    execute(graph, "CREATE TABLE nodes (id INTEGER PRIMARY KEY, name); INSERT INTO nodes VALUES (1, 'a'), (2, 'b')")
    snap("take", url, f"sqlite://{graph}")
    run(url, "DELETE FROM memories; " + REFUSING)
    execute(graph, "DELETE FROM nodes; CREATE UNIQUE INDEX names ON nodes (name); INSERT INTO nodes VALUES (9, 'b')")
    document = snap.json("restore", "latest", "--on-error", "skip", "--failed", "failed.jsonl", code=3)
    assert [(one["table"], one["key"]["id"]) for one in document["refused"]] == [
        ("public.memories", 3), ("public.memories", 40), ("public.memories", 99), ("main.nodes", 2),
    ]  # fmt: skip
    run(url, MENDED)
    execute(graph, "DROP INDEX names")
    snap("restore", "latest", "--retry", "failed.jsonl")
    assert count(url) == 100
    assert fetch(graph, "SELECT id FROM nodes ORDER BY 1") == [(1,), (2,), (9,)]
