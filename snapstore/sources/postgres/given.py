"""Rows given to the server beside a table, for one statement that joins them with it: in which form, and found by what.

    key = Given(connection, table, ["id"])
    with temporary(connection, table, key, "k") as given:
        ...                                                 # COPY into it what `key.encode(cells)` makes
        sql.SQL("DELETE FROM ONLY {} AS live USING {} AS given WHERE {}").format(..., same_key(connection, table, key))

What is done with them, and what an error of it means, `snapstore.sources.postgres.applying` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from snapstore.errors import Conflict, Corrupt
from snapstore.rows import Cells, Table
from snapstore.sources.postgres.copying import Field, encode
from snapstore.sources.postgres.ddl import relation
from snapstore.sources.postgres.forms import Form
from snapstore.sources.postgres.oids import to_oids
from snapstore.sources.postgres.querying import rows_of
from snapstore.sources.postgres.reading import forms_in

__all__ = ["GIVEN", "Given", "same_key", "temporary"]

GIVEN = "snapstore_rows"
"""The name of the temporary table."""


class Given:
    """Some columns of a table whose cells are given to the server, each in the form the server takes."""

    def __init__(self, connection: psycopg.Connection[Any], table: Table, names: Sequence[str]) -> None:
        self._table = table
        self._forms = forms_in(connection, table, names)
        shapes = {column.name: Field(column.name, column.width, column.stride) for column in table.columns}
        self.names = tuple(names)
        self.fields = [shapes.get(name, Field(name)) for name in names]

    @property
    def has_text(self) -> bool:
        """Whether some cells are text that only an input function understands."""
        return any(form.kind == "text" for form in self._forms.values())

    def live(self, cells: Sequence[Cells]) -> list[Cells]:
        """The cells with this database's OIDs in them. Raises `Conflict` where a type in them is another one now."""
        return [
            self._local(name, form, own)
            if (form := self._forms.get(name)) is not None and form.kind == "named"
            else own
            for name, own in zip(self.names, cells, strict=True)
        ]

    def _local(self, name: str, form: Form, cells: Cells) -> Cells:
        try:
            return to_oids(form.shape, cells)
        except Corrupt as error:  # every blob was checked when it was read, so it is the type that is not the same
            raise Conflict(
                f"{self._table.name}.{name} is of a type that was made of others when the snapshot was taken: "
                f"{error.message}",
                hint="give the live types the names and parts they had, or restore into another database",
            ) from error

    def encode(self, cells: Sequence[Cells]) -> memoryview:
        """Rows of these cells."""
        return encode(self._table.name, self.fields, self.live(cells))

    def taken(self, name: str, place: sql.Composable) -> sql.Composable:
        """The column's value from what was passed at this place."""
        return self._forms[name].taken(place) if name in self._forms else place

    def passed(self, prefix: str) -> list[sql.Composable]:
        """The columns of a table through which they are passed: of the live types, text where text is held."""
        return [
            sql.SQL("{} AS {}").format(
                sql.SQL("NULL::pg_catalog.text")
                if name in self._forms and self._forms[name].kind == "text"
                else sql.Identifier(name),
                sql.Identifier(f"{prefix}{at}"),
            )
            for at, name in enumerate(self.names)
        ]


@contextmanager
def temporary(
    connection: psycopg.Connection[Any], table: Table, first: Given, prefix: str, second: Given | None = None
) -> Iterator[sql.Identifier]:
    """A temporary table with these columns (k0, k1, … or c0, …, then c0, …), of the live types and collations."""
    name = sql.Identifier("pg_temp", GIVEN)
    selected = sql.SQL(", ").join([*first.passed(prefix), *(second.passed("c") if second is not None else [])])
    statement = sql.SQL("CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {} FROM ONLY {} WITH NO DATA")
    connection.execute(statement.format(sql.Identifier(GIVEN), selected, relation(table.definition)))
    yield name
    connection.execute(sql.SQL("DROP TABLE {}").format(name))


# The equality of a unique index over the key: `=` in the search path may be another operator, or none (citext, ltree).
_EQUALITY = """
SELECT c.relname AS index, a.attname AS name, n.nspname AS schema, o.oprname AS operator,
  -- which a domain over an enum is not, to an operator over all enums
  CASE WHEN oc.opcintype = 'anyenum'::regtype THEN (WITH RECURSIVE beneath(oid) AS (
    SELECT a.atttypid UNION ALL SELECT t.typbasetype FROM beneath JOIN pg_type t ON t.oid = beneath.oid
      WHERE t.typtype = 'd')
    SELECT ARRAY[tn.nspname, t.typname]::text[] FROM beneath JOIN pg_type t ON t.oid = beneath.oid
    JOIN pg_namespace tn ON tn.oid = t.typnamespace WHERE t.typtype = 'e') END AS enum
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[]) WITH ORDINALITY AS part(number, class, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = part.number
JOIN pg_opclass oc ON oc.oid = part.class
JOIN pg_am m ON m.oid = oc.opcmethod AND m.amname = 'btree'
JOIN pg_amop p ON p.amopfamily = oc.opcfamily AND p.amopstrategy = 3
  AND p.amoplefttype = oc.opcintype AND p.amoprighttype = oc.opcintype
JOIN pg_operator o ON o.oid = p.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND place <= i.indnkeyatts
ORDER BY i.indisprimary DESC, c.relname"""


def same_key(connection: psycopg.Connection[Any], table: Table, key: Given) -> sql.Composed:
    """The condition that a row of `live` has the key of one of `given`."""
    found = rows_of(connection, _EQUALITY, (relation(table.definition).as_string(connection),))
    by_index: dict[str, dict[str, tuple[str, str, Sequence[str] | None]]] = {}
    for row in found:
        by_index.setdefault(row["index"], {})[row["name"]] = (row["schema"], row["operator"], row["enum"])
    operators = next((own for own in by_index.values() if own.keys() == set(key.names)), {})
    terms = []
    for at, name in enumerate(key.names):
        schema, operator, enum = operators.get(name, ("pg_catalog", "=", None))
        # An operator's name is not an identifier; pg_operator allows none but + - * / < > = ~ ! @ # % ^ & | ` ?.
        equals = sql.SQL("OPERATOR({}." + operator + ")").format(sql.Identifier(schema))
        sides = [sql.Identifier("live", name), key.taken(name, sql.Identifier("given", f"k{at}"))]
        if enum is not None:
            sides = [sql.SQL("{}::{}").format(side, sql.Identifier(*enum)) for side in sides]
        terms.append(sql.SQL("{} {} {}").format(sides[0], equals, sides[1]))
    return sql.SQL(" AND ").join(terms)
