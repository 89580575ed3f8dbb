"""Rows from the files of an export, some at a time: the other half of `formats`.

    for rows in rows_in(path, "jsonl", "memories", forms, 2048):
        rows[0]["content"]

Values are those of `snapstore.sources.plain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from snapstore.errors import Corrupt, Invalid
from snapstore.extras import Extra
from snapstore.operations.formats import AGAIN, from_text
from snapstore.plainjson import dump, load
from snapstore.sources.plain import Form

__all__ = ["rows_in"]

Row = Mapping[str, Any]


def rows_in(path: Path, form: str, member: str, forms: Sequence[Form], count: int) -> Iterator[Sequence[Row]]:
    """The rows of one table, `count` at a time. Raises `Corrupt` naming the file and the line."""
    if form == "parquet":
        with Extra("parquet", "Parquet needs"):
            from snapstore.operations.parquet import rows_in_parquet
        yield from rows_in_parquet(path, forms, count)
        return
    found = {"json": _in_document, "jsonl": _in_lines, "csv": _in_csv}.get(form)
    if found is None:
        raise Invalid(f"{path} is of no format that can be read: {form}")
    rows = found(path, member, forms)
    try:
        while group := list(islice(rows, count)):
            yield group
    except ValueError as error:  # no UTF-8, or no end of a quoted field
        raise Corrupt(f"{path} cannot be read as {form}: {error}", hint=AGAIN) from error


def _object(path: Path, number: int, line: bytes) -> Row:
    try:
        row = load(line)
    except ValueError as error:
        raise Corrupt(f"{path}, line {number}: no JSON: {error}", hint=AGAIN) from error
    if not isinstance(row, dict):
        raise Corrupt(f"{path}, line {number}: not an object", hint=AGAIN)
    return row


def _in_lines(path: Path, member: str, forms: Sequence[Form]) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _object(path, number, line)


def _in_document(path: Path, member: str, forms: Sequence[Form]) -> Iterator[Row]:
    """The document has a row on each line, so that it need not be in memory."""
    start = dump(member) + b": ["
    with path.open("rb") as file:
        before = _line_that_begins(file, start)
        if not before:
            raise Corrupt(f"{path} has no {member}", hint=AGAIN)
        for number, line in enumerate(file, before + 1):
            plain = line.strip()
            if plain in (b"]", b"],"):
                return
            if plain:
                yield _object(path, number, plain.removesuffix(b","))
    raise Corrupt(f"{path} ends within {member}", hint=AGAIN)


def _line_that_begins(file: IO[bytes], start: bytes) -> int:
    for number, line in enumerate(file, 1):
        if line.startswith(start):
            return number
    return 0


def _in_csv(path: Path, member: str, forms: Sequence[Form]) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        records = _records(file, path)
        names = [name or "" for name in next(records, [])]
        known = {one.name: one for one in forms}
        unknown = [name for name in names if name not in known]
        if unknown or len(set(names)) != len(names):
            raise Invalid(f"{path} has the columns {', '.join(names)}; not known: {', '.join(unknown) or 'none'}")
        for number, record in enumerate(records, 2):
            if len(record) != len(names):
                told = f"{len(record)} fields where the header has {len(names)}"
                raise Corrupt(f"{path}, record {number}: {told}", hint=AGAIN)
            yield {
                name: None if text is None else from_text(known[name], text)
                for name, text in zip(names, record, strict=True)
            }


def _records(file: IO[str], path: Path) -> Iterator[list[str | None]]:
    """RFC 4180, where a field of nothing is None and `""` an empty text."""
    pending: list[str] = []
    is_open = False
    for line in file:
        pending.append(line)
        is_open ^= bool(line.count('"') % 2)
        if is_open:
            continue  # a field goes on in the next line
        text, at = "".join(pending).removesuffix("\n").removesuffix("\r"), 0
        fields: list[str | None] = []
        while True:
            field, at = _field(text, at, path)
            fields.append(field)
            if at >= len(text):
                break
            at += 1
        yield fields
        pending = []
    if pending:
        raise Corrupt(f"{path} ends within a quoted field", hint=AGAIN)


def _field(text: str, at: int, path: Path) -> tuple[str | None, int]:
    """The field that begins here, and where its comma or the end of the record is."""
    if at < len(text) and text[at] == '"':
        parts, start = [], at + 1
        while True:
            end = text.find('"', start)
            if end < 0:
                raise Corrupt(f"{path}: a quoted field that does not end")
            parts.append(text[start:end])
            if text[end + 1 : end + 2] != '"':
                if text[end + 1 : end + 2] not in (",", ""):
                    raise Corrupt(f"{path}: text behind a quoted field", hint=AGAIN)
                return '"'.join(parts), end + 1 if end + 1 < len(text) else len(text) + 1
            start = end + 2
    end = text.find(",", at)
    if end < 0:
        return text[at:] or None, len(text) + 1
    return text[at:end] or None, end
