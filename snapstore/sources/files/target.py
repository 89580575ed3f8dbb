"""A file tree being restored: everything is made ready beside, looked at, and only then put in its place.

    with open_target(place, selection, settle_seconds=2, wait_seconds=10) as target:
        target.begin(definition, works)
        target.insert(table, batches)
        target.finish()

Until the context ends nothing in the tree is touched, so an error before that leaves it as it was. What comes then is
no transaction: files are put in place one by one (`snapstore.sources.files.placing`), and whoever fails in the middle
says what was done. Another restore waits outside; other programs are not kept out, and what they changed meanwhile is
found before anything is touched.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snapstore.errors import Conflict, Unavailable, Unsupported
from snapstore.rows import Batch, Cells, Table
from snapstore.sources import Selection, Work
from snapstore.sources.files.clashes import clash
from snapstore.sources.files.entry import FILE, FOLDER, Entry
from snapstore.sources.files.placing import Placing, Ready
from snapstore.sources.files.staging import Staging
from snapstore.sources.files.table import Row, rows_in, with_cells
from snapstore.sources.files.view import FilesView, open_folder
from snapstore.sources.files.within import Folders, parts_of, shown

__all__ = ["FilesTarget", "open_target"]

_EXAMPLES = 8


@dataclass(slots=True)
class _Tree:
    """The live paths as they were when the view was opened."""

    entries: dict[bytes, Entry]

    def beneath(self, path: bytes) -> Iterator[bytes]:
        return (one for one in self.entries if one.startswith(path + b"/"))


class FilesTarget(FilesView):
    """The `Target` over a folder that is locked against other restores. Made by `open_target`."""

    def __init__(
        self, root: int, place: Path, selection: Selection, staging: Staging, *, is_new: bool, **waits: float
    ) -> None:
        super().__init__(root, place, selection, **waits)
        self._staging = staging
        self._table = self._tables
        if is_new:
            self._tables = ()
        self._live = _Tree({entry.path: entry for entry in self._found.entries})
        self._deleted: dict[bytes, Entry] = {}
        self._ready: dict[bytes, Ready] = {}
        self._notes: list[str] = []
        self._wait_seconds = waits["wait_seconds"]

    @property
    def notes(self) -> Sequence[str]:
        """As `Target.notes`."""
        return tuple(self._notes)

    def begin(
        self, definition: Mapping[str, Any], work: Sequence[Work], *, privileges: bool = True, trusted: bool = True
    ) -> None:
        """As `Target.begin`; there is nothing to make but files, and modes are among their rows."""
        for one in work:
            if one.recreate:
                self._deleted.update(self._live.entries)

    def replaces(self, table: Table, columns: Sequence[str]) -> bool:
        """As `Target.replaces`: where a path becomes something else, a link's target or names of a file change."""
        return not {"kind", "target", "same_as", "attributes"}.isdisjoint(columns)

    def insert(self, table: Table, batches: Iterable[Batch]) -> int:
        """As `Target.insert`: each is made ready, with what a row does not say as new files have it."""
        known = {column.name for column in table.columns}
        if not {"kind", "target", "content"} <= known:
            raise Unsupported(f"{table.name}: files cannot be made without their kind, target and content")
        done = 0
        for batch in batches:
            for row in rows_in(table, batch):
                self._check_free(row.path)
                self._make_ready(row, has_content=True)
                done += 1
        return done

    def update(self, table: Table, columns: Sequence[str], batches: Iterable[Batch]) -> int:
        """As `Target.update`: the rest of the row stays as it is live."""
        done = 0
        for batch in batches:
            cells = [own.to_list() for own in batch.columns]
            for at, path in enumerate(batch.keys.to_list()):
                entry = self._live.entries.get(path or b"")
                if entry is None or entry.path in self._deleted:
                    continue
                found = {name: own[at] for name, own in zip(columns, cells, strict=True)}
                self._make_ready(with_cells(_bare(entry), found), has_content="content" in found)
                done += 1
        return done

    def delete(self, table: Table, keys: Iterable[Cells]) -> int:
        """As `Target.delete`; nothing is gone before the end."""
        done = 0
        for group in keys:
            for path in group.to_list():
                entry = self._live.entries.get(path or b"")
                if entry is not None and entry.path not in self._deleted:
                    self._deleted[entry.path] = entry
                    done += 1
        return done

    def finish(self) -> None:
        """As `Target.finish`: what cannot go well is found now; from here on rows are as they will be."""
        self._check_parents()
        self._check_folders()
        self._check_names()
        self._tables = self._table
        entries = {path: entry for path, entry in self._live.entries.items() if path not in self._deleted}
        entries |= {path: _entry(ready.row) for path, ready in self._ready.items()}
        self._found.entries = [entries[path] for path in sorted(entries)]
        known = {entry.path: stamp for entry, stamp in zip(self._live.entries.values(), self._stamps, strict=True)}
        self._stamps = [None if entry.path in self._ready else known[entry.path] for entry in self._found.entries]

    def commit(self) -> None:
        """Put everything in its place. Raises an error that says what was done and what was not."""
        if self._ready or self._deleted:
            Placing(
                self._root, self._place, self._staging, self._live.entries, wait_seconds=self._wait_seconds
            ).carry_out(self._ready, self._deleted)

    def _row(self, entry: Entry, folders: Folders) -> Row | None:
        ready = self._ready.get(entry.path)
        if ready is None:
            return super()._row(entry, folders)
        if ready.staged is not None:
            return replace(ready.row, content=self._staging.content(ready.staged))
        if ready.row.kind != FILE:
            return ready.row
        live = super()._row(self._live.entries[entry.path], folders)
        return None if live is None else replace(ready.row, content=live.content)

    def _make_ready(self, row: Row, *, has_content: bool) -> None:
        if row.kind == FILE and has_content:
            mode = 0o666 & ~_umask() if row.mode is None else row.mode
            staged = self._staging.file(row.content or b"", mode=mode, mtime_ns=row.mtime_ns, attributes=row.attributes)
            self._ready[row.path] = Ready(replace(row, content=b""), staged)
        else:
            self._ready[row.path] = Ready(row, None)

    def _check_free(self, path: bytes) -> None:
        """A path that is not ours to replace must not be there, whether it is a row or left out."""
        if path in self._deleted:
            return
        try:
            with Folders(self._root) as folders:
                folder, name = folders.parent(path)
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        except Conflict:
            return  # something above it is no folder; whether that goes is known at the end
        except OSError as error:
            raise Unavailable(f"{shown(path)} cannot be looked at: {error.strerror}") from error
        raise Conflict(
            f"tree.files: {shown(path)} is there already",
            hint="Move it away, or restore with --conflict update or --exact; nothing was changed.",
        )

    def _check_parents(self) -> None:
        """Everything that is made will lie in a folder."""
        known: set[bytes] = set()
        with Folders(self._root) as folders:
            for path in self._ready:
                parts = parts_of(path)
                for count in range(1, len(parts)):
                    above = b"/".join(parts[:count])
                    if above in known:
                        continue
                    known.add(above)
                    if above in self._deleted and above not in self._ready:
                        break  # what is beneath it goes too, and a folder comes
                    if not self._will_be_folder(above, folders):
                        raise Conflict(
                            f"{shown(path)} is to be made, and {shown(above)} is no folder",
                            hint="A link is never followed. Move it away, or, if it is a row, restore with --exact; "
                            "nothing was changed.",
                        )

    def _will_be_folder(self, path: bytes, folders: Folders) -> bool:
        ready = self._ready.get(path)
        if ready is not None:
            return ready.row.kind == FOLDER
        entry = self._live.entries.get(path)
        if entry is not None:
            return entry.kind == FOLDER
        try:
            folders.folder(parts_of(path))
        except FileNotFoundError:
            return True  # it is made on the way
        except Conflict:
            return False
        return True

    def _check_folders(self) -> None:
        """A folder that goes must be empty by then; where it is to become something else, nothing may stay in it."""
        staying = []
        with Folders(self._root) as folders:
            for path, entry in self._deleted.items():
                ready = self._ready.get(path)
                if entry.kind != FOLDER or (ready is not None and ready.row.kind == FOLDER):
                    continue
                left = self._left_in(path, folders)
                if left is None:
                    continue
                if ready is not None:
                    raise Conflict(
                        f"{shown(path)} is to become a {ready.row.kind.decode()}, and {shown(left)} stays in it",
                        hint="Move that away; nothing was changed.",
                    )
                staying.append(f"the folder {shown(path)} stays, since {shown(left)} in it is left out or kept")
        self._notes += staying[:_EXAMPLES]
        if len(staying) > _EXAMPLES:
            self._notes.append(f"{len(staying) - _EXAMPLES} more folders stay for such reasons")

    def _left_in(self, path: bytes, folders: Folders) -> bytes | None:
        try:
            names = os.listdir(folders.folder(parts_of(path)))
        except OSError:
            return None
        for name in names:
            inner = path + b"/" + os.fsencode(name)
            if inner in self._ready or inner not in self._deleted:
                return inner
        return None

    def _check_names(self) -> None:
        if not self._ready or not self._staging.folds_case():
            return
        found = clash([*(path for path in self._live.entries if path not in self._deleted), *self._ready])
        if found is not None:
            raise Conflict(
                f"{shown(found[0])} and {shown(found[1])} are one name on this file system",
                hint="Restore one of them with --key, or restore to another file system; nothing was changed.",
            )


def _bare(entry: Entry) -> Row:
    """The row of an entry, without what only opening it would tell."""
    newest = max(one[1] for one in (entry.facts, *(entry.logs or ())))
    if entry.kind == FILE:
        return Row(entry.path, FILE, entry.mode, newest, same_as=entry.same_as, content=b"")
    return Row(entry.path, entry.kind, entry.mode if entry.kind == FOLDER else None)


def _entry(row: Row) -> Entry:
    return Entry(row.path, row.kind, row.mode or 0, (0, row.mtime_ns or 0, 0, 0), same_as=row.same_as)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def open_target(
    place: Path, selection: Selection, *, settle_seconds: float, wait_seconds: float
) -> Iterator[FilesTarget]:
    """Lock the folder against other restores, and change it when the context ends well. One that is not there is made,
    and goes again if the restore fails before anything was put into it.
    """
    with ExitStack() as stack:
        is_new = not place.exists()
        if is_new:
            _make_folder(place)
            stack.callback(_remove_if_empty, place)
        root = open_folder(place)
        stack.callback(os.close, root)
        try:
            fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Unavailable(
                f"{shown(os.fsencode(place))} cannot be locked: another restore is under way, or its file system has "
                f"no locks ({error.strerror})",
                hint="Try again when it is done.",
                again=isinstance(error, BlockingIOError),
            ) from error
        staging = stack.enter_context(Staging(root))
        target = FilesTarget(
            root,
            Path(os.path.realpath(place)),
            replace(selection, partial=True),
            staging,
            is_new=is_new,
            settle_seconds=settle_seconds,
            wait_seconds=wait_seconds,
        )
        yield target
        target.commit()


def _make_folder(place: Path) -> None:
    try:
        place.mkdir(0o700)
    except OSError as error:
        where = shown(os.fsencode(place))
        raise Unavailable(f"{where} cannot be made: {error.strerror}", hint="Make its parent folder first.") from error


def _remove_if_empty(place: Path) -> None:
    with suppress(OSError):
        place.rmdir()
