"""For every type of key the server's order is the order of our keys' bytes, and keys bring the cells back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from snap_cli.embedded import EmbeddedServer
from snapstore import keys
from snapstore.rows import Cells, KeyPart
from snapstore.sources import Selection
from snapstore.sources.postgres.connection import connect
from snapstore.sources.postgres.ordering import order_by
from snapstore.sources.postgres.source import PostgresSource
from tests.operations.world import DATABASE_LAW

WORDS = (
    "CASE g % 5 WHEN 0 THEN '' WHEN 1 THEN chr(97 + g % 26) ELSE '' END"
    " || translate(md5(g::text), '01234567', ' \tÄéß日😀~')"
)

# type: an expression of g = 1 … 300, and further values as an array. What is equal to another is dropped.
VALUES = {
    "smallint": ("g * 331 % 65536 - 32768", "{-32768,-1,0,32767}"),
    "integer": ("random() * 4e9 - 2e9", "{-2147483648,-1,0,1,2147483647}"),
    "bigint": ("(random() - 0.5) * 18e18", "{-9223372036854775808,-1,0,9223372036854775807}"),
    "real": ("(random() - 0.5) * 10.0 ^ (random() * 70 - 35)", "{NaN,-Infinity,Infinity,0,1e-45,-1e-45}"),
    "double precision": (
        "(random() - 0.5) * 10.0 ^ (random() * 600 - 300)::int",
        "{NaN,-Infinity,Infinity,-0,5e-324,-5e-324}",
    ),
    "numeric": (
        "(random() - 0.5)::numeric * 10::numeric ^ (random() * 60 - 30)::int",
        "{NaN,-Infinity,Infinity,0,1.50,10000,-10000,9999,0.0001,0.00001,-0.0001,1e100,-1e100,1e-100,99999999,1e8}",
    ),
    "numeric(10,3)": ("(random() - 0.5) * 1e6", "{}"),
    "date": ("'2000-01-01'::date + (random() * 4e6 - 7e5)::int", "{infinity,-infinity,4713-01-01 BC}"),
    "time": ("'00:00'::time + random() * interval '1 day'", "{24:00}"),
    "timestamp": ("'2000-01-01'::timestamp + (random() - 0.5) * interval '4000 years'", "{infinity,-infinity}"),
    "timestamptz": ("now() + (random() - 0.5) * interval '4000 years'", "{infinity,-infinity}"),
    "timetz": ("('00:00'::time + random() * interval '23 hours')::text::timetz", "{24:00+3,23:59-11}"),
    "interval": ("(random() - 0.5) * interval '40 years 3 months 2 days'", "{0,-1 day}"),
    "uuid": ("gen_random_uuid()", "{00000000-0000-0000-0000-000000000000}"),
    "boolean": ("g % 2 = 0", "{}"),
    "oid": ("(random() * 4e9)::int8::oid", "{0,4294967295}"),
    "macaddr": ("left(md5(g::text), 12)::macaddr", "{}"),
    "macaddr8": ("left(md5(g::text), 16)::macaddr8", "{}"),
    "text": (WORDS, '{"",日本語}'),
    "varchar(60)": (WORDS, "{}"),
    "char(40)": (WORDS, '{a,"a\t","a b"}'),
    "name": (WORDS, "{}"),
    '"char"': ("chr(g % 127 + 1)", "{}"),
    "bytea": ("decode(left(md5(g::text), g % 17 * 2), 'hex')", r'{"\\x00","\\x0000","\\x00ff","\\xff","\\xff00"}'),
    "inet": ("('10.0.' || g % 7 || '.' || g % 251 || '/' || 8 + g % 24)::inet", "{::1,::/0}"),
    "cidr": ("('10.' || g % 256 || '.0.0/16')::cidr", "{}"),
    "money": ("((random() - 0.5) * 1e9)::numeric::money", "{}"),
    "bit(12)": ("g::bit(12)", "{}"),
    "varbit": ("g::bit(12)::varbit", "{0,00,1}"),
    "jsonb": ("jsonb_build_array(g, md5(g::text))", "{[],0}"),
    "text[]": ("ARRAY[md5(g::text), NULL, g::text]", ""),
    "int4range": ("int4range(g, g + g % 9 + 1)", '{empty,"(,)"}'),
    "pg_lsn": ("'0/0'::pg_lsn + (random() * 1e15)::int8", "{}"),
    "xid8": ("(g * 7919)::text::xid8", "{}"),
    "tsvector": ("to_tsvector('simple', md5(g::text))", "{}"),
    "mood": ("'sad'::mood", "{Happy,so so,élan}"),
    "score": ("g - 150", "{}"),
    "email": (f"'@' || {WORDS}", "{@}"),
    "vector(3)": ("ARRAY[random() - 0.5, g, 0]::vector", "{}"),
    "halfvec(2)": ("ARRAY[random() - 0.5, -g]::vector::halfvec", "{}"),
    "sparsevec(3)": ("ARRAY[random() - 0.5, 0, g]::vector::sparsevec", '{"{}/3"}'),
    "tsquery": ("to_tsquery('simple', 'a' || g || ' & !b')", '{""}'),
    "numrange": ("numrange(g / 7.0, g)", '{empty,"(,)","[1.0,2]"}'),
    "nummultirange": ("nummultirange(numrange(g / 7.0, g))", '{"{}"}'),
    "tid": ("format('(%s,%s)', g * 7919, g)::tid", "{}"),
    "oidvector": ("(g || ' ' || g * 7919)::oidvector", '{""}'),
    "regclass": ("g::oid::regclass", "{-,pg_class,two}"),
    "grade": ("'Happy'::mood", "{so so,élan}"),
    "mood[]": ("ARRAY[(ARRAY['sad', 'so so'])[1 + g % 2], NULL, 'élan']::mood[]", ""),
    "pair": ("ROW('sad', md5(g::text), g / 7.0)::pair", '{"(,,)","(,\\"\\",1.50)"}'),
    "interval[]": ("ARRAY[g * interval '1 hour', NULL]", ""),
}


def insert(connection: psycopg.Connection[Any], table: str, kind: str) -> None:
    expression, others = VALUES[kind]
    end = "ON CONFLICT DO NOTHING"
    connection.execute(f"INSERT INTO {table} SELECT {expression} FROM generate_series(1, 300) g {end}")
    if others:
        connection.execute(f"INSERT INTO {table} SELECT unnest('{others}'::{kind}[]) {end}")


TYPES = (
    "CREATE TYPE mood AS ENUM ('sad', 'Happy', 'so so', 'élan');"
    "CREATE DOMAIN grade AS mood; CREATE TYPE pair AS (m grade, t text, n numeric);"
    "CREATE DOMAIN score AS int2;"
    "CREATE DOMAIN email_base AS text; CREATE DOMAIN email AS email_base CHECK (value LIKE '@%')"
)


@pytest.fixture(scope="module")
def typed(server: EmbeddedServer) -> Iterator[str]:
    """The URL of a database with the types; each test drops its tables."""
    url = server.create_database("ordering")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector;" + TYPES)
    yield url
    server.drop_database("ordering")


@pytest.mark.parametrize("kind", VALUES)
def test_rows_of_every_type_of_key_are_read_in_order_and_whole(typed: str, kind: str) -> None:
    url = typed
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS one, two")
        # The type may lead a key (escaped, terminated) or end it. The view raises where bytes are out of order.
        connection.execute(f"CREATE TABLE one (k {kind} PRIMARY KEY)")
        connection.execute(f"CREATE TABLE two (k {kind}, n int, t text, PRIMARY KEY (k, n, t))")
        insert(connection, "one", kind)
        connection.execute("INSERT INTO two SELECT k, g, 'x' || g FROM one, generate_series(-1, 1) g")
        expected = {name: connection.execute(f"SELECT {name}::text FROM {name}").fetchall() for name in ("one", "two")}
    assert len(expected["one"]) >= 2
    with PostgresSource(url).view(Selection()) as view:
        for table in view.tables:
            batches = list(view.read(table))
            assert sum(map(len, batches)) == len(expected[table.definition["name"]])
            for batch in batches:
                again = keys.encode(table.key, keys.decode_equal(table.key, batch.keys))
                assert again.to_list() == batch.keys.to_list()
                assert all(len(cells) == len(batch) for cells in batch.columns)


floats = st.floats(width=32).map(repr)
words = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
# type: its values as text.
RANDOM: dict[str, st.SearchStrategy[str]] = {
    "smallint": st.integers(-(2**15), 2**15 - 1).map(str),
    "integer": st.integers(-(2**31), 2**31 - 1).map(str),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "real": floats,
    "double precision": st.floats().map(repr),
    "numeric": st.decimals(allow_infinity=False, allow_nan=False, places=3).map(str)
    | st.sampled_from(["NaN", "Infinity", "1.0", "1.000"]),
    "boolean": st.sampled_from(["t", "f"]),
    "text": words | st.just("long" * 300),
    "varchar(20)": words,
    "name": st.text("abcXYZ_", max_size=9),
    "bytea": st.binary(max_size=20).map(lambda own: "\\x" + own.hex()),
    "uuid": st.uuids().map(str),
    "date": st.dates().map(str) | st.sampled_from(["infinity", "0044-03-15 BC"]),
    "time": st.times().map(str) | st.just("24:00"),
    "timestamp": st.datetimes().map(str),
    "timestamptz": st.datetimes().map(lambda own: f"{own}+00") | st.sampled_from(["-infinity", "4714-11-24 BC"]),
    "oid": st.integers(0, 2**32 - 1).map(str),
}
# How the server itself orders them, said without any of our own words.
COLLATED = ("text", "varchar(20)", "name")


@DATABASE_LAW
@given(st.lists(st.sampled_from(sorted(RANDOM)), min_size=1, max_size=3), st.data())
def test_random_keys_stand_in_the_order_of_the_server(typed: str, kinds: list[str], data: st.DataObject) -> None:
    found = data.draw(st.lists(st.tuples(*(RANDOM[kind] for kind in kinds)), max_size=30))
    names = ", ".join(f"k{at}" for at in range(len(kinds)))
    columns = ", ".join(f"k{at} {kind}" for at, kind in enumerate(kinds))
    order = ", ".join(f"k{at}" + ' COLLATE "C"' * (kind in COLLATED) for at, kind in enumerate(kinds))
    with psycopg.connect(typed, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS one, two")
        connection.execute(f"CREATE TABLE two ({columns}, number text, PRIMARY KEY ({names}))")
        values = ", ".join(f"%s::text::{kind}" for kind in kinds)
        with connection.cursor() as cursor:
            statement = f"INSERT INTO two VALUES ({values}, %s) ON CONFLICT DO NOTHING"
            cursor.executemany(statement, [(*own, str(at)) for at, own in enumerate(found)])
        expected = [number for (number,) in connection.execute(f"SELECT number FROM two ORDER BY {order}").fetchall()]
    with PostgresSource(typed).view(Selection(tables=("two",))) as view:
        (table,) = view.tables
        batches = list(view.read(table))
    numbers = [cell.decode() for one in batches for cell in one.columns[table.column("number")].to_list() if cell]
    assert numbers == expected
    encoded = [key for one in batches for key in one.keys.to_list() if key]
    assert encoded == sorted(encoded)


@pytest.mark.parametrize("kind", ["numeric", "real", "double precision"])
def test_what_a_key_loses_is_still_equal_to_the_server(database: str, kind: str) -> None:
    """A row is found again by the cell that its key gives, though -0, NaN and scale are gone."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE t (k {kind} PRIMARY KEY)")
        insert(connection, "t", kind)
    found = 0
    with PostgresSource(database).view(Selection()) as view, connect(database) as connection:
        (table,) = view.tables
        for batch in view.read(table):
            (cells,) = keys.decode_equal(table.key, batch.keys)
            for cell in cells.to_list():
                assert cell is not None
                result = connection.pgconn.exec_params(
                    f"SELECT 1 FROM t WHERE k = $1::{kind}".encode(), [cell], param_formats=[1]
                )
                found += result.ntuples
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (found,)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_text_keys_are_in_order_in_databases_that_are_not_utf8(database: str, encoding: str) -> None:
    name = f"other_{encoding.lower()}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    try:
        # In EUC_JP the order of bytes is not that of code points.
        words = {"LATIN1": "zéÿaß ñ", "EUC_JP": "日本語あアa漢亜一", "SQL_ASCII": "zéÿ日a"}[encoding]
        url = psycopg.conninfo.make_conninfo(database, dbname=name)
        with psycopg.connect(url, autocommit=True, client_encoding="UTF8") as connection:
            connection.execute("CREATE TABLE t (k text PRIMARY KEY, c text, n name)")
            for one in words:
                connection.execute("INSERT INTO t VALUES (%s, %s, %s)", (one, one, one))
        with PostgresSource(url).view(Selection()) as view:
            (batch,) = view.read(view.tables[0])
        assert batch.keys.to_list() == sorted(one.encode() for one in words)
        assert batch.columns[0].to_list() == batch.keys.to_list()
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} (FORCE)")


@pytest.mark.parametrize(
    ("part", "send", "encoding", "said"),
    [
        (KeyPart('we"ird', "pg_catalog.int8", "int8"), "int8send", "UTF8", '"we""ird"'),
        (KeyPart("k", "pg_catalog.bytea", "bytes"), "byteasend", "UTF8", '"k"'),
        (KeyPart("k", "pg_catalog.text", "bytes"), "textsend", "UTF8", '"k" COLLATE pg_catalog."C"'),
        (KeyPart("k", "pg_catalog.text", "bytes"), "textsend", "LATIN1",
         "pg_catalog.convert_to(\"k\"::pg_catalog.text, 'UTF8')"),
        (KeyPart("k", "pg_catalog.bpchar", "bytes"), "bpcharsend", "UTF8", 'pg_catalog.bpcharsend("k")'),
        (KeyPart("k", "public.citext", "bytes"), "public.citextsend", "UTF8", 'public.citextsend("k")'),
    ],
)  # fmt: skip
def test_the_order_is_asked_for_so_that_indexes_can_serve_it(
    part: KeyPart, send: str, encoding: str, said: str
) -> None:
    assert sql.SQL("").join([order_by(part, send=send, encoding=encoding)]).as_string() == said


def test_keys_of_many_columns_stand_in_the_order_of_the_server(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (a text, b bytea, c numeric, d real, e int, note text, PRIMARY KEY (a, c, b, d, e))"
        )
        connection.execute(
            "INSERT INTO t SELECT left('aab', g % 4), decode(repeat('00', g % 3), 'hex'), g % 5 / 10.0, g % 2, g,"
            " g::text FROM generate_series(1, 20000) g"
        )
    with PostgresSource(database).view(Selection()) as view:
        (table,) = view.tables
        batches = list(view.read(table))
        assert len(batches) > 1
        notes = Cells.concat([batch.columns[table.column("note")] for batch in batches]).to_list()
    with psycopg.connect(database) as connection:
        expected = connection.execute('SELECT note FROM t ORDER BY a COLLATE "C", c, b, d, e').fetchall()
    assert notes == [note.encode() for (note,) in expected]
