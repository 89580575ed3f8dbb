"""A migration went wrong, and the memory comes back: the whole of it, as somebody would type it."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from tests.cli.command import Snap, rows, run

MIGRATION = """
ALTER TABLE memories DROP COLUMN heat;
ALTER TABLE memories ALTER embedding TYPE vector(4) USING (embedding::real[] || 0::real)::vector(4);
ALTER TABLE memories ADD COLUMN model text NOT NULL DEFAULT 'new-model';
DELETE FROM memories WHERE id > 40;
"""


def test_a_migration_that_drops_a_column_and_embeds_anew_is_taken_back(
    snap: Snap, url: str, pg_dump: Callable[..., str]
) -> None:
    before = pg_dump(url)
    snap("take", url, "--name", "agents")
    run(url, MIGRATION)
    migrated = pg_dump(url)
    shown = snap("restore", "latest", "--dry-run").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "public.memories live in the snapshot" in lines
    assert "column heat – real NOT NULL not restored" in lines
    assert "column embedding public.vector(4) public.vector(3) cannot be converted" in lines
    assert "column model text NOT NULL DEFAULT 'new-model'::text – kept; its default in rows that are inserted" in lines
    assert "expected 4 dimensions, not 3" in shown
    error = snap.error("restore", "latest", code=5)
    assert "in the row (id)=(1)" in error["message"]
    assert "--recreate" in error["hint"]
    assert pg_dump(url) == migrated
    done = snap("restore", "latest", "--recreate", "--yes").stdout
    assert "will be dropped and made again" in done
    assert pg_dump(url) == before
    snap("undo", "--yes")
    assert pg_dump(url) == migrated


def test_what_both_sides_have_comes_back_into_a_table_that_moved_on(snap: Snap, url: str) -> None:
    snap("take", url, "--name", "agents")
    run(
        url,
        "ALTER TABLE memories DROP COLUMN heat, ADD COLUMN model text DEFAULT 'new', ALTER embedding TYPE halfvec(3)",
    )
    run(url, "DELETE FROM memories WHERE id > 40")
    document = snap.json("restore", "latest")
    [table] = [one for one in document["tables"] if one["name"] == "public.memories"]
    assert table["insert"] == 60
    assert table["drift"] == [
        {"what": "column heat", "live": "", "snapshot": "real NOT NULL", "outcome": "not restored"},
        {
            "what": "column embedding",
            "live": "public.halfvec(3)",
            "snapshot": "public.vector(3)",
            "outcome": "converted without loss",
        },
        {
            "what": "column model",
            "live": "text DEFAULT 'new'::text",
            "snapshot": "",
            "outcome": "kept; its default in rows that are inserted",
        },
    ]
    assert rows(url, "SELECT model, embedding::text, content FROM memories WHERE id = 77") == [
        ("new", "[77,1,0]", "memory number 77 of an agent that remembers")
    ]


def test_the_rest_of_a_row_comes_back_without_the_column_that_cannot(snap: Snap, url: str) -> None:
    snap("take", url, "--name", "agents")
    run(url, MIGRATION)
    run(url, "UPDATE memories SET content = 'garbled' WHERE id = 7")
    words = ("restore", "latest", "--conflict", "update", "--exclude-column", "memories.embedding")
    shown = snap(*words, "--dry-run").stdout
    command = next(line.strip() for line in shown.splitlines() if line.strip().startswith("snap restore"))
    snap(*shlex.split(command)[1:])
    assert rows(url, "SELECT count(*), count(embedding) FROM memories") == [(100, 40)], "no embedding of now is touched"
    assert rows(url, "SELECT content, embedding::text, model FROM memories WHERE id IN (7, 77) ORDER BY id") == [
        ("memory number 7 of an agent that remembers", "[7,1,0,0]", "new-model"),
        ("memory number 77 of an agent that remembers", None, "new-model"),
    ]
    assert "nothing to do" in snap(*words).stdout
    snap("undo", "--yes")
    assert rows(url, "SELECT count(*) FROM memories WHERE content = 'garbled' OR id > 40") == [(1,)]
    assert (
        "no column public.memories.id" in snap.error(*words[:2], "--exclude-column", "memories.id", code=2)["message"]
    )
    assert "embedding" in snap.error(*words, "--recreate", "--yes", code=5)["message"]
