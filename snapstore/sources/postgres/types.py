"""How wide the binary form of PostgreSQL's types is, and how they stand in a key (format.md §8).

    stored_column("heat", "pg_catalog.float4")                      # Column(width=4)
    stored_column("at", "public.vector", extension="vector")        # Column(stride=4)
    key_part("id", "pg_catalog.int8")                               # KeyPart(encoding="int8")

`Column.type` is the qualified name of the base type, domains resolved: it says how to read a cell without a server.
The type as declared (a domain, a length) belongs to the table's definition. Names come from the catalogue; this module
asks no server.

Whether a type can be held at all, and in which form, is the business of `snapstore.sources.postgres.forms`.
"""

from __future__ import annotations

from snapstore.rows import Column, KeyPart

__all__ = ["CONTENT_KEY", "is_worded", "key_part", "stored_column"]

# The size of every binary form that has one (src/backend/utils/adt/*_send).
_WIDTHS = {
    "bool": 1, "char": 1,
    "int2": 2, "int4": 4, "int8": 8, "float4": 4, "float8": 8, "money": 8, "oid": 4, "xid": 4, "cid": 4, "xid8": 8,
    "tid": 6, "pg_lsn": 8, "uuid": 16, "macaddr": 6, "macaddr8": 8,
    "date": 4, "time": 8, "timetz": 12, "timestamp": 8, "timestamptz": 8, "interval": 16,
    "point": 16, "lseg": 32, "box": 32, "line": 24, "circle": 24,
}  # fmt: skip

_STRIDES = {"vector": 4, "halfvec": 2}

# Key encodings of built-in types; whatever is not here is `bytes` of its binary form.
_ENCODINGS = {
    "int2": "int2", "int4": "int4", "int8": "int8",
    "date": "int4", "time": "int8", "timestamp": "int8", "timestamptz": "int8",
    "uuid": "fixed16", "bool": "fixed1", "oid": "fixed4", "macaddr": "fixed6", "macaddr8": "fixed8",
    "float4": "float4", "float8": "float8", "numeric": "numeric",
}  # fmt: skip

_LOSSY = {"float4", "float8", "numeric"}


# A row known by its content: 16 bytes of digest and a number, and no column of that name.
CONTENT_KEY = (KeyPart("", "", "fixed20", lossless=False),)


# Receive functions that refuse what the send functions make of the empty value (src/backend/utils/adt/tsquery.c, int.c,
# oid.c); and one that is not there.
_WORDED = {"tsquery", "int2vector", "oidvector", "aclitem"}


def is_worded(base_type: str) -> bool:
    """Whether a built-in type, or an array of it, is held as the server writes it: its binary form is an OID, is not
    always read back, or is not there.
    """
    schema, _, name = base_type.rpartition(".")
    element = name.removeprefix("_")
    return schema == "pg_catalog" and (element.startswith("reg") or element in _WORDED)


def stored_column(name: str, base_type: str, *, form: str = "binary", extension: str | None = None) -> Column:
    """The stored form of a column.

    `base_type` is the qualified name of the type with domains resolved (`pg_catalog.int4`, `public.vector`), `form` as
    in `snapstore.sources.postgres.forms`, `extension` the one that owns the type.
    """
    schema, _, bare = base_type.rpartition(".")
    if form == "text":
        return Column(name, base_type)
    if extension == "vector" and bare in _STRIDES:
        return Column(name, base_type, stride=_STRIDES[bare])
    return Column(name, base_type, width=_WIDTHS.get(bare, 0) if schema == "pg_catalog" else 0)


def key_part(name: str, base_type: str, *, form: str = "binary") -> KeyPart:
    """How a column stands in the key; arguments as for `stored_column`.

    A type whose equal values can differ in bytes (citext, text under a nondeterministic collation, interval, jsonb) is
    held by its bytes: changing `A` to `a` in such a key is a row removed and a row added, and the server's own unique
    index refuses the one while the other is there.
    """
    schema, _, bare = base_type.rpartition(".")
    encoding = _ENCODINGS.get(bare, "bytes") if schema == "pg_catalog" and form == "binary" else "bytes"
    return KeyPart(name, base_type, encoding, lossless=encoding not in _LOSSY)
