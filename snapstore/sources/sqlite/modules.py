"""Virtual tables: what each module keeps where, and so how its rows are held and made to work again.

    virtual = read_virtual("notes_fts", sql)
    virtual.held                        # "rows", "rebuilt", "alone" or "parts"

The modules of full text, R-trees and vectors are known: their rows are held as rows, and inserting them again builds
their index. Of a module nobody knows here its shadow tables are held as they are. No database is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Virtual", "read_virtual"]

_NAME = r"""(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|'(?:[^']|'')*'|[^\s."`\[(']+)"""
_CREATE = re.compile(
    rf"\s*CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:{_NAME}\s*\.\s*)?{_NAME}\s+USING\s+"
    rf"(?P<module>{_NAME})\s*(?:\((?P<arguments>.*)\))?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_FULL_TEXT = ("fts3", "fts4", "fts5")
# The shadow tables of each module by the end of their name, and how their columns begin: a table that only looks so by
# its name is somebody's own.
_Shadows = dict[str, tuple[str, ...]]
_FTS34: _Shadows = {
    "content": ("docid", "c0"),
    "segments": ("blockid", "block"),
    "segdir": ("level", "idx", "start_block"),
    "docsize": ("docid", "size"),
    "stat": ("id", "value"),
}
_RTREE: _Shadows = {"node": ("nodeno", "data"), "parent": ("nodeno", "parentnode"), "rowid": ("rowid", "nodeno")}
_SHADOWS: dict[str, _Shadows] = {
    "fts3": _FTS34,
    "fts4": _FTS34,
    "fts5": {
        "data": ("id", "block"),
        "idx": ("segid", "term", "pgno"),
        "content": ("id", "c0"),
        "docsize": ("id", "sz"),
        "config": ("k", "v"),
    },
    "rtree": _RTREE,
    "rtree_i32": _RTREE,
    "geopoly": _RTREE,
    "vec0": {
        "info": ("key", "value"),
        "chunks": ("chunk_id", "size"),
        "rowids": ("rowid", "id", "chunk_id"),
        "auxiliary": ("rowid", "value00"),
        r"vector_chunks\d\d": ("rowid", "vectors"),
        r"metadata(?:chunks|text)\d\d": ("rowid", "data"),
    },
}
_ALONE = ("fts5vocab", "fts4aux", "fts3tokenize", "dbstat", "carray")
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

    def owns(self, table: str, columns: Sequence[str]) -> bool:
        """Whether an ordinary table of this name with these columns is one of its shadow tables."""
        head = self.name + "_"
        if self.module in _ALONE:
            return False
        if not table.casefold().startswith(head.casefold()):
            return False
        if self.module not in _SHADOWS:
            return True
        if self.content and table.casefold() == (head + "content").casefold():
            return False
        for name, begins in _SHADOWS[self.module].items():
            if re.fullmatch(name, table[len(head) :], re.IGNORECASE):
                heads = [column.casefold()[: len(one)] for one, column in zip(begins, columns, strict=False)]
                return heads == list(begins)
        return False

    @property
    def has_rows(self) -> bool:
        """Whether it is held by rows of its own."""
        return self.held == "rows"

    @property
    def settings(self) -> str:
        """The table in which it keeps settings that its statement does not say, or nothing."""
        return f"{self.name}_config" if self.module == "fts5" else ""

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
    # What makes an index of a text its rows do not tell: the text itself, or the locale of each.
    is_opaque = module in _FULL_TEXT and (content == "" or _option(arguments, "locale") == "1")
    if not works or is_opaque:
        held = "parts"
    elif content is not None:
        held = "rebuilt"
    elif module in _SHADOWS:
        held = "rows"
    elif module in _ALONE:
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
