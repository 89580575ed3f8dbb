"""A folder that is taken and restored, with a repository in memory.

memory = Memory(tmp_path / "memory")
memory.write("notes/a.md", "text")
before = memory.take().snapshot
memory.restore(before)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from snapstore.backends.memory import MemoryBackend
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, Restored, restore
from snapstore.operations.take import Request, Taken, take
from snapstore.operations.undo import undo_ask
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Selection
from snapstore.sources.files.source import FilesSource
from snapstore.sources.files.table import Row, rows_in


class Memory:
    """The folder `place`, which is there and empty."""

    def __init__(self, place: Path, *, settle_seconds: float = 0.01) -> None:
        self.place = place
        self.settle_seconds = settle_seconds
        self.repository = Repository.init(MemoryBackend())
        place.mkdir()

    @property
    def source(self) -> FilesSource:
        return FilesSource(f"file://{self.place}", settle_seconds=self.settle_seconds, wait_seconds=0.2)

    def write(self, name: str | bytes, text: str | bytes = "text") -> Path:
        path = self.place / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def take(self, *, full: bool = False, **selection: Any) -> Taken:
        return take(self.repository, [Request("memory", self.source, Selection(**selection))], full=full)

    def restore(self, snapshot: Snapshot, mode: Mode = Mode.EXACT, *, to: Path | None = None, **asked: Any) -> Restored:
        source = self.source if to is None else FilesSource(f"file://{to}")
        return restore(self.repository, snapshot, source, Ask(mode=mode, **asked))

    def undo(self, restored: Restored) -> Restored:
        assert restored.safety is not None
        return restore(self.repository, restored.safety, self.source, undo_ask(self.repository, restored.safety))

    def rows(self, **selection: Any) -> dict[bytes, Row]:
        with self.source.view(Selection(**selection)) as view:
            [table] = view.tables
            return {row.path: row for batch in view.read(table) for row in rows_in(table, batch)}


def picture(place: Path) -> dict[bytes, tuple[Any, ...]]:
    """Everything beneath a folder, as far as it is to come back, as `os` and not the source under test says it."""
    found: dict[bytes, tuple[Any, ...]] = {}
    for above, folders, files in os.walk(os.fsencode(place)):
        for name in (*folders, *files):
            path = os.path.join(above, name)
            status = os.lstat(path)
            inner = os.path.relpath(path, os.fsencode(place))
            if os.path.islink(path):
                found[inner] = ("link", os.readlink(path))
            elif os.path.isdir(path):
                found[inner] = ("folder", status.st_mode & 0o777)
            else:
                data = Path(os.fsdecode(path)).read_bytes()
                found[inner] = ("file", status.st_mode & 0o777, status.st_mtime_ns, status.st_nlink, data)
    return found


def root(taken: Taken) -> bytes | None:
    return taken.snapshot.sources[0].tables[0].root
