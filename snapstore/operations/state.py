"""A state of some tables: a snapshot's, or the live rows'. `live` is a name wherever a snapshot is.

    before = of_snapshot(repository, snapshot)
    with live(repository, "agents", source, selection) as after:
        ...

Live rows are captured into a scratch store over the repository, so nothing is compared in two ways and nothing is
written to the repository.
"""

from __future__ import annotations

import fnmatch
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from snapstore.backends.directory import DirectoryBackend
from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest
from snapstore.errors import Conflict, Invalid, SnapstoreError
from snapstore.operations.capture import Captured, Progress, capture, silent
from snapstore.operations.parent import Parent, parent_of
from snapstore.operations.selected import selection_fields
from snapstore.repository import Repository, Snapshot, SnapshotTable
from snapstore.rows import Column, Table
from snapstore.sources import Refusal, Selection, Source
from snapstore.tree import Fetch, Sink
from snapstore.tree.node import decode_objects, decode_schema
from snapstore.tree.reader import TableTree

__all__ = [
    "LIVE", "Beyond", "State", "StateTable", "captured_state", "evened", "live", "matches", "means_column",
    "of_snapshot", "read_objects", "stable_capture",
]  # fmt: skip

LIVE = "live"
_ATTEMPTS = 3


class StateTable:
    """One table in one state; its tree is opened when somebody asks.

    A table of a snapshot that was turned into the types of a live one remembers its shape before (`was`), and what
    became of each column in words (`turned`); one that could not be turned, why not (`refusal`). `damage` says of a
    table of which a snapshot holds what could still be read, how much that was. `ignoring` are patterns of columns
    (`table.column`, with or without the schema) in which a difference is none. `unturned` are rows that are not among
    these, because they could not be turned.
    """

    def __init__(
        self,
        source: str,
        kind: str,
        entry: SnapshotTable,
        fetch: Fetch,
        *,
        was: Table | None = None,
        turned: Mapping[str, str] | None = None,
        refusal: str = "",
        damage: str = "",
        ignoring: Sequence[str] = (),
        unturned: Sequence[Refusal] = (),
    ) -> None:
        self.source = source
        self.kind = kind
        self.entry = entry
        self.fetch = fetch
        self.was = was
        self.turned = turned or {}
        self.refusal = refusal
        self.damage = damage
        self.ignoring = tuple(ignoring)
        self.unturned = tuple(unturned)

    @property
    def name(self) -> str:
        """The table's name in its source."""
        return self.entry.name

    @cached_property
    def tree(self) -> TableTree | None:
        """The table's trees, or None if only its schema was taken."""
        return None if self.entry.root is None else TableTree.open(self.entry.root, self.fetch)

    @property
    def is_empty(self) -> bool:
        """Whether its rows were taken and there are none."""
        return self.tree is not None and not self.tree.count

    @cached_property
    def table(self) -> Table:
        """The table's shape."""
        if self.tree is not None:
            return self.tree.table
        return decode_schema(self.fetch.get_many([self.entry.schema])[0], f"schema {self.entry.schema.hex()}")

    def widened(self, columns: Sequence[Column]) -> StateTable:
        """The same rows with these columns too, NULL in every row."""
        wide = copy(self)
        wide.__dict__.pop("ignored", None)
        wide.tree = None if self.tree is None else self.tree.widened(columns)
        wide.table = replace(self.table, columns=(*self.table.columns, *columns))
        return wide

    def with_ignored(self, patterns: Sequence[str]) -> StateTable:
        """The same table, ignoring these columns and no others."""
        other = copy(self)
        other.ignoring = tuple(patterns)
        other.__dict__.pop("ignored", None)
        return other

    @cached_property
    def ignored(self) -> frozenset[str]:
        """The columns in which a difference is none. Rows without a key are known by all that is in them."""
        if not self.ignoring or self.table.by_content:
            return frozenset()
        names = (column.name for column in self.table.columns)
        return frozenset(name for name in names if any(means_column(one, self.name, name) for one in self.ignoring))


def evened(before: StateTable, after: StateTable) -> tuple[StateTable, StateTable]:
    """Both with the columns that come and go with the rows (`Table.open_type`) of either.

    Where one side has no such column none of its rows has a value in it, which is not the same as a column that is not
    there. Columns that were left out stay out.
    """
    if before.entry.root is not None and before.entry.root == after.entry.root:
        return before, after
    return _with_columns_of(before, after), _with_columns_of(after, before)


def _with_columns_of(table: StateTable, other: StateTable) -> StateTable:
    kind = table.table.open_type
    if not kind:
        return table
    known = {column.name for column in table.table.columns} | set(table.table.definition.get("left_out", ()))
    more = [column for column in other.table.columns if column.type == kind and column.name not in known]
    return table.widened(more) if more else table


@dataclass(frozen=True, slots=True)
class Beyond:
    """What lies beyond the tables of a source at one moment: where its definition is kept, if it is."""

    source: str
    objects: Digest | None
    fetch: Fetch

    def read(self) -> dict[str, Any]:
        """As its `View.definition` gave it."""
        return read_objects(self.fetch, self.objects)


@dataclass(frozen=True, slots=True)
class State:
    """Tables at one moment; `label` is an id or `live`. `missing` names what is there and not among them, and why.

    `beyond` is what else their sources have.
    """

    label: str
    tables: tuple[StateTable, ...]
    fetch: Fetch
    missing: tuple[str, ...] = ()
    beyond: tuple[Beyond, ...] = ()

    def why_missing(self, table: str) -> str:
        """Why a table that is there is not among these; empty if nothing is known of it."""
        start = f"table {table}: "
        return next((text.removeprefix(start) for text in self.missing if text.startswith(start)), "")

    def narrowed(self, patterns: Sequence[str]) -> State:
        """Only the tables these patterns mean; all if there are none. Raises `Invalid` for one that means nothing."""
        if not patterns:
            return self
        for pattern in patterns:
            if not any(matches(table.name, pattern) for table in self.tables):
                known = ", ".join(table.name for table in self.tables[:8]) or "none"
                raise Invalid(f"no table {pattern!r} in {self.label}", hint=f"It has: {known}.")
        chosen = tuple(table for table in self.tables if any(matches(table.name, p) for p in patterns))
        return replace(self, tables=chosen)

    def ignoring(self, patterns: Mapping[str, Sequence[str]]) -> State:
        """The same, where differences in some columns are none: patterns of `table.column` by the name of a source."""
        tables = tuple(table.with_ignored(patterns.get(table.source, ())) for table in self.tables)
        return replace(self, tables=tables)


def means_column(pattern: str, table: str, column: str) -> bool:
    """Whether a pattern (`table.column`, with or without the schema; `*` and `?` fit anything) means this column."""
    return matches(f"{table}.{column}", pattern)


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern means this table: its whole name, its name without the schema, or `*` and `?` in either."""
    return any(
        candidate == pattern or fnmatch.fnmatchcase(candidate, pattern) for candidate in (name, name.partition(".")[2])
    )


def of_snapshot(repository: Repository, snapshot: Snapshot, source: str | None = None) -> State:
    """The tables of a snapshot, or of one of its sources."""
    tables = tuple(
        StateTable(own.name, own.kind, entry, repository.blobs, damage=own.hidden(entry.name))
        for own in snapshot.sources
        if source is None or own.name == source
        for entry in own.tables
    )
    beyond = tuple(
        Beyond(own.name, own.objects, repository.blobs)
        for own in snapshot.sources
        if source is None or own.name == source
    )
    return State(snapshot.id[:8], tables, repository.blobs, beyond=beyond)


def of_tables(source: str, kind: str, entries: Sequence[SnapshotTable], fetch: Fetch) -> tuple[StateTable, ...]:
    """These tables of one source."""
    return tuple(StateTable(source, kind, entry, fetch) for entry in entries)


def captured_state(name: str, kind: str, captured: Captured, fetch: Fetch) -> State:
    """The state that was just captured from a live view."""
    beyond = (Beyond(name, captured.objects, fetch),)
    return State(LIVE, of_tables(name, kind, captured.tables, fetch), fetch, captured.missing, beyond)


@contextmanager
def scratch(repository: Repository) -> Iterator[BlobStore]:
    """A store of one's own over the repository's blobs: it may be written to and vanishes afterwards."""
    with tempfile.TemporaryDirectory(prefix="snapstore-", ignore_cleanup_errors=True) as folder:
        yield BlobStore(DirectoryBackend(Path(folder) / "scratch", create=True, is_scratch=True), base=repository.blobs)


@contextmanager
def live(
    repository: Repository,
    name: str,
    source: Source,
    selection: Selection,
    *,
    full: bool = False,
    progress: Progress = silent,
) -> Iterator[State]:
    """The live rows of a source as a state. The source's transaction has ended when it is given.

    Goes by the newest snapshot of the source, as a take does, unless `full`.
    """
    parent = parent_of(repository.snapshots(), name, source.kind, selection_fields(selection))
    with scratch(repository) as store:
        with store.writer(os.urandom(16), verify=False) as writer:
            captured = stable_capture(
                source,
                selection,
                writer,
                repository.cut_key,
                parent=parent,
                fetch=None if full else repository.blobs,
                progress=progress,
            )
            writer.close()
        yield captured_state(name, source.kind, captured, store)


def stable_capture(
    source: Source,
    selection: Selection,
    sink: Sink,
    cut_key: bytes,
    *,
    parent: Parent | None = None,
    fetch: Fetch | None = None,
    progress: Progress = silent,
) -> Captured:
    """Capture a view of the source; again if its tables changed shape beneath it, and `Conflict` if they go on so.

    Again too where the engine ended it for another's sake (a standby's recovery, say).
    """
    for attempt in range(_ATTEMPTS):
        with source.view(selection) as view:
            try:
                captured = capture(view, sink, cut_key, selection, parent=parent, fetch=fetch, progress=progress)
            except SnapstoreError as error:
                if not error.again or attempt + 1 == _ATTEMPTS:
                    raise
                continue
            try:
                view.confirm()
            except Conflict:
                if attempt + 1 == _ATTEMPTS:
                    raise
                continue
            return captured
    raise AssertionError("the last attempt returns or raises")


def read_objects(fetch: Fetch, objects: Digest | None) -> dict[str, Any]:
    """What lies beyond the tables of a source, as its `View.definition` gave it."""
    return {} if objects is None else decode_objects(fetch.get_many([objects])[0], f"schema {objects.hex()}")
