"""Tables nobody thought of, as SQL: any names, types, keys or none, constraints, indexes, partitions, heirs and rows.

    schema = Schema([7, 99])        # each table from a seed of its own, so that fewer seeds are fewer tables
    schema.definitions, schema.rows, schema.endings

What is drawn is always valid but for rows, which may break a constraint and are then not there.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

NAME = "ran dom"

TYPES = """
CREATE SCHEMA "ran dom"; CREATE TYPE "ran dom".mood AS ENUM ('sad', 'o''k', 'ü');
CREATE DOMAIN "ran dom".small AS int CHECK (VALUE < 100);
CREATE DOMAIN "ran dom"."d""m" AS text COLLATE "C" DEFAULT 'd' NOT NULL CHECK (VALUE <> 'never');
CREATE TYPE "ran dom".pair AS (m "ran dom".mood, t text, ns "ran dom".small[]);
CREATE TYPE "ran dom".span AS RANGE (subtype = float8, multirange_type_name = "ran dom".spans);
CREATE TABLE "ran dom".mood_table (m "ran dom".mood);
CREATE FUNCTION "ran dom".touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
"""

# What stands between quotes, comments and parameters, and what people's languages have.
PIECES = [
    *"aB_9 \"'\\\n\t\r%{}$.,;:@#()[]*?!\x7f", "--", "/*", "*/", "$$", "::", "%s", "\\.", "\\n", "select", "Table",
    "NULL", "é", "ß", "İ", "漢", "🙂", "\u200d", "\u202e", "e\u0301", "\ufeff",
]  # fmt: skip


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    if text is None:
        return "NULL"
    return ("E'" if "\\" in text else "'") + text.replace("\\", "\\\\").replace("'", "''") + "'"


def words(random: Random, most: int = 8) -> str:
    return "".join(random.choices(PIECES, k=random.randint(0, most)))


def title(random: Random) -> str:
    """A name; one in eight as long as names can be, where what the server makes of it is cut."""
    name = "".join(random.choices(PIECES, k=random.randint(1, 6)))
    name = name * 63 if random.random() < 0.12 else name
    name = name.encode()[: 63 if len(name) > 40 else 40].decode(errors="ignore") or "x"
    # The server makes up names for arrays by underscores, and gives up where there is nothing else.
    return name if name.strip("_") else f"x{name[1:]}"


def one_of(*values: str) -> Callable[[Random], str]:
    return lambda random: random.choice(values)


def whole(low: int, high: int) -> Callable[[Random], str]:
    return lambda random: str(random.choice([low, high, 0, 1, random.randint(low, high)]))


def element(value: str | None) -> str:
    """An element of an array or a field of a composite, as its text form has it."""
    return "NULL" if value is None else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def array(of: Callable[[Random], str]) -> Callable[[Random], str]:
    def draw(random: Random) -> str:
        held = [None if random.random() < 0.2 else of(random) for _ in range(random.randint(0, 4))]
        return "{" + ",".join(map(element, held)) + "}"

    return draw


def pair(random: Random) -> str:
    parts = [random.choice([None, "sad", "o'k"]), random.choice([None, words(random)]), array(small)(random)]
    return "(" + ",".join("" if part is None else element(part) for part in parts) + ")"


def moment(random: Random) -> str:
    start = datetime.datetime(1, 1, 1, tzinfo=datetime.UTC)
    return str(start + datetime.timedelta(microseconds=random.randint(0, 300_000_000_000_000_000)))


def real(random: Random) -> str:
    return random.choice(["NaN", "-Infinity", "-0", "1e-40", "3.4e38", repr(random.uniform(-1e6, 1e6))])


def vector(random: Random) -> str:
    return str([round(random.uniform(-9, 9), 3) for _ in range(3)])


small = whole(-5, 99)
moods = one_of("sad", "o'k", "ü")
floats = one_of("[1,2.5)", "empty", "(,)", "[-Infinity,0]")

VALUES: dict[str, Callable[[Random], str]] = {
    "smallint": whole(-(2**15), 2**15 - 1),
    "integer": whole(-(2**31), 2**31 - 1),
    "bigint": whole(-(2**63), 2**63 - 1),
    "real": real,
    "double precision": lambda random: random.choice([real(random), "5e-324", "1.7976931348623157e308"]),
    "numeric": one_of("NaN", "Infinity", "1.0", "1.000", "-0.00", "1e-30", "9" * 200),
    "numeric(12,3)": lambda random: str(round(random.uniform(-9999, 9999), 3)),
    "boolean": one_of("t", "f"),
    "text": lambda random: random.choice([words(random), "long" * 400, ""]),
    'text COLLATE "C"': words,
    "varchar(40)": lambda random: words(random)[:40],
    "char(5)": one_of("", "a", "a\t", " b"),
    '"char"': one_of("a", " ", "Z"),
    "name": lambda random: title(random)[:15],
    "bytea": lambda random: "\\x" + random.randbytes(random.choice([0, 3, 20, 900])).hex(),
    "uuid": lambda random: str(uuid.UUID(int=random.getrandbits(128))),
    "date": one_of("infinity", "0044-03-15 BC", "2024-02-29"),
    "time": one_of("24:00", "00:00:00.000001"),
    "timetz": one_of("24:00+15:59", "12:00-08"),
    "timestamp": lambda random: moment(random)[:26],
    "timestamptz": lambda random: random.choice([moment(random), "-infinity", "4714-11-24 BC"]),
    "interval": one_of("1 day", "24:00", "1 mon -1 day +00:00:00.000001", "-178000000 years"),
    "json": one_of('{"a" : 1}', '{"a":1,"a":2}', '"\\u0000"', "1e400"),
    "jsonb": one_of('{"b": [1, 1.10]}', "null", "{}"),
    "jsonpath": one_of("$.a[*] ? (@ > 1)", "strict $"),
    "inet": one_of("10.0.0.1/8", "::1", "2001:db8::/32"),
    "macaddr8": one_of("08:00:2b:01:02:03:04:05"),
    "bit varying": one_of("", "1", "0101010101"),
    "bit(3)": one_of("101", "000"),
    "point": one_of("(1,2)", "(-0,NaN)"),
    "box": one_of("(1,2),(0,0)"),
    "path": one_of("[(1,2),(3,4)]", "((1,2))"),
    "money": one_of("-1.25", "0"),
    "oid": whole(0, 2**32 - 1),
    "pg_lsn": one_of("0/0", "FF/FFFFFFFF"),
    "tsvector": one_of("'a':1A,2 'b'", ""),
    "tsquery": one_of("'a' & !'b'", ""),
    "int2vector": one_of("", "1 -2"),
    "oidvector": one_of("", "1 4000000000"),
    "tsquery[]": array(one_of("'a' & !'b'", "")),
    "int4range": one_of("[1,5)", "empty", "(,)", "[7,9)"),
    "int8multirange": one_of("{[1,5),[7,9)}", "{}", "{(,)}"),
    "tstzrange": one_of("[2024-01-01 00:00+00,)", "empty"),
    "regclass": one_of("pg_class", '"ran dom".mood_table', "-"),
    "regtype": one_of('"ran dom".mood', "integer[]"),
    "integer[]": lambda random: random.choice([array(whole(-9, 9))(random), "[0:1][2:2]={{1},{NULL}}"]),
    "text[]": array(words),
    "timestamptz[]": array(moment),
    "int4range[]": array(one_of("[1,5)", "empty")),
    '"ran dom".mood': moods,
    '"ran dom".mood[]': array(moods),
    '"ran dom".small': small,
    '"ran dom".small[]': array(small),
    '"ran dom"."d""m"': lambda random: words(random) + "x",
    '"ran dom".pair': pair,
    '"ran dom".pair[]': array(pair),
    '"ran dom".span': floats,
    '"ran dom".span[]': array(floats),
    '"ran dom".spans': one_of("{[1,2.5)}", "{}", "{(,0),[1,1]}"),
    "public.vector": vector,
    "public.vector(3)": vector,
    "public.halfvec(3)": vector,
    "public.vector[]": array(vector),
    "public.sparsevec(3)": one_of("{1:0.5}/3", "{}/3"),
}  # fmt: skip

# Types without a default order, which no key can have, and those that may not be unique or referred to.
NO_ORDER = {"json", "jsonpath", "point", "box", "path", "public.sparsevec(3)", "public.vector[]"}
NO_KEY = NO_ORDER | {one for one in VALUES if "regclass" in one or "regtype" in one or "pair" in one or 'd""m' in one}
INTEGERS = ("smallint", "integer", "bigint")
RANGES = ("int4range", "tstzrange", '"ran dom".span')


@dataclass
class Column:
    name: str
    kind: str
    not_null: bool = False
    identity: bool = False
    generated: bool = False
    refers: tuple[str, str] | None = None

    @property
    def is_given(self) -> bool:
        """Whether rows say what stands there."""
        return not (self.identity or self.generated)

    @property
    def bare(self) -> str:
        return self.kind.partition(" COLLATE")[0]


@dataclass
class Drawn:
    """A table: its columns, the key that others may refer to, and whether it may have heirs."""

    name: str
    columns: list[Column] = field(default_factory=list)
    key: tuple[Column, ...] = ()
    is_plain: bool = True

    @property
    def place(self) -> str:
        return f"{quoted(NAME)}.{quoted(self.name)}"


class Schema:
    """A schema of tables drawn one after the other. `definitions` make it; `rows` may fail one by one."""

    def __init__(self, seeds: Iterable[object]) -> None:
        self.definitions: list[str] = [TYPES]
        self.rows: list[str] = []
        self.endings: list[str] = []
        self.tables: list[Drawn] = []
        self._names: set[str] = {"mood_table", "mood", "small", 'd"m', "pair", "span", "spans", "touch"}
        for seed in seeds:
            self._random = Random(str(seed))
            self._draw()

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _name(self) -> str:
        """A name that nothing else in the schema has."""
        while (name := title(self._random)) in self._names:
            pass
        self._names.add(name)
        return name

    def _draw(self) -> None:
        random = self._random
        table = Drawn(self._name())
        kind = random.choices(["plain", "unlogged", "partitioned", "heir"], [70, 5, 15, 10])[0]
        parents = [one for one in self.tables if one.is_plain]
        inherited: list[Column] = []
        above = ""
        if kind == "heir" and parents:
            parent = random.choice(parents)
            above = f" INHERITS ({parent.place})"
            inherited = [Column(one.name, one.kind, one.not_null, generated=one.generated) for one in parent.columns]
            # An identity is not inherited, but that it may not be NULL is.
            for mine, theirs in zip(inherited, parent.columns, strict=True):
                mine.not_null = mine.not_null or theirs.identity
        taken = {one.name for one in inherited}
        told = []
        for _ in range(random.randint(0, 7)):
            name = title(random)
            if name in taken:
                continue
            taken.add(name)
            column = Column(name, random.choice(sorted(VALUES)), not_null=self._chance(0.25))
            table.columns.append(column)
            told.append(self._column(column, table, kind))
        own = [*inherited, *table.columns]
        how = split = ""
        if kind == "partitioned":
            table.is_plain = False
            by = Column("part key", random.choice(["integer", "text"]), not_null=True)
            own.append(by)
            told.append('"part key" ' + by.kind + " NOT NULL")
            how = random.choice(["RANGE", "LIST", "HASH"])
            split = f' PARTITION BY {how} ("part key")'
        elif kind == "unlogged":
            table.is_plain = False  # what refers to it must be unlogged too
        table.columns = own
        told += self._constraints(table, kind)
        unlogged = "UNLOGGED " if kind == "unlogged" else ""
        options = ""
        if not split and self._chance(0.2):
            options = " WITH (toast.autovacuum_enabled = off, fillfactor = 55, autovacuum_enabled = off)"
        self.definitions.append(f"CREATE {unlogged}TABLE {table.place} ({', '.join(told)}){above}{split}{options}")
        if split:
            self._partitions(table, how)
        self._extras(table, kind)
        self._rows(table)
        self._endings(table, kind)
        self.tables.append(table)

    def _column(self, column: Column, table: Drawn, kind: str) -> str:
        random, told = self._random, [quoted(column.name), column.kind]
        numbers = [one for one in table.columns[:-1] if one.kind == "integer" and one.is_given]
        if column.kind in INTEGERS and self._chance(0.3) and kind != "heir":
            column.identity = True
            settings = random.choice(["", " (START WITH 7 INCREMENT BY -2 MINVALUE -90 MAXVALUE 90 CACHE 3 CYCLE)"])
            return " ".join([*told, "GENERATED", random.choice(["ALWAYS", "BY DEFAULT"]), "AS IDENTITY" + settings])
        if column.kind == "integer" and numbers and self._chance(0.3):
            column.generated, column.not_null = True, False
            source = quoted(random.choice(numbers).name)
            return " ".join([*told, f"GENERATED ALWAYS AS ({source} % 7)", random.choice(["STORED", "VIRTUAL"])])
        if self._chance(0.2):
            told.append(f"DEFAULT {literal(VALUES[column.kind](random))}::{column.bare}")
        if column.not_null:
            told.append(random.choice(["NOT NULL", f"CONSTRAINT {quoted(self._name())} NOT NULL"]))
        return " ".join(told)

    def _constraints(self, table: Drawn, kind: str) -> list[str]:
        random, told = self._random, []
        able = [one for one in table.columns if one.kind not in NO_KEY and not one.generated]
        fixed = [one for one in table.columns if one.name == "part key" and kind == "partitioned"]
        for wish in ("PRIMARY KEY", "UNIQUE"):
            if not able or not self._chance(0.4):
                continue
            some = random.sample(able, random.randint(1, min(3, len(able))))
            chosen = [*fixed, *(one for one in some if one not in fixed)]
            if wish == "PRIMARY KEY":
                for one in chosen:
                    one.not_null = True
            words = f"{wish} ({', '.join(quoted(one.name) for one in chosen)})"
            if wish == "UNIQUE" and self._chance(0.2):
                words = words.replace("UNIQUE", "UNIQUE NULLS NOT DISTINCT")
            others = [one for one in table.columns if one not in chosen and not one.generated]
            if others and self._chance(0.2):
                words += f" INCLUDE ({quoted(random.choice(others).name)})"
            if self._chance(0.2):
                words += " DEFERRABLE" + random.choice(["", " INITIALLY DEFERRED"])
            elif wish == "PRIMARY KEY":
                table.key = tuple(chosen)
            told.append(random.choice(["", f"CONSTRAINT {quoted(self._name())} "]) + words)
        ranges = [one for one in table.columns if one.kind in RANGES]
        if ranges and kind != "partitioned" and self._chance(0.4):
            wait = random.choice(["", " DEFERRABLE"])
            told.append(f"EXCLUDE USING gist ({quoted(random.choice(ranges).name)} WITH &&){wait}")
        if table.columns and self._chance(0.2):
            one = random.choice(table.columns)
            told.append(f"CONSTRAINT {quoted(self._name())} CHECK ({quoted(one.name)} IS NOT NULL OR true)")
        targets = [one for one in [*self.tables, table] if one.key and one.is_plain and kind != "unlogged"]
        if targets and self._chance(0.5):
            told += self._reference(table, random.choice(targets), kind)
        return told

    def _reference(self, table: Drawn, target: Drawn, kind: str) -> list[str]:
        """A column for each of the other's key, and the foreign key: to a later row, NULL, or to what is not there."""
        random = self._random
        names = []
        told = []
        for at, theirs in enumerate(target.key):
            name = f"to {at} {title(random)[:9]}"
            if any(one.name == name for one in table.columns):
                return []
            column = Column(name, theirs.kind, refers=(target.place, theirs.name))
            table.columns.append(column)
            names.append(quoted(name))
            told.append(f"{quoted(name)} {theirs.kind}")
        words = f"FOREIGN KEY ({', '.join(names)}) REFERENCES {target.place}"
        words += f" ({', '.join(quoted(one.name) for one in target.key)})"
        words += random.choice(["", " MATCH FULL"]) + random.choice(
            ["", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON UPDATE CASCADE ON DELETE RESTRICT"]
        )
        named = f"CONSTRAINT {quoted(self._name())} {words}"
        if kind != "partitioned" and self._chance(0.3):
            self.endings.append(f"ALTER TABLE {table.place} ADD {named} NOT VALID")
            return told
        return [*told, named + random.choice(["", " DEFERRABLE INITIALLY DEFERRED"])]

    def _partitions(self, table: Drawn, how: str) -> None:
        bounds = {
            "HASH": ["WITH (MODULUS 2, REMAINDER 0)", "WITH (MODULUS 2, REMAINDER 1)"],
            "RANGE": ["FROM (MINVALUE) TO ('3')", "FROM ('3') TO ('7')"],
            "LIST": ["IN ('1', '2')", "IN ('5')"],
        }[how]
        for at, bound in enumerate(bounds):
            nested = ' PARTITION BY HASH ("part key")' if at and self._chance(0.3) else ""
            part = Drawn(self._name())
            self.definitions.append(f"CREATE TABLE {part.place} PARTITION OF {table.place} FOR VALUES {bound}{nested}")
            if nested:
                leaf = Drawn(self._name())
                self.definitions.append(
                    f"CREATE TABLE {leaf.place} PARTITION OF {part.place} FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
                )
        if how != "HASH" and self._chance(0.7):
            rest = Drawn(self._name())
            self.definitions.append(f"CREATE TABLE {rest.place} PARTITION OF {table.place} DEFAULT")

    def _extras(self, table: Drawn, kind: str) -> None:
        random, add, place = self._random, self.definitions.append, table.place
        able = [one for one in table.columns if one.kind not in NO_ORDER and not one.generated]
        if able and self._chance(0.4):
            one = random.choice(able)
            order = random.choice(["", " DESC", " NULLS FIRST"])
            where = random.choice(["", f" WHERE {quoted(one.name)} IS NOT NULL"])
            add(f"CREATE INDEX {quoted(self._name())} ON {place} ({quoted(one.name)}{order}){where}")
        for column in table.columns:
            method = _METHODS.get(column.kind)
            if method and self._chance(0.4):
                add(f"CREATE INDEX ON {place} USING {method.format(quoted(column.name))}")
            if self._chance(0.1):
                add(f"COMMENT ON COLUMN {place}.{quoted(column.name)} IS {literal(words(random))}")
            if self._chance(0.1) and not column.generated:
                add(f"ALTER TABLE {place} ALTER {quoted(column.name)} SET STATISTICS {random.randint(0, 500)}")
        if self._chance(0.2):
            add(f"COMMENT ON TABLE {place} IS {literal(words(random))}")
        if self._chance(0.1):
            add(f"GRANT SELECT, UPDATE ON {place} TO PUBLIC")
        if self._chance(0.1):
            add(f"CREATE POLICY {quoted(title(random))} ON {place} USING (true)")
            add(f"ALTER TABLE {place} ENABLE ROW LEVEL SECURITY")
        if self._chance(0.1):
            trigger = quoted(title(random))
            add(f'CREATE TRIGGER {trigger} BEFORE UPDATE ON {place} FOR EACH ROW EXECUTE FUNCTION "ran dom".touch()')
            if self._chance(0.5):
                add(f"ALTER TABLE {place} DISABLE TRIGGER {trigger}")
        if kind == "plain" and self._chance(0.1):
            add(f"ALTER TABLE {place} REPLICA IDENTITY FULL")
        if len(able) > 1 and self._chance(0.1):
            columns = ", ".join(quoted(one.name) for one in able[:2])
            add(f"CREATE STATISTICS {quoted(NAME)}.{quoted(self._name())} ON {columns} FROM {place}")
        if table.columns and self._chance(0.1):
            seen = quoted(random.choice(table.columns).name)
            stored = random.choice(["VIEW", "MATERIALIZED VIEW"])
            add(f"CREATE {stored} {quoted(NAME)}.{quoted(self._name())} AS SELECT {seen} FROM {place}")

    def _rows(self, table: Drawn) -> None:
        random = self._random
        given = [one for one in table.columns if one.is_given]
        for _ in range(random.randint(0, 8)):
            if not given:
                self.rows.append(f"INSERT INTO {table.place} DEFAULT VALUES")
                continue
            skip = random.randint(0, 3)
            values = [self._value(one, skip) for one in given]
            statement = f"INSERT INTO {table.place} ({', '.join(quoted(one.name) for one in given)}) VALUES "
            self.rows += [statement + f"({', '.join(values)})"] * random.choice([1, 1, 1, 2])

    def _value(self, column: Column, skip: int) -> str:
        if column.refers is not None and self._chance(0.7):
            place, name = column.refers
            return f"(SELECT {quoted(name)} FROM {place} ORDER BY ctid OFFSET {skip} LIMIT 1)"
        if column.name == "part key":
            return literal(str(self._random.randint(0, 9)))
        if not column.not_null and self._chance(0.2):
            return "NULL"
        value = VALUES[column.kind](self._random)
        return f"{literal(value)}::{column.bare}"

    def _endings(self, table: Drawn, kind: str) -> None:
        """What is done to a table that has rows."""
        random, add = self._random, self.endings.append
        if kind == "plain" and self._chance(0.15):
            table.is_plain = False  # heirs that are there would get a column that is not their own
            fast = quoted(f"fast {title(random)[:9]}")
            add(f"ALTER TABLE {table.place} ADD COLUMN {fast} text DEFAULT {literal(words(random))} NOT NULL")
            add(f"ALTER TABLE {table.place} ADD COLUMN gone int DEFAULT 7; ALTER TABLE {table.place} DROP COLUMN gone")
        if self._chance(0.1):
            add(f"ALTER TABLE {table.place} ADD CONSTRAINT {quoted(self._name())} CHECK (random() > 2) NOT VALID")


_METHODS = {
    "integer[]": "gin ({})",
    "text[]": "gin ({})",
    "jsonb": "gin ({} jsonb_path_ops)",
    "tsvector": "gist ({})",
    "int4range": "gist ({})",
    "point": "spgist ({})",
    "inet": "gist ({} inet_ops)",
    "bigint": "brin ({}) WITH (pages_per_range = 4)",
    "uuid": "hash ({})",
    "public.vector(3)": "hnsw ({} public.vector_l2_ops) WITH (m = 4)",
    "public.halfvec(3)": "hnsw ({} public.halfvec_cosine_ops)",
}
