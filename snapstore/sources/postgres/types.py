"""Which PostgreSQL types are held, how wide their binary form is, and how they stand in a key (format.md §8).

    stored_column("heat", "pg_catalog.float4", "real", kind="b")            # Column(width=4)
    stored_column("at", "public.vector", "public.vector(384)", kind="b", extension="vector")   # Column(stride=4)
    key_part("id", "pg_catalog.int8", "bigint", kind="b")                   # KeyPart(encoding="int8")

`Column.type` is the qualified name of the base type, domains resolved: it says how to read a cell without a server.
The type as declared (a domain, a length) belongs to the table's definition. Names come from the catalogue; this module
asks no server.

Refused by name, because their bytes mean something else in another database: types whose binary form embeds OIDs that
are handed out locally (`reg*`, composites, arrays of anything but built-in types), and types that have no binary form.
"""

from __future__ import annotations

from snapstore.errors import Unsupported
from snapstore.rows import Column, KeyPart

__all__ = ["key_part", "stored_column"]

# The size of every binary form that has one (src/backend/utils/adt/*_send).
_WIDTHS = {
    "bool": 1, "char": 1,
    "int2": 2, "int4": 4, "int8": 8, "float4": 4, "float8": 8, "money": 8, "oid": 4, "xid": 4, "cid": 4, "xid8": 8,
    "tid": 6, "pg_lsn": 8, "uuid": 16, "macaddr": 6, "macaddr8": 8,
    "date": 4, "time": 8, "timetz": 12, "timestamp": 8, "timestamptz": 8, "interval": 16,
    "point": 16, "lseg": 32, "box": 32, "line": 24, "circle": 24,
}  # fmt: skip

_VARIABLE = {
    "text", "varchar", "bpchar", "name", "bytea", "json", "jsonb", "jsonpath", "xml", "numeric", "bit", "varbit",
    "inet", "cidr", "path", "polygon", "tsvector", "tsquery", "refcursor", "int2vector", "oidvector",
    "txid_snapshot", "pg_snapshot",
    "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange",
    "int4multirange", "int8multirange", "nummultirange", "tsmultirange", "tstzmultirange", "datemultirange",
}  # fmt: skip

_BUILT_IN = _WIDTHS.keys() | _VARIABLE

_STRIDES = {"vector": 4, "halfvec": 2}

# Key encodings of built-in types; whatever is not here is `bytes` of its binary form.
_ENCODINGS = {
    "int2": "int2", "int4": "int4", "int8": "int8",
    "date": "int4", "time": "int8", "timestamp": "int8", "timestamptz": "int8",
    "uuid": "fixed16", "bool": "fixed1", "oid": "fixed4", "macaddr": "fixed6", "macaddr8": "fixed8",
    "float4": "float4", "float8": "float8", "numeric": "numeric",
}  # fmt: skip

_LOSSY = {"float4", "float8", "numeric"}


def stored_column(
    name: str,
    base_type: str,
    type_name: str,
    *,
    kind: str = "",
    element: str | None = None,
    has_send: bool = True,
    extension: str | None = None,
) -> Column:
    """The stored form of a column; raises `Unsupported` naming column and type where it cannot be held.

    `base_type` is the qualified name of the type with domains resolved (`pg_catalog.int4`, `public.vector`),
    `type_name` the declared one for people. Of the base type: `kind` is `pg_type.typtype`, `element` the qualified base
    type of an array's elements, `has_send` whether `typsend` is set, `extension` the extension that owns it. A type
    that is not built in and comes without `kind` is refused.
    """
    _check(name, base_type, type_name, kind=kind, element=element, has_send=has_send)
    schema, _, bare = base_type.rpartition(".")
    if extension == "vector" and bare in _STRIDES:
        return Column(name, base_type, stride=_STRIDES[bare])
    return Column(name, base_type, width=_WIDTHS.get(bare, 0) if schema == "pg_catalog" else 0)


def key_part(
    name: str,
    base_type: str,
    type_name: str,
    *,
    kind: str = "",
    element: str | None = None,
    has_send: bool = True,
) -> KeyPart:
    """How a column stands in the key; arguments and errors as for `stored_column`.

    A type whose equal values can differ in bytes (citext, text under a nondeterministic collation, interval, jsonb) is
    held by its bytes: changing `A` to `a` in such a key is a row removed and a row added, and the server's own unique
    index refuses the one while the other is there.
    """
    _check(name, base_type, type_name, kind=kind, element=element, has_send=has_send)
    schema, _, bare = base_type.rpartition(".")
    encoding = _ENCODINGS.get(bare, "bytes") if schema == "pg_catalog" else "bytes"
    return KeyPart(name, base_type, encoding, lossless=encoding not in _LOSSY)


def _check(name: str, base_type: str, type_name: str, *, kind: str, element: str | None, has_send: bool) -> None:
    """Raise `Unsupported` unless the binary form of this type means the same in every database."""
    schema, _, bare = base_type.rpartition(".")
    built_in = schema == "pg_catalog"
    reason = ""
    if not has_send:
        reason = "it has no binary form (no send function)"
    elif built_in and (bare in _BUILT_IN or bare.removeprefix("_") in _BUILT_IN):
        pass
    elif built_in and bare.removeprefix("_").startswith("reg"):
        reason = "its binary form is an OID, which means something else in another database"
    elif element is not None or kind == "c" or (built_in and bare.startswith("_")):
        reason = "its binary form embeds OIDs of types, which mean something else in another database"
    elif kind in ("r", "m") and not built_in:
        reason = "ranges over types of your own are not held yet"
    elif kind not in ("b", "e", "r", "m"):
        reason = "this kind of type is not held yet"
    if reason:
        raise Unsupported(
            f"column {name} has the type {type_name}, which cannot be held: {reason}",
            hint=f"leave it out with --exclude-column TABLE.{name}, or keep it as text or jsonb",
        )
