"""Write the rows of a state into files that other programs read, and `snap import` reads back to the bit.

    exported = export(state, Path("out"), Format.JSONL, Choice(vectors=False), roles=roles)

Rows are streamed: memory does not grow with the table. Beside the data are `metadata.json`, which has the shape of each
table, and `checksums.json`. The folder appears when all of it is written and on the disk, or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapstore.ahead import made_ahead
from snapstore.errors import Exists, Invalid, Unavailable
from snapstore.extras import Extra
from snapstore.filesystem import make_folder, patiently, sync_beneath, sync_folder
from snapstore.keys import decode_equal
from snapstore.operations.archive import Archive
from snapstore.operations.capture import Progress, silent
from snapstore.operations.formats import Csv, Format, JsonDocument, JsonLines, Writer
from snapstore.operations.selected import files_of
from snapstore.operations.state import LIVE, State, StateTable, read_objects
from snapstore.plainjson import dump
from snapstore.repository import Repository, Snapshot
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Selection
from snapstore.sources.plain import HEX, SHOWN, Form
from snapstore.sources.roles import Roles
from snapstore.tree.node import encode_objects, encode_schema
from snapstore.tree.values import portions, resolve

__all__ = [
    "CHECKSUMS", "METADATA", "VERSION", "Choice", "Exported", "checksums", "combined", "export", "export_from",
    "forms_of",
]  # fmt: skip

VERSION = 1
METADATA, CHECKSUMS = "metadata.json", "checksums.json"
Match = Callable[[Batch], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows, and whether with vectors. `matching` tells by table name which rows of a batch are meant; `user` is
    the value of the owner's column, and relationships then are those between memories of that user.
    """

    vectors: bool = True
    user: str = ""
    matching: Mapping[str, Match] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: rows by table, the files with their SHA-256, and what is missing from them, in words."""

    rows: Mapping[str, int]
    files: Mapping[str, str]
    missing: tuple[str, ...]


def export(
    state: State,
    folder: Path,
    form: Format,
    choice: Choice | None = None,
    *,
    roles: Roles | None = None,
    at: datetime | None = None,
    objects: Mapping[str, bytes] | None = None,
    files: Mapping[str, Selection] | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write the state into a new folder. `objects` is by source what recreating needs beyond tables (format.md §4),
    `files` what chose the files of a tree: of others its snapshot says nothing.

    Raises `Exists` for a folder that is there and not empty, `Invalid` for a user where no column says whose a row is.
    """
    choice, roles = choice or Choice(), roles or Roles()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Exists(f"{folder} is there already and not empty", hint="Name a new folder.")
    if choice.user and not roles.owner:
        raise Invalid(
            "no column is known to say whose a memory is",
            hint='Say which in snap.toml: owner = "COLUMN" under [sources.NAME.roles].',
        )
    try:
        make_folder(folder.parent)
        making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise Unavailable(f"{folder} cannot be made: {error.strerror or error}") from error
    try:
        exported = _Export(state, making, form, choice, roles, progress).written(at, objects or {}, files or {})
        making.chmod(0o755)
        sync_beneath(making)  # else a power cut may leave the name, and empty files
        with suppress(FileNotFoundError):
            folder.rmdir()
        patiently(lambda: os.replace(making, folder))
        sync_folder(folder.parent)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return exported


def export_from(
    repository: Repository,
    snapshot: Snapshot,
    state: State,
    folder: Path,
    form: Format,
    choice: Choice | None = None,
    *,
    roles: Roles | None = None,
    progress: Progress = silent,
) -> Exported:
    """As `export`, of rows of this snapshot or of the live ones that belong to it, with all it says of them: what
    recreating needs, which live rows do not have, what chose the files of a tree, and the time.
    """
    is_live = state.label == LIVE
    blobs, held = repository.blobs, () if is_live else snapshot.sources
    objects = {one.name: encode_objects(read_objects(blobs, one.objects)) for one in held}
    files = {one.name: files_of(one.selection) for one in snapshot.sources if one.kind == "file"}
    at = datetime.now(UTC) if is_live else snapshot.time
    return export(state, folder, form, choice, roles=roles, at=at, objects=objects, files=files, progress=progress)


def forms_of(table: Table) -> list[Form]:
    """How the columns of a table are written: those of the key that stand nowhere else, then the others."""
    stored = {column.name for column in table.columns}
    parts = [Form.of(part) for part in table.key if part.name and part.name not in stored]
    return [*parts, *(Form.of(column) for column in table.columns)]


class _Export:
    """One export into a folder of its own."""

    def __init__(
        self, state: State, folder: Path, form: Format, choice: Choice, roles: Roles, progress: Progress
    ) -> None:
        self._state = state
        self._folder = folder
        self._form = form
        self._choice = choice
        self._roles = roles
        self._progress = progress
        self._several = len({table.source for table in state.tables}) > 1
        self._without = form is Format.CSV or not choice.vectors
        self._ids: set[str] = set()
        self._missing: list[str] = []

    def written(self, at: datetime | None, objects: Mapping[str, bytes], files: Mapping[str, Selection]) -> Exported:
        """Everything, with what says what it is."""
        shapes: list[dict[str, Any]] = []
        with ExitStack() as stack:
            writer = stack.enter_context(self._writer(at))
            for own in self._in_order():
                shapes.append(self._shape(own))
                if own.tree is None:
                    self._missing.append(f"{shapes[-1]['label']}: only its shape was taken")
                else:
                    shapes[-1] |= self._table(own, shapes[-1]["label"], writer)
            head = self._head(at, shapes)
            writer.finish(head)
        about = {
            **head,
            "format": self._form.value,
            "tables": shapes,
            "objects": {name: base64.b64encode(data).decode() for name, data in objects.items()},
            "chosen": {
                name: {"only": one.only, "ignore": one.ignore, "attributes": one.attributes}
                for name, one in files.items()
            },
        }
        (self._folder / METADATA).write_bytes(dump(about, indent=True))
        sums = checksums(self._folder, writer.sums)
        document = {"algorithm": "sha256", "files": sums, "combined": combined(sums)}
        (self._folder / CHECKSUMS).write_bytes(dump(document, indent=True))
        return Exported({shape["label"]: shape.get("rows", 0) for shape in shapes}, sums, tuple(self._missing))

    def _writer(self, at: datetime | None) -> Writer:
        if self._form is Format.MARKDOWN:
            return Archive(self._folder, self._roles, self._state.label, at)
        if self._form is Format.PARQUET:
            with Extra("parquet", "Parquet needs"):
                from snapstore.operations.parquet import Arrow
            return Arrow(self._folder)
        kinds = {Format.JSON: JsonDocument, Format.JSONL: JsonLines, Format.CSV: Csv}
        return kinds[self._form](self._folder)

    def _in_order(self) -> list[StateTable]:
        """Memories first: relationships may depend on which of them are meant."""
        return sorted(self._state.tables, key=lambda own: ["memories", "relationships", ""].index(self._part(own)))

    def _part(self, own: StateTable) -> str:
        for part, name in (("memories", self._roles.memory), ("relationships", self._roles.relationship)):
            if name and name in (own.name, own.name.partition(".")[2]):
                return part
        return ""

    def _head(self, at: datetime | None, shapes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "version": VERSION,
            "snapshot": self._state.label,
            "timestamp": at.isoformat() if at else None,
            "user_id": self._choice.user or None,
            "is_filtered": any(shape["incomplete"] for shape in shapes),
            "counts": {shape["part"] or shape["label"]: shape.get("rows", 0) for shape in shapes},
        }

    def _shape(self, own: StateTable) -> dict[str, Any]:
        label = f"{own.source}:{own.name}" if self._several else own.name
        forms = forms_of(own.table)
        left_out = [one.name for one in forms if one.is_vector and self._without]
        if left_out:
            self._missing.append(f"{label}: without its vectors ({', '.join(left_out)})")
        return {
            "name": own.name,
            "label": label,
            "source": own.source,
            "kind": own.kind,
            "part": self._part(own),
            "columns": [{"name": one.name, "type": one.type, "vector": one.is_vector} for one in forms],
            "left_out": left_out,
            "incomplete": self._incomplete(own),
            "shape": base64.b64encode(encode_schema(own.table)).decode(),
        }

    def _incomplete(self, own: StateTable) -> str:
        """Why rows of it may be missing, so that nobody takes what is not here for what was not there."""
        damage = own.damage or self._state.why_missing(own.name)
        reasons = [damage] if damage else []
        if own.entry.where is not None:
            reasons.append(f"only the rows that meet {own.entry.where} were taken")
        self._missing += [f"{own.name}: {one}" for one in reasons]
        if own.name in self._choice.matching:
            reasons.append("only the rows that meet a condition were exported")
        if self._choice.user and self._part(own):
            reasons.append(f"only the rows of the user {self._choice.user} were exported")
        return "; ".join(reasons)

    def _table(self, own: StateTable, label: str, writer: Writer) -> dict[str, Any]:
        """Its rows; how many they are, and in which file."""
        tree, part = own.tree, self._part(own)
        assert tree is not None
        forms = [one for one in forms_of(own.table) if not (self._without and one.is_vector)]
        count = 0
        chosen = (self._chosen(own, part, batch) for batch in tree.rows())
        read = (some for batch in chosen for some in _portions(own, batch, forms))
        with writer.table(label, part, forms) as rows, closing(made_ahead(read, _bytes_of)) as portions_read:
            for some in portions_read:
                values = [form.values(cells) for form, cells in zip(forms, some.columns, strict=True)]
                rows.add(values, len(some))
                count += len(some)
                self._progress(label, count, own.entry.rows)
        return {"rows": count, "file": rows.file}

    def _chosen(self, own: StateTable, part: str, batch: Batch) -> Batch:
        match = self._choice.matching.get(own.name)
        if match is not None:
            whole = Batch(batch.keys, tuple(resolve(cells, own.fetch) for cells in batch.columns))
            batch = batch.take(np.flatnonzero(match(whole)))
        if not self._choice.user or not part or not len(batch):
            return batch
        return batch.take(np.flatnonzero(self._of_user(own, part, batch)))

    def _of_user(self, own: StateTable, part: str, batch: Batch) -> NDArray[np.bool_]:
        """Memories of the user; relationships between two of them."""

        def words(*names: str) -> list[list[str]]:
            known = {one.name: one for one in forms_of(own.table)}
            for name in names:
                if name not in known:
                    raise Invalid(f"{own.name} has no column {name!r}", hint="Mend the roles in snap.toml.")
            return [[_word(one) for one in column] for column in _values(own, batch, [known[name] for name in names])]

        roles = self._roles
        if part == "relationships":
            ends = words(roles.relationship_from, roles.relationship_to)
            return np.array([all(one in self._ids for one in pair) for pair in zip(*ends, strict=True)], np.bool_)
        (owners,) = words(roles.owner)
        keep = [one == self._choice.user for one in owners]
        if len(own.table.key) == 1 and own.table.key[0].name:
            (ids,) = words(own.table.key[0].name)
            self._ids.update(one for one, is_own in zip(ids, keep, strict=True) if is_own)
        return np.array(keep, np.bool_)


def _word(value: Any) -> str:
    """A value as people name it."""
    return str(value[SHOWN] if isinstance(value, dict) and HEX in value else value)


def _values(own: StateTable, batch: Batch, forms: Sequence[Form]) -> list[list[Any]]:
    """The values of these columns; of others, however large, nothing is read."""
    return [one.values(resolve(cells, own.fetch)) for one, cells in zip(forms, _cells(own, batch, forms), strict=True)]


def _portions(own: StateTable, batch: Batch, forms: Sequence[Form]) -> Iterator[Batch]:
    """The rows with these columns, large cells fetched: as many at a time as memory should hold."""
    yield from portions(batch.keys, [(cells, own.fetch) for cells in _cells(own, batch, forms)])


def _bytes_of(batch: Batch) -> int:
    return sum(len(cells.data) for cells in (batch.keys, *batch.columns))


def _cells(own: StateTable, batch: Batch, forms: Sequence[Form]) -> list[Cells]:
    """Of each of these columns, as they are held."""
    stored = {column.name: cells for column, cells in zip(own.table.columns, batch.columns, strict=True)}
    if any(one.name not in stored for one in forms):
        keys = decode_equal(own.table.key, batch.keys)
        stored = {part.name: cells for part, cells in zip(own.table.key, keys, strict=True)} | stored
    return [stored[one.name] for one in forms]


def checksums(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """The SHA-256 of every file of an export, by its path in the folder; of those not `known` it is read."""
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != CHECKSUMS
    }
    return {name: (known or {}).get(name) or _sha256(path) for name, path in files.items()}


def combined(files: Mapping[str, str]) -> str:
    """One SHA-256 of all: of lines as `sha256sum` prints them, in order of name."""
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
