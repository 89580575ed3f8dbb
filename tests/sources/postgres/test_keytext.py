"""A key written by a person is the key the server's row has: every type, from the text the server itself writes."""

from __future__ import annotations

import psycopg
import pytest

from snapstore.errors import Invalid
from snapstore.rows import KeyPart, Table
from snapstore.sources import Selection
from snapstore.sources.postgres.keytext import parse_key
from snapstore.sources.postgres.source import PostgresSource

VALUES = [
    ("smallint", "-32768"),
    ("integer", "17"),
    ("bigint", "-9223372036854775808"),
    ("oid", "4294967295"),
    ("text", "a, b:c \u00e9 \t"),
    ("varchar(9)", "x"),
    ("character(7)", "abc"),
    ("name", "somebody"),
    ("boolean", "t"),
    ("boolean", "false"),
    ("uuid", "f47ac10b-58cc-4372-a567-0e02b2c3d479"),
    ("bytea", "\\x00ff10"),
    ("real", "0.1"),
    ("double precision", "-1e-300"),
    ("double precision", "Infinity"),
    ("numeric", "0"),
    ("numeric", "12345678901234567890.000000001"),
    ("numeric", "-0.00001"),
    ("numeric", "1e40"),
    ("numeric(10,4)", "10000.5000"),
    ("numeric", "NaN"),
    ("numeric", "-Infinity"),
    ("date", "1999-12-31"),
    ("date", "infinity"),
    ("time", "24:00:00"),
    ("time", "23:59:59.000001"),
    ("timestamp", "2026-01-31 14:30:00.123456"),
    ("timestamp", "-infinity"),
    ("timestamptz", "2026-01-31 14:30:00+02:00"),
    ("timestamptz", "1970-01-01"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("macaddr8", "08:00:2b:01:02:03:04:05"),
    ("regclass", "pg_class"),
    ("tsquery", "'a' & 'b'"),
    ("oidvector", "1 4294967295"),
]


@pytest.mark.parametrize(("declared", "text"), VALUES)
def test_a_typed_key_finds_the_row(database: str, declared: str, text: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute(f"CREATE TABLE t (k {declared} PRIMARY KEY)".encode())
        connection.execute(f"INSERT INTO t VALUES (%s::{declared})".encode(), (text,))
    assert key_of(database) == parse_key(table_of(database), text)


def test_an_enum_is_its_label_and_a_domain_what_it_stands_for(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('calm', 'cross'); CREATE DOMAIN id AS integer")
        connection.execute("CREATE TABLE t (m mood, i id, PRIMARY KEY (m, i)); INSERT INTO t VALUES ('cross', 7)")
    assert key_of(database) == parse_key(table_of(database), "cross,7")


def test_parts_with_commas_and_quotes_are_written_as_csv(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t (a text, b text, PRIMARY KEY (b, a)); INSERT INTO t VALUES ('x', 'say \"a, b\"')"
        )
    assert key_of(database) == parse_key(table_of(database), '"say ""a, b""",x')


def test_a_type_without_a_plain_form_is_given_as_its_bytes() -> None:
    table = Table("t", (KeyPart("k", "pg_catalog.inet", "bytes"),), ())
    assert parse_key(table, "\\x02200004c0000201") == bytes.fromhex("02200004c0000201")
    with pytest.raises(Invalid, match="inet"):
        parse_key(table, "192.0.2.1")


@pytest.mark.parametrize(
    ("kind", "encoding", "text"),
    [
        ("int4", "int4", "x"),
        ("int4", "int4", "2147483648"),
        ("int4", "int4", "1,2x"),
        ("uuid", "fixed16", "1"),
        ("bool", "fixed1", "maybe"),
        ("date", "int4", "2026-02-30"),
        ("timestamp", "int8", "2026-01-01T00:00:00Z"),
        ("numeric", "numeric", "1e999999"),
        ("numeric", "numeric", "one"),
        ("bytea", "bytes", "\\xabc"),
        ("macaddr", "fixed6", "08:00"),
        ("float8", "float8", "fast"),
    ],
)
def test_what_is_no_value_of_the_type_is_refused_with_the_form_of_the_key(kind: str, encoding: str, text: str) -> None:
    table = Table("public.t", (KeyPart("k", f"pg_catalog.{kind}", encoding),), ())
    with pytest.raises(Invalid) as caught:
        parse_key(table, text)
    assert f"<k {kind}>" in caught.value.hint


def table_of(url: str) -> Table:
    with PostgresSource(url).view(Selection()) as view:
        return view.tables[0]


def key_of(url: str) -> bytes | None:
    with PostgresSource(url).view(Selection()) as view:
        return next(iter(view.read(view.tables[0]))).keys[0]
