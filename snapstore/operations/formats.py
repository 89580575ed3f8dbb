"""The files of an export: rows as JSON, JSON lines, CSV or Parquet. Written here, and read back by `importing`.

    with JsonLines(folder) as writer, writer.table("public.memories", "memories", forms) as rows:
        rows.add([ids, contents, embeddings], 3)     # the values of each column, and how many rows these are

Values are those of `snapstore.sources.plain`. A CSV tells NULL (nothing) from an empty text (two quotes).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from snapstore.errors import Invalid
from snapstore.operations.summed import Summed
from snapstore.plainjson import dump, load
from snapstore.sources.plain import HEX, Form

__all__ = ["AGAIN", "Csv", "Files", "Format", "JsonDocument", "JsonLines", "Rows", "Writer", "from_text", "to_text"]


_PIECE_BYTES = 1 << 20
AGAIN = "Export again, and import that."


class Format(StrEnum):
    """What an export is written as."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"
    PARQUET = "parquet"


class Rows(Protocol):
    """The rows of one table on their way into `file`, a name in the folder."""

    file: str

    def add(self, columns: Sequence[Sequence[Any]], count: int) -> None:
        """So many rows, as the values of each column."""


class Writer(Protocol):
    """The files of one export. `sums` has the SHA-256 of those that were summed as they were written."""

    sums: dict[str, str]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def table(self, label: str, part: str, forms: Sequence[Form]) -> AbstractContextManager[Rows]:
        """Begin a table; `part` is `memories`, `relationships` or nothing."""

    def finish(self, head: Mapping[str, Any]) -> None:
        """After the last table, with what is said of all."""


class Files:
    """What writers of one file a table share. `sums` has the SHA-256 of those files that were summed on the way."""

    ending = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: set[str] = set()
        self.sums: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Files are closed with their tables."""

    def table(self, label: str, part: str, forms: Sequence[Form]) -> AbstractContextManager[Rows]:
        """As `Writer.table`."""
        raise NotImplementedError

    def finish(self, head: Mapping[str, Any]) -> None:
        """Nothing is said in these files but rows."""

    def _name(self, label: str, part: str) -> str:
        """A file name of its own: the part's, else the table's as far as file systems allow."""
        plain = part or re.sub(r"[^A-Za-z0-9_.-]", "_", label).strip(".") or "table"
        name, number = plain[:100], 1
        while name.lower() in self._names:
            number += 1
            name = f"{plain[:90]}-{number}"
        self._names.add(name.lower())
        return f"{name}.{self.ending}"


class JsonLines(Files):
    """One object a line."""

    ending = "jsonl"

    @contextmanager
    def table(self, label: str, part: str, forms: Sequence[Form]) -> Iterator[Rows]:
        """As `Writer.table`."""
        name = self._name(label, part)
        with Summed(self._folder / name) as file:
            yield _Lines(file, name, [one.name for one in forms], b"", b"\n")
        self.sums[name] = file.sum


class _Lines:
    """Objects with something before each but the first, and something after each."""

    def __init__(self, out: Summed, file: str, names: Sequence[str], before: bytes, after: bytes) -> None:
        self._out = out
        self.file = file
        self._names = names
        self._before = before
        self._after = after
        self._is_first = True

    def add(self, columns: Sequence[Sequence[Any]], count: int) -> None:
        names = self._names
        rows = zip(*columns, strict=True) if columns else [()] * count
        pieces: list[bytes] = []
        size = 0
        for row in rows:
            pieces += (b"" if self._is_first else self._before, dump(dict(zip(names, row, strict=True))), self._after)
            self._is_first = False
            size += len(pieces[-2])
            if size >= _PIECE_BYTES:
                self._out.write(b"".join(pieces))
                pieces, size = [], 0
        self._out.write(b"".join(pieces))


class JsonDocument(Files):
    """One document, `export.json`, with a row on each line of it."""

    ending = "json"

    def __enter__(self) -> Self:
        self._file = Summed(self._folder / "export.json").__enter__()
        self._file.write(b"{\n")
        self._parts: set[str] = set()
        self._has_others = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)
        self.sums["export.json"] = self._file.sum

    @contextmanager
    def table(self, label: str, part: str, forms: Sequence[Form]) -> Iterator[Rows]:
        """As `Writer.table`: memories and relationships by these names, others by their own among `tables`."""
        if part:
            self._parts.add(part)
        elif not self._has_others:
            self._absent()
            self._file.write(b'"tables": {\n')
            self._has_others = True
        else:
            self._file.write(b",\n")
        self._file.write(dump(part or label) + b": [\n")
        yield _Lines(self._file, "export.json", [one.name for one in forms], b",\n", b"")
        self._file.write(b"\n],\n" if part else b"\n]")

    def finish(self, head: Mapping[str, Any]) -> None:
        """As `Writer.finish`."""
        if self._has_others:
            self._file.write(b"\n},\n")
        else:
            self._absent()
        self._file.write(b'"metadata": ' + dump(head) + b"\n}\n")

    def _absent(self) -> None:
        for part in ("memories", "relationships"):
            if part not in self._parts:
                self._file.write(dump(part) + b": [],\n")


class Csv(Files):
    """A header and rows as in RFC 4180; NULL is nothing, an empty text two quotes."""

    ending = "csv"

    @contextmanager
    def table(self, label: str, part: str, forms: Sequence[Form]) -> Iterator[Rows]:
        """As `Writer.table`."""
        name = self._name(label, part)
        with (self._folder / name).open("w", encoding="utf-8", newline="") as file:
            file.write(",".join(map(_quoted, (one.name for one in forms))) + "\r\n")
            yield _CsvRows(file, name, forms)


class _CsvRows:
    def __init__(self, out: IO[str], file: str, forms: Sequence[Form]) -> None:
        self._out = out
        self.file = file
        self._forms = forms

    def add(self, columns: Sequence[Sequence[Any]], count: int) -> None:
        texts = [
            ["" if value is None else _quoted(to_text(form, value)) for value in values]
            for form, values in zip(self._forms, columns, strict=True)
        ]
        self._out.writelines(",".join(row) + "\r\n" for row in zip(*texts, strict=True))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if not text or re.search(r'[",\r\n]', text) else text


def to_text(form: Form, value: Any) -> str:
    """A value as text that `from_text` makes the same value of."""
    if form.scalar == "str" and isinstance(value, str) and not value.startswith(_ESCAPE):
        return value
    if form.scalar == "str" and isinstance(value, str):
        return dump({HEX: (form.cells([value]).to_list()[0] or b"").hex()}).decode()
    if not form.scalar and isinstance(value, str):
        try:
            load(value)
        except ValueError:
            return value or '""'
    return dump(value).decode()


def from_text(form: Form, text: str) -> Any:
    """The value that this text means in a column of this type. Raises `Invalid`."""
    if form.scalar == "str":
        return load(text) if text.startswith(_ESCAPE) else text
    try:
        value = load(text)
    except ValueError:
        if not form.scalar:
            return text
        raise Invalid(f"column {form.name} ({form.type}) cannot hold {text[:60]!r}") from None
    return float(value) if form.scalar == "float" and type(value) is int else value


_ESCAPE = '{"' + HEX + '"'
