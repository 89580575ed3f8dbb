"""The object that has all commands: its documented examples, and what they leave out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import snapstore
from snapstore.operations.importing import read_export
from tests.sessions import read_blocks

DOCUMENT = Path(__file__).parent.parent / "docs" / "api.md"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite file with three memories, in the working directory."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "agents.db"
    with closing(sqlite3.connect(place)) as agent, agent:
        agent.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY, content TEXT, heat REAL)")
        agent.executemany(
            "INSERT INTO memories VALUES (?, ?, ?)", [(1, "is ann", 0.9), (2, "prefers tea", 0.7), (3, "cold", 0.1)]
        )
    return place


def test_the_examples_of_the_document_run(file: Path) -> None:
    told = [block for language, block in read_blocks(DOCUMENT.read_text(encoding="utf-8")) if language == "python"]
    assert len(told) > 5
    names: dict[str, object] = {}
    for block in told:
        exec(compile(block.replace("/home/me/agents.db", str(file)), str(DOCUMENT), "exec"), names)


def test_every_method_is_in_the_document() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    methods = [name for name in vars(snapstore.Snapstore) if not name.startswith("_")]
    assert [name for name in methods if f"{name}(" not in text] == []


def test_all_methods_say_what_they_do() -> None:
    methods = {name: one for name, one in vars(snapstore.Snapstore).items() if not name.startswith("_")}
    assert [name for name, one in methods.items() if not one.__doc__] == []


def test_a_repository_is_not_made_in_a_folder_of_other_things(file: Path) -> None:
    with pytest.raises(snapstore.Invalid, match="not empty"):
        snapstore.init(file.parent)
    assert sorted(one.name for one in file.parent.iterdir()) == ["agents.db"]


def test_what_means_nothing_or_too_much_is_refused_by_name(file: Path) -> None:
    store = snapstore.init("backups")
    second = file.with_name("others.db")
    second.write_bytes(file.read_bytes())
    store.take(f"sqlite://{file}", f"sqlite://{second}")
    with pytest.raises(snapstore.Invalid, match="several sources"):
        store.plan_restore("latest")
    with pytest.raises(snapstore.Invalid, match="no source 'nobody'"):
        store.plan_restore("latest", source="nobody")
    with pytest.raises(snapstore.Invalid, match="no mode"):
        store.restore("latest", source="agents", mode="overwrite")
    with pytest.raises(snapstore.NotFound, match="there is no row '17'"):
        store.restore("latest", source="agents", keys={"memories": ["17"]})
    with pytest.raises(snapstore.Invalid, match="could be several tables"):
        list(store.rows("latest", "memories"))
    with pytest.raises(snapstore.Invalid, match="no table 'visits'"):
        store.diff("latest", tables=["visits"])
    with pytest.raises(snapstore.Invalid, match="no sources under redis://"):
        snapstore.source("redis://here")
    assert [row["id"] for row in store.rows("live", "memories", source="others")] == [1, 2, 3]
    assert all(table.is_equal for table in store.diff())


def test_an_export_of_a_folder_says_which_of_its_files_were_chosen(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "tea.md").write_text("prefers tea")
    store = snapstore.init(tmp_path / "backups")
    store.take(f"file://{notes}", selection=snapstore.Selection(only=("*.md",)))
    exported = store.export("latest", tmp_path / "exported", format="jsonl")
    (said,) = read_export(tmp_path / "exported").chosen.values()
    assert (said.only, sum(exported.rows.values())) == (("*.md",), 1)
