"""A folder on the command line: taken by its path, compared by records, restored, and nothing reaches the terminal."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.command import Snap, environment


@pytest.fixture
def memory(folder: Path) -> Path:
    place = folder / "memory"
    (place / "notes").mkdir(parents=True)
    (place / "notes" / "tea.md").write_text("---\ntitle: Tea\n---\nIt is hot.\n")
    (place / "memory.jsonl").write_text('{"type":"entity","name":"ann","observations":["likes tea"]}')
    (place / "index.json").write_text(json.dumps({"root": str(place), "neighbour": f"{place}-2"}))
    (place / "x.log").write_text("noise")
    return place


def test_a_folder_is_taken_by_its_path_and_its_url(snap: Snap, memory: Path) -> None:
    taken = snap("take", "./memory")
    assert "snapshot" in taken.stdout
    assert "left out by *.log: x.log" in taken.stderr
    shown = snap.json("show", "latest")["sources"][0]
    assert (shown["name"], shown["kind"], shown["url"]) == ("memory", "file", f"file://{memory}")
    assert snap.json("take", f"file://{memory}", "--only", "notes/")["sources"][0]["tables"][0]["rows"] == 2
    assert snap.json("take", str(memory), "--ignore", "!*.log")["sources"][0]["tables"][0]["rows"] == 5
    assert "no pattern" in snap.error("take", "./memory", "--ignore", "!", code=2)["message"]


def test_patterns_are_for_folders_alone(snap: Snap, folder: Path) -> None:
    error = snap.error("take", f"sqlite://{folder}/a.db", "--only", "x", code=2)
    assert "for folders alone" in error["message"]


def test_a_folder_and_a_database_in_it_are_one_snapshot(snap: Snap, memory: Path, folder: Path) -> None:
    with closing(sqlite3.connect(memory / "agents.db")) as database:
        database.execute("CREATE TABLE notes (body)")
    taken = snap.json("take", "./memory", f"sqlite://{memory}/agents.db", "--ignore", "agents.db")
    assert [(one["kind"], one["tables"][0]["name"]) for one in taken["sources"]] == [
        ("file", "tree.files"), ("sqlite", "main.notes"),
    ]  # fmt: skip
    (folder / "snap.toml").write_text(f'[sources.memory]\nurl = "file://{folder}/other"\n')
    assert [one["path"] for one in snap.json("restore", "latest", "--dry-run")["mentions"]] == ["index.json"]
    (folder / "snap.toml").unlink()
    (memory / "memory.jsonl").unlink()
    (memory / "agents.db").unlink()
    plans = snap.json("restore", "latest", "--dry-run")["tables"]
    assert [(one["source"], one["insert"]) for one in plans] == [("memory", 1), ("agents", 0)]
    snap("restore", "latest")
    assert (memory / "memory.jsonl").exists()
    assert (memory / "agents.db").exists()
    snap("verify", "--live", "latest")


def test_a_name_in_settings_comes_before_a_path(snap: Snap, memory: Path, folder: Path) -> None:
    (folder / "snap.toml").write_text(
        f'[sources."./memory"]\nurl = "file://{memory}/notes"\nignore = ["*.bak"]\n[sources.all]\nurl = "file://{memory}"\n'
        'only = ["*.md"]\nattributes = false\n'
    )
    assert snap.json("take", "./memory")["sources"][0]["tables"][0]["rows"] == 1
    assert snap.json("take", "all")["sources"][0]["tables"][0]["rows"] == 2


def test_a_difference_is_told_by_records(snap: Snap, memory: Path) -> None:
    snap("take", "./memory")
    (memory / "memory.jsonl").write_text(
        '{"type":"entity","name":"ann","observations":["likes coffee"]}\n{"type":"entity","name":"bob"}'
    )
    (memory / "notes" / "tea.md").write_text("---\ntitle: Green tea\n---\nIt is hot.\n")
    told = snap("diff", "latest", "live", "--rows").stdout
    assert "+ entity bob" in told
    assert "~ entity ann" in told
    assert "~ field title" in told
    rows = {row["key"]["path"]: row for row in snap.json("diff", "latest", "live", "--rows")["tables"][0]["rows"]}
    records = rows["memory.jsonl"]["columns"]["content"]["records"]
    assert [(one["change"], one["record"]) for one in records] == [("changed", "entity ann"), ("added", "entity bob")]


def test_one_file_is_shown_and_restored_and_that_is_undone(snap: Snap, memory: Path) -> None:
    snap("take", "./memory")
    assert "It is hot." in snap("show", "latest:files:notes/tea.md").stdout
    (memory / "notes" / "tea.md").write_text("gone")
    (memory / "memory.jsonl").unlink()
    snap("restore", "latest", "--conflict", "update", "--key", "files:notes/tea.md")
    assert "It is hot." in (memory / "notes" / "tea.md").read_text()
    assert not (memory / "memory.jsonl").exists()
    snap("undo", "--yes")
    assert (memory / "notes" / "tea.md").read_text() == "gone"
    assert "no key" not in snap("show", "latest:files:notes/../../x", code=2).stderr


def test_exact_asks_before_it_deletes(snap: Snap, memory: Path) -> None:
    snap("take", "./memory")
    (memory / "more.md").write_text("new")
    assert "delete" in snap.error("restore", "latest", "--exact", code=2)["message"]
    snap("restore", "latest", "--exact", "--yes")
    assert not (memory / "more.md").exists()
    assert (memory / "x.log").exists()


def test_a_dry_run_elsewhere_tells_of_paths_that_mean_the_old_place(snap: Snap, memory: Path, folder: Path) -> None:
    snap("take", "./memory")
    there = f"file://{folder}/other"
    told = snap("restore", "latest", "--to", there, "--dry-run").stdout
    assert "1 file names the folder they were taken from" in told
    assert "index.json:1:" in told
    assert not (folder / "other").exists()
    [mention] = snap.json("restore", "latest", "--to", there, "--dry-run")["mentions"]
    assert (mention["path"], mention["count"], mention["line"]) == ("index.json", 1, 1)
    assert snap.json("restore", "latest", "--dry-run")["mentions"] == []
    snap("restore", "latest", "--to", there)
    assert (folder / "other" / "notes" / "tea.md").exists()


def test_no_escape_code_reaches_the_terminal(snap: Snap, memory: Path) -> None:
    (memory / "\x1b[2J\x07").write_text("a\x1b]0;title\x07")
    (memory / "\x1b[31m.log").write_text("x")
    (memory / os.fsdecode(b"\xff\n")).write_text("x")
    (memory / "sub\x1b[2J").mkdir()
    os.mkfifo(memory / "sub\x1b[2J" / "pipe")
    outputs = [snap("take", "./memory"), snap("show", "latest"), snap("list"), snap("show", "latest:files")]
    (memory / "\x1b[2J\x07").write_text("b\x1b]0;title\x07")
    (memory / os.fsdecode(b"\xff\n")).unlink()
    outputs += [snap("diff", "latest", "live", "--rows"), snap("restore", "latest", "--dry-run", "--exact")]
    outputs += [snap("restore", "latest", "--conflict", "update"), snap("take", "./memory/sub\x1b[2J")]
    for output in outputs:
        told = output.stdout + output.stderr
        assert "\x07" not in told
        assert "\x1b]" not in told
        assert "\x1b[2J" not in told


def test_without_its_library_only_folders_are_refused(snap: Snap, memory: Path) -> None:
    program = (
        "import sys; sys.modules['pathspec'] = None; from snap_cli.main import main; "
        "sys.argv = ['snap', *sys.argv[1:]]; sys.exit(main())"
    )
    snap("take", "./memory")
    done = subprocess.run(
        [sys.executable, "-c", program, "show", "latest:files"], env=environment(), capture_output=True, check=False
    )
    assert b"notes/tea.md" in done.stdout
    refused = subprocess.run(
        [sys.executable, "-c", program, "take", "./memory"], env=environment(), capture_output=True, check=False
    )
    assert refused.returncode == 1
    assert b"pip install 'snapstore[files]'" in refused.stderr


def test_a_file_that_patterns_left_out_has_not_vanished(snap: Snap, memory: Path) -> None:
    snap("take", "./memory")
    table = snap.json("take", "./memory", "--only", "notes/")["sources"][0]["tables"][0]
    assert table["removed"] is None
    snap("take", "./memory", "--only", "notes/")
    told = snap("log", "files:index.json").stdout
    assert "vanished" not in told
    assert "only the files notes/" in snap("diff", "latest~2", "latest").stderr
    (memory / "index.json").unlink()
    snap("take", "./memory")
    assert "vanished" in snap("log", "files:index.json").stdout
