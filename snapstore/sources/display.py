"""Cells and keys for people, whatever engine they come from.

    display(column.type, cell, stride=column.stride)
    parse_key(table, "17")
    texts(column.type, cell)                # what of it is words

A type says whose it is: those of SQLite begin with `sqlite.`, those of Qdrant with `qdrant.`, those of file trees with
`file.`, all others are
PostgreSQL's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from snapstore import tagged
from snapstore.errors import Corrupt
from snapstore.rows import KeyPart, Table
from snapstore.sources.files import display as files
from snapstore.sources.postgres import display as postgres
from snapstore.sources.postgres import keytext
from snapstore.sources.postgres.display import shorten
from snapstore.sources.postgres.types import is_worded, key_part
from snapstore.sources.qdrant import display as qdrant
from snapstore.sources.sqlite import display as sqlite

__all__ = ["comparable", "display", "holds_text", "parse_key", "shorten", "texts"]

_WORDS = {"text", "varchar", "bpchar", "name", "json", "jsonb", "jsonpath", "xml"}


def display(column_type: str, cell: bytes | None, *, stride: int = 1) -> Any:
    """A value JSON can hold, None for NULL; `{"hex": …}` for what is not of its type, or of one not known here."""
    if cell is not None and files.is_ours(column_type):
        return files.display(column_type, cell)
    if cell is None or not (sqlite.is_ours(column_type) or qdrant.is_ours(column_type)):
        return postgres.display(column_type, cell, stride=stride)
    try:
        if qdrant.is_ours(column_type):
            return qdrant.display(column_type, cell)
        return sqlite.display(column_type, cell, stride=stride)
    except (ValueError, Corrupt):
        return {"hex": cell.hex()}


def holds_text(column_type: str, *, width: int = 0, stride: int = 1) -> bool:
    """Whether cells of this type are words, or may have words in them: text, JSON, enums, arrays of such.

    Their UTF-8 then stands in the cell as it is, in one piece for each text.
    """
    if width or stride != 1:
        return False
    if sqlite.is_ours(column_type):
        return column_type in ("sqlite.text", "sqlite.value")
    if qdrant.is_ours(column_type):
        return column_type == "qdrant.json"
    schema, _, name = column_type.removesuffix("[]").rpartition(".")
    if name == "sparsevec":  # numbers, of pgvector
        return False
    return schema != "pg_catalog" or name.removeprefix("_") in _WORDS or is_worded(column_type)


def texts(column_type: str, cell: bytes) -> Iterator[str]:
    """The words of a cell of a type that `holds_text`: each text of an array, JSON as it is written down."""
    if column_type == "sqlite.value":
        value = tagged.decode_one(cell)
        if isinstance(value, tagged.RawText):
            value = value.data.decode(value.encoding, "replace")
        if isinstance(value, str):
            yield value
    elif sqlite.is_ours(column_type) or qdrant.is_ours(column_type):
        yield cell.decode("utf-8", "replace")
    else:
        yield from _words(postgres.display(column_type, cell))


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _words(one)
    elif isinstance(value, dict) and value.keys() == {"hex"}:
        # A file, or a type of an extension or of the user, whose bytes need not all be text: a letter of another
        # encoding or the lengths between the texts (hstore) must not hide the words beside them.
        yield bytes.fromhex(value["hex"]).decode("utf-8", "replace")


_OF_SQLITE = {"sqlite.integer": "int8", "sqlite.real": "float8", "sqlite.text": "bytes", "sqlite.value": "value"}
_EQUAL_AS_BYTES = {"pg_catalog.text", "pg_catalog.varchar", "pg_catalog.name"}
_IN_ORDER = {"int2", "int4", "int8", "fixed16", "fixed1", "float4", "float8", "numeric"}


def comparable(table: Table, name: str) -> KeyPart | None:
    """How values of a column (or of a part of the key) compare, as if it were a key; None where nobody but the engine
    knows. Of the encodings `bytes` compares for equality alone, and so do texts of `value`.
    """
    types = {**{part.name: part.type for part in table.key}, **{one.name: one.type for one in table.columns}}
    column_type = types.get(name, "")
    if sqlite.is_ours(column_type):
        encoding = _OF_SQLITE.get(column_type)
        return None if encoding is None else KeyPart(name, column_type, encoding)
    if qdrant.is_ours(column_type):
        return None
    part = key_part(name, column_type)
    return part if part.encoding in _IN_ORDER or column_type in _EQUAL_AS_BYTES else None


def parse_key(table: Table, text: str) -> bytes:
    """The key of the row that the text names. Raises `Invalid` saying what the key looks like."""
    return keytext.parse_key(table, text, cell_of=_cell)


def _cell(table: Table, part: KeyPart, word: str) -> bytes:
    if files.is_ours(part.type):
        return files.cell_of(word)
    of_engine = keytext.postgres_cell
    if sqlite.is_ours(part.type):
        of_engine = sqlite.cell_of
    elif qdrant.is_ours(part.type):
        of_engine = qdrant.cell_of
    return of_engine(table, part, word)
