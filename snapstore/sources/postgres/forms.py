"""In which form a column's cells are held, and what the server must be told to send and to take it (format.md §8).

    types = read_types(connection, relations=[oid, ...])
    types.form(oid)           # 'binary', 'named' or 'text'

- `binary`: the field of COPY as it is;
- `named`: the same with names in place of the OIDs of types (`snapstore.sources.postgres.oids`);
- `text`: what the type's output function says, where the binary form is an OID (`reg*`), is not always read back
  by the server (`tsquery`), or there is none.

A type is looked into at every depth: an array of composites with a `regclass` in them is held as text. What fits no
form is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from snapstore.errors import Unsupported
from snapstore.sources.postgres.oids import LEAF, Part, Shape
from snapstore.sources.postgres.querying import full_name, rows_of
from snapstore.sources.postgres.types import is_worded

__all__ = ["Form", "Type", "Types", "forms_of", "read_types"]

_TYPES = """
WITH RECURSIVE reached(oid) AS (
  SELECT atttypid FROM pg_attribute WHERE attrelid = ANY(%s::oid[]) AND attnum > 0 AND NOT attisdropped
  UNION
  SELECT part.oid FROM reached JOIN pg_type t ON t.oid = reached.oid CROSS JOIN LATERAL (
    SELECT t.typbasetype AS oid WHERE t.typtype = 'd'
    UNION ALL SELECT t.typelem WHERE t.typoutput = 'array_out'::regproc
    UNION ALL SELECT a.atttypid FROM pg_attribute a
      WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.typtype = 'r' AND r.rngtypid = t.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r
      WHERE t.typtype = 'm' AND (to_jsonb(r)->>'rngmultitypid')::oid = t.oid) AS part
)
SELECT t.oid::int8 AS oid, n.nspname AS schema, t.typname AS name, t.typtype AS kind,
  -- a domain has the output function of what it is over, and no elements
  t.typbasetype::int8 AS base,
  CASE WHEN t.typoutput = 'array_out'::regproc THEN nullif(t.typelem, 0)::int8 END AS element,
  ARRAY(SELECT a.atttypid::int8 FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS fields,
  ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid
    AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS field_names,
  -- what is held beside no cell: the rows of a table or a view, and composites of extensions
  t.typtype = 'c' AND (EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
    OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid
      AND d.deptype = 'e')) AS is_row,
  (SELECT r.rngsubtype::int8 FROM pg_range r WHERE r.rngtypid = t.oid) AS subtype,
  (SELECT r.rngtypid::int8 FROM pg_range r WHERE t.typtype = 'm' AND (to_jsonb(r)->>'rngmultitypid')::oid = t.oid)
    AS range,
  t.typsend <> 0 AND t.typreceive <> 0 AS has_send,
  i.proname AS input_name, inn.nspname AS input_schema, i.pronargs AS input_arguments,
  o.proname AS output_name, onn.nspname AS output_schema,
  EXISTS (SELECT FROM pg_cast k WHERE k.castsource = 'text'::regtype AND k.casttarget = t.oid) AS from_text
FROM reached JOIN pg_type t ON t.oid = reached.oid JOIN pg_namespace n ON n.oid = t.typnamespace
JOIN pg_proc i ON i.oid = t.typinput JOIN pg_namespace inn ON inn.oid = i.pronamespace
JOIN pg_proc o ON o.oid = t.typoutput JOIN pg_namespace onn ON onn.oid = o.pronamespace"""

# The server's own: it writes their values and reads none back, neither as text nor as bytes.
_WRITE_ONLY = {"gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_dependencies", "pg_mcv_list",
               "pg_ndistinct", "pg_node_tree"}  # fmt: skip

# Names of functions and operators that may be shared: these say the arguments as well.
_SHARED = {"regproc": "regprocedure", "regoper": "regoperator"}


@dataclass(frozen=True, slots=True)
class Type:
    """One type, as far as its forms go."""

    oid: int
    schema: str
    name: str
    kind: str
    base: int
    element: int | None
    fields: tuple[int, ...]
    field_names: tuple[str, ...]
    is_row: bool
    subtype: int | None
    range: int | None
    has_send: bool
    input_function: tuple[str, str, int]
    output_function: tuple[str, str]
    from_text: bool

    @property
    def is_reg(self) -> bool:
        """Whether the binary form is the OID of something."""
        return self.schema == "pg_catalog" and self.name.startswith("reg")

    @property
    def identifier(self) -> sql.Identifier:
        """The type's name for a statement."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Form:
    """How one column's cells are held: `kind` as the module says, the shape of named ones, the type without domains,
    and how that is spelled (`Types.spelled`).
    """

    kind: str
    shape: Shape
    type: Type
    spelled: str

    def sent(self, column: sql.Composable) -> sql.Composable:
        """The expression that makes the server send it: a cstring where text is held."""
        if self.kind != "text":
            return column
        if self.type.is_reg and self.type.name in _SHARED:
            other = sql.Identifier("pg_catalog", _SHARED[self.type.name])
            out = sql.Identifier("pg_catalog", _SHARED[self.type.name] + "out")
            return sql.SQL("{}({}::{})").format(out, column, other)
        return sql.SQL("{}({})").format(sql.Identifier(*self.type.output_function), column)

    def taken(self, given: sql.Composable) -> sql.Composable:
        """The expression that makes the type of what was put in a column of `kept`."""
        if self.kind != "text":
            return given
        one = self.type
        # Input functions, and not casts: the cast from text to regclass does not know what '-' means.
        if one.is_reg and one.name in _SHARED:
            read = sql.Identifier("pg_catalog", _SHARED[one.name] + "in")
            return sql.SQL("{}({}::pg_catalog.cstring)::{}").format(read, given, one.identifier)
        if one.kind != "b" or one.element is not None:
            return sql.SQL("{}::{}").format(given, one.identifier)  # by its input function, there being no cast
        schema, name, arguments = one.input_function
        told: list[sql.Composable] = [sql.SQL("{}::pg_catalog.cstring").format(given)]
        if arguments > 1:
            told += [sql.SQL("{}").format(sql.Literal(one.oid)), sql.SQL("-1")]
        return sql.SQL("{}({})").format(sql.Identifier(schema, name), sql.SQL(", ").join(told))


class Types:
    """The types that some relations' columns are made of."""

    def __init__(self, types: Mapping[int, Type]) -> None:
        self._types = types

    def bare(self, oid: int) -> Type:
        """The type beneath domains."""
        found = self._types[oid]
        while found.kind == "d":
            found = self._types[found.base]
        return found

    def name(self, oid: int) -> str:
        """The qualified name; an array of a type that is no built-in one is `schema.name[]`, since the server makes up
        the names of array types, and makes up others where they are taken.
        """
        found = self._types[oid]
        if found.element is not None and found.schema != "pg_catalog":
            return self.name(found.element) + "[]"
        return full_name(found.schema, found.name)

    def spelled(self, oid: int) -> str:
        """The name of the type beneath domains; where there are rows of some table in it, with what these are made of:
        such a type changes with its table, and in the cells fields have places and no names.
        """
        found = self.bare(oid)
        if found.element is not None and found.schema != "pg_catalog":
            return self.spelled(found.element) + "[]"
        if not self._has_rows(found):
            return self.name(found.oid)
        names = found.field_names or ("",)
        parts = (f"{name} {self.spelled(part)}".strip() for name, part in zip(names, _parts(found), strict=True))
        return f"{self.name(found.oid)}({', '.join(parts)})"

    def _has_rows(self, found: Type) -> bool:
        return found.is_row or any(self._has_rows(self.bare(part)) for part in _parts(found))

    def form(self, oid: int) -> Form:
        """How cells of this type are held; raises `Unsupported` with the reason alone."""
        found = self.bare(oid)
        why = self._why_text(found, top=True)
        if why == "text":
            if not found.is_reg and found.from_text and (found.kind != "b" or found.element is not None):
                raise Unsupported("it is held as text, and a cast of your own from text would read it otherwise")
            return Form("text", LEAF, found, self.spelled(oid))
        shape = self._shape(found)
        return Form("named" if shape.is_named else "binary", shape, found, self.spelled(oid))

    def _why_text(self, found: Type, *, top: bool = False) -> str:
        if found.is_reg:
            if not top and found.name in _SHARED:
                raise Unsupported(f"it has a {found.name} inside, whose name can mean several things")
            return "text"
        if found.kind not in "bcerm":
            raise Unsupported("it is no type of columns")
        if found.schema == "pg_catalog" and found.name in _WRITE_ONLY:
            raise Unsupported(f"the server reads no value of {found.name} back")
        if found.kind == "b" and found.element is None:
            return "text" if not found.has_send or is_worded(f"{found.schema}.{found.name}") else ""
        inside = [self._why_text(self.bare(part)) for part in _parts(found)]  # all, for what must be refused
        return "text" if any(inside) else ""

    def _shape(self, found: Type) -> Shape:
        kind = "array" if found.element is not None else _KINDS.get(found.kind, "leaf")
        parts = tuple(Part(part, self.name(part), self._shape(self.bare(part))) for part in _parts(found))
        return Shape(kind, parts)


_KINDS = {"c": "record", "r": "range", "m": "multirange"}


def _parts(found: Type) -> tuple[int, ...]:
    if found.element is not None:
        return (found.element,)
    if found.kind == "c":
        return found.fields
    part = found.subtype if found.kind == "r" else found.range if found.kind == "m" else None
    return () if part is None else (part,)


def read_types(connection: psycopg.Connection[Any], relations: Sequence[int]) -> Types:
    """The types of all columns of these relations, with all that those are made of. One query."""
    types = {}
    for row in rows_of(connection, _TYPES, (list(relations),)):
        types[row["oid"]] = Type(
            row["oid"],
            row["schema"],
            row["name"],
            row["kind"],
            row["base"],
            row["element"],
            tuple(row["fields"]),
            tuple(row["field_names"]),
            row["is_row"],
            row["subtype"],
            row["range"],
            bool(row["has_send"]),
            (row["input_schema"], row["input_name"], row["input_arguments"]),
            (row["output_schema"], row["output_name"]),
            row["from_text"],
        )
    return Types(types)


_COLUMNS = """
SELECT a.attrelid::int8 AS relation, a.attname AS name, a.atttypid::int8 AS type FROM pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped"""


def forms_of(connection: psycopg.Connection[Any], relation: sql.Composable, names: Sequence[str]) -> dict[str, Form]:
    """The forms of these columns of a live relation."""
    if not names:
        return {}
    columns = rows_of(connection, _COLUMNS, (relation.as_string(connection),))
    types = read_types(connection, [row["relation"] for row in columns[:1]])
    return {row["name"]: types.form(row["type"]) for row in columns if row["name"] in names}
