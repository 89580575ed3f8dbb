"""Stores of any engine as records with a name and a text: what the contract of all sources runs on.

records = TreeRecords(tmp_path / "memory")
records.put("a.md", "text")
records.source.view(Selection())
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from snapstore.sources import Source
from snapstore.sources.files.source import FilesSource
from tests.contracts.stores import Store


class Records(Protocol):
    """A live store with a source on it, and one table in it that has records."""

    source: Source
    table: str
    text_column: str

    def fill(self, texts: dict[str, str]) -> None:
        """Make these records."""

    def put(self, name: str, text: str) -> None:
        """Make a record, or give it another text."""

    def drop(self, name: str) -> None:
        """Delete a record."""

    def texts(self) -> dict[str, str]:
        """Every record."""

    def starting_with(self, letter: str) -> str:
        """A condition on records in the source's own language."""

    def another(self) -> Records:
        """A store of the same kind in which nothing was ever made."""


class SqlRecords:
    """Rows of a table."""

    text_column = "body"

    def __init__(self, store: Store, *, empty: bool = False) -> None:
        self._store = store
        self.source = store.source
        self.table = f"{store.schema}.notes"
        if not empty:
            store.run("CREATE TABLE notes (name text PRIMARY KEY, body text)")

    def fill(self, texts: dict[str, str]) -> None:
        self._store.run("INSERT INTO notes VALUES " + ", ".join(f"('{name}', '{texts[name]}')" for name in texts))

    def put(self, name: str, text: str) -> None:
        self._store.run(f"DELETE FROM notes WHERE name = '{name}'; INSERT INTO notes VALUES ('{name}', '{text}')")

    def drop(self, name: str) -> None:
        self._store.run(f"DELETE FROM notes WHERE name = '{name}'")

    def texts(self) -> dict[str, str]:
        return dict(self._store.rows("SELECT name, body FROM notes"))

    def starting_with(self, letter: str) -> str:
        return f"name LIKE '{letter}%'"

    def another(self) -> Records:
        return SqlRecords(self._store.another(), empty=True)


class TreeRecords:
    """Files in a folder."""

    text_column = "content"
    table = "tree.files"

    def __init__(self, place: Path, *, empty: bool = False) -> None:
        self.place = place
        self.source: Source = FilesSource(f"file://{place}", settle_seconds=0.01, wait_seconds=0.2)
        if not empty:
            place.mkdir()

    def fill(self, texts: dict[str, str]) -> None:
        for name, text in texts.items():
            self.put(name, text)

    def put(self, name: str, text: str) -> None:
        (self.place / name).write_text(text)

    def drop(self, name: str) -> None:
        (self.place / name).unlink()

    def texts(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.place.iterdir()}

    def starting_with(self, letter: str) -> str:
        return f"/{letter}*"

    def another(self) -> Records:
        return TreeRecords(self.place.with_name("another"), empty=True)
