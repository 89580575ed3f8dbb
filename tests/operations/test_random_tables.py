"""Tables nobody thought of: any names, types, keys or none, constraints and rows; taken, dropped, restored, identical.

A few in the bounded profile, thousands in the soak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from snapstore.operations.plan import Mode
from tests.operations.world import DATABASE_LAW, World, roots

SCHEMA = "ran dom"

TYPES = """
DROP SCHEMA IF EXISTS "ran dom" CASCADE; CREATE SCHEMA "ran dom"; SET search_path = "ran dom";
CREATE TYPE mood AS ENUM ('sad', 'o''k', 'ü'); CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TYPE pair AS (m mood, t text, ns small[]); CREATE TYPE span AS RANGE (subtype = float8);
"""

words = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=15).filter(
    lambda name: len(name.encode()) < 40
)


def quoted(word: str | None) -> str:
    """An element of an array or a field of a composite, as its text form has it."""
    return "NULL" if word is None else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def arrays(elements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.none() | elements, max_size=4).map(lambda own: "{" + ",".join(map(quoted, own)) + "}")


moods = st.sampled_from(["sad", "o'k", "ü"])
small = st.integers(-5, 99).map(str)
floats = st.floats(width=32).map(repr)
numbers = st.decimals(allow_infinity=False, allow_nan=False, places=3).map(str) | st.sampled_from(
    ["NaN", "Infinity", "1.0", "1.000"]
)
pairs = st.tuples(st.none() | moods, st.none() | words, st.none() | arrays(small)).map(
    lambda own: "(" + ",".join("" if one is None else quoted(one) for one in own) + ")"
)
vectors = st.lists(st.floats(-9, 9, width=16), min_size=1, max_size=4).map(str)

VALUES: dict[str, st.SearchStrategy[str]] = {
    "smallint": st.integers(-(2**15), 2**15 - 1).map(str),
    "integer": st.integers(-(2**31), 2**31 - 1).map(str),
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "real": floats,
    "double precision": st.floats().map(repr),
    "numeric": numbers,
    "numeric(12,3)": st.decimals(-9999, 9999, places=3).map(str),
    "boolean": st.sampled_from(["t", "f"]),
    "text": words | st.just("long" * 300),
    'text COLLATE "C"': words,
    "varchar(20)": words,
    "char(5)": st.text("abc \t", max_size=5),
    '"char"': st.sampled_from(["a", " ", "Z"]),
    "name": st.text("abcXYZ_", max_size=9),
    "bytea": st.binary(max_size=20).map(lambda own: "\\x" + own.hex()),
    "uuid": st.uuids().map(str),
    "date": st.dates().map(str) | st.sampled_from(["infinity", "0044-03-15 BC"]),
    "time": st.times().map(str) | st.just("24:00"),
    "timestamp": st.datetimes().map(str),
    "timestamptz": st.datetimes().map(lambda own: f"{own}+00") | st.sampled_from(["-infinity", "4714-11-24 BC"]),
    "interval": st.sampled_from(["1 day", "24:00", "1 mon -1 day +00:00:00.000001", "-178000000 years"]),
    "json": st.sampled_from(['{"a" : 1}', '{"a":1,"a":2}', '"\\u0000"', "1e400"]),
    "jsonb": st.sampled_from(['{"b": [1, 1.10]}', "null", "{}"]),
    "inet": st.ip_addresses().map(str),
    "bit varying": st.text("01", max_size=12),
    "point": st.sampled_from(["(1,2)", "(-0,NaN)"]),
    "money": st.sampled_from(["-1.25", "0"]),
    "oid": st.integers(0, 2**32 - 1).map(str),
    "tsvector": st.sampled_from(["'a':1A,2 'b'", ""]),
    "int4range": st.sampled_from(["[1,5)", "empty", "(,)"]),
    "regclass": st.sampled_from(["pg_class", '"ran dom".mood_table', "-"]),
    "integer[]": arrays(st.integers(-9, 9).map(str)) | st.just("[0:1][2:2]={{1},{NULL}}"),
    "text[]": arrays(words),
    "mood": moods,
    "mood[]": arrays(moods),
    "small": small,
    "small[]": arrays(small),
    "pair": pairs,
    "pair[]": arrays(pairs),
    "span": st.sampled_from(["[1,2.5)", "empty"]),
    "vector": vectors,
    "halfvec": vectors,
    "vector[]": arrays(vectors),
    "sparsevec": st.sampled_from(["{1:0.5}/3", "{}/2"]),
}
# Types without a default order, which no unique index can have.
NO_KEY = {"json", "point", "sparsevec"} | {"vector[]"}


@dataclass(frozen=True)
class Drawn:
    """A table: its columns (name, type, whether NULL is allowed), the places of its key, and rows as text."""

    name: str
    columns: Sequence[tuple[str, str, bool]]
    key: Sequence[int]
    is_primary: bool
    rows: Sequence[tuple[str | None, ...]]


@st.composite
def tables(draw: st.DrawFn) -> Drawn:
    titles = draw(st.lists(names, max_size=6, unique=True))
    columns = []
    for title in titles:
        kind = draw(st.sampled_from(sorted(VALUES)))
        columns.append((title, kind, draw(st.booleans())))
    can = [at for at, (_, kind, _) in enumerate(columns) if kind not in NO_KEY]
    key: list[int] = []
    has_key = draw(st.booleans())
    if can and has_key:
        key = draw(st.lists(st.sampled_from(can), max_size=3, unique=True))
    columns = [(title, kind, is_null and at not in key) for at, (title, kind, is_null) in enumerate(columns)]
    row = st.tuples(*(VALUES[kind] if not is_null else st.none() | VALUES[kind] for _, kind, is_null in columns))
    rows = draw(st.lists(row, max_size=8))
    repeats = draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else []
    return Drawn(draw(names), columns, key, draw(st.booleans()), [*rows, *repeats])


def make(connection: psycopg.Connection[object], table: Drawn) -> None:
    place = sql.Identifier(SCHEMA, table.name)
    told = [
        sql.SQL("{} {} {}").format(sql.Identifier(name), sql.SQL(kind), sql.SQL("" if is_null else "NOT NULL"))
        for name, kind, is_null in table.columns
    ]
    if table.key:
        parts = sql.SQL(", ").join(sql.Identifier(table.columns[at][0]) for at in table.key)
        told.append(sql.SQL("PRIMARY KEY ({})" if table.is_primary else "UNIQUE ({})").format(parts))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(place, sql.SQL(", ").join(told)))
    for row in table.rows:
        casts = [
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(kind.split(" COLLATE")[0]))
            for value, (_, kind, _) in zip(row, table.columns, strict=True)
        ]
        values = sql.SQL("VALUES ({})").format(sql.SQL(", ").join(casts)) if casts else sql.SQL("DEFAULT VALUES")
        # A row whose key is there already is not there twice.
        connection.execute(sql.SQL("INSERT INTO {} {} ON CONFLICT DO NOTHING").format(place, values))


@DATABASE_LAW
@given(st.lists(tables(), min_size=1, max_size=3, unique_by=lambda table: table.name), st.data())
def test_any_table_comes_back(
    world: World, pg_dump: Callable[..., str], drawn: list[Drawn], data: st.DataObject
) -> None:
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
        connection.execute(TYPES)
        connection.execute('SET search_path = "ran dom", public; CREATE TABLE mood_table (m mood)')
        for table in drawn:
            make(connection, table)
    # A name with a line end in it hides where the rows begin, so all lines are sorted.
    before = sorted(pg_dump(world.url).split("\n"))
    snapshot = world.take()
    if data.draw(st.booleans(), label="whole"):
        world.run('DROP SCHEMA "ran dom" CASCADE')
    else:
        with psycopg.connect(world.url, autocommit=True) as connection:
            for table in drawn:
                place = sql.Identifier(SCHEMA, table.name)
                connection.execute(
                    sql.SQL("DELETE FROM {} WHERE ctid::text LIKE '%1)' OR ctid::text LIKE '%3)'").format(place)
                )
                if not table.key and table.rows:
                    connection.execute(sql.SQL("INSERT INTO {0} SELECT * FROM {0}").format(place))
    world.restore(snapshot, Mode.EXACT)
    assert sorted(pg_dump(world.url).split("\n")) == before
    assert roots(world.take()) == roots(snapshot)
