"""The live table is no longer what it was: other columns, types, keys, constraints, partitions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapstore.errors import Conflict
from snapstore.operations.plan import Mode
from tests.operations.world import NOTES, World, counts, int4, only

PgDump = Callable[..., str]

FILLED = NOTES + "; INSERT INTO notes SELECT i, 'note ' || i, i / 4.0, 'x' FROM generate_series(1, 20) i"


def outcomes(world: World, snapshot: object, **ask: object) -> dict[str, tuple[str, str, str]]:
    [table] = world.plan(snapshot, **ask).tables  # type: ignore[arg-type]
    return {one.what: (one.live, one.snapshot, one.outcome) for one in table.drift}


def test_the_plan_shows_both_sides_of_everything_that_moved(world: World) -> None:
    world.run(
        """CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL DEFAULT 'none', heat real, tag text,
        CONSTRAINT warm CHECK (heat >= 0), CONSTRAINT tags UNIQUE (tag))"""
    )
    snapshot = world.take()
    assert outcomes(world, snapshot) == {}
    world.run(
        """ALTER TABLE notes DROP tag, ADD mood text, ALTER heat TYPE float8, ALTER body DROP DEFAULT,
        DROP CONSTRAINT warm, ADD CONSTRAINT warm CHECK (heat > 0), ADD CONSTRAINT once UNIQUE (body)"""
    )
    assert outcomes(world, snapshot) == {
        "column body": ("text NOT NULL", "text NOT NULL DEFAULT 'none'::text", "stays as it is live"),
        "column heat": ("double precision", "real", "converted without loss"),
        "column tag": ("", "text", "not restored"),
        "check warm": (
            "CHECK ((heat > (0)::double precision))",
            "CHECK ((heat >= (0)::double precision))",
            "must hold for what is restored",
        ),
        "unique tags": ("", "UNIQUE (tag)", "not made again"),
        "column mood": ("text", "", "kept; its default in rows that are inserted"),
        "unique once": ("UNIQUE (body)", "", "must hold for what is restored"),
    }
    assert {outcome for _, _, outcome in outcomes(world, snapshot, recreate=True).values()} == {
        "made as in the snapshot"
    }


# The type before, a value of it, the type after, and the value that the server makes of it.
ASSIGNED = [
    ("int", "1", "bigint", "1"),
    ("real", "1.25", "float8", "1.25"),
    ("float8", "1.25", "numeric(4, 1)", "1.3"),
    ("int", "1", "text", "1"),
    ("varchar(5)", "1.25", "text", "1.25"),
    ("jsonb", '{"a": 1}', "text", '{"a": 1}'),
    ("vector(2)", "[1.25,3]", "halfvec(2)", "[1.25,3]"),
    ("vector(2)", "[1.25,3]", "real[]", "{1.25,3}"),
    ("mood", "calm", "text", "calm"),
    ("timestamptz", "2026-01-01 12:00+00", "timestamp", "2026-01-01 12:00:00"),
    ("int[]", "{1,NULL}", "bigint[]", "{1,NULL}"),
    ("mood[]", "{calm,tense}", "text[]", "{calm,tense}"),
    ("regtype", "integer", "text", "integer"),
]


def test_cells_of_another_type_are_converted_as_the_server_assigns(small_world: World) -> None:
    world = small_world
    world.run("CREATE EXTENSION vector; CREATE TYPE mood AS ENUM ('calm', 'tense')")
    columns = [f"c{at}" for at in range(len(ASSIGNED))]
    declared = ", ".join(f"{name} {before}" for name, (before, *_) in zip(columns, ASSIGNED, strict=True))
    world.run(f"CREATE TABLE t (id int PRIMARY KEY, {declared}, other text)")
    values = ", ".join(f"'{value}'" for _, value, *_ in ASSIGNED)
    nulls = ", ".join("NULL" for _ in ASSIGNED)
    world.run(f"INSERT INTO t VALUES (1, {values}, 'a'), (2, {nulls}, 'b'), (3, {values}, 'c')")
    snapshot = world.take("public.t")
    altered = ", ".join(f"ALTER {name} TYPE {after}" for name, (_, _, after, _) in zip(columns, ASSIGNED, strict=True))
    world.run(f"SET TimeZone = 'UTC'; ALTER TABLE t {altered}")
    assert world.plan(snapshot, Mode.UPDATE).is_empty, "the migration itself is no difference of rows"
    cleared = ", ".join(f"{name} = NULL" for name in columns)
    world.run(f"DELETE FROM t WHERE id = 1; UPDATE t SET {cleared}, other = 'd' WHERE id = 3")
    done = world.restore(snapshot, Mode.UPDATE)
    assert counts(done.plan) == {"public.t": (1, 1, 0, 0, 0)}
    restored = [value for *_, value in ASSIGNED]
    shown = ", ".join(f"{name}::text" for name in columns)
    assert [list(row) for row in world.rows(f"SELECT {shown}, other FROM t ORDER BY id")] == [
        [*restored, "a"], [*[None] * len(ASSIGNED), "b"], [*restored, "c"]
    ]  # fmt: skip
    world.undo(done.safety)
    assert world.rows("SELECT id, c0, other FROM t ORDER BY id") == [(2, None, "b"), (3, None, "d")]


def test_large_and_many_cells_are_converted_whole(small_world: World, pg_dump: PgDump) -> None:
    world = small_world
    world.run(
        """CREATE TABLE t (id numeric, who varchar(9), words varchar, kept text, n int, PRIMARY KEY (id, who));
        INSERT INTO t SELECT i, 'ann', repeat(md5(i::text), 1 + 40 * (i % 97 / 96)),
          repeat(md5(i::text), 100 * (i % 89 / 88)), i FROM generate_series(1, 5000) i;
        UPDATE t SET n = NULL, words = repeat('long', 200000) WHERE id = 4500"""
    )
    snapshot = world.take()
    # The key was held twice, as its bytes do not say how many zeros a number ends in; now it is not.
    world.run("ALTER TABLE t ALTER id TYPE int, ALTER words TYPE text, ALTER n TYPE numeric, ALTER who TYPE text")
    dump = pg_dump(world.url)
    world.run("DELETE FROM t WHERE id > 3500; INSERT INTO t VALUES (-1, '')")
    world.run("UPDATE t SET kept = 'x', n = n + 0.5 WHERE id BETWEEN 1 AND 100")
    done = world.restore(snapshot)
    assert counts(done.plan) == {"public.t": (1500, 100, 1, 0, 0)}
    assert pg_dump(world.url) == dump
    world.undo(done.safety)
    assert world.value("SELECT count(*) FROM t") == 3501
    world.run("ALTER TABLE t ALTER id TYPE numeric")
    some = only(where={"public.t": "words = repeat('long', 200000)"})
    assert counts(world.plan(snapshot, scope=some)) == {"public.t": (1, 0, 0, 0, 0)}


def test_tables_that_turn_into_others_as_they_are_meant(small_world: World) -> None:
    world = small_world
    world.run(
        """CREATE DOMAIN score AS int CHECK (VALUE < 100); CREATE TABLE a (id uuid PRIMARY KEY, n int, at timestamptz);
        INSERT INTO a VALUES ('00000000-0000-0000-0000-00000000000a', 5, '2026-01-01 12:00+00');
        CREATE TABLE b (id int PRIMARY KEY, n int); CREATE TABLE c (n int); INSERT INTO c VALUES (1);"""
    )
    name = world.value("SELECT quote_ident(current_database())")
    world.run(f"ALTER DATABASE {name} SET TimeZone = 'Europe/Berlin'")
    shapes, snapshot = world.take(rows=False), world.take()
    world.run(
        "ALTER TABLE a ALTER id TYPE text, ALTER n TYPE score, ALTER at TYPE timestamp; ALTER TABLE b ALTER n TYPE text"
    )
    assert world.plan(snapshot).is_empty, "an empty table turns as well, and times as the migration turned them"
    [drift] = [one for one in world.plan(snapshot).tables[0].drift if one.what == "column at"]
    assert drift.outcome == "converted without loss (times in the zone Europe/Berlin)"
    world.run("DELETE FROM a")
    world.restore(snapshot)
    assert world.rows("SELECT n, at::text FROM a") == [(5, "2026-01-01 13:00:00")]
    assert not world.plan(shapes, Mode.UPDATE).errors
    world.run("ALTER TABLE c ALTER n TYPE bigint; CREATE SCHEMA elsewhere; CREATE EXTENSION vector")
    world.run("CREATE TABLE e (id int PRIMARY KEY, e vector(2)); INSERT INTO e VALUES (1, '[1,2]')")
    embedded = world.take("public.e")
    world.run("ALTER EXTENSION vector SET SCHEMA elsewhere; DELETE FROM e")
    assert counts(world.restore(embedded).plan) == {"public.e": (1, 0, 0, 0, 0)}, (
        "one type, wherever its extension lies"
    )
    assert world.rows("SELECT e::text FROM e") == [("[1,2]",)]
    assert "column n is bigint now and was integer" in world.plan(snapshot).errors[0], (
        "rows without a key are not turned"
    )


def test_what_conversion_loses_is_counted_in_the_plan(world: World) -> None:
    world.run(
        "CREATE TABLE t (id int PRIMARY KEY, n float8); INSERT INTO t SELECT i, i / 10.0 FROM generate_series(1, 20) i"
    )
    snapshot = world.take()
    world.run("ALTER TABLE t ALTER n TYPE int; DELETE FROM t")
    assert outcomes(world, snapshot)["column n"] == (
        "integer",
        "double precision",
        "converted; 18 of 20 values lose by it",
    )


def test_keys_of_another_type_find_their_rows(world: World) -> None:
    world.run(FILLED)
    snapshot = world.take()
    world.run(
        "ALTER TABLE notes ALTER id TYPE bigint; DELETE FROM notes WHERE id > 15;"
        "UPDATE notes SET tag = 'y' WHERE id < 3"
    )
    world.run("INSERT INTO notes VALUES (5000000000, 'later')")
    done = world.restore(snapshot, Mode.EXACT)
    assert counts(done.plan) == {"public.notes": (5, 2, 1, 0, 0)}
    assert world.rows("SELECT count(*), sum(id), min(tag), max(tag) FROM notes") == [(20, 210, "x", "x")]
    with pytest.raises(Conflict, match="--where instead of by key"):
        world.restore(snapshot, scope=only(keys={"public.notes": [int4(3)]}))
    world.undo(done.safety)
    assert world.value("SELECT max(id) FROM notes") == 5_000_000_000
    world.run("ALTER TABLE notes ALTER id TYPE text")
    with pytest.raises(Conflict, match="another order"):
        world.restore(snapshot)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER body TYPE int USING 0", "of type integer but expression is of type text"),
        (
            "ALTER body TYPE varchar(3) USING ''",
            r"in the row \(id\)=\(1\): value too long for type character varying\(3\)",
        ),
        ("ALTER heat TYPE smallint USING 0", r"in the row \(id\)=\(13\): smallint out of range"),
    ],
)
def test_what_the_server_does_not_convert_is_refused_by_row_and_in_its_words(
    world: World, pg_dump: PgDump, change: str, words: str
) -> None:
    world.run(FILLED + "; UPDATE notes SET heat = 40000 WHERE id >= 13")
    snapshot, dump = world.take(), pg_dump(world.url)
    world.run(f"ALTER TABLE notes {change}")
    changed = pg_dump(world.url)
    with pytest.raises(Conflict, match=words) as caught:
        world.restore(snapshot)
    assert "--recreate" in caught.value.hint
    assert pg_dump(world.url) == changed
    world.restore(snapshot, recreate=True)
    assert pg_dump(world.url) == dump


def test_a_type_that_is_gone_is_named(world: World) -> None:
    world.run(
        "CREATE TYPE mood AS ENUM ('calm'); CREATE TABLE t (id int PRIMARY KEY, n mood);"
        "INSERT INTO t VALUES (1, 'calm')"
    )
    snapshot = world.take()
    world.run("ALTER TABLE t ALTER n TYPE text; DROP TYPE mood")
    with pytest.raises(
        Conflict, match=r'column n is text now and was public\.mood .*type "public\.mood" does not exist'
    ):
        world.restore(snapshot)


def test_a_constraint_that_changed_makes_a_table_anew_when_asked(world: World, pg_dump: PgDump) -> None:
    world.run(FILLED)
    snapshot, dump = world.take(), pg_dump(world.url)
    world.run("UPDATE notes SET heat = 9; ALTER TABLE notes ADD CONSTRAINT hot CHECK (heat > 8)")
    with pytest.raises(Conflict, match=r"hot.*Failing row contains \(1,"):
        world.restore(snapshot)
    world.restore(snapshot, recreate=True)
    assert pg_dump(world.url) == dump


def test_partitions_that_came_and_went_are_shown(world: World, pg_dump: PgDump) -> None:
    world.run(
        """CREATE TABLE log (day date, n int, PRIMARY KEY (day, n)) PARTITION BY RANGE (day);
        CREATE TABLE log25 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
        CREATE TABLE log26 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        INSERT INTO log SELECT '2025-06-01'::date + i, i FROM generate_series(1, 400) i"""
    )
    snapshot, dump = world.take(), pg_dump(world.url)
    world.run(
        """DROP TABLE log25; CREATE TABLE log27 PARTITION OF log FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
        INSERT INTO log VALUES ('2027-02-02', 1)"""
    )
    tables = {table.name: table for table in world.plan(snapshot).tables}
    assert [(one.what, one.live, one.snapshot, one.outcome) for one in tables["public.log"].drift] == [
        ("partition public.log25", "", "FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')", "will be made"),
        ("partition public.log27", "FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')", "", "its rows are left alone"),
    ]
    world.restore(snapshot)
    assert world.value("SELECT count(*) FROM log") == 401
    world.run("DROP TABLE log27; ALTER TABLE log ADD CONSTRAINT positive CHECK (n > 0)")
    done = world.restore(snapshot, recreate=True)
    assert {table.name for table in done.plan.tables if table.recreate} == {
        "public.log",
        "public.log25",
        "public.log26",
    }
    assert pg_dump(world.url) == dump


def test_a_type_that_takes_its_own_values_no_more_is_told(small_world: World) -> None:
    world = small_world
    world.run("CREATE DOMAIN score AS int; CREATE TABLE t (id int PRIMARY KEY, n score); INSERT INTO t VALUES (1, 500)")
    snapshot = world.take()
    world.run("ALTER TABLE t ALTER n TYPE bigint; ALTER DOMAIN score ADD CHECK (VALUE < 100)")
    with pytest.raises(Conflict, match="does not convert its cells: value for domain score violates check constraint"):
        world.restore(snapshot)


def test_a_table_that_gained_a_sequence_is_made_anew(world: World, pg_dump: PgDump) -> None:
    world.run(FILLED)
    before, snapshot = pg_dump(world.url), world.take()
    world.run("ALTER TABLE notes ADD COLUMN n serial")
    world.restore(snapshot, recreate=True)
    assert pg_dump(world.url) == before
