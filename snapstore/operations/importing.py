"""Read an export back: a source whose rows are in files, so that a snapshot is taken of it as of any other.

    source = ExportSource(read_export(Path("out")))
    taken = take(repository, [Request("agents", source, Selection())])

What an export left out (vectors, in a CSV) the snapshot does not have, and says so. Files that are not as their
checksums say are refused before anything is read.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapstore import keys
from snapstore.errors import Corrupt, Invalid, NotFound, Unsupported
from snapstore.multiset import by_content
from snapstore.operations.capture import Progress, silent
from snapstore.operations.export import CHECKSUMS, METADATA, VERSION, checksums, combined, forms_of
from snapstore.operations.formats import AGAIN
from snapstore.operations.rowfiles import rows_in
from snapstore.operations.selected import files_of
from snapstore.operations.take import Request, Taken, take
from snapstore.plainjson import load
from snapstore.repository import Repository
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Selection, Target, View
from snapstore.sources.plain import Form
from snapstore.tree.node import decode_objects, decode_schema

__all__ = ["Export", "ExportSource", "Part", "import_export", "read_export"]

_BATCH_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Part:
    """One table of an export: its shape without what was left out, how many rows, and the file they are in.

    `incomplete` says why rows of it may be missing, if any may.
    """

    table: Table
    source: str
    kind: str
    file: str
    member: str
    rows: int
    left_out: tuple[str, ...]
    incomplete: str = ""


@dataclass(frozen=True, slots=True)
class Export:
    """An export as it says it is; by source its `objects`, and what chose files of a tree. Its own were checked."""

    folder: Path
    format: str
    label: str
    parts: tuple[Part, ...]
    objects: Mapping[str, bytes]
    chosen: Mapping[str, Selection]

    @property
    def sources(self) -> list[str]:
        """The names of the sources it came from."""
        return list(dict.fromkeys(part.source for part in self.parts))


def read_export(folder: Path) -> Export:
    """What is in this folder. Raises `NotFound` where there is no export, `Corrupt` naming a file that was changed."""
    if folder.is_file() and (folder.parent / METADATA).is_file():
        folder = folder.parent
    for name in (METADATA, CHECKSUMS):
        if not (folder / name).is_file():
            raise NotFound(f"there is no {name} in {folder}", hint="Name the folder that `snap export` wrote.")
    _check(folder)
    about = _document(folder / METADATA)
    try:
        if about["version"] != VERSION:
            raise Unsupported(f"{folder} is an export of version {about['version']}", hint="Use a newer snap.")
        if about["format"] == "markdown":
            raise Invalid(f"{folder} is for reading: Markdown does not hold every value", hint="Export as JSON.")
        parts = tuple(_part(one) for one in about["tables"] if "file" in one)
        objects = {name: base64.b64decode(data) for name, data in about["objects"].items()}
        chosen = {name: files_of(one) for name, one in about["chosen"].items()}
        if len({(part.source, part.table.name) for part in parts}) != len(parts):
            raise ValueError("a table occurs twice")
        return Export(folder, _text(about["format"]), _text(about["snapshot"]), parts, objects, chosen)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"{folder / METADATA} is not what an export says of itself: {error}", hint=AGAIN) from error


def import_export(
    repository: Repository,
    export: Export,
    source: str | None = None,
    *,
    tags: Sequence[str] = (),
    host: str = "",
    progress: Progress = silent,
) -> Taken:
    """Take a snapshot of what is in an export, of one of its sources or of all; `missing` of these is what the export
    left out. Raises `Invalid` for a source that it does not have, or without rows.
    """
    names = [name for name in export.sources if source in (None, name)]
    if not names and source is None:
        raise Invalid(
            f"there are no rows in the export {export.folder}", hint="Only the shapes of its tables were taken."
        )
    if not names:
        raise Invalid(f"the export has no source {source!r}", hint=f"It has: {', '.join(export.sources)}.")
    requests = [Request(name, ExportSource(export, name), export.chosen.get(name, Selection())) for name in names]
    described = f"imported from {export.folder.name}"
    return take(repository, requests, tags=tags, description=described, host=host, full=True, progress=progress)


def _part(one: Mapping[str, Any]) -> Part:
    table = decode_schema(base64.b64decode(one["shape"]), f"the shape of {one['name']}")
    left_out = tuple(_text(name) for name in one["left_out"])
    member = _text(one["part"] or one["label"])
    if left_out:
        definition = {**table.definition, "left_out": [*table.definition.get("left_out", ()), *left_out]}
        kept = tuple(column for column in table.columns if column.name not in left_out)
        table = replace(table, columns=kept, definition=definition)
    return Part(
        table, _text(one["source"]), _text(one["kind"]), _text(one["file"]), member, int(one["rows"]), left_out,
        _text(one["incomplete"]),
    )  # fmt: skip


def _text(value: Any) -> str:
    """The text that this must be, since it goes into a manifest."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _check(folder: Path) -> None:
    document = _document(folder / CHECKSUMS)
    said = document.get("files")
    if not isinstance(said, dict) or document.get("combined") != combined(said):
        raise Corrupt(f"{folder / CHECKSUMS} was changed: its own sum does not fit", hint=AGAIN)
    now = checksums(folder)
    for name, digest in said.items():
        if name not in now:
            raise Corrupt(f"{folder / name} is missing from the export", hint=AGAIN)
        if now[name] != digest:
            raise Corrupt(f"{folder / name} was changed since it was exported", hint=AGAIN)


def _document(path: Path) -> dict[str, Any]:
    try:
        document = load(path.read_bytes())
    except ValueError as error:
        raise Corrupt(f"{path} is no JSON: {error}", hint=AGAIN) from error
    if not isinstance(document, dict):
        raise Corrupt(f"{path} is not an object", hint=AGAIN)
    return document


class ExportSource:
    """One source of an export, as a `Source` that can only be read."""

    def __init__(self, export: Export, name: str) -> None:
        self._export = export
        self._name = name
        self._parts = [part for part in export.parts if part.source == name]
        self.kind = self._parts[0].kind if self._parts else ""

    @property
    def url(self) -> str:
        """What it was read from."""
        return f"export:{self._export.folder.name}"

    @contextmanager
    def view(self, selection: Selection) -> Iterator[View]:
        """Its tables; a selection of them is not needed."""
        yield _View(self._export, self._name, self._parts)

    def target(self, selection: Selection) -> AbstractContextManager[Target]:
        """Files of an export are not written to."""
        raise Unsupported(f"{self.url} cannot be restored into")

    def matching(self, table: Table, where: str) -> AbstractContextManager[Callable[[Batch], NDArray[np.bool_]]]:
        """Files have no language for conditions."""
        raise Unsupported(f"{self.url} cannot judge conditions")


class _View:
    def __init__(self, export: Export, name: str, parts: Sequence[Part]) -> None:
        self._export = export
        self._name = name
        self._parts = {part.table.name: part for part in parts}
        self._absent: Counter[tuple[str, str]] = Counter()

    @property
    def tables(self) -> Sequence[Table]:
        return [part.table for part in self._parts.values()]

    @property
    def definition(self) -> Mapping[str, Any]:
        packed = self._export.objects.get(self._name)
        return {} if packed is None else decode_objects(packed, f"the objects of {self._name}")

    @property
    def position(self) -> Mapping[str, Any]:
        return {"export": self._export.label}

    @property
    def missing(self) -> Sequence[str]:
        told = [
            f"the export has no {', '.join(part.left_out)} ({part.table.name})"
            for part in self._parts.values()
            if part.left_out
        ]
        told = [
            f"table {part.table.name}: {part.incomplete}" for part in self._parts.values() if part.incomplete
        ] + told
        told += [f"table {name}: {number:,} rows say nothing of {one}" for (name, one), number in self._absent.items()]
        return told

    def read(self, table: Table) -> Iterator[Batch]:
        part = self._parts[table.name]
        path = (self._export.folder / part.file).resolve()
        if self._export.folder.resolve() not in path.parents:
            raise Corrupt(f"{self._export.folder / METADATA} leads out of its folder: {part.file!r}", hint=AGAIN)
        if not path.is_file():
            raise Corrupt(f"{path} is missing from the export", hint=AGAIN)
        forms = forms_of(part.table)
        groups = self._columns(table.name, rows_in(path, self._export.format, part.member, forms, _BATCH_ROWS), forms)
        count = 0
        for batch in _batches(part.table, groups):
            count += len(batch)
            yield batch
        if count != part.rows:
            raise Corrupt(f"{path} has {count:,} rows of {table.name}, and the export says {part.rows:,}", hint=AGAIN)

    def _columns(
        self, name: str, rows: Iterator[Sequence[Mapping[str, Any]]], forms: Sequence[Form]
    ) -> Iterator[tuple[dict[str, Cells], int]]:
        known = {one.name for one in forms}
        for group in rows:
            for row in group:
                if row.keys() != known:
                    for unknown in row.keys() - known:
                        raise Invalid(f"{name} has no column {unknown!r}, and a row of the export does")
                    self._absent.update((name, one) for one in known - row.keys())
            yield {one.name: one.cells([row.get(one.name) for row in group]) for one in forms}, len(group)

    def confirm(self) -> None:
        """Files that were checked do not change shape."""


def _batches(table: Table, groups: Iterator[tuple[dict[str, Cells], int]]) -> Iterator[Batch]:
    """Rows in the order of their keys, as exports are; rows without a key are put in that of their content."""
    if table.by_content:
        rows = ([cells[column.name] for column in table.columns] or count for cells, count in groups)
        yield from by_content(table, rows)
        return
    last = b""
    for cells, _ in groups:
        own = keys.encode(table.key, [cells[part.name] for part in table.key])
        batch = Batch(own, tuple(cells[column.name] for column in table.columns))
        first = own.slice(0, 1).to_list()[0] or b""
        if not keys.is_ascending(own) or (last and first <= last):
            raise Invalid(f"the rows of {table.name} do not stand in the order of their keys, or one occurs twice")
        last = own.slice(len(own) - 1, len(own)).to_list()[0] or b""
        yield batch
