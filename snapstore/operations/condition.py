"""Conditions on rows of a snapshot, tried without a database: `heat > 0.5 AND client = 'ann'`.

    condition = Condition(table, "heat > 0.5 AND note IS NOT NULL")
    for batch in matching(state_table, condition):
        ...

A small language that means the same for every engine: comparisons of a column with a literal, `IS [NOT] NULL`, joined
by `AND`. Numbers, truth, times and UUIDs compare in their order, a literal taken as a value of the column's type; texts
are equal or not, byte by byte, as collations are the server's. What it does not know it refuses: whoever has the
database at hand can ask it (`Source.matching`).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Invalid
from snapstore.keys import decode_equal, encode
from snapstore.operations.state import StateTable
from snapstore.rows import Batch, Cells, KeyPart, Table
from snapstore.sources.display import comparable, parse_key
from snapstore.tree.values import resolve

__all__ = ["Condition", "matching"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<name>"(?:[^"]|"")+"|[^\W\d]\w*) | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<text>'(?:[^']|'')*') | (?P<sign><=|>=|<>|!=|=|<|>))""",
    re.VERBOSE,
)
_SIGNS = {
    "=": operator.eq, "<>": operator.ne, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_EQUALITY = ("=", "<>", "!=")
_HINT = "Write COLUMN OP VALUE, COLUMN IS [NOT] NULL, and AND between them; with --to a database is asked instead."


@dataclass(frozen=True, slots=True)
class _Test:
    """One comparison: with a value in order-preserving bytes, or whether there is one at all (no sign)."""

    column: str
    part: KeyPart | None
    sign: str
    value: bytes = b""
    wants_null: bool = False


class Condition:
    """A condition on the rows of one table. Raises `Invalid` for what it cannot be sure to mean as a database would."""

    def __init__(self, table: Table, text: str) -> None:
        self._table = table
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self.tests = [self._test()]
        while self._at < len(self._tokens):
            self._word("AND")
            self.tests.append(self._test())

    def _test(self) -> _Test:
        name = self._column(self._next("name"))
        if self._is_word("IS"):
            self._at += 1
            is_not = self._is_word("NOT")
            self._at += is_not
            self._word("NULL")
            return _Test(name, None, "", wants_null=not is_not)
        sign = self._next("sign")
        kind, word = self._literal()
        part = comparable(self._table, name)
        if part is None:
            raise Invalid(f"{self._text!r}: values of {name} cannot be compared here", hint=_HINT)
        is_text = part.encoding == "bytes" or (part.encoding == "value" and kind == "text")
        if is_text and sign not in _EQUALITY:
            raise Invalid(f"{self._text!r}: which text comes first is for the server to say", hint=_HINT)
        if part.encoding == "bytes" and kind != "text":
            raise Invalid(f"{self._text!r}: {name} is compared with a text in single quotes", hint=_HINT)
        if kind == "text" and part.encoding != "value":
            word = word[1:-1].replace("''", "'")
        try:
            return _Test(name, part, sign, parse_key(replace(self._table, key=(part,)), word))
        except Invalid as error:
            raise Invalid(f"{self._text!r}: {word} is no value of {name}", hint=_HINT) from error

    def _column(self, word: str) -> str:
        known = [*(part.name for part in self._table.key if part.name), *(one.name for one in self._table.columns)]
        name = word[1:-1].replace('""', '"') if word.startswith('"') else word
        for candidate in [name] if word.startswith('"') else [name, name.lower()]:
            if candidate in known:
                return candidate
        raise Invalid(f"no column {name!r} in {self._table.name}", hint=f"It has: {', '.join(dict.fromkeys(known))}.")

    def _literal(self) -> tuple[str, str]:
        if self._at < len(self._tokens):
            kind, word = self._tokens[self._at]
            if kind in ("number", "text") or word.upper() in ("TRUE", "FALSE"):
                self._at += 1
                return kind, word.lower() if kind == "name" else word
        raise self._stuck("a number or a 'text'")

    def _is_word(self, word: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at][1].upper() == word

    def _word(self, word: str) -> None:
        if not self._is_word(word):
            raise self._stuck(word)
        self._at += 1

    def _next(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            raise self._stuck("a column" if kind == "name" else "a comparison")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _stuck(self, wanted: str) -> Invalid:
        found = self._tokens[self._at][1] if self._at < len(self._tokens) else "the end"
        return Invalid(f"{self._text!r}: {wanted} is expected where {found} stands", hint=_HINT)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise Invalid(f"{text!r}: {text[at:].strip()[:12]!r} is not understood", hint=_HINT)
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def matching(table: StateTable, condition: Condition) -> Iterator[Batch]:
    """The rows that meet it, in order of key, cells still spilled. Rows with NULL meet no comparison, as in SQL.

    Reads the columns of the condition, and of the others what stands beside rows that meet it.
    """
    tree = table.tree
    if tree is None:
        return
    names = [column.name for column in tree.table.columns]
    for spans in tree.leaves():
        keys = tree.keys(spans)
        meets = np.ones(len(keys), np.bool_)
        for test in condition.tests:
            if test.column in names:
                cells = resolve(tree.cells(1 + names.index(test.column), spans), table.fetch)
            else:
                places = [part.name for part in tree.table.key]
                cells = decode_equal(tree.table.key, keys)[places.index(test.column)]
            meets &= _meets(test, cells)
        rows = np.flatnonzero(meets)
        if len(rows):
            yield tree.batch(spans).take(rows)


def _meets(test: _Test, cells: Cells) -> NDArray[np.bool_]:
    valid = np.ones(len(cells), np.bool_) if cells.valid is None else cells.valid.copy()
    if test.part is None:
        return ~valid if test.wants_null else valid
    there = np.flatnonzero(valid)
    compare = _SIGNS[test.sign]
    found = encode((test.part,), [cells.take(there)]) if len(there) else cells.slice(0, 0)
    valid[there] = np.fromiter((compare(cell or b"", test.value) for cell in found.to_list()), np.bool_, len(there))
    return valid
