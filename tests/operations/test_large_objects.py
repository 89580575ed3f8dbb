"""Large objects are held as rows: what a mode, a plan, a diff and an undo mean to a row, they mean to an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from snapstore.errors import Conflict, Invalid, Unsupported
from snapstore.operations.plan import Mode
from snapstore.rows import Batch
from snapstore.sources import Selection
from snapstore.sources.postgres import large, stream
from snapstore.sources.postgres.large import LargeObjects
from snapstore.tree import values
from tests.operations.world import World, counts, roots

NAME = "pg_catalog.pg_largeobject"

# 17 has a hole of zeros, 18 has nothing in it, 19 is cut into parts, 20 is the same.
OBJECTS = """
CREATE TABLE docs (id int PRIMARY KEY, content oid);
INSERT INTO docs VALUES (1, 17), (2, 4000000000);
SELECT lo_from_bytea(17, 'a memory'); SELECT lo_put(17, 9000, 'and another'); SELECT lo_create(18);
SELECT lo_from_bytea(n, (SELECT decode(string_agg(md5(i::text), ''), 'hex') FROM generate_series(1, 20000) i))
  FROM unnest(ARRAY[19, 20]) n;
SELECT lo_from_bytea(4000000000, '\\x00ff'); COMMENT ON LARGE OBJECT 17 IS 'it''s said';
"""


def contents(world: World) -> list[tuple[int, int, str]]:
    return world.rows("SELECT oid::int8, length(lo_get(oid)), md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1")


def test_large_objects_come_back_with_their_comments_and_privileges(
    world: World, databases: Callable[..., str], pg_dump: Callable[..., str]
) -> None:
    world.run(OBJECTS + "DROP ROLE IF EXISTS reads_objects; CREATE ROLE reads_objects")
    world.run("GRANT SELECT ON LARGE OBJECT 17 TO reads_objects; GRANT SELECT, UPDATE ON LARGE OBJECT 18 TO PUBLIC")
    taken = world.taken()
    assert taken.is_complete
    assert taken.bytes_new < 500_000, "equal objects are stored once"
    anew = World(world.repository, databases())
    anew.run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON LARGE OBJECTS TO PUBLIC")
    assert anew.restore(taken.snapshot).notes == ("what was made belongs to postgres",)
    anew.run("ALTER DEFAULT PRIVILEGES REVOKE SELECT ON LARGE OBJECTS FROM PUBLIC")
    assert pg_dump(anew.url) == pg_dump(world.url)
    assert contents(anew) == contents(world)
    assert roots(anew.take()) == roots(taken.snapshot)
    # One of them is lost, and comes back with all that it had; the others keep what they have by now.
    anew.run("SELECT lo_unlink(17); REVOKE SELECT ON LARGE OBJECT 18 FROM PUBLIC")
    anew.restore(taken.snapshot, Mode.SKIP)
    acls = "SELECT (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(lomacl) a) FROM pg_largeobject_metadata"
    [[given], [kept]] = anew.rows(acls + " WHERE oid < 19 ORDER BY oid")
    assert given == ["postgres=rw/postgres", "reads_objects=r/postgres"]
    assert kept == ["=w/postgres", "postgres=rw/postgres"]
    world.run("DROP OWNED BY reads_objects")
    anew.run("DROP OWNED BY reads_objects; DROP ROLE reads_objects")


def test_a_restore_does_to_large_objects_what_its_mode_says(world: World) -> None:
    world.run(OBJECTS)
    snapshot, before = world.take(), contents(world)
    world.run("SELECT lo_unlink(19); SELECT lo_put(17, 2, 'xx'); SELECT lo_from_bytea(21, 'new')")
    world.run(
        "SELECT lo_put(20, 320000, 'longer'); COMMENT ON LARGE OBJECT 17 IS NULL; COMMENT ON LARGE OBJECT 18 IS 's'"
    )
    changed = world.status(snapshot)[NAME]
    assert (changed.added, changed.changed, changed.removed) == (1, 3, 1)
    assert changed.columns == {"data": 2, "comment": 2}
    assert counts(world.plan(snapshot, Mode.SKIP))[NAME] == (1, 0, 0, 3, 1)
    skipped = world.restore(snapshot, Mode.SKIP)
    assert [oid for oid, *_ in contents(world)] == [17, 18, 19, 20, 21, 4000000000]
    assert world.value("SELECT lo_get(17, 0, 8)") == b"a xxmory"
    exact = world.restore(snapshot, Mode.EXACT)
    assert contents(world) == before
    assert roots(world.take()) == roots(snapshot)
    world.undo(exact.safety)
    assert world.value("SELECT lo_get(17, 0, 8)") == b"a xxmory"
    world.undo(skipped.safety)
    assert [oid for oid, *_ in contents(world)] == [17, 18, 20, 21, 4000000000]
    with pytest.raises(Conflict, match="the live rows have changed since"):
        world.restore(snapshot, plan_id="0" * 32)


def test_large_objects_go_with_the_whole_database_or_by_name(world: World) -> None:
    world.run(OBJECTS + "CREATE TABLE other (id int PRIMARY KEY)")
    told = "not asked for, and public.docs.content may refer to large objects (--table pg_largeobject)"
    assert world.take("docs").sources[0].missing == (f"table {NAME}: {told}",)
    assert world.take("other").sources[0].missing == ()
    both = world.take("docs", "pg_largeobject").sources[0]
    assert ([one.name for one in both.tables], both.missing) == ([NAME, "public.docs"], ())
    without = world.take(exclude=("pg_largeobject",)).sources[0]
    assert ([one.name for one in without.tables], without.missing) == (["public.docs", "public.other"], ())


def test_large_objects_that_a_role_may_not_read_are_named(world: World) -> None:
    world.run(OBJECTS + "DROP ROLE IF EXISTS own_schema; CREATE ROLE own_schema LOGIN")
    world.run("GRANT ALL ON docs TO own_schema; ALTER LARGE OBJECT 18 OWNER TO own_schema")
    theirs = World(world.repository, world.url.replace("postgres@", "own_schema@"))
    with pytest.raises(Unsupported, match="this role may not read the large objects 17, 19, 20 and others"):
        theirs.take()
    partial = theirs.taken(partial=True)
    assert not partial.is_complete
    assert [one.name for one in partial.snapshot.sources[0].tables] == ["public.docs"]
    world.run("SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid <> 18")
    snapshot = theirs.take()
    with psycopg.connect(theirs.url, autocommit=True) as connection:
        connection.execute("SELECT lo_put(18, 0, 'mine')")
    with pytest.raises(Invalid, match="only a superuser can change large objects that are there"):
        theirs.restore(snapshot, Mode.UPDATE)
    world.run("SELECT lo_unlink(18)")
    theirs.restore(snapshot)
    assert contents(world)[0][:2] == (18, 0)
    world.run("DROP OWNED BY own_schema; DROP ROLE own_schema")


def test_many_large_objects_are_never_in_memory_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are counted in bytes on both ways; a snapshot's rows say nothing of how long they are."""
    sizes: list[int] = []

    def counting(verb: str) -> Callable[..., int]:
        inner = getattr(LargeObjects, verb)

        def call(self: LargeObjects, *arguments: Any) -> int:
            *first, batches = arguments

            def counted() -> Iterator[Batch]:
                for batch in batches:
                    sizes.append(sum(len(own.data) for own in batch.columns))
                    yield batch

            done: int = inner(self, *first, counted())
            return done

        return call

    monkeypatch.setattr(values, "PORTION_BYTES", 2_000_000)
    monkeypatch.setattr(stream, "GROUP_BYTES", 1_000_000)
    monkeypatch.setattr(large, "_PIECE_BYTES", 300_000)
    world.run(
        "SELECT lo_from_bytea(n, decode(repeat(md5(n::text), CASE n WHEN 7 THEN 150000 ELSE 25000 END), 'hex')) "
        "FROM generate_series(1, 40) n"
    )
    taken = world.take()
    with world.source.view(Selection()) as view:
        [table] = view.tables
        read = [sum(len(own.data) for own in batch.columns) for batch in view.read(table)]
    total = 39 * 400_000 + 2_400_000
    assert sum(read) == total
    assert sorted(read)[-2] <= 1_400_000
    world.run(
        "SELECT lo_unlink(n) FROM generate_series(1, 20) n; SELECT lo_put(n, 0, 'x') FROM generate_series(21, 40) n"
    )
    before = contents(world)
    for verb in ("insert", "update"):
        monkeypatch.setattr(LargeObjects, verb, counting(verb))
    world.restore(taken)
    assert sum(sizes) == total
    assert sorted(sizes)[-2] <= 2_000_000
    assert max(sizes) == 2_400_000
    assert contents(world) != before
    assert roots(world.take()) == roots(taken)


def test_a_large_object_of_1_gb_is_refused_by_name(world: World) -> None:
    world.run("CREATE TABLE t (id int PRIMARY KEY); SELECT lo_create(9); SELECT lo_put(9, 1073741823, 'x')")  # a hole
    with pytest.raises(Unsupported, match="the large object 9 has 1 GB or more"):
        world.take()
    assert world.taken(partial=True).snapshot.sources[0].missing == (
        f"table {NAME}: the large object 9 has 1 GB or more",
    )
    world.run("SELECT lo_unlink(9)")
    assert world.take().sources[0].missing == ()
