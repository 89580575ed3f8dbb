"""A database is lost and comes back as it was, to pg_dump: tables with any key or none, of any type, in any shape."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

from snapstore.errors import Conflict, Unsupported
from snapstore.operations.plan import Mode
from snapstore.repository import Snapshot
from snapstore.sources import Selection
from tests.operations.world import World, counts, roots

ComesBack = Callable[[World], Snapshot]


def difference(before: str, after: str) -> list[str]:
    """The lines in which two dumps differ."""
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in found if not line.startswith(("---", "+++"))]


@pytest.fixture
def comes_back(databases: Callable[..., str], pg_dump: Callable[..., str]) -> ComesBack:
    """Take; the database is lost; restore into a new one: the dumps of both are the same text, and so are the roots."""

    def check(world: World) -> Snapshot:
        snapshot = world.take()
        anew = World(world.repository, databases())
        anew.restore(snapshot)
        found = difference(pg_dump(world.url), pg_dump(anew.url))
        assert found == [], found
        assert roots(anew.take()) == roots(snapshot)
        world.check()
        return snapshot

    return check


KEYS = """
CREATE TABLE bag (a int, b text, c json, d point, e float8[], f numeric);
INSERT INTO bag VALUES (1, 'x', '{"a": 1}', '(1,2)', '{NaN,-0}', 1.0), (1, 'x', '{"a": 1}', '(1,2)', '{NaN,-0}', 1.0),
  (1, 'x', '{"a":1}', '(1,2)', '{NaN,0}', 1.00), (NULL, NULL, NULL, NULL, NULL, NULL),
  (NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL, NULL), (2, '', '[]', '(0,-0)', '{}', 'NaN');
CREATE TABLE big AS SELECT i % 700 AS i, repeat(md5((i % 700)::text), i % 40) AS t FROM generate_series(1, 10000) i;
CREATE TABLE nothing (); INSERT INTO nothing SELECT FROM generate_series(1, 5);
CREATE TABLE no_rows (); CREATE TABLE empty_bag (a int);
CREATE TABLE only_generated (a int GENERATED ALWAYS AS (1 + 1) STORED);
INSERT INTO only_generated SELECT FROM generate_series(1, 3);
CREATE TABLE by_index (a int NOT NULL, b text NOT NULL, c text, d int, UNIQUE (a, b), UNIQUE (c));
CREATE UNIQUE INDEX z_of_one ON by_index (b) INCLUDE (c);
CREATE UNIQUE INDEX half ON by_index (d) WHERE d > 5; CREATE UNIQUE INDEX lowered ON by_index (lower(b));
INSERT INTO by_index SELECT i, 'b' || i, NULL, i FROM generate_series(1, 100) i;
CREATE TABLE deferred_only (a int NOT NULL UNIQUE DEFERRABLE); INSERT INTO deferred_only VALUES (1), (2);
CREATE TABLE generated_key (a int, b int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY);
INSERT INTO generated_key VALUES (1), (2);
CREATE TABLE always (a int GENERATED ALWAYS AS IDENTITY, b text); INSERT INTO always (b) VALUES ('x'), ('y');
"""


def test_tables_with_any_key_or_none_come_back(world: World, comes_back: ComesBack) -> None:
    world.run(KEYS)
    snapshot = comes_back(world)
    held = {table.name: table.rows for table in snapshot.sources[0].tables}
    assert (held["public.bag"], held["public.nothing"], held["public.big"]) == (7, 5, 10000)


def test_the_key_is_the_smallest_unique_index_without_nulls(world: World) -> None:
    world.run(KEYS)
    with world.source.view(Selection()) as view:
        tables = {table.name: table for table in view.tables}
    assert [part.name for part in tables["public.by_index"].key] == ["b"]
    assert tables["public.by_index"].definition["key"] == {"index": "z_of_one", "columns": ["b"]}
    assert tables["public.deferred_only"].by_content
    assert tables["public.bag"].by_content


def test_rows_without_a_key_are_put_back_in_their_number(world: World) -> None:
    world.run(KEYS)
    snapshot = world.take()
    world.run("DELETE FROM bag WHERE ctid IN (SELECT min(ctid) FROM bag GROUP BY a)")
    world.run("INSERT INTO bag VALUES (9, 'new', NULL, NULL, NULL, NULL), (9, 'new', NULL, NULL, NULL, NULL)")
    world.run("INSERT INTO bag SELECT * FROM bag WHERE a = 1; INSERT INTO nothing DEFAULT VALUES")
    world.run("DELETE FROM big WHERE i < 50; INSERT INTO big SELECT * FROM big WHERE i BETWEEN 60 AND 70")
    found = world.status(snapshot)
    assert (found["public.nothing"].added, found["public.bag"].changed) == (1, 0)
    plan = world.plan(snapshot)
    assert counts(plan)["public.nothing"] == (0, 0, 1, 0, 0)
    world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)


def test_without_exact_only_the_missing_copies_come_back(world: World) -> None:
    world.run("CREATE TABLE bag (a int); INSERT INTO bag VALUES (1), (1), (1), (2)")
    snapshot = world.take()
    world.run("DELETE FROM bag; INSERT INTO bag VALUES (1), (3), (3)")
    world.restore(snapshot, Mode.UPDATE)
    assert sorted(world.rows("SELECT a FROM bag")) == [(1,), (1,), (1,), (2,), (3,), (3,)]


def test_rows_without_a_key_and_of_other_columns_are_not_matched(world: World) -> None:
    world.run("CREATE TABLE bag (a int, b int); INSERT INTO bag VALUES (1, 2)")
    snapshot = world.take()
    world.run("ALTER TABLE bag ADD c int")
    [error] = world.plan(snapshot).errors
    assert "no key" in error
    world.restore(snapshot, recreate=True)
    assert roots(world.take()) == roots(snapshot)
    world.run("ALTER TABLE bag ALTER b TYPE bigint")
    plan = world.plan(snapshot)
    [error], [shown] = plan.errors, plan.tables[0].drift
    assert error == (
        "public.bag: it has no key, and rows without one are not converted: column b is bigint now and was integer in "
        "the snapshot"
    )
    assert (shown.live, shown.snapshot, shown.outcome) == ("bigint", "integer", "cannot be converted")
    with pytest.raises(Conflict, match="rows without one are not converted"):
        world.restore(snapshot)
    world.restore(snapshot, recreate=True)
    assert roots(world.take()) == roots(snapshot)


TYPES = """
CREATE EXTENSION vector;
CREATE SCHEMA other;
CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE other.mood AS ENUM ('x');
CREATE DOMAIN grade AS mood CHECK (VALUE <> 'sad'); CREATE DOMAIN grades AS mood[];
CREATE TYPE inner_pair AS (m mood, n int, g grade);
CREATE TYPE pair AS (a inner_pair, b mood[], c text, d vector(2), e int[]);
CREATE TYPE plain AS (x int, y text);
CREATE TYPE with_reg AS (t regclass, n int);
CREATE TABLE other_table (id int PRIMARY KEY, v text);
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
CREATE FUNCTION twice(text) RETURNS text LANGUAGE sql AS 'SELECT $1 || $1';
CREATE TABLE typed (
  id int PRIMARY KEY, moods mood[], others other.mood[], dom grade, doms grade[], moods_dom grades, p pair, ps pair[],
  pl plain, pls plain[], vs vector[], hs halfvec(3)[], row_of other_table, c regclass, cs regclass[], f regproc,
  fp regprocedure,
  ty regtype, ro regrole, w with_reg, ws with_reg[], ns regnamespace, acl aclitem,
  acls aclitem[], conf regconfig,
  o regoper, names name[], boxes box[], ranges int4range[], m int4multirange[]
);
INSERT INTO typed (id) VALUES (0);
INSERT INTO typed VALUES (1, '{ok,NULL,sad}', '{x}', 'ok', '{ok,NULL}', '[5:6]={ok,sad}',
  ROW(ROW('sad', 1, 'ok'), '{sad}', 'text', '[1,2]', '{1,NULL}'),
  ARRAY[ROW(NULL, '{}', 'a,"b', NULL, NULL)::pair, NULL],
  ROW(1, 'y'), ARRAY[ROW(NULL, NULL)::plain], '{"[1,2]","[3,4,5]"}', '{"[1,2,3]"}', ROW(5, 'row'), 'other_table',
  '{other_table,pg_class}', 'twice(int)'::regprocedure, 'twice(text)', 'pair[]', 'postgres', ROW('typed', 3),
  ARRAY[ROW(NULL, 3)::with_reg], 'other',
  'postgres=r/postgres', '{postgres=r/postgres}', 'simple', '+(int,int)'::regoperator,
  '{a}', '{(1,2),(3,4);(5,6),(7,8)}', '{"[1,2)",empty}', '{"{[1,2)}"}');
INSERT INTO typed (id, c, f, o, ty, ns) VALUES (10, '-', '-', 0, '-', '-'),
  (11, '99999', NULL, 99999, '99999', '99999');
INSERT INTO typed (id, moods, ps, vs, moods_dom) VALUES (2, '{}', '{}', '{}', '{}'),
  (3, '{{ok,sad},{sad,ok}}', NULL, NULL, NULL);
CREATE TABLE odd_keys (a mood[], b regclass, c pair, d text, PRIMARY KEY (a, b, c));
INSERT INTO odd_keys VALUES ('{ok}', 'typed', ROW(NULL,'{ok}','t',NULL,NULL), 'x'),
  ('{ok,sad}', 'typed', ROW(ROW('ok',1,'ok'),NULL,'t',NULL,NULL), 'y'),
  ('{sad}', 'other_table', ROW(NULL,NULL,'t',NULL,NULL), 'z');
CREATE TABLE bag (m mood[], c regclass, p pair); INSERT INTO bag SELECT a, b, c FROM odd_keys, generate_series(1, 3);
"""


def test_cells_that_name_types_and_objects_come_back_where_these_have_other_numbers(
    world: World, comes_back: ComesBack
) -> None:
    world.run(TYPES)
    comes_back(world)


def test_rows_of_such_types_are_updated_and_deleted_by_such_keys(world: World) -> None:
    world.run(TYPES)
    snapshot = world.take()
    world.run(
        "UPDATE odd_keys SET d = 'changed' WHERE d <> 'z'; DELETE FROM bag WHERE ctid IN (SELECT min(ctid) FROM bag)"
    )
    world.run("INSERT INTO odd_keys VALUES ('{ok}', 'typed', ROW(NULL,NULL,'new',NULL,NULL), 'new')")
    world.run(
        "UPDATE typed SET moods = '{sad}', p = NULL, c = 'typed', f = NULL, w = NULL; INSERT INTO bag DEFAULT VALUES"
    )
    restored = world.restore(snapshot)
    assert counts(restored.plan)["public.odd_keys"] == (0, 2, 1, 0, 0)
    assert roots(world.take()) == roots(snapshot)


def test_what_cannot_be_held_is_refused_by_name(world: World) -> None:
    world.run("CREATE TYPE t AS (f regproc); CREATE TABLE shared (id int PRIMARY KEY, odd t[])")
    with pytest.raises(Unsupported, match=r"column odd has the type .*t\[\].*regproc inside"):
        world.take()


SHAPES = """
CREATE TABLE owner (id int PRIMARY KEY, name text);
CREATE TABLE events (
  id bigint GENERATED ALWAYS AS IDENTITY, at date NOT NULL, kind text NOT NULL DEFAULT 'x', owner int REFERENCES owner,
  twice bigint GENERATED ALWAYS AS (length(kind) * 2) STORED, CONSTRAINT kinds CHECK (kind <> ''),
  PRIMARY KEY (id, at, kind), UNIQUE (at, kind, id)
) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (kind);
CREATE TABLE events_2024_x PARTITION OF events_2024 FOR VALUES IN ('x', 'y');
CREATE TABLE "events 2024 rest" PARTITION OF events_2024 DEFAULT;
CREATE TABLE events_2025 (kind text NOT NULL DEFAULT 'own', gone int, id bigint NOT NULL, at date NOT NULL, owner int,
  twice bigint GENERATED ALWAYS AS (length(kind) * 2) STORED, CONSTRAINT kinds CHECK (kind <> ''), CHECK (owner > 0));
ALTER TABLE events_2025 DROP gone;
CREATE INDEX own_name ON events_2025 (kind);
CREATE INDEX events_kind ON events (kind) WHERE kind > 'a';
ALTER TABLE events ATTACH PARTITION events_2025 FOR VALUES FROM ('2025-01-01') TO (MAXVALUE);
CREATE TABLE events_rest PARTITION OF events (CONSTRAINT more CHECK (id > 0)) DEFAULT WITH (fillfactor = 70);
CREATE INDEX on_kind ON events (kind);
CREATE INDEX not_everywhere ON ONLY events (owner);
CREATE INDEX leaf_owner ON events_2025 (owner); ALTER INDEX not_everywhere ATTACH PARTITION leaf_owner;
CREATE TABLE referring (id int PRIMARY KEY, e bigint, at date, kind text,
  FOREIGN KEY (e, at, kind) REFERENCES events ON DELETE CASCADE ON UPDATE CASCADE);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.kind := NEW.kind || ''!''; RETURN NEW; END';
INSERT INTO owner VALUES (1, 'a'), (2, 'b');
INSERT INTO events (at, kind, owner) SELECT date '2023-06-01' + i, (ARRAY['x','y','z'])[1 + i % 3], 1 + i % 2
  FROM generate_series(1, 900) i;
INSERT INTO referring SELECT id, id, at, kind FROM events;
CREATE TRIGGER touched BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE events_2025 DISABLE TRIGGER touched; COMMENT ON TABLE events_2024_x IS 'some';
COMMENT ON CONSTRAINT kinds ON events_2024_x IS 'own words';
CREATE TABLE hashed (id int PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT generate_series(1, 100);
CREATE TABLE no_partitions (a int) PARTITION BY LIST (a);

CREATE TABLE base (id int PRIMARY KEY, note text DEFAULT 'base', CONSTRAINT short CHECK (length(note) < 50),
  CONSTRAINT only_here CHECK (id > 0) NO INHERIT);
CREATE TABLE other_base (extra int NOT NULL, note text);
CREATE TABLE child (own text, PRIMARY KEY (id)) INHERITS (base);
CREATE TABLE both_of (note text DEFAULT 'mine', CONSTRAINT short CHECK (length(note) < 50)) INHERITS (base, other_base);
ALTER TABLE child ALTER note SET DEFAULT 'child', ALTER note SET NOT NULL;
CREATE TABLE grandchild (UNIQUE (own)) INHERITS (child);
CREATE TABLE late (own text, id int NOT NULL, note text, CONSTRAINT short CHECK (length(note) < 50));
ALTER TABLE late INHERIT base; COMMENT ON CONSTRAINT short ON grandchild IS 'from above';
INSERT INTO base VALUES (1, 'b'), (2, 'c'); INSERT INTO child VALUES (1, 'c', 'o');
INSERT INTO grandchild VALUES (5, 'g', 'o');
INSERT INTO both_of VALUES (7, 'm', 3); INSERT INTO late VALUES ('l', 1, 'n'), ('l', 1, 'n');

CREATE TYPE row_type AS (id int, words text);
CREATE TABLE of_type OF row_type (PRIMARY KEY (id), words WITH OPTIONS DEFAULT 'w'); INSERT INTO of_type VALUES (1);
CREATE UNLOGGED TABLE quick (id int PRIMARY KEY, t text); INSERT INTO quick VALUES (1, 'kept all the same');
CREATE TABLE fast (id int PRIMARY KEY); INSERT INTO fast SELECT generate_series(1, 50);
ALTER TABLE fast ADD a int DEFAULT 7, ADD b text, ADD gone text DEFAULT 'x'; ALTER TABLE fast DROP gone;
"""


def test_tables_of_every_shape_come_back(world: World, comes_back: ComesBack) -> None:
    world.run(SHAPES)
    snapshot = comes_back(world)
    held = {table.name: table.rows for table in snapshot.sources[0].tables}
    assert held["public.events"] == held["public.events_2024"] == 0
    assert sum(rows for name, rows in held.items() if "events" in name) == 900
    assert (held["public.base"], held["public.child"], held["public.grandchild"]) == (2, 1, 1)


# Their columns merge with a parent's, or stand in an order that INHERITS would not give.
HEIRS = """
CREATE TABLE computed (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a * 2) STORED);
CREATE TABLE computed_1 (a int NOT NULL, b int GENERATED ALWAYS AS (a * 2) STORED); INSERT INTO computed_1 VALUES (1);
ALTER TABLE computed_1 INHERIT computed;
CREATE TABLE rules_on (id int PRIMARY KEY); CREATE TABLE seen_by (id int); CREATE VIEW seen AS SELECT id FROM seen_by;
CREATE RULE also AS ON INSERT TO rules_on DO ALSO INSERT INTO seen VALUES (new.id);
"""


def test_columns_that_merge_with_a_parents_and_rules_over_views_come_back(world: World, comes_back: ComesBack) -> None:
    world.run(HEIRS)
    comes_back(world)


def test_heirs_of_several_parents_that_grew_later_keep_the_order_of_their_columns(world: World) -> None:
    world.run(
        "CREATE TABLE top (a int); CREATE TABLE left_of (l int) INHERITS (top); CREATE TABLE right_of () INHERITS (top)"
    )
    world.run("CREATE TABLE under (own text) INHERITS (left_of, right_of); ALTER TABLE top ADD late text")
    world.run("INSERT INTO under VALUES (1, 2, 'own', 'late')")
    taken = world.taken()
    [told, *others] = [one for one in taken.snapshot.sources[0].missing if "left_of" in one or "under" in one]
    assert told == "columns of table public.left_of: a, late came from its parents; they come back as its own"
    assert others == ["columns of table public.under: a, l, late came from its parents; they come back as its own"]
    world.run("DROP TABLE top CASCADE")
    world.restore(taken.snapshot)
    assert world.rows("SELECT a, l, own, late FROM top JOIN under USING (a, late)") == [(1, 2, "own", "late")]
    assert world.rows(
        "SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = 'under'::regclass ORDER BY inhseqno"
    ) == [("left_of",), ("right_of",)]
    assert roots(world.take()) == roots(taken.snapshot)
    assert world.take().sources[0].missing == ()


def test_rows_that_a_parents_constraint_came_too_late_for_come_back(world: World, pg_dump: Callable[..., str]) -> None:
    world.run(
        """CREATE TABLE p (a int, b tsquery) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
        CREATE TABLE base (a int, v int2vector); CREATE TABLE heir (CONSTRAINT shared CHECK (a > 0)) INHERITS (base);
        INSERT INTO p VALUES (1, ''), (1, 'a & b'); INSERT INTO heir VALUES (3, ''), (4, '1 2');
        ALTER TABLE p ADD CONSTRAINT none CHECK (a > 5) NOT VALID;
        ALTER TABLE base ADD CONSTRAINT many CHECK (a > 5) NOT VALID, ADD CONSTRAINT shared CHECK (a > 0)"""
    )
    snapshot, before = world.take(), pg_dump(world.url)
    world.run("DELETE FROM p; DELETE FROM heir WHERE a = 3")
    world.restore(snapshot)
    assert pg_dump(world.url) == before
    assert roots(world.take()) == roots(snapshot)


def test_a_table_of_1600_columns_comes_back(world: World, comes_back: ComesBack) -> None:
    columns = ", ".join(f"c{i} {('int', 'text', 'float4')[i % 3]}" for i in range(1600))
    world.run(f"CREATE TABLE wide ({columns}); INSERT INTO wide (c0, c1, c1599) VALUES (1, 'a', 2), (1, 'a', 2)")
    world.run("ALTER TABLE wide DROP c800; INSERT INTO wide DEFAULT VALUES")
    comes_back(world)


def test_partitions_are_restored_in_place(world: World) -> None:
    world.run(SHAPES)
    snapshot = world.take()
    # What fires would take rows of other tables with it, or change what is put back.
    world.run("DELETE FROM events WHERE owner = 2; DELETE FROM child WHERE id = 5; INSERT INTO base VALUES (50)")
    world.run("UPDATE events SET kind = 'y' WHERE at > '2025-03-01'; TRUNCATE events_2024_x CASCADE")
    changed = roots(world.take())
    done = world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)
    assert world.value("SELECT count(*) FROM referring") == 900
    disabled = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'touched' AND tgenabled = 'D'"
    assert world.rows(disabled) == [("events_2025",)]
    assert done.safety is not None
    assert changed != roots(snapshot)


def test_a_partitioned_table_means_its_partitions(world: World) -> None:
    world.run(SHAPES)
    names = {table.name for table in world.take("events").sources[0].tables}
    assert names == {"public.events", "public.events_2024", "public.events_2024_x", "public.events 2024 rest",
                     "public.events_2025", "public.events_rest"}  # fmt: skip
    assert {table.name for table in world.take("events_2024_x").sources[0].tables} == names
    left = {table.name for table in world.take(exclude=("events", "referring")).sources[0].tables}
    assert not names & left
    assert "public.hashed_1" in left


def test_a_partitioned_table_is_not_dropped_with_partitions_that_would_not_come_back(world: World) -> None:
    world.run("CREATE TABLE p (id int, t text, PRIMARY KEY (id)) PARTITION BY RANGE (id)")
    world.run("CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); INSERT INTO p VALUES (1, 'a')")
    snapshot = world.take()
    world.run("CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (11, 'b')")
    world.run("ALTER TABLE p DROP t")
    with pytest.raises(Conflict, match=r"its partition public\.p2 would go with it"):
        world.restore(snapshot, recreate=True)
    assert world.rows("SELECT id FROM p ORDER BY 1") == [(1,), (11,)]
    world.run("ALTER TABLE p DETACH PARTITION p2")
    world.restore(snapshot, recreate=True)
    assert world.rows("TABLE p") == [(1, "a")]
    now = world.take("p")
    assert roots(now) == roots(snapshot)


MEMORIES = Path(__file__).with_name("memories.sql").read_text(encoding="utf-8")


def test_the_schemas_of_agents_memories_come_back(world: World, comes_back: ComesBack) -> None:
    world.run(MEMORIES)
    comes_back(world)


def test_the_schemas_of_agents_memories_are_put_right_in_place(world: World) -> None:
    world.run(MEMORIES)
    snapshot = world.take()
    world.run("DELETE FROM letta.tools_agents; DELETE FROM letta.blocks_agents; UPDATE letta.block SET version = 0")
    world.run("UPDATE letta.block SET current_history_entry_id = NULL; DELETE FROM letta.block WHERE id < 'block-4'")
    world.run("INSERT INTO letta.agents_tags VALUES (NULL, 'y'), (NULL, NULL); DELETE FROM langchain_pg_collection")
    world.run("UPDATE store SET updated_at = 'infinity'; DELETE FROM store WHERE prefix = 'users.1'")
    world.run("TRUNCATE letta.messages")
    world.run("""DELETE FROM data_llamaindex; UPDATE "Tenant-A"."agent memories" SET "order" = -"order" """)
    world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)
