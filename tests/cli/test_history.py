"""`snap log`, `snap find`, `snap stats` and `snap show --where` over a few snapshots of a real database."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from snap_cli.embedded import EmbeddedServer
from tests.cli.command import Snap, rows, run
from tests.cli.conftest import MEMORIES

LONG = "'the user said ' || repeat('so much ', 200) || 'about Zanzibar'"


class Here(Snap):
    """The command line with the repository of these tests, wherever it is called from."""

    def __call__(self, *words: str, **options: Any) -> Result:
        return super().__call__(*words, "-r", str(self.folder / "repository"), **options)


@pytest.fixture(scope="module")
def url(server: EmbeddedServer) -> str:
    """A database of these tests alone, gone with the server."""
    url = server.create_database("history")
    run(url, f"CREATE EXTENSION vector; {MEMORIES}")
    return url


@pytest.fixture(scope="module")
def here(url: str, tmp_path_factory: pytest.TempPathFactory) -> Here:
    """Five snapshots of the memories: as they were, changed, longer, without one, and with it again."""
    snap = Here(tmp_path_factory.mktemp("history"))
    snap("init")
    run(url, "ALTER TABLE memories ADD facts jsonb, ADD tags text[]")
    snap("take", url, "--tag", "first")
    run(
        url,
        "UPDATE memories SET heat = 0.5, content = 'memory number 7 of an agent that forgot',"
        " embedding = '[7,1,1]', tags = '{tea,coffee}' WHERE id = 7",
    )
    snap("take", url, "--tag", "changed")
    run(url, f"""UPDATE memories SET content = {LONG}, facts = '{{"likes": "Tea"}}' WHERE id = 7""")
    snap("take", url, "--tag", "longer")
    run(url, "DELETE FROM memories WHERE id = 7")
    snap("take", url, "--tag", "gone")
    snap("take", url, "--table", "visits", "--tag", "other")
    run(url, "INSERT INTO memories (id, content, heat) VALUES (7, 'back', 1)")
    snap("take", url, "--tag", "back")
    return snap


def test_the_history_of_a_row_is_told_field_by_field(here: Here) -> None:
    told = here.json("log", "memories:7")
    assert [event["what"] for event in told["events"]] == ["appeared", "changed", "changed", "vanished", "returned"]
    assert (told["snapshots"], told["held"], told["is_there"], told["key"]) == (5, 4, True, {"id": 7})
    ids = [one["snapshot"] for one in here.json("list")]
    around = [(one["before"] and one["before"]["snapshot"], one["after"]["snapshot"]) for one in told["events"]]
    assert around == [(None, ids[0]), (ids[0], ids[1]), (ids[1], ids[2]), (ids[2], ids[3]), (ids[3], ids[5])]
    changed = told["events"][1]["columns"]
    assert set(changed) == {"content", "heat", "embedding", "tags"}
    assert changed["heat"] == {"before": 1.0, "after": 0.5}
    assert changed["embedding"]["cosine_distance"] == pytest.approx(0.0098, abs=1e-4)
    assert told["events"][0]["row"]["content"] == "memory number 7 of an agent that remembers"
    assert [one["why"] for one in told["unknown"]] == ["it was not asked for the table"]
    text = here("log", "memories:7").output
    for words in (
        "in 4 of 5 snapshots", "heat: 1.0 → 0.5", "embedding: cosine distance 0.00985, 3 dimensions",
        "[-remembers-]{+forgot+}", "vanished", "returned", "it is there in the newest snapshot",
        "1 snapshot cannot say whether it was there",
    ):  # fmt: skip
        assert words in text, text
    only = here("log", "memories:7", "--column", "heat").output
    assert "heat: 1.0 → 0.5" in only
    assert "cosine" not in only
    assert len(here.json("log", "public.memories:7", "--since", "2020-01-01", "--until", "2100-01-01")["events"]) == 5


def test_what_has_no_history_is_said(here: Here) -> None:
    assert "no snapshot holds a row '777'" in here.error("log", "memories:777", code=1)["message"]
    assert "is not TABLE:KEY" in here.error("log", "memories", code=2)["message"]
    assert "no table 'nothing:7'" in here.error("log", "nothing:7", code=2)["message"]
    assert "no column 'nothing'" in here.error("log", "memories:7", "--column", "nothing", code=2)["message"]
    assert "not a key" in here.error("log", "memories:seven", code=2)["message"]
    assert "no snapshots" in here.error("log", "memories:7", "--until", "2020-01-01", code=1)["message"]


def test_a_text_is_found_in_every_version_that_holds_it(here: Here) -> None:
    ids = [one["snapshot"] for one in here.json("list")]
    (found,) = here.json("find", "Zanzibar")["found"]
    assert (found["table"], found["key"], found["column"]) == ("public.memories", {"id": 7}, "content")
    assert (found["first"]["snapshot"], found["last"]["snapshot"], found["held"]) == (ids[2], ids[2], 1)
    assert found["value"].endswith("so much about Zanzibar")
    tea = here.json("find", "tea", "-i")["found"]
    assert [(one["column"], one["value"], one["held"]) for one in tea] == [
        ("tags", ["tea", "coffee"], 2),
        ("facts", '{"likes": "Tea"}', 1),
    ]
    assert here.json("find", "tea", "--table", "visits")["found"] == []
    assert [one["key"] for one in here.json("find", "builder")["found"]] == [
        {"who": "bob, the builder", "day": "2026-01-02"}
    ]
    assert [one["value"] for one in here.json("find", "--regex", "^ba.k$")["found"]] == ["back"]
    text = here("find", "Zanzibar")
    assert "content: …h so much so much so much so much about Zanzibar" in text.stdout
    assert "1 version in 1 row found in 6 snapshots" in text.stderr
    assert "nothing found" in here("find", "nowhere").stderr
    assert "no table 'x'" in here.error("find", "tea", "--table", "x", code=2)["message"]
    assert "not a pattern" in here.error("find", "(", "--regex", code=2)["message"]


def test_rows_of_a_snapshot_are_chosen_by_a_condition(here: Here, url: str) -> None:
    told = here.json("show", "changed:memories", "--where", "heat < 1 AND seen >= '2026-01-01'")
    assert (told["matching"], [row["id"] for row in told["rows"]]) == (1, [7])
    condition = "heat = 1 AND id > 90 AND facts IS NULL"
    mine = here.json("show", "latest:memories", "--where", condition)
    asked = here.json("show", "latest:memories", "--to", url, "--where", condition)
    live = here.json("show", "live:memories", "--to", url, "--where", condition)
    assert mine == asked
    assert mine["rows"] == live["rows"]
    assert mine["matching"] == rows(url, f"SELECT count(*) FROM memories WHERE {condition}")[0][0] == 10
    any_condition = here("show", "changed:memories", "--to", url, "--where", "content LIKE '%forgot'")
    assert "memory number 7 of an agent" in any_condition.stdout
    assert "of which 2 are shown" in here("show", "latest:memories", "--where", "id > 0", "--limit", "2").stderr
    assert "LIKE" in here.error("show", "latest:memories", "--where", "content LIKE 'a%'", code=2)["message"]
    assert "a table" in here.error("show", "latest", "--where", "id = 1", code=2)["message"]
    assert "names one row" in here.error("show", "latest:memories:7", "--where", "id = 1", code=2)["message"]


def test_sizes_are_told_and_drawn(here: Here, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = here.json("stats")
    assert told["live"]["bytes"] == sum(kind["bytes"] for kind in told["kinds"].values())
    assert told["live"]["bytes"] == sum(table["bytes"] for table in told["tables"])
    assert len(told["snapshots"]) == 6
    assert told["deduplication"] > 1
    text = here("stats").output
    assert "6 snapshots" in text
    assert "public.memories" in text
    assert "█" in text
    removed = here.json("stats", "changed", "longer")
    alone = [one["unique"]["bytes"] for one in told["snapshots"][1:3]]
    assert removed["unique"]["bytes"] >= sum(alone) > 0
    assert "needed by no other" in here("stats", "changed").output
    assert "--plot" in here.error("stats", "changed", "--plot", "a.png", code=2)["message"]
    assert "not a PNG" in here.error("stats", "--plot", "a.gif", code=2)["message"]
    pytest.importorskip("matplotlib")
    here("stats", "--plot", "growth.png")
    assert (folder / "growth.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "snap_cli.growth", None)
    error = here.error("stats", "--plot", "a.png", code=1)
    assert "matplotlib" in error["message"]
    assert "snapstore[plot]" in error["hint"]


def test_two_sources_with_one_table_are_told_apart(snap: Snap, folder: Path) -> None:
    pytest.importorskip("apsw")
    for name in ("one", "two"):
        database = sqlite3.connect(folder / f"{name}.db")
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        database.execute("INSERT INTO notes VALUES (1, ?)", [f"tea for {name}"])
        database.commit()
        database.close()
    snap("take", f"sqlite:///{folder}/one.db", f"sqlite:///{folder}/two.db")
    assert "--source" in snap.error("log", "notes:1", code=2)["hint"]
    told = snap.json("log", "notes:1", "--source", "two")
    assert told["events"][0]["row"]["body"] == "tea for two"
    assert [one["source"] for one in snap.json("find", "tea")["found"]] == ["one", "two"]
    assert "no source 'x'" in snap.error("find", "tea", "--source", "x", code=2)["message"]
    assert snap.json("show", "latest:notes", "--source", "one", "--where", "body = 'tea for one'")["matching"] == 1
