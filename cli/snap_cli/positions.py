r"""Where each word of a TOML text stands: tomllib gives values and no places.

    positions('[sources.a]\nurl = "x"\n')["sources", "a", "url"]      # Position(line=2, column=1, value_column=7)

A text is cut into statements by the parser itself: lines that it understands on their own are one. So nothing here
needs to know how strings, arrays or comments end. It knows no word of snap.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Path", "Position", "position_of", "positions"]

Path = tuple[str | int, ...]
"""The keys that lead to a value, from the outermost; a number counts the tables of an array of tables."""

# What a key may be made of; quoted ones may hold dots and brackets.
_KEY = re.compile(r"""\s*(?P<word>"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*(?P<dot>\.?)""")


@dataclass(frozen=True, slots=True)
class Position:
    """Line and columns, from 1: of the key, and of its value (of a header, the key's again)."""

    line: int
    column: int
    value_column: int


def positions(text: str) -> dict[Path, Position]:
    """Where each table and value is, by its path. The text must be TOML."""
    found: dict[Path, Position] = {}
    tables: dict[Path, int] = {}
    header: Path = ()
    for line, statement in _statements(text):
        value: Any = tomllib.loads(statement)
        if not value:
            continue
        start = statement.lstrip(" \t")
        indent = len(statement) - len(start)
        if not start.startswith("["):
            _keep(found, header, line, statement, indent, value)
            continue
        is_array = start.startswith("[[")
        header = _header(value, tables, is_array=is_array)
        words = [one for one in header if isinstance(one, str)]
        starts = _key_starts(statement, indent + (2 if is_array else 1), len(words))
        column = starts[-1] + 1
        found.setdefault(header, Position(line, column, column))
        # `[a.b]` makes `a` too, if nobody else does.
        for count, at in enumerate(starts, 1):
            above = _resolved(words[:count], tables)
            found.setdefault(above, Position(line, at + 1, at + 1))
    return found


def position_of(known: Mapping[Path, Position], path: Path) -> Position:
    """The place of this path, or of the nearest table or value around it that has one; else the beginning."""
    for end in range(len(path), 0, -1):
        if path[:end] in known:
            return known[path[:end]]
    return Position(1, 1, 1)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header and each `key = value` with the number of its first line."""
    begun, lines = 1, []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        lines.append(line)
        statement = "\n".join(lines)
        try:
            tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        yield begun, statement
        begun, lines = number + 1, []


def _header(value: Any, tables: dict[Path, int], *, is_array: bool) -> Path:
    """The path of the table that a header opens; one of an array is counted."""
    words: list[str] = []
    while isinstance(value, dict) and value:
        [(word, value)] = value.items()
        words.append(word)
    if not is_array:
        return _resolved(words, tables)
    array = (*_resolved(words[:-1], tables), words[-1])
    tables[array] = tables.get(array, 0) + 1
    return (*array, tables[array] - 1)


def _resolved(words: Sequence[str], tables: Mapping[Path, int]) -> Path:
    """These words as a path: of an array of tables the last one is meant."""
    path: Path = ()
    for word in words:
        path = (*path, word)
        if path in tables:
            path = (*path, tables[path] - 1)
    return path


def _keep(found: dict[Path, Position], header: Path, line: int, statement: str, indent: int, value: Any) -> None:
    """The places of one `key = value`, and of the keys of tables written inside the value, as far as they are plain."""
    words: list[str] = []
    starts = _key_starts(statement, indent, None)
    for _ in starts:
        [(word, value)] = value.items()
        words.append(word)
    end = statement.index("=", _key_end(statement, indent)) + 1
    value_at = end + len(statement[end:]) - len(statement[end:].lstrip())
    above = statement[:value_at].count("\n")
    for count, at in enumerate(starts, 1):
        found.setdefault((*header, *words[:count]), Position(line, at + 1, value_at + 1 if not above else 1))
    _keep_inside(found, (*header, *words), line, statement, value_at, value)


def _keep_inside(found: dict[Path, Position], path: Path, line: int, statement: str, start: int, value: Any) -> None:
    if not isinstance(value, dict):
        return
    for word, inner in value.items():
        plain = re.escape(word)
        pattern = rf"""[{{,\s.]("{plain}"|'{plain}'|{plain})\s*="""
        places = [one.start(1) for one in re.finditer(pattern, statement[start:])]
        if len(places) == 1:  # else a text may look like it: then the place around it must do
            at = start + places[0]
            before = statement.rfind("\n", 0, at) + 1
            equals = statement.index("=", at) + 1
            value_at = equals + len(statement[equals:]) - len(statement[equals:].lstrip())
            found[(*path, word)] = Position(line + statement.count("\n", 0, at), at - before + 1, value_at - before + 1)
        _keep_inside(found, (*path, word), line, statement, start, inner)


def _key_starts(statement: str, at: int, count: int | None) -> list[int]:
    """Where the parts of a dotted key begin."""
    starts: list[int] = []
    while count is None or len(starts) < count:
        part = _KEY.match(statement, at)
        if part is None:
            break
        starts.append(part.start("word"))
        at = part.end()
        if not part["dot"]:
            break
    return starts


def _key_end(statement: str, at: int) -> int:
    while (part := _KEY.match(statement, at)) is not None:
        at = part.end()
        if not part["dot"]:
            break
    return at
