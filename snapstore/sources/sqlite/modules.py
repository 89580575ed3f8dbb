"""Virtual tables: what each module keeps where, and so how its rows are held and made to work again.

    virtual = read_virtual("notes_fts", sql)
    virtual.held                        # "rows", "rebuilt", "alone" or "parts"

The modules of full text, R-trees and vectors are known: their rows are held as rows, and inserting them again builds
their index. Of a module nobody knows here its shadow tables are held as they are. No database is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Virtual", "read_virtual"]

_NAME = r"""(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*'|[^\s."`\[(']+)"""
_CREATE = re.compile(
    rf"\s*CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:{_NAME}\s*\.\s*)?{_NAME}\s+USING\s+"
    rf"(?P<module>{_NAME})\s*(?:\((?P<arguments>.*)\))?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_FULL_TEXT = ("fts3", "fts4", "fts5")
_SHADOWS = {
    "fts3": ("content", "segments", "segdir", "docsize", "stat"),
    "fts4": ("content", "segments", "segdir", "docsize", "stat"),
    "fts5": ("data", "idx", "content", "docsize", "config"),
    "rtree": ("node", "parent", "rowid"),
    "rtree_i32": ("node", "parent", "rowid"),
    "geopoly": ("node", "parent", "rowid"),
    "vec0": ("info", "chunks", "rowids", "auxiliary", r"(?:vector_chunks|metadatachunks|metadatatext)\d\d"),
}
_VECTOR = re.compile(r"\s*(?P<name>\S+)\s+(?P<type>float32|float|f32|int8|i8|bit)\s*\[", re.IGNORECASE)
_WRAPPERS = {"int8": "vec_int8", "i8": "vec_int8", "bit": "vec_bit"}


@dataclass(frozen=True, slots=True)
class Virtual:
    """A virtual table: `held` is how.

    "rows": its rows, as a table of its own. "rebuilt": nothing but its definition, because its content is another
    table's; `content` is that. "alone": nothing but its definition, because it has nothing of its own. "parts": its
    shadow tables as they are.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    sql: str
    held: str
    content: str = ""

    @property
    def key(self) -> str:
        """The column that is the row's number, for those that are held as rows."""
        return "docid" if self.module in ("fts3", "fts4") else "rowid"

    @property
    def hidden(self) -> tuple[str, ...]:
        """Hidden columns that hold something."""
        option = self._option("languageid") if self.module == "fts4" else None
        return (option,) if option else ()

    @property
    def is_full_text(self) -> bool:
        """Whether it can be told to rebuild its index."""
        return self.module in _FULL_TEXT

    def owns(self, table: str) -> bool:
        """Whether a table is one of its shadow tables, as far as the name tells."""
        head = self.name + "_"
        if not table.casefold().startswith(head.casefold()):
            return False
        known = _SHADOWS.get(self.module)
        return known is None or any(re.fullmatch(one, table[len(head) :], re.IGNORECASE) for one in known)

    def stride(self, column: str) -> int:
        """The size of the elements of a vector column in bytes; 1 for any other."""
        kind = self._vectors.get(column.casefold(), "")
        return 4 if kind in ("float", "float32", "f32") else 1

    def is_vector(self, column: str) -> bool:
        """Whether the column holds vectors."""
        return column.casefold() in self._vectors

    def expression(self, column: str) -> str:
        """What stands for a value of this column in an INSERT: the module tells vectors of bytes by a function."""
        wrapper = _WRAPPERS.get(self._vectors.get(column.casefold(), ""))
        return f"{wrapper}(?)" if wrapper else "?"

    @property
    def _vectors(self) -> dict[str, str]:
        if self.module != "vec0":
            return {}
        found = (_VECTOR.match(argument) for argument in self.arguments)
        return {_plain(one["name"]).casefold(): one["type"].lower() for one in found if one}

    def _option(self, name: str) -> str | None:
        return _option(self.arguments, name)


def read_virtual(name: str, sql: str, *, works: bool = True) -> Virtual:
    """What the statement says. `works` is whether the table can be used: without its module only its parts are left."""
    found = _CREATE.fullmatch(sql)
    module = _plain(found["module"]).casefold() if found else ""
    arguments = tuple(_split(found["arguments"] or "")) if found else ()
    content = _option(arguments, "content") if module in ("fts4", "fts5") else None
    if not works or (content == "" and module in _FULL_TEXT):
        held = "parts"
    elif content is not None:
        held = "rebuilt"
    elif module in _SHADOWS:
        held = "rows"
    elif module in ("fts5vocab", "fts4aux", "fts3tokenize", "dbstat", "carray"):
        held = "alone"
    else:
        held = "parts"
    return Virtual(name, module, arguments, sql, held, content or "")


def _option(arguments: tuple[str, ...], name: str) -> str | None:
    for argument in arguments:
        word, mark, value = argument.partition("=")
        if mark and word.strip().casefold() == name:
            return _plain(value.strip())
    return None


def _plain(word: str) -> str:
    """A word without its quotes."""
    if word[:1] in ('"', "'", "`") and word[-1:] == word[:1] and len(word) > 1:
        return word[1:-1].replace(word[0] * 2, word[0])
    return word[1:-1] if word[:1] == "[" and word[-1:] == "]" else word


def _split(arguments: str) -> list[str]:
    """Arguments between commas that stand outside quotes and brackets."""
    parts: list[str] = []
    depth, quote, start = 0, "", 0
    for at, one in enumerate(arguments):
        if quote:
            quote = "" if one == quote else quote
        elif one in "\"'`":
            quote = one
        elif one in "([":
            depth += 1
        elif one in ")]":
            depth -= 1
        elif one == "," and not depth:
            parts.append(arguments[start:at].strip())
            start = at + 1
    return [*parts, arguments[start:].strip()] if arguments.strip() else []
