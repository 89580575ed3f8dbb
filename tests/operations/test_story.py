"""The whole job on real memories: time passes, a clean-up goes wrong, and everything lost comes back, and only that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from snap_cli.sample import Sample
from snapstore.backends.directory import DirectoryBackend
from snapstore.operations.diff import TableDiff
from snapstore.operations.forget import rm
from snapstore.operations.gc import gc, plan_gc
from snapstore.operations.plan import Mode
from snapstore.operations.retention import Policy
from snapstore.repository import Repository
from tests.operations.world import World, counts, roots

SCHEMA = """
    CREATE EXTENSION vector;
    CREATE TABLE memories (
      id text PRIMARY KEY, module text NOT NULL, name text NOT NULL, content text NOT NULL, embedding vector(384),
      heat real NOT NULL DEFAULT 1, seen timestamptz NOT NULL DEFAULT '2026-01-01 00:00+00', tags text[]
    );
    CREATE TABLE relationships (
      source text REFERENCES memories ON DELETE CASCADE, target text REFERENCES memories ON DELETE CASCADE,
      kind text, weight float8 NOT NULL, PRIMARY KEY (source, target, kind)
    );
    CREATE INDEX by_heat ON memories (heat);
"""


def load(url: str, sample: Sample) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA.encode())
        with cursor.copy("COPY memories (id, module, name, content, embedding) FROM STDIN") as copy:
            for memory, embedding in zip(sample.memories, sample.embeddings, strict=True):
                vector = "[" + ",".join(map(str, embedding.tolist())) + "]"
                copy.write_row((memory.id, memory.module, memory.name, memory.content, vector))
        with cursor.copy("COPY relationships FROM STDIN") as copy:
            for edge in sample.relationships:
                copy.write_row((edge.source, edge.target, edge.kind, edge.weight))


def test_a_bad_clean_up_is_seen_and_taken_back(
    tmp_path: Path,
    databases: Callable[..., str],
    pg_dump: Callable[..., str],
    memory_rows: Sample,
) -> None:
    world = World(Repository.init(DirectoryBackend(tmp_path / "repository", create=True)), databases())
    load(world.url, memory_rows)
    count, edges = len(memory_rows.memories), len(memory_rows.relationships)
    assert count >= 2000
    first = world.taken()
    assert {table.name: table.rows for table in first.snapshot.sources[0].tables} == {
        "public.memories": count,
        "public.relationships": edges,
    }

    # Time passes: every memory cools, some are corrected, some are new.
    ids = [memory.id for memory in memory_rows.memories]
    corrected, new = ids[10:50], 25
    world.run("UPDATE memories SET heat = heat * 0.97")
    world.run(
        "UPDATE memories SET content = content || ' (corrected)', tags = '{checked}' WHERE id = ANY(%s)", corrected
    )
    world.run(
        "INSERT INTO memories SELECT 'new_' || i, 'new', 'n', 'new memory ' || i, m.embedding "
        "FROM generate_series(1, 25) i, (SELECT embedding FROM memories ORDER BY id LIMIT 1) m"
    )
    world.run("INSERT INTO relationships SELECT 'new_1', 'new_' || i, 'follows', 1 FROM generate_series(2, 11) i")
    good = world.taken()
    dump = pg_dump(world.url)
    # The vectors are there already: a decay of every row stores little more than the column that decays.
    assert good.bytes_added < first.bytes_added / 10
    assert world.diff(first.snapshot, good.snapshot) == {
        "public.memories": TableDiff(
            "agents",
            "public.memories",
            added=new,
            changed=count,
            columns={"content": len(corrected), "heat": count, "tags": len(corrected)},
        ),
        "public.relationships": TableDiff("agents", "public.relationships", added=10),
    }
    assert all(table.is_equal for table in world.status(good.snapshot).values())

    # An agent tidies up: it deletes what it takes for duplicates, garbles others, and an edit after it is right.
    deleted, garbled, after = ids[100:400], ids[500:520], ids[1000]
    lost = world.value(
        f"SELECT count(*) FROM relationships WHERE source = ANY(ARRAY{deleted}) OR target = ANY(ARRAY{deleted})"
    )
    assert lost > 100
    world.run("DELETE FROM memories WHERE id = ANY(%s)", deleted)
    world.run("UPDATE memories SET content = upper(left(content, 5)), embedding = NULL WHERE id = ANY(%s)", garbled)
    world.run("INSERT INTO memories (id, module, name, content) VALUES ('later', 'x', 'y', 'a memory since')")
    world.run("UPDATE memories SET heat = 1 WHERE id = %s", after)
    seen = world.status(good.snapshot)
    memories = seen["public.memories"]
    assert (memories.added, memories.removed, memories.changed) == (1, 300, 21)
    assert memories.columns == {"content": 20, "embedding": 20, "heat": 1}
    assert (seen["public.relationships"].removed, seen["public.relationships"].added) == (lost, 0)

    # Only what is missing.
    damaged = pg_dump(world.url)
    plan = world.plan(good.snapshot, Mode.SKIP)
    assert counts(plan) == {"public.memories": (300, 0, 0, 21, 1), "public.relationships": (lost, 0, 0, 0, 0)}
    assert pg_dump(world.url) == damaged
    skipped = world.restore(good.snapshot, Mode.SKIP, plan_id=plan.id)
    assert world.value("SELECT count(*) FROM memories") == count + new + 1
    # Then what is wrong, too, and the new memory stays.
    updated = world.restore(good.snapshot, Mode.UPDATE)
    assert updated.plan.tables[0].updates == {"content": 20, "embedding": 20, "heat": 1}
    assert world.value("SELECT content FROM memories WHERE id = 'later'") == "a memory since"
    # And all of it back again.
    world.undo(updated.safety)
    world.undo(skipped.safety)
    assert pg_dump(world.url) == damaged

    # To the letter.
    exact = world.restore(good.snapshot, Mode.EXACT)
    assert counts(exact.plan) == {"public.memories": (300, 21, 1, 0, 0), "public.relationships": (lost, 0, 0, 0, 0)}
    assert pg_dump(world.url) == dump
    assert all(table.is_equal for table in world.status(good.snapshot).values())
    assert roots(world.take()) == roots(good.snapshot)
    world.check()

    # Somewhere else, from nothing.
    elsewhere = World(Repository.open(world.repository.backend), databases())
    elsewhere.restore(good.snapshot)
    assert pg_dump(elsewhere.url) == dump

    # What nobody needs goes, and what is left is whole. What the restores set aside stays for a while, unless somebody
    # says otherwise: only then is there anything to free.
    last = world.take()
    gone = gc(world.repository, plan_gc(world.repository, Policy(keep_last=1), now=datetime.now(UTC)))
    assert first.snapshot.id in gone.removed
    kept = Repository.open(world.repository.backend).snapshots()
    set_aside = [snapshot.id for snapshot in kept if snapshot.safety is not None]
    assert [snapshot.id for snapshot in kept if snapshot.safety is None] == [last.id]
    assert len(set_aside) == 6
    rm(world.repository, set_aside)
    plan_to_free = plan_gc(world.repository)
    assert plan_to_free.bytes_freed > 10_000
    assert gc(world.repository, plan_to_free).bytes_freed > 10_000
    left = World(Repository.open(world.repository.backend), world.url)
    left.check()
    world.run("TRUNCATE memories CASCADE")
    left.restore(last)
    assert pg_dump(world.url) == dump
