"""A table of snap.toml while it is read: each word asked for with its type, and what nobody asks for is a mistake.

    words = Words.read(path)
    words.known("repository", "sources")
    words.text("repository")

A mistake is told with file, line, column, and the word that was probably meant. `keep-last` may be written `keep_last`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from snap_cli.positions import Path as KeyPath
from snap_cli.positions import Position, position_of, positions
from snapstore.errors import Invalid

__all__ = ["Document", "Words", "dotted", "nearest"]

T = TypeVar("T")
_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)")


class Document:
    """A TOML file: its path, its values, and where they stand. Raises `Invalid` for one that is not TOML."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{path} cannot be read: {error}", hint="It must be TOML in UTF-8.") from error
        try:
            self.values = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            found = _PLACE.search(str(error))
            line, column = (int(found[1]), int(found[2])) if found and found[1] else (self.text.count("\n") + 1, 1)
            told = _PLACE.sub("", str(error))
            raise Invalid(
                f"{path}:{line}:{column}: this is not TOML: {told}", hint="Mend it there, or move the file away."
            ) from None

    @cached_property
    def _positions(self) -> dict[KeyPath, Position]:
        return positions(self.text)

    def position(self, path: KeyPath) -> Position:
        """Where the value of this path is, or what is nearest around it."""
        return position_of(self._positions, path)


@dataclass(frozen=True, slots=True)
class Words:
    """One table of a document, by its path in it."""

    document: Document
    given: Mapping[str, Any]
    path: KeyPath = field(default=())

    @classmethod
    def read(cls, path: Path) -> Words:
        """The outermost table of a file."""
        document = Document(path)
        return cls(document, document.values)

    def known(self, *names: str) -> None:
        """Raises `Invalid` for a word that is none of these, or is given twice in two spellings."""
        seen: dict[str, str] = {}
        for word in self.given:
            name = word.replace("_", "-")
            if name not in names:
                raise self.wrong(word, "means nothing", nearest(name, names), of_value=False)
            if name in seen:
                raise self.wrong(word, f"is {seen[name]} once more", "Leave one of them out.", of_value=False)
            seen[name] = word

    def wrong(self, name: str | None, told: str, hint: str = "", *, of_value: bool = True) -> Invalid:
        """The error that says this of a word here (of the table itself for None), with its place."""
        path = self.path if name is None else (*self.path, self._spelled(name))
        at = self.document.position(path)
        column = at.value_column if of_value else at.column
        return Invalid(f"{self.document.path}:{at.line}:{column}: {dotted(path)} {told}", hint=hint)

    def has(self, name: str) -> bool:
        """Whether the word is given."""
        return self._spelled(name) in self.given

    def text(self, name: str) -> str | None:
        """A text, None where it is not given."""
        value: str | None = self._typed(name, str, "a text in quotes")
        if value is not None and not value.strip():
            raise self.wrong(name, "is empty", "Leave it out, or say what is meant.")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; none where it is not given."""
        value = self._typed(name, list, 'a list of texts: ["…"]') or []
        if not all(isinstance(one, str) and one.strip() for one in value):
            raise self.wrong(name, 'must be a list of texts: ["…"]')
        return tuple(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value: bool | None = self._typed(name, bool, "true or false")
        return default if value is None else value

    def count(self, name: str) -> int:
        """A whole number, 0 or more; 0 where it is not given."""
        value = self.given.get(self._spelled(name), 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.wrong(name, "must be a whole number, 0 or more")
        return value

    def table(self, name: str) -> Words:
        """A table; an empty one where it is not given."""
        spelled = self._spelled(name)
        value = self._typed(name, dict, f"a table: [{dotted((*self.path, spelled))}]") or {}
        return Words(self.document, value, (*self.path, spelled))

    def each(self) -> Iterator[tuple[str, Words]]:
        """The tables in this one, by name."""
        for name in self.given:
            yield name, self.table(name)

    def array(self, name: str) -> list[Words]:
        """An array of tables; none where it is not given."""
        spelled = self._spelled(name)
        value = self._typed(name, list, f"tables: [[{dotted((*self.path, spelled))}]]") or []
        if not all(isinstance(one, dict) for one in value):
            raise self.wrong(name, f"must be tables: [[{dotted((*self.path, spelled))}]]")
        return [Words(self.document, one, (*self.path, spelled, at)) for at, one in enumerate(value)]

    def _typed(self, name: str, kind: type, told: str) -> Any:
        value = self.given.get(self._spelled(name))
        if value is not None and not isinstance(value, kind):
            raise self.wrong(name, f"must be {told}")
        return value

    def _spelled(self, name: str) -> str:
        """The word as the file has it."""
        other = name.replace("-", "_")
        return other if other in self.given and name not in self.given else name


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint: the known word most like this one, and all of them."""
    close = get_close_matches(word, known, 1, 0.5)
    told = f"Did you mean {close[0]}? " if close else ""
    return f"{told}Known here: {', '.join(known)}." if known else told.strip()


def dotted(path: KeyPath) -> str:
    """The path as it would be written in TOML; tables of an array are counted from 1."""
    words = ""
    for one in path:
        if isinstance(one, int):
            words += f"[{one + 1}]"
        else:
            plain = one if re.fullmatch(r"[A-Za-z0-9_-]+", one) else f'"{one}"'
            words += f".{plain}" if words else plain
    return words
