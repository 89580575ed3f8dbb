"""The object that has all commands: its documented examples, and what they leave out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import snapstore
from snapstore.operations.importing import read_export
from tests.sessions import read_blocks

METHODS = [name for name in dir(snapstore.Snapstore) if not name.startswith("_")]
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
    assert [name for name in METHODS if f"{name}(" not in text] == []


def test_all_methods_say_what_they_do() -> None:
    assert [name for name in METHODS if not getattr(snapstore.Snapstore, name).__doc__] == []


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
    gone = snapstore.Refused("main.memories", {"id": 17}, b"\0" * 8, "insert", "told by another snapshot")
    with pytest.raises(snapstore.NotFound, match="no row of main\\.memories"):
        store.restore("latest", source="agents", only=[gone])
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


def two_sources(file: Path) -> tuple[snapstore.Snapstore, Path]:
    """A repository with a snapshot `both`, of the file and of a folder with one file."""
    notes = file.with_name("notes")
    notes.mkdir()
    (notes / "tea.md").write_text("oolong")
    store = snapstore.init("backups")
    store.take(f"sqlite://{file}", str(notes), tags=["both"])
    return store, notes


def write(file: Path, statements: str) -> None:
    with closing(sqlite3.connect(file)) as agent, agent:
        agent.executescript(statements)


def test_an_error_after_others_were_restored_says_where_things_stand(file: Path) -> None:
    store, notes = two_sources(file)
    write(file, "DELETE FROM memories")
    (notes / "tea.md").unlink()
    plans = store.plan_restore_all("both", mode="exact")
    (notes / "tea.md").write_text("something else")
    with pytest.raises(snapstore.Conflict, match="since the plan") as raised:
        store.restore_all("both", mode="exact", plans=plans)
    assert "agents was restored (`undo('" in raised.value.hint
    assert raised.value.hint.endswith("Not restored: notes.")
    done = store.restore_all("both", mode="exact")
    assert done["agents"].plan.is_empty
    assert (notes / "tea.md").read_text() == "oolong"


def test_an_undo_can_leave_out_what_is_refused(file: Path) -> None:
    store = snapstore.init("backups")
    store.take(f"sqlite://{file}")
    write(file, "UPDATE memories SET heat = 0.5 WHERE id < 3")
    restored = store.restore("latest", mode="update")
    assert restored.safety is not None
    write(file, "CREATE UNIQUE INDEX by_heat ON memories (heat)")
    with pytest.raises(snapstore.Conflict, match="heat"):
        store.undo()
    undone = store.undo(restored.safety.id, on_error="skip")
    assert [dict(one.key) for one in undone.refused] == [{"id": 2}]
    write(file, "DROP INDEX by_heat")
    store.restore(restored.safety.id, mode="update", only=undone.refused)
    assert [row["heat"] for row in store.rows("live", "memories")] == [0.5, 0.5, 0.1]


def test_what_several_sources_are_asked_for_must_be_there(file: Path) -> None:
    store, notes = two_sources(file)
    with pytest.raises(snapstore.Invalid, match="no source 'nobody'"):
        store.restore_all("both", to={"nobody": str(notes)})
    with pytest.raises(snapstore.Invalid, match="no table 'visits'"):
        store.restore_all("both", tables=["visits"])
    with pytest.raises(snapstore.Invalid, match="plans of other sources"):
        store.restore_all("both", plans={})
    assert list(store.plan_restore_all("both", tables=["memories"])) == ["agents"]


def test_what_a_guarded_block_did_is_put_back_and_its_error_goes_on(file: Path) -> None:
    store, notes = two_sources(file)

    def fail() -> None:
        write(file, "ALTER TABLE memories DROP COLUMN heat")
        (notes / "tea.md").unlink()
        raise RuntimeError

    with pytest.raises(RuntimeError) as raised, store.guard(f"sqlite://{file}", str(notes), put_back=True) as seen:
        fail()
    assert "Everything was put back as it was." in raised.value.__notes__
    assert seen.did is not None
    assert [one.name for one in seen.did.tables if not one.is_equal] == ["main.memories", "tree.files"]
    assert (notes / "tea.md").read_text() == "oolong"
    assert [row["heat"] for row in store.rows("live", "memories", source="agents")] == [0.9, 0.7, 0.1]


def test_a_guarded_block_that_does_little_is_left_as_it_is(file: Path) -> None:
    store = snapstore.init("backups")
    with store.guard(f"sqlite://{file}", max_deletes=1, max_changes=1, put_back=True) as seen:
        write(file, "DELETE FROM memories WHERE id = 3")
    assert (seen.exceeded, seen.back) == ((), None)
    assert [row["id"] for row in store.rows("live", "memories")] == [1, 2]
    with pytest.raises(snapstore.Conflict, match="1 definition added"), store.guard(f"sqlite://{file}", max_changes=0):
        write(file, "CREATE INDEX by_heat ON memories (heat)")
    with pytest.raises(snapstore.Invalid, match="neither a number"), store.guard(f"sqlite://{file}", max_deletes="few"):
        raise AssertionError("the block is not run")


def test_tags_are_taken_away_all_or_none_and_a_pin_keeps(file: Path) -> None:
    store = snapstore.init("backups")
    store.take(f"sqlite://{file}", tags=["one", "two"])
    with pytest.raises(snapstore.NotFound, match="no tag 'three'"):
        store.untag("one", "one", "three")
    assert store.untag("one", "one").tags == ("two",)
    store.pin("two")
    with pytest.raises(snapstore.Invalid, match="pinned"):
        store.remove("two")
    store.unpin("two")
    assert store.plan_removal("two").unique.plain_bytes > 0
    assert len(store.remove("two")) == 1


def test_what_is_lost_is_healed_from_a_copy(file: Path) -> None:
    store = snapstore.init("backups")
    store.take(f"sqlite://{file}")
    copy = snapstore.init("copy")
    store.copy(copy)
    pack = max((one for one in Path("backups/packs").rglob("*") if one.is_file()), key=lambda one: one.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 3] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)
    assert store.verify(read_data=True).damaged
    [plan] = store.plan_cut()
    assert store.cut(plan).tags == ("cut",)
    healed = store.heal(copy)
    assert healed.damaged
    assert not healed.left
    assert not store.plan_cut()
    assert not store.repair_index().damaged_packs
    assert len(list(store.rows("latest~1", "memories"))) == 3
