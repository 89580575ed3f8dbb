"""What is held, how wide, and what is refused by name: checked against the server's own list of types."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from snapstore.errors import Unsupported
from snapstore.rows import Column, KeyPart
from snapstore.sources.postgres.forms import read_types
from snapstore.sources.postgres.types import key_part, stored_column

# A value of every built-in type that is held.
SAMPLES = {
    "bool": "t", "char": "x", "int2": "1", "int4": "1", "int8": "1", "float4": "1", "float8": "1", "money": "1",
    "oid": "1", "xid": "1", "cid": "1", "xid8": "1", "tid": "(0,1)", "pg_lsn": "0/1",
    "uuid": "b5f3bd6a-0000-4000-8000-000000000000",
    "macaddr": "08:00:2b:01:02:03", "macaddr8": "08:00:2b:01:02:03:04:05",
    "date": "2000-01-01", "time": "01:02", "timetz": "01:02+00", "timestamp": "2000-01-01", "timestamptz": "2000-01-01",
    "interval": "1 day", "point": "(1,2)", "lseg": "[(1,2),(3,4)]", "box": "(1,2),(3,4)", "line": "{1,2,3}",
    "circle": "<(1,2),3>", "text": "a", "varchar": "a", "bpchar": "a", "name": "a", "bytea": "a", "json": "1",
    "jsonb": "1", "jsonpath": "$", "xml": "<a/>", "numeric": "1", "bit": "1", "varbit": "1", "inet": "::1",
    "cidr": "10.0.0.0/8", "path": "[(1,2)]", "polygon": "((1,2))", "tsvector": "a", "tsquery": "a", "refcursor": "a",
    "int2vector": "1 2", "oidvector": "1 2", "txid_snapshot": "1:1:", "pg_snapshot": "1:1:",
    "int4range": "[1,2)", "int8range": "[1,2)", "numrange": "[1,2)", "tsrange": "empty", "tstzrange": "empty",
    "daterange": "empty", "int4multirange": "{}", "int8multirange": "{}", "nummultirange": "{}", "tsmultirange": "{}",
    "tstzmultirange": "{}", "datemultirange": "{}",
}  # fmt: skip


def test_the_width_of_every_built_in_type_is_the_length_of_its_binary_form(database: str) -> None:
    with psycopg.connect(database) as connection:
        for name, text in SAMPLES.items():
            cursor = connection.cursor(binary=True)
            value = sql.SQL("SELECT {}::pg_catalog.{}").format(sql.Literal(text), sql.Identifier(name))
            try:
                cursor.execute(value)
            except psycopg.errors.FeatureNotSupported:  # a server built without XML
                assert name == "xml"
                connection.rollback()
                continue
            assert cursor.pgresult is not None
            cell = cursor.pgresult.get_value(0, 0)
            assert cell is not None
            column = stored_column("c", f"pg_catalog.{name}")
            assert column == Column("c", f"pg_catalog.{name}", column.width)
            assert column.width in (0, len(cell)), name


def test_built_in_types_are_held_as_they_are_sent_or_as_text(database: str) -> None:
    """As text are those whose binary form is an OID, and those that have none."""
    query = (
        "SELECT oid::int8, typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace"
        " AND typtype IN ('b', 'r', 'm') AND (typcategory <> 'A' OR typname IN ('int2vector', 'oidvector'))"
    )
    texts = {"aclitem", "tsquery", "int2vector", "oidvector"}
    refused = {"gtsvector", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "pg_node_tree"}
    refused |= {"pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"}
    with psycopg.connect(database) as connection:
        for oid, name in connection.execute(query).fetchall():
            connection.execute("DROP TABLE IF EXISTS t")
            try:
                connection.execute(sql.SQL("CREATE TABLE t (c pg_catalog.{})").format(sql.Identifier(name)))
            except psycopg.errors.FeatureNotSupported:
                continue
            relation = connection.execute("SELECT 't'::regclass::oid::int8").fetchone()
            assert relation is not None
            if name in refused:
                with pytest.raises(Unsupported, match=f"the server reads no value of {name} back"):
                    read_types(connection, [relation[0]]).form(oid)
                with pytest.raises(psycopg.Error, match="cannot accept a value"):
                    connection.execute(sql.SQL("SELECT ''::{}").format(sql.Identifier(name)))
                connection.rollback()
                continue
            form = read_types(connection, [relation[0]]).form(oid).kind
            assert form == ("text" if name in texts or name.startswith("reg") else "binary"), name


def test_vectors_are_known_by_their_extension() -> None:
    assert stored_column("a", "public.vector", extension="vector").stride == 4
    assert stored_column("a", "ai.halfvec", extension="vector").stride == 2
    assert stored_column("a", "public.sparsevec", extension="vector").stride == 1
    assert stored_column("a", "public.vector").stride == 1


def test_arrays_of_built_in_types_enums_and_extension_types_are_held() -> None:
    array = stored_column("tags", "pg_catalog._text")
    assert array == Column("tags", "pg_catalog._text")
    assert stored_column("mood", "public.mood") == Column("mood", "public.mood")
    assert stored_column("h", "public.hstore", extension="hstore") == Column("h", "public.hstore")
    assert stored_column("i", "public.int4").width == 0


@pytest.mark.parametrize(
    ("base_type", "encoding", "lossless"),
    [
        ("int2", "int2", True), ("int4", "int4", True), ("int8", "int8", True), ("date", "int4", True),
        ("time", "int8", True), ("timestamp", "int8", True), ("timestamptz", "int8", True), ("uuid", "fixed16", True),
        ("bool", "fixed1", True), ("oid", "fixed4", True), ("macaddr", "fixed6", True), ("macaddr8", "fixed8", True),
        ("text", "bytes", True), ("bpchar", "bytes", True), ("bytea", "bytes", True), ("inet", "bytes", True),
        ("_text", "bytes", True), ("float4", "float4", False), ("float8", "float8", False),
        ("numeric", "numeric", False),
    ],
)  # fmt: skip
def test_types_stand_in_keys_as_the_format_says(base_type: str, encoding: str, lossless: bool) -> None:
    full = f"pg_catalog.{base_type}"
    assert key_part("id", full) == KeyPart("id", full, encoding, lossless)
