"""The size of a table is what it holds, counted once, however often it is named."""

from __future__ import annotations

from snapstore.operations.measure import measure
from tests.operations.world import World


def test_a_table_is_at_least_as_large_as_its_rows_and_equal_values_count_once(world: World) -> None:
    world.run("CREATE TABLE distinct_rows (id int PRIMARY KEY, body text)")
    world.run("CREATE TABLE same_rows (id int PRIMARY KEY, body text)")
    world.run("INSERT INTO distinct_rows SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 500) n")
    world.run("INSERT INTO same_rows SELECT n, repeat(md5('1'), 40) FROM generate_series(1, 500) n")
    tables = {table.name: table for table in world.take().sources[0].tables}
    sizes = {name: measure(world.repository.blobs, table) for name, table in tables.items()}
    assert 500 * 1280 <= sizes["public.distinct_rows"].plain_bytes < 500 * 1280 * 1.2
    assert sizes["public.same_rows"].plain_bytes < 20_000
    assert 0 < sizes["public.distinct_rows"].stored_bytes < sizes["public.distinct_rows"].plain_bytes


def test_an_empty_table_is_its_schema(small_world: World) -> None:
    small_world.run("CREATE TABLE t (id int PRIMARY KEY)")
    (table,) = small_world.take().sources[0].tables
    assert 0 < measure(small_world.repository.blobs, table).plain_bytes < 10_000
