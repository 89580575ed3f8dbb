"""A file tree as it is when it is looked at: every file is of one moment, the tree as a whole is not.

    with open_view(place, Selection(), settle_seconds=2, wait_seconds=10) as view:
        for batch in view.read(view.tables[0]):
            ...

The folder is walked once, when the view is opened; a file is read when its row is asked for, and again if it changed
meanwhile. Nothing is changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snapstore.errors import Conflict, NotFound, SnapstoreError, Unavailable
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Selection
from snapstore.sources.files.choosing import Choice, meets
from snapstore.sources.files.entry import FOLDER, Entry
from snapstore.sources.files.reading import Reader
from snapstore.sources.files.scan import Found, name_twins, scan
from snapstore.sources.files.stamps import stamp_of, whole_of
from snapstore.sources.files.table import TABLE, Row, batch_of, hints_of, table_of
from snapstore.sources.files.within import Folders, shown

__all__ = ["FilesView", "open_folder", "open_view"]

_ROWS = 4096
_BYTES = 4 << 20
_EXAMPLES = 64


class FilesView:
    """The `View` of a folder that is open as `root`, or of none. Made by `open_view`."""

    def __init__(
        self, root: int, place: Path, selection: Selection, *, settle_seconds: float, wait_seconds: float
    ) -> None:
        self._root = root
        self._place = place
        self._selection = selection
        self._before_ns = time.time_ns() - int(settle_seconds * 1e9)
        table = table_of(selection)
        self._tables = () if table is None or root < 0 else (table,)
        self._choice = Choice(only=selection.only, ignore=selection.ignore)
        self._missing: list[str] = [] if root >= 0 else [f"there is no folder {shown(os.fsencode(place))}"]
        self._found = scan(root, self._choice) if self._tables else Found()
        self._told_unreadable()
        where = selection.where.get(TABLE)
        if where is not None:
            fits = meets(where)
            self._found.entries = [one for one in self._found.entries if fits(one.path, one.kind == FOLDER)]
            name_twins(self._found.entries)
        self._stamps = [stamp_of(entry, before_ns=self._before_ns) for entry in self._found.entries]
        self._is_still = True
        self._noted: dict[bytes, bytes | None] = {}
        self._reader = Reader(
            root, place, attributes=selection.attributes, wait_seconds=wait_seconds, before_ns=self._before_ns
        )

    def _told_unreadable(self) -> None:
        unreadable = self._found.unreadable
        if unreadable and not self._selection.partial:
            told = "\n".join(f"  {shown(path)}: {why}" for path, why in unreadable[:_EXAMPLES])
            raise Unavailable(
                f"{len(unreadable)} of what is in {shown(os.fsencode(self._place))} cannot be read:\n{told}",
                hint="Leave it out with --ignore, or take the rest and name these as missing: --allow-partial.",
            )
        # As of a table that damage hid rows of: what may have been there is not deleted for not being held.
        self._missing += [f"table {TABLE}: {shown(path)}: {why}" for path, why in unreadable]

    @property
    def tables(self) -> Sequence[Table]:
        """The one table, if the selection means it."""
        return self._tables

    @property
    def definition(self) -> Mapping[str, Any]:
        """Nothing: a folder is made of its rows."""
        return {}

    def paths(self) -> Iterable[bytes]:
        """As `Lists.paths`."""
        return (entry.path for entry in self._found.entries)

    @property
    def position(self) -> Mapping[str, Any]:
        """The folder, how many paths are rows, and how many are none, by the pattern or reason, with an example."""
        left_out = {
            reason: {"paths": count, "example": shown(example)}
            for reason, (count, example) in sorted(self._found.left_out.items())
        }
        return {
            "folder": shown(os.fsencode(self._place)),
            "paths": len(self._found.entries),
            "left_out": left_out,
        }

    @property
    def missing(self) -> Sequence[str]:
        """What is selected and cannot be read, and why."""
        return tuple(self._missing)

    def read(self, table: Table) -> Iterator[Batch]:
        """The rows of a table of this shape, in ascending order of path, at most 4,096 or about 4 MB at once."""
        yield from self._batches(table, self._live_rows(self._found.entries), hints=False)

    def context(self) -> Mapping[str, Any]:
        """As `Dated.context`: one digest over all paths and stamps, if all of them can be trusted."""
        return {"whole": self._whole() if self._is_still else b""}

    def doubt(self, table: Table, since: Mapping[str, Any]) -> str:
        """As `Dated.doubt`."""
        return "" if "whole" in since else "the last snapshot has no stamps"

    def is_same(self, table: Table, since: Mapping[str, Any]) -> bool:
        """As `Noting.is_same`."""
        whole = self._whole()
        return bool(whole) and since.get("whole") == whole

    def hints(self, table: Table) -> Table:
        """As `Hinting.hints`."""
        return hints_of(table)

    def recall(self, table: Table, noted: Iterable[Batch]) -> None:
        """As `Noting.recall`."""
        self._noted = {
            key or b"": stamp
            for batch in noted
            for key, stamp in zip(batch.keys.to_list(), batch.columns[0].to_list(), strict=True)
        }

    def stamps(self, table: Table, since: Mapping[str, Any]) -> Generator[tuple[Cells, NDArray[np.bool_]], None, None]:
        """As `Stamped.stamps`."""
        moved = [self._is_moved(at) for at in range(len(self._found.entries))]
        for start in range(0, len(moved), _ROWS):
            some = slice(start, start + _ROWS)
            yield (
                Cells.of([entry.path for entry in self._found.entries[some]]),
                np.asarray(moved[some], np.bool_),
            )

    def read_moved(self, table: Table, since: Mapping[str, Any]) -> Generator[Batch, None, None]:
        """As `Stamped.read_moved`."""
        yield from self._batches(table, self._moved_rows(), hints=False)

    def read_hinted(
        self,
        table: Table,
        hints: Table,
        since: Mapping[str, Any] | None = None,
        *,
        leave_out: bool = False,
        is_much: bool = False,
    ) -> Generator[Batch, None, None]:
        """As `Hinting.read_hinted`; nothing is left out, since only what changed is asked for."""
        rows = self._live_rows(self._found.entries) if since is None else self._moved_rows()
        yield from self._batches(table, rows, hints=True)

    def confirm(self) -> None:
        """Nothing to do: the shape of a tree does not change."""

    def _whole(self) -> bytes:
        return whole_of(self._found.entries, self._stamps)

    def _is_moved(self, at: int) -> bool:
        stamp = self._stamps[at]
        return stamp is None or self._noted.get(self._found.entries[at].path) != stamp

    def _moved_rows(self) -> Iterator[Row]:
        """Rows that may have changed: all of these have been named, so one that is gone by now is one too many."""
        moved = [entry for at, entry in enumerate(self._found.entries) if self._is_moved(at)]
        paths = (entry.path for entry in moved)
        for row in self._live_rows(moved):
            if row.path != next(paths):
                break
            yield row
        else:
            if next(paths, None) is None:
                return
        raise Conflict(f"a file in {shown(os.fsencode(self._place))} went away while it was looked at", again=True)

    def _live_rows(self, entries: Iterable[Entry]) -> Iterator[Row]:
        """Rows as they are now. A file that is gone by now has none."""
        with Folders(self._root) as folders:
            for entry in entries:
                try:
                    row = self._row(entry, folders)
                except SnapstoreError as error:
                    if not self._selection.partial or error.again:
                        raise
                    self._missing.append(f"table {TABLE}: {error.message}")
                    row = None
                if row is None or row.stamp != stamp_of(entry, before_ns=self._before_ns):
                    self._is_still = False
                if row is not None:
                    yield row

    def _row(self, entry: Entry, folders: Folders) -> Row | None:
        return self._reader.row(entry, folders)

    def _batches(self, table: Table, rows: Iterable[Row], *, hints: bool) -> Iterator[Batch]:
        waiting: list[Row] = []
        size = 0
        for row in rows:
            length = len(row.content or b"")
            if waiting and (len(waiting) >= _ROWS or size + length > _BYTES):
                yield batch_of(table, waiting, hints=hints)
                waiting, size = [], 0
            waiting.append(row)
            size += length
        if waiting:
            yield batch_of(table, waiting, hints=hints)


def open_folder(place: Path) -> int:
    """The folder, open. Raises `NotFound` or `Unavailable`."""
    try:
        return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"there is no folder {shown(os.fsencode(place))}") from error
    except OSError as error:
        hint = "A single file cannot be taken; take its folder, with --only." if place.is_file() else ""
        raise Unavailable(f"{shown(os.fsencode(place))} cannot be opened: {error.strerror}", hint=hint) from error


@contextmanager
def open_view(place: Path, selection: Selection, *, settle_seconds: float, wait_seconds: float) -> Iterator[FilesView]:
    """Walk the folder; where the selection is optional one that is not there has nothing."""
    is_there = place.exists() or not selection.optional
    root = open_folder(place) if is_there else -1
    try:
        yield FilesView(
            root, Path(os.path.realpath(place)), selection, settle_seconds=settle_seconds, wait_seconds=wait_seconds
        )
    finally:
        if root >= 0:
            os.close(root)
