"""`snap list` and `snap show`: snapshots, tables, one row, in words and as JSON."""

from __future__ import annotations

import re

import pytest

from tests.cli.command import Snap, run


def test_list_is_empty_then_has_what_was_taken(snap: Snap, url: str) -> None:
    assert snap.json("list") == []
    snap("take", url, "--name", "agents", "--tag", "a", "--description", "words")
    (entry,) = snap.json("list")
    assert {"snapshot", "time", "tags", "description", "sources"} <= entry.keys()
    assert "tables" not in entry["sources"][0]
    assert {"name", "kind", "position"} <= entry["sources"][0].keys()
    assert entry["time"].endswith("Z")
    shown = snap("list").stdout
    assert entry["snapshot"][:8] in shown
    assert "agents" in shown
    assert "words" in shown
    assert snap.json("list", "--tag", "b") == []
    assert len(snap.json("list", "--tag", "a", "--source", "agents")) == 1


def test_show_as_json_has_the_shape_of_the_contract(snap: Snap, url: str) -> None:
    snap("take", url, "--tag", "a")
    shown = snap.json("show", "latest")
    assert {"snapshot", "time", "tags", "description", "sources"} <= shown.keys()
    (source,) = shown["sources"]
    assert {"name", "kind", "position", "tables"} <= source.keys()
    for table in source["tables"]:
        assert {"name", "rows", "root", "schema"} <= table.keys()
        assert len(table["schema"]) == 64


def test_a_table_shows_its_columns_as_declared_and_its_first_rows(snap: Snap, url: str) -> None:
    snap("take", url)
    shown = snap("show", "latest:memories").stdout
    assert "vector(3)" in shown
    assert "100 rows" in shown
    assert "memory number 1" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_one_row_is_shown_in_words_and_whole_in_json(snap: Snap, url: str) -> None:
    snap("take", url)
    shown = snap("show", "latest:public.memories:17").stdout
    assert "memory number 17" in shown
    document = snap.json("show", "latest:memories:17")
    assert document["key"] == {"id": 17}
    assert document["row"] == {
        "id": 17,
        "content": "memory number 17 of an agent that remembers",
        "heat": 1.0,
        "embedding": [17.0, 1.0, 0.0],
        "seen": "2026-01-01T00:00:00+00:00",
    }


def test_a_key_of_two_columns_is_a_line_of_csv(snap: Snap, url: str) -> None:
    snap("take", url)
    assert snap.json("show", "latest:visits:ann,2026-01-01")["row"]["note"] == "first"
    row = snap.json("show", 'latest:visits:"bob, the builder",2026-01-02')["row"]
    assert row == {"who": "bob, the builder", "day": "2026-01-02", "note": None}
    error = snap.error("show", "latest:visits:ann", code=2)
    assert "<who text>,<day date>" in error["hint"]


def test_live_rows_are_shown_like_held_ones(snap: Snap, url: str) -> None:
    snap("take", url)
    run(url, "UPDATE memories SET heat = 0.5 WHERE id = 3")
    assert snap.json("show", "live:memories:3")["row"]["heat"] == 0.5
    assert snap.json("show", "latest:memories:3")["row"]["heat"] == 1.0
    assert {table["name"] for table in snap.json("show", "live")["sources"][0]["tables"]} == {
        "public.memories",
        "public.visits",
    }


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nothing", 1),
        ("latest~1", 1),
        ("latest:nothing", 2),
        ("latest:memories:seventeen", 2),
        ("latest:memories:1000", 1),
        ("@nonsense", 2),
        ("@2001-01-01", 1),
        ("g", 1),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence_with_a_hint(snap: Snap, url: str, name: str, code: int) -> None:
    snap("take", url)
    error = snap.error("show", name, code=code)
    assert error["message"]
    assert error["hint"]


def test_an_ambiguous_beginning_names_the_candidates(snap: Snap, url: str) -> None:
    ids = [snap.json("take", url, "--table", "visits")["snapshot"] for _ in range(17)]
    first = next(one[0] for at, one in enumerate(ids) if any(other[0] == one[0] for other in ids[:at]))
    error = snap.error("show", first, code=2)
    assert "beginning of" in error["message"]


def test_snapshots_have_many_names(snap: Snap, url: str) -> None:
    first = snap.json("take", url, "--tag", "before")["snapshot"]
    second = snap.json("take", url)["snapshot"]
    names = {"latest": second, "latest~1": first, "before": first, first[:8]: first, "@2999-01-01": second}
    for name, snapshot in names.items():
        assert snap.json("show", name)["snapshot"] == snapshot
    assert snap.json("show", "@2999-01-01T10:00:memories:1")["snapshot"] == second


def test_nothing_from_a_database_can_steer_the_terminal(snap: Snap, url: str) -> None:
    run(url, "INSERT INTO memories VALUES (500, E'\\x1b[2J\\x1b]0;owned\\x07\\u202e evil\\r', 0, NULL, NULL)")
    run(url, 'CREATE TABLE "x\x1b[31m" ("\x1b[2Jc" int PRIMARY KEY)')
    outputs = [snap("take", url).stdout, snap("show", "latest").stdout, snap("show", "latest:memories:500").stdout]
    run(url, "DELETE FROM memories WHERE id = 500")
    result = snap("diff", "latest", "live", "--rows")
    outputs += [result.stdout, result.stderr]
    for text in outputs:
        assert all(one.isprintable() or one == "\n" for one in text)
    assert "\\x1b[2J" in outputs[2]


def test_rows_without_a_key_are_shown_by_what_is_in_them(snap: Snap, url: str) -> None:
    run(url, "CREATE TABLE bag (a int, b text); INSERT INTO bag VALUES (1, 'x'), (1, 'x'), (2, NULL)")
    snap("take", url)
    shown = snap("show", "latest:bag").stdout
    assert shown.count("a=1  b=x") == 2
    assert "no key" in shown
    document = snap.json("show", "latest:bag")
    assert document["table"]["key"] == []
    assert sorted(row["a"] for row in document["first_rows"]) == [1, 1, 2]
    assert "has no key" in snap.error("show", "latest:bag:1", code=2)["message"]
    assert shown.count("(no key)") == 3
    run(url, "INSERT INTO bag VALUES (1, 'x'), (3, 'y'), (3, 'y'); DELETE FROM bag WHERE a = 2")
    changed = snap("diff", "latest", "live", "--rows").stdout
    assert "+3 -1" in changed
    assert "+ (no key) 2 times\n        a: 3\n        b: y\n" in changed
    assert "+ (no key)\n        a: 1\n        b: x\n" in changed
    assert "- (no key)\n        a: 2\n        b: NULL\n" in changed
    [bag] = [one for one in snap.json("diff", "latest", "live", "--rows")["tables"] if one["name"] == "public.bag"]
    assert sorted(row["change"] for row in bag["rows"]) == ["added", "added", "added", "removed"]
    dry = snap("restore", "latest", "--dry-run", "--exact").stdout
    assert re.search(r"public\.bag +1 +0 +3 +0 +0\n", dry)
    assert "public.bag: has no key: rows are the same if all their cells are, and are counted" in dry
    assert "has no key" in snap.error("restore", "latest", "--key", "bag:1", code=2)["message"]
    snap("restore", "latest", "--exact", "--yes")
    assert "no differences" in snap("status").stdout


def test_a_key_with_a_part_too_few_is_told(snap: Snap, url: str) -> None:
    snap("take", url)
    assert "it has 1 part\n" in snap("show", "latest:visits:ann", code=2).stderr
    assert "it has 3 parts\n" in snap("show", "latest:visits:a,b,c", code=2).stderr
