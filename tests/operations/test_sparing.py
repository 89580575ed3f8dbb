"""A restore that leaves out the rows the database refuses: the others go in, and nothing is broken or forgotten."""

from __future__ import annotations

from typing import Any

from snapstore.operations.ask import OnError
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Restored
from snapstore.repository import Snapshot
from tests.operations.world import World, roots

MEMORIES = """
CREATE TABLE people (id int PRIMARY KEY, name text);
CREATE TABLE memories (id int PRIMARY KEY, owner int REFERENCES people, body text, heat real);
CREATE TABLE edges (id int PRIMARY KEY, source int NOT NULL REFERENCES memories, target int REFERENCES memories);
INSERT INTO people SELECT i, 'person ' || i FROM generate_series(1, 10) i;
INSERT INTO memories SELECT i, i % 10 + 1, 'memory ' || i, i FROM generate_series(1, 200) i;
INSERT INTO edges SELECT i, i, i % 200 + 1 FROM generate_series(1, 200) i;
"""


def spared(world: World, snapshot: Snapshot, mode: Mode = Mode.UPDATE, **ask: Any) -> Restored:
    return world.restore(snapshot, mode, on_error=OnError.SKIP, **ask)


def left_out(restored: Restored, table: str = "public.memories") -> dict[int, str]:
    return {one.key["id"]: one.reason for one in restored.refused if one.table == table}


def test_rows_that_a_check_refuses_are_left_out_with_those_that_refer_to_them(small_world: World) -> None:
    world = small_world
    world.run(MEMORIES)
    snapshot = world.take()
    world.run("TRUNCATE edges, memories; ALTER TABLE memories ADD CONSTRAINT warm CHECK (heat > 3)")
    done = spared(world, snapshot)
    assert set(left_out(done)) == {1, 2, 3}
    assert "warm" in left_out(done)[1]
    assert set(left_out(done, "public.edges")) == {1, 2, 3, 200}
    assert "edges_source_fkey" in left_out(done, "public.edges")[1]
    assert world.value("SELECT count(*) FROM memories") == 197
    assert world.value("SELECT count(*) FROM edges") == 196
    again = spared(world, snapshot)
    assert [one.key for one in again.refused] == [one.key for one in done.refused]
    assert again.safety is None
    world.undo(done.safety)
    assert world.value("SELECT count(*) FROM memories") == 0
    world.run("ALTER TABLE memories DROP CONSTRAINT warm")
    assert spared(world, snapshot).refused == ()
    assert roots(world.take()) == roots(snapshot)
    world.check()
