"""Every type comes back to the bit, wherever it stands; and types that are not what they were never bend it unseen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg
import pytest
from psycopg import sql

from snapstore.errors import Conflict, SnapstoreError, Unsupported
from snapstore.operations.plan import Mode
from snapstore.sources import Selection
from snapstore.sources.postgres.applying import insert_rows
from tests.operations.world import World, counts, roots
from tests.soak import IS_SOAK

MADE = """
CREATE EXTENSION vector;
CREATE TYPE mood AS ENUM ('sad', 'o''k', 'so so', 'élan'); CREATE DOMAIN grade AS mood CHECK (VALUE <> 'sad');
CREATE DOMAIN small AS int2 CHECK (VALUE < 100); CREATE DOMAIN smalls AS small[]; CREATE DOMAIN "words of" AS text[];
CREATE TYPE pair AS (m mood, t text, ns small[]); CREATE TYPE empty AS ();
CREATE TYPE names_it AS (c regclass, f float8, at timestamptz, d date, i interval, b bytea, m money);
CREATE TYPE span AS RANGE (subtype = float8); CREATE TYPE moods AS RANGE (subtype = mood);
CREATE TABLE "odd one" (); CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
"""

# What a value can be that a careless way would lose: by type, as elements of an array's text form.
VALUES = {
    "bool": "{t,f}",
    "int2": "{-32768,0,32767}",
    "int4": "{-2147483648,0,2147483647}",
    "int8": "{-9223372036854775808,0,9223372036854775807}",
    "float4": "{NaN,Infinity,-Infinity,0,-0,1e-45,3.4028235e38,0.1}",
    "float8": "{NaN,Infinity,-Infinity,0,-0,5e-324,1.7976931348623157e308,0.30000000000000004}",
    "numeric": "{NaN,Infinity,-Infinity,0,0.000,1,1.0,1.50,-0.0000001,1e100,1e-100,12345678901234567890.0123456789}",
    "numeric(9,3)": "{NaN,1.5,-999999.999}",
    "money": "{-92233720368547758.08,0,12.34}",
    "text": '{"","a\tb\nc\\\\","NULL"," é日😀"}',
    "varchar(12)": '{"","a ","é日😀"}',
    "char(4)": '{"","a","a b","é日"}',
    "bpchar": '{"","a","b "}',
    '"char"': '{"",a,"\\\\377"}',
    "name": '{"","a b",pg_class}',
    "bytea": r'{"","\\x00","\\x00ff5c"}',
    "json": r'{"{\"b\" : 1, \"a\":1,\"a\": 2}","\"\\u0000\"","1e400","1.10","null"}',
    "jsonb": r'{"{\"b\": 1, \"a\": 1.10}","null","[]","\"\""}',
    "jsonpath": '{"$.a[*] ? (@ > 1)","strict $"}',
    "uuid": "{00000000-0000-0000-0000-000000000000,b5f3bd6a-0000-4000-8000-ffffffffffff}",
    "date": "{infinity,-infinity,4713-01-01 BC,5874897-12-31,2000-02-29}",
    "time": "{00:00,24:00,23:59:59.999999}",
    "time(2)": "{01:02:03.04}",
    "timetz": "{24:00-15:59:59,00:00+15:59:59,12:00+00}",
    "timestamp": "{infinity,-infinity,4713-01-01 BC,294276-12-31 23:59:59.999999}",
    "timestamptz": "{infinity,-infinity,4714-11-24 00:00+00 BC,2000-01-01 00:00:00.000001+00}",
    "interval": "{infinity,-infinity,1 day,24:00,1 mon -30 days,-1 day +00:00:00.000001,178000000 years,-00:00:01}",
    "interval year to month": "{1 year 2 mons}",
    "bit(5)": "{00000,10101}",
    "varbit": "{\"\",0,00,1111111110}",
    "inet": "{10.0.0.1,10.0.0.1/8,::1,::ffff:1.2.3.4/100}",
    "cidr": "{10.0.0.0/8,::/0}",
    "macaddr": "{08:00:2b:01:02:03}",
    "macaddr8": "{08:00:2b:01:02:03:04:05}",
    "point": '{"(1,2)","(-0,NaN)","(Infinity,1e-300)"}',
    "lseg": '{"[(1,2),(3,4)]"}',
    "line": '{"{1,2,3}"}',
    "box": "{(1,2),(3,4);(0,0),(-0,NaN)}",
    "path": '{"[(1,2)]","((1,2),(3,4))"}',
    "polygon": '{"((1,2),(3,4),(5,6))"}',
    "circle": '{"<(1,2),3>"}',
    "tsvector": "{\"\",\"'a b':1A,2 'ü':16383\"}",
    "tsquery": "{\"\",\"'a' & !'b':*AB <-> 'c'\"}",
    "oid": "{0,4294967295}",
    "xid": "{0,4294967295}",
    "xid8": "{0,18446744073709551615}",
    "cid": "{4294967295}",
    "tid": '{"(0,1)","(4294967295,65535)"}',
    "pg_lsn": "{0/0,FFFFFFFF/FFFFFFFF}",
    "pg_snapshot": '{"10:20:10,14,15"}',
    "txid_snapshot": '{"10:20:10,14,15"}',
    "refcursor": "{a}",
    "int2vector": '{"","1 2"}',
    "oidvector": '{"1 4294967295"}',
    "int4range": '{empty,"(,)","[1,5)","[,0)"}',
    "int8range": '{"[-9223372036854775808,)"}',
    "numrange": '{"[1.0,1.00]","(Infinity,NaN)",empty}',
    "tsrange": '{"[-infinity,infinity]"}',
    "tstzrange": '{"(2000-01-01 00:00+00,]"}',
    "daterange": '{"[2000-01-01,infinity)"}',
    "int4multirange": '{"{}","{[1,3),[5,8)}"}',
    "nummultirange": '{"{(,1.0],[2.00,)}"}',
    "datemultirange": '{"{[2000-01-01,2000-01-03)}"}',
    "regclass": '{-,pg_class,99999,"public.\\"odd one\\""}',
    "regtype": '{-,integer,mood,mood[],"timestamp with time zone"}',
    "regprocedure": '{-,"lower(text)","public.twice(integer)"}',
    "regoperator": '{0,"+(integer,integer)"}',
    "regnamespace": "{-,public}",
    "regrole": "{-,postgres}",
    "regcollation": '{-,"\\"C\\""}',
    "regconfig": "{-,simple}",
    "regdictionary": "{-,simple}",
    "aclitem": "{postgres=arwdDxt/postgres,=r/postgres}",
    "mood": "{sad,o'k,so so,élan}",
    "grade": "{o'k,élan}",
    "small": "{-5,99}",
    "smalls": '{"{1,NULL}","[3:4]={1,2}"}',
    '"words of"': '{"{abc,\\"\\",NULL}"}',
    "pair": r'{"(sad,\"a,\\\"b\",\"{1,NULL}\")","(,,)","(,\"\",)"}',
    "empty": '{"()"}',
    "names_it": '{"(pg_class,0.1,2000-01-01 00:00+00,2000-02-03,-1 days +00:01,\\"\\\\\\\\x00\\",1.25)","(,NaN,,,,,)"}',
    "span": '{empty,"[-0,1.5)","[NaN,]"}',
    "moods": '{"[sad,o\'k]",empty}',
    "vector": '{"[1,2]","[0.1]","[-0,1e-40,3.4e38]"}',
    "vector(2)": '{"[1,2]"}',
    "halfvec": '{"[1,-0]","[65504,6e-8]"}',
    "sparsevec": '{"{1:0.5}/3","{}/2"}',
}  # fmt: skip


KINDS = list(VALUES)
# What a user made: arrays of it have OIDs in their binary form, which are others in another database.
LOCAL = {"mood", "grade", "small", "smalls", '"words of"', "pair", "empty", "names_it", "span", "moods"}
LOCAL |= {"vector", "vector(2)", "halfvec", "sparsevec"}
# No binary form, or one that is the OID of something.
TEXTUAL = {kind for kind in KINDS if kind.startswith("reg")} - {"refcursor"} | {"aclitem", "names_it"}


def filled(url: str) -> list[str]:
    """A table of every type, plain, in arrays and in composites, with each row twice and without a key; and tables
    whose keys are two types each: the names of those.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MADE)
        literals = [f"{sql.Literal(values).as_string()}::{kind}[]" for kind, values in VALUES.items()]
        sizes = connection.execute(f"SELECT {', '.join(f'cardinality({one})' for one in literals)}").fetchone() or ()
        columns, sets, keyed = [], [], []
        for at, (kind, literal, size) in enumerate(zip(KINDS, literals, sizes, strict=True)):
            connection.execute(f"CREATE TYPE c{at} AS (v {kind}, vs {kind}[], n int)")
            columns.append(f"v{at} {kind}, vs{at} {kind}[], c{at} c{at}, cs{at} c{at}[]")
            arrays = [literal, f"('[3:{size + 2}]=' || {sql.Literal(VALUES[kind]).as_string()})", "'{}'"]
            arrays = [
                f"WHEN {number} THEN {one}::{kind}[]" for number, one in enumerate([*arrays, "'[0:0][7:7]={{NULL}}'"])
            ]
            sets.append(f"v{at} = ({literal})[n], vs{at} = CASE n {' '.join(arrays)} END")
            with suppress(psycopg.errors.UndefinedObject):  # where it has no order, it can be no key
                connection.execute(f"CREATE TEMPORARY TABLE t{at} (v {kind} PRIMARY KEY)")
                keyed.append(at)
        connection.execute(f"CREATE TABLE everything (n int, {', '.join(columns)})")
        connection.execute("INSERT INTO everything (n) SELECT generate_series(0, 15)")
        places = range(len(KINDS))
        connection.execute(f"UPDATE everything SET {', '.join(sets)}")
        connection.execute(f"UPDATE everything SET {', '.join(f'c{at} = ROW(v{at}, vs{at}, n)' for at in places)}")
        connection.execute(f"UPDATE everything SET {', '.join(f'cs{at} = ARRAY[NULL, c{at}, c{at}]' for at in places)}")
        connection.execute("INSERT INTO everything SELECT * FROM everything")
        names = []
        for a, b in zip(keyed[::2], [*keyed[1::2], keyed[0]], strict=False):
            names.append(f"by_{a}_{b}")
            connection.execute(
                f"CREATE TABLE by_{a}_{b} (a {KINDS[a]}, b {KINDS[b]}, note int, PRIMARY KEY (a, b));"
                f"INSERT INTO by_{a}_{b} SELECT x, y, 0 FROM unnest({literals[a]}) x, unnest({literals[b]}) y"
                " ON CONFLICT DO NOTHING"
            )
        assert len(keyed) > 55
    return names


def contents(url: str, names: Sequence[str]) -> dict[str, object]:
    """All cells as text, by table and column, and all that look the same in every database as the server sends them."""
    nested = TEXTUAL | {"smalls", "pair"}
    sent = [f"v{at}" for at, kind in enumerate(KINDS) if kind not in nested]
    sent += [f"vs{at}" for at, kind in enumerate(KINDS) if kind not in TEXTUAL | LOCAL]
    found: dict[str, object] = {}
    with psycopg.connect(url) as connection:
        columns = [f"{form}{at}" for at in range(len(KINDS)) for form in ("v", "vs", "c", "cs")]
        sorts = ", ".join(f"array_agg({one}::text ORDER BY n, {one}::text)" for one in columns)
        texts = connection.execute(f"SELECT {sorts} FROM everything").fetchone() or ()
        for column, own in zip(columns, texts, strict=True):
            found[f"{KINDS[int(column.lstrip('vcs'))]} in {column}"] = own
        for name in names:
            found[name] = connection.execute(f"SELECT a::text, b::text, note FROM {name} ORDER BY 1, 2").fetchall()
        query = f"COPY (SELECT {', '.join(sent)} FROM everything ORDER BY n) TO STDOUT (FORMAT BINARY)"
        with connection.cursor().copy(query) as copy:
            found["as sent"] = b"".join(copy)
    return found


def test_every_type_comes_back_to_the_bit(world: World, databases: Callable[..., str]) -> None:
    names = filled(world.url)
    before = contents(world.url, names)
    snapshot = world.take()
    anew = World(world.repository, databases())
    anew.restore(snapshot)
    after = contents(anew.url, names)
    assert [what for what in before if after[what] != before[what]] == []
    assert roots(anew.take()) == roots(snapshot)
    # And in place, by keys of every type.
    world.run("DELETE FROM everything WHERE n % 3 = 0")
    for name in names:
        world.run(
            f"DELETE FROM {name} WHERE ctid::text LIKE '%1)'; UPDATE {name} SET note = 7 WHERE ctid::text LIKE '%2)'"
        )
    world.restore(snapshot)
    now = contents(world.url, names)
    assert [what for what in before if now[what] != before[what]] == []
    assert roots(world.take()) == roots(snapshot)


def test_settings_of_the_database_do_not_bend_what_is_held(small_world: World) -> None:
    world = small_world
    world.run(
        "CREATE TYPE names_it AS (c regclass, f float8, at timestamptz, d date, i interval, b bytea, m money);"
        "CREATE TABLE t (id int PRIMARY KEY, n names_it, d date DEFAULT '2024-02-03', w text[] DEFAULT '{NULL,a}',"
        "  m money DEFAULT '1.25');"
        "INSERT INTO t VALUES (1, ROW('t', 0.1::float8 + 0.2, '2024-02-03 04:05+00', '2024-02-03',"
        "  '-1 days +00:01', '\\x00', 1.25))"
    )
    snapshot = world.take()
    for setting in (
        "quote_all_identifiers = on", "array_nulls = off", "DateStyle = 'SQL, DMY'", "extra_float_digits = -10",
        "IntervalStyle = 'sql_standard'", "TimeZone = 'Asia/Tokyo'", "bytea_output = 'escape'",
        "transform_null_equals = on",
    ):  # fmt: skip
        world.run(f"ALTER DATABASE {world.value('SELECT current_database()')} SET {setting}")
    assert roots(world.take()) == roots(snapshot)
    world.run("DELETE FROM t")
    world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)
    world.run("DROP TABLE t")
    world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)
    world.run("INSERT INTO t (id) VALUES (2)")
    assert world.value("SELECT d = make_date(2024, 2, 3) AND w[1] IS NULL FROM t WHERE id = 2")
    assert world.value("SELECT float8send((n).f) = float8send(0.1::float8 + 0.2) FROM t WHERE id = 1")


def test_a_composite_whose_fields_changed_places_is_a_conflict(small_world: World) -> None:
    """Its cells have no names in them: another order of fields of one type would mix them up unseen."""
    world = small_world
    made = "CREATE TYPE inner_part AS ({}); CREATE TYPE part AS (p inner_part); CREATE TABLE t (id int PRIMARY KEY, "
    made += "ps part[])"
    world.run(made.format("a int, b int"))
    world.run("INSERT INTO t VALUES (1, ARRAY[ROW(ROW(1, 2))::part])")
    snapshot = world.take()
    world.run("DROP TABLE t; DROP TYPE part, inner_part")
    world.run(made.format("b int, a int"))
    said = r"type public\.inner_part is made of \(b integer, a integer\) and was made of \(a integer, b integer\)"
    with pytest.raises(Conflict, match=said):
        world.restore(snapshot)
    assert world.rows("TABLE t") == []


def test_a_type_inside_cells_that_is_over_another_is_a_conflict(small_world: World) -> None:
    """Eight bytes are a number or another one; a length is no other type."""
    world = small_world
    made = "CREATE TYPE r AS RANGE (subtype = {0}); CREATE DOMAIN d AS {0}; CREATE DOMAIN l AS varchar({1}); "
    made += "CREATE TYPE part AS (d d, l l); CREATE TABLE rs (id int PRIMARY KEY, r r); "
    made += "CREATE TABLE ps (id int PRIMARY KEY, p part)"
    world.run(made.format("int8", 5))
    world.run("INSERT INTO rs VALUES (1, '[1,2)'); INSERT INTO ps VALUES (1, (1, 'a'))")
    snapshot = world.take()
    away = "DROP TABLE rs, ps; DROP TYPE part, r, d, l; "
    world.run(away + made.format("float8", 9))
    with pytest.raises(Conflict, match=r"type public\.d is over double precision and was over bigint"):
        world.restore(snapshot)
    world.run("INSERT INTO ps VALUES (1, (0, 'a'))")
    with pytest.raises(Conflict, match=r"type public\.r is made by .*double precision.* and was made by .*bigint"):
        world.restore(snapshot, Mode.SKIP)
    world.run(away + made.format("int8", 9))
    world.restore(snapshot)
    assert world.rows("SELECT r::text, p::text FROM rs JOIN ps USING (id)") == [("[1,2)", "(1,a)")]


def test_rows_of_a_table_inside_cells_are_a_conflict_once_it_has_other_columns(small_world: World) -> None:
    """They are composites too, and change with their table, of which nothing is to be seen in rows of the others."""
    world = small_world
    world.run("CREATE TABLE b (a int, c int); CREATE TYPE pair AS (n int, b b); CREATE VIEW v AS SELECT 1 AS one")
    world.run("CREATE TABLE t (id int PRIMARY KEY, x b, xs b[], p pair, v v); CREATE TABLE bag (x b)")
    world.run("INSERT INTO t VALUES (1, (1, 2), ARRAY[(3, 4)::b], (5, (6, 7)::b), ROW(8))")
    world.run("INSERT INTO bag VALUES ((1, 2))")
    snapshot = world.take()
    world.run("UPDATE t SET x = (7, 8); DELETE FROM bag")
    world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)
    world.run("ALTER TABLE b RENAME a TO z; ALTER TABLE b RENAME c TO a; ALTER TABLE b RENAME z TO c")
    after = world.take()
    assert {table.reading for table in after.sources[0].tables} == {"in full: its shape changed"}
    then, now = (f"public.b({first} pg_catalog.int4, {last} pg_catalog.int4)" for first, last in ("ac", "ca"))
    assert world.diff(snapshot, after)["public.bag"].shape == (f"column x: public.b of {then} before, of {now} after",)
    planned = {one.name: one.drift for one in world.plan(snapshot).tables}
    assert [one.what for one in planned["public.t"]] == ["column x", "column xs", "column p"]
    [shown] = planned["public.bag"]
    assert (shown.live, shown.snapshot) == (f"public.b of {now}", f"public.b of {then}")
    with pytest.raises(Conflict, match=re.escape(f"public.t: column x is public.b of {now} now and was one of {then}")):
        world.restore(snapshot)
    said = re.escape(f"public.bag.x is made of {now}, and was of {then} when the snapshot was taken")
    with pytest.raises(Conflict, match=said):
        world.restore(snapshot, recreate=True)
    world.run("DROP TABLE t, bag")
    with pytest.raises(Conflict, match=said):
        world.restore(snapshot)
    world.run("DROP TABLE b CASCADE; DROP TYPE pair")
    world.restore(snapshot)
    assert roots(world.take()) == roots(snapshot)


def test_a_type_inside_cells_that_was_renamed_is_a_conflict_and_no_damage(small_world: World) -> None:
    world = small_world
    world.run("CREATE DOMAIN m AS text; CREATE TABLE t (id int PRIMARY KEY, ms m[]); INSERT INTO t VALUES (1, '{a}')")
    with world.source.view(Selection()) as view:
        [table] = view.tables
        rows = list(view.read(table))
    world.run("ALTER DOMAIN m RENAME TO other")
    said = (
        r"public\.t\.ms is of a type that was made of others when the snapshot was taken: .* not one of public\.other"
    )
    with psycopg.connect(world.url) as connection, pytest.raises(Conflict, match=said):
        insert_rows(connection, table, rows)


def test_a_domain_that_is_over_something_else_now_is_told_and_a_conflict(small_world: World) -> None:
    world = small_world
    made = "CREATE DOMAIN d AS {}; CREATE TABLE t (id int PRIMARY KEY, a d, b d[])"
    world.run(made.format("int"))
    world.run("INSERT INTO t VALUES (1, 5, '{5}'), (2, 6, '{6}')")
    snapshot = world.take()
    world.run("DROP TABLE t; DROP DOMAIN d")
    world.run(made.format("real"))
    world.run("INSERT INTO t VALUES (1, 5, '{5}')")
    told = "column a: public.d of pg_catalog.int4 before, of pg_catalog.float4 after"
    assert told in world.status(snapshot)["public.t"].shape
    assert told in world.diff(snapshot, world.take())["public.t"].shape
    with pytest.raises(
        Conflict, match=r"column a is public\.d of pg_catalog\.float4 now and was one of pg_catalog\.int4"
    ):
        world.restore(snapshot)


def test_labels_of_an_enum_are_held_as_words(small_world: World) -> None:
    world = small_world
    world.run("CREATE TYPE m AS ENUM ('a', 'b'); CREATE TABLE t (id int PRIMARY KEY, m m, ms m[])")
    world.run("INSERT INTO t VALUES (1, 'a', '{a,b}'), (2, 'b', '{b}')")
    snapshot = world.take()
    world.run("ALTER TYPE m RENAME VALUE 'a' TO 'x'; ALTER TYPE m RENAME VALUE 'b' TO 'a'")
    world.run("ALTER TYPE m RENAME VALUE 'x' TO 'b'")  # no row was touched, and every row says something else
    assert world.diff(snapshot, world.take())["public.t"].columns == {"m": 2, "ms": 2}
    world.restore(snapshot)
    assert world.rows("SELECT m::text, ms::text FROM t ORDER BY id") == [("a", "{a,b}"), ("b", "{b}")]
    world.run("ALTER TYPE m RENAME VALUE 'a' TO 'gone'")
    with pytest.raises(SnapstoreError, match='invalid input value for enum m: "a"'):
        world.restore(snapshot)


def test_what_the_server_cannot_read_back_is_refused_by_name(small_world: World) -> None:
    small_world.run("CREATE TABLE x (a int DEFAULT 5); CREATE TABLE t AS SELECT adbin FROM pg_attrdef")
    with pytest.raises(Unsupported, match=r"column adbin has the type pg_node_tree.*the server reads no value"):
        small_world.take()


def test_a_primary_key_without_overlaps_is_a_key(small_world: World) -> None:
    world = small_world
    world.run("CREATE TABLE t (a int4range, d daterange, v int, PRIMARY KEY (a, d WITHOUT OVERLAPS))")
    world.run("INSERT INTO t VALUES ('[1,2)', '[2024-01-01,2024-02-01)', 1), ('[1,2)', '[2024-02-01,2024-03-01)', 2)")
    snapshot = world.take()
    world.run(
        "UPDATE t SET v = 9; DELETE FROM t WHERE '2024-01-05'::date <@ d; INSERT INTO t VALUES ('[5,6)', '(,)', 3)"
    )
    restored = world.restore(snapshot)
    assert counts(restored.plan)["public.t"] == (1, 1, 1, 0, 0)
    assert roots(world.take()) == roots(snapshot)


def test_large_and_empty_cells_come_back(world: World) -> None:
    """A few MB in everyday runs; 100 MB in the soak."""
    size = 100_000_000 if IS_SOAK else 3_000_000
    world.run(
        "CREATE TABLE t (id int PRIMARY KEY, b bytea, w text, j json, ns int8[]); CREATE TABLE bag (b bytea, w text)"
    )
    world.run(
        "INSERT INTO t SELECT 1, decode(repeat('00ff5c0a', n / 4), 'hex'), repeat('é\n', n / 3), "
        "('\"' || repeat('x', n - 2) || '\"')::json, array_fill(7::int8, ARRAY[n / 12])"
        " FROM (VALUES (%s::int)) AS x (n)",
        size,
    )
    world.run("INSERT INTO t VALUES (2, '', '', '\"\"', '{}'), (3, NULL, NULL, NULL, NULL)")
    world.run("INSERT INTO bag SELECT b, w FROM t; INSERT INTO bag SELECT b, w FROM t WHERE id > 1")
    sums = (
        "SELECT md5(b), md5(w), length(b) FROM {} ORDER BY 1, 2",
        "SELECT id, md5(j::text), md5(ns::text) FROM t ORDER BY 1",
    )
    before = [world.rows(query) for query in (sums[0].format("t"), sums[0].format("bag"), sums[1])]
    snapshot = world.take()
    world.run(
        "UPDATE t SET b = 'x' || b, w = NULL, j = NULL; DELETE FROM bag WHERE ctid::text IN ('(0,1)', '(0,2)', '(0,4)')"
    )
    world.restore(snapshot)
    assert [world.rows(query) for query in (sums[0].format("t"), sums[0].format("bag"), sums[1])] == before
    assert roots(world.take()) == roots(snapshot)


@pytest.mark.skipif(not IS_SOAK, reason="takes minutes and gigabytes: only in the soak (make soak)")
def test_the_largest_cell_comes_back_and_a_row_over_1_gb_is_named(world: World) -> None:
    most = 1_073_700_000
    world.run("CREATE TABLE t (id int PRIMARY KEY, a text, b text)")
    world.run("INSERT INTO t VALUES (1, repeat('é', %s), NULL), (2, repeat('y', 600000000), NULL)", most // 2)
    world.run("UPDATE t SET b = a WHERE id = 2")
    with pytest.raises(Unsupported, match=r"the row \(id\)=\(2\) of public\.t cannot be read"):
        world.take()
    world.run("DELETE FROM t WHERE id = 2")
    snapshot = world.take()
    world.run("UPDATE t SET a = ''")
    world.restore(snapshot)
    assert world.value(f"SELECT a = repeat('é', {most // 2}) FROM t")
