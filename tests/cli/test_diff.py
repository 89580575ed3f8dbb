"""`snap diff` and `snap status`: numbers by table, rows field by field, embeddings as a distance."""

from __future__ import annotations

import re

import pytest

from tests.cli.command import Snap, run

CHANGES = """
UPDATE memories SET heat = 0.97 WHERE id <= 20;
UPDATE memories SET content = replace(content, 'remembers', 'forgets') WHERE id = 5;
UPDATE memories SET embedding = '[1,5,0]' WHERE id = 5;
DELETE FROM memories WHERE id > 98;
INSERT INTO memories VALUES (200, 'new', 0, NULL, NULL);
UPDATE visits SET note = 'again' WHERE who = 'ann';
"""


@pytest.fixture
def changed(snap: Snap, url: str) -> Snap:
    snap("take", url, "--name", "agents")
    run(url, CHANGES)
    return snap


def test_diff_as_json_has_the_shape_of_the_contract(changed: Snap) -> None:
    document = changed.json("diff", "latest", "live")
    assert document["from"] == changed.json("list")[0]["snapshot"]
    assert document["to"] == "live"
    tables = {table["name"]: table for table in document["tables"]}
    memories = tables["public.memories"]
    assert {"source", "name", "added", "removed", "changed", "columns"} <= memories.keys()
    assert (memories["added"], memories["removed"], memories["changed"]) == (1, 2, 20)
    assert memories["columns"] == {"content": 1, "heat": 20, "embedding": 1}
    assert memories["source"] == "agents"
    assert tables["public.visits"]["columns"] == {"note": 1}


def test_status_is_the_last_snapshot_against_live(changed: Snap) -> None:
    assert changed.json("status") == changed.json("diff", "latest", "live")
    assert "+1 -2 ~20" in changed("status").stdout


def test_the_other_way_round_swaps_added_and_removed(changed: Snap) -> None:
    tables = {table["name"]: table for table in changed.json("diff", "live", "latest")["tables"]}
    assert (tables["public.memories"]["added"], tables["public.memories"]["removed"]) == (2, 1)


def test_rows_are_shown_field_by_field(changed: Snap) -> None:
    shown = changed("diff", "latest", "live", "--rows").stdout
    assert "heat: 1.0 → 0.97" in shown
    assert "[-remembers-]{+forgets+}" in shown
    assert "note: first → again" in shown
    assert "cosine distance" in shown
    assert "3 dimensions" in shown
    assert "ann,2026-01-01" in shown


def test_rows_in_json_are_whole(changed: Snap) -> None:
    document = changed.json("diff", "latest", "live", "--rows", "--key", "memories:5")
    (table,) = document["tables"]
    (row,) = table["rows"]
    assert row["change"] == "changed"
    assert row["key"] == {"id": 5}
    assert row["columns"]["heat"] == {"before": 1.0, "after": 0.97}
    assert row["columns"]["embedding"]["after"] == [1.0, 5.0, 0.0]
    expected = 1 - (5 * 1 + 1 * 5) / ((26**0.5) * (26**0.5))
    assert row["columns"]["embedding"]["cosine_distance"] == pytest.approx(expected)


def test_tables_and_keys_narrow_a_diff(changed: Snap) -> None:
    (table,) = changed.json("diff", "latest", "live", "--table", "visits")["tables"]
    assert table["name"] == "public.visits"
    (table,) = changed.json("diff", "latest", "live", "--key", "memories:5", "--key", "memories:200")["tables"]
    assert (table["added"], table["removed"], table["changed"]) == (1, 0, 1)
    changed("diff", "latest", "live", "--table", "nothing", code=2)
    changed("diff", "latest", "live", "--key", "memories", code=2)
    changed("diff", "latest", "live", "--key", "memories:999", code=1)


def test_stat_is_one_line_a_table(changed: Snap) -> None:
    lines = changed("diff", "latest", "live", "--stat").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["table", "public.memories", "public.visits"]


def test_the_exit_code_tells_only_if_asked(changed: Snap, url: str) -> None:
    changed("diff", "latest", "live")
    changed("diff", "latest", "live", "--exit-code", code=1)
    changed("status", "--exit-code", "--json", code=1)
    changed("take", url, "--name", "agents")
    assert "no differences" in changed("status", "--exit-code").stdout


def test_two_snapshots_are_compared_without_the_database(changed: Snap, url: str) -> None:
    changed("take", url, "--name", "agents")
    document = changed.json("diff", "latest~1", "latest")
    assert sum(table["changed"] for table in document["tables"]) == 21


def test_a_changed_shape_and_a_table_that_went_are_said(snap: Snap, url: str) -> None:
    snap("take", url)
    run(url, "ALTER TABLE memories ADD COLUMN mood text; DROP TABLE visits; CREATE TABLE fresh (id int PRIMARY KEY)")
    shown = snap("status").stdout
    assert "mood" in shown
    assert "the table is gone" in shown
    assert "a new table" in shown


def test_what_the_snapshot_was_narrowed_to_is_what_is_compared(snap: Snap, url: str) -> None:
    snap("take", url, "--table", "memories", "--where", "memories=id <= 50")
    run(url, "UPDATE memories SET heat = 9 WHERE id > 50; DELETE FROM visits")
    result = snap("status")
    assert "no differences" in result.stdout
    assert "only the rows where id <= 50" in result.stderr


def test_comparing_live_with_itself_is_misuse(snap: Snap, url: str) -> None:
    snap("take", url)
    snap("diff", "live", "live", code=2)


def test_status_without_a_snapshot_says_to_take_one(snap: Snap) -> None:
    assert "snap take" in snap("status", code=1).stderr


def test_rows_that_differ_are_shown_in_order_of_key_whatever_happened_to_them(snap: Snap, url: str) -> None:
    run(
        url,
        "CREATE TABLE many AS SELECT i, 0 AS v FROM generate_series(1, 2000) i; ALTER TABLE many ADD PRIMARY KEY (i)",
    )
    snap("take", url)
    run(
        url,
        "DELETE FROM many WHERE i % 100 = 1; UPDATE many SET v = 1 WHERE i % 100 = 2;"
        "INSERT INTO many VALUES (0), (3000)",
    )
    shown = snap("diff", "latest", "live", "--rows", "--table", "many").stdout
    found = [(mark, int(key)) for mark, key in re.findall(r"^    ([-+~]) (\d+)$", shown, re.MULTILINE)]
    expected = (
        [("-", i) for i in range(1, 2000, 100)] + [("~", i) for i in range(2, 2000, 100)] + [("+", 0), ("+", 3000)]
    )
    assert found == sorted(expected, key=lambda one: one[1])
    [table] = [one for one in snap.json("diff", "latest", "live", "--rows")["tables"] if one["name"] == "public.many"]
    assert [row["key"]["i"] for row in table["rows"]] == [key for _, key in found]
