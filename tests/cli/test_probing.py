"""`snap sources`: each source is looked at as a take would, and the exit code says whether one would succeed."""

from __future__ import annotations

from pathlib import Path

import apsw

from tests.cli.command import Snap, run


def test_sources_are_tried_and_counted(folder: Path, url: str) -> None:
    snap = Snap(folder)  # it needs no repository
    connection = apsw.Connection(str(folder / "graph.db"))
    connection.execute("CREATE TABLE edges (id INTEGER PRIMARY KEY, a, embedding BLOB)")
    connection.execute("INSERT INTO edges (a) VALUES (1), (2), (3)")
    (folder / "snap.toml").write_text(
        f"[sources.agents]\nurl = '{url}'\nwhere.memories = 'id <= 7'\nexclude = ['visits']\n"
        f"ignore-columns = ['memories.seen']\n"
        f"[sources.graph]\nurl = 'sqlite:///{folder}/graph.db'\nwhere.edges = 'a > 1'\nvectors = false\n",
        encoding="utf-8",
    )
    agents, graph = snap.json("sources")["sources"]
    assert agents["tables"] == [
        {"name": "public.memories", "rows": 7, "counted": True, "left_out": [], "where": "id <= 7"}
    ]
    assert (agents["reached"], agents["would_fail"], agents["ignored"]) == (True, False, ["memories.seen"])
    assert graph["tables"] == [
        {"name": "main.edges", "rows": 2, "counted": True, "left_out": ["embedding"], "where": "a > 1"}
    ]
    shown = snap("sources").stdout
    assert "where a > 1; without embedding" in shown
    run(url, "ANALYZE memories; UPDATE pg_class SET reltuples = 2e6 WHERE relname = 'memories'")
    [table, _] = snap.json("sources", url)["sources"][0]["tables"]
    assert (table["rows"], table["counted"]) == (2_000_000, False)
    assert "~2,000,000" in snap("sources", url).stdout


def test_the_exit_code_tells_what_a_take_would_meet(folder: Path, url: str) -> None:
    snap = Snap(folder)
    snap("sources", code=2)
    [look] = snap.json("sources", "postgresql://me:hunter2@127.0.0.1:9/x", code=1)["sources"]
    assert (look["reached"], look["would_fail"]) == (False, True)
    assert "127.0.0.1" in look["error"]
    assert "hunter2" not in str(look) + snap("sources", "postgresql://me:hunter2@127.0.0.1:9/x", code=1).stdout
    (folder / "snap.toml").write_text(f"[sources.a]\nurl = '{url}'\nwhere.memories = 'heet > 1'\n", encoding="utf-8")
    assert "heet" in snap("sources", code=1).stdout
    (folder / "snap.toml").write_text(f"[sources.a]\nurl = '{url}'\nexclude = ['nothing']\n", encoding="utf-8")
    assert "nothing" in snap("sources", code=1).stdout
    run(
        url, "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE f () SERVER s"
    )
    look = snap.json("sources", url, code=3)["sources"][0]
    assert look["missing"]
    assert look["would_fail"] is True
    assert "--allow-partial" in snap("sources", url, code=3).stdout
