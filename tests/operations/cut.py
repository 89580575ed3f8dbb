"""What a disk may hold when the power fails: the same steps as a process sees them and as the disk has them.

    world = World({"LOCK": b""})
    world.do("create", "a", 0)
    world.do("write", 0, b"bytes")
    world.left(Cut.NAMES, Random(0))                      # {"LOCK": b"", "a": b""}

POSIX promises what fsync was asked for: the bytes of a file once it is synced, a name once its folder is. Of what was
not synced a disk may hold anything: no bytes, some, zeros in their place, and names in any choice of them, deletions
among them (Pillai and others, "All File Systems Are Not Created Equal", 2014). It does not know what is stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from snapstore.backends import check_name
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Invalid

__all__ = ["Cut", "Left", "Sync", "World"]


class Cut(Enum):
    """What is left of what was not synced."""

    KILLED = auto()
    """All of it: only the process died."""
    NOTHING = auto()
    NAMES = auto()
    """Every name, and no bytes: a rename was quicker than the data."""
    TORN = auto()
    """Every name, and the first half of the bytes."""
    CHANCE = auto()
    """Any choice of names, and of each file no bytes, some, zeros or all."""


class Sync(Enum):
    """What a program may forget to ask for."""

    BYTES = auto()
    """Of a file."""
    NAMES = auto()
    """In a folder."""


@dataclass(frozen=True)
class Left:
    """The folder after so many changes, of which `what` was the last: bytes by path, None for a folder."""

    step: int
    what: str
    files: Mapping[str, bytes | None]

    @cached_property
    def backend(self) -> MemoryBackend:
        """What a store there lists, in memory, where it may be worked with: no temporary files, no lock."""
        backend = MemoryBackend()
        for path, data in self.files.items():
            if data is not None:
                with suppress(Invalid):
                    backend.put(check_name(path), [data])
        return backend

    def lay(self, folder: Path) -> Path:
        """Make this folder and put all of it there."""
        folder.mkdir()
        for path, data in self.files.items():
            if data is None:
                (folder / path).mkdir()
            else:
                (folder / path).write_bytes(data)
        return folder


@dataclass(eq=False, slots=True)
class _File:
    data: bytes = b""
    synced: bytes = b""

    def sync(self) -> None:
        self.synced = self.data

    def left(self, cut: Cut, random: Random) -> bytes:
        more = len(self.data) - len(self.synced)
        choices = {
            Cut.KILLED: self.data,
            Cut.NOTHING: self.synced,
            Cut.NAMES: self.synced,
            Cut.TORN: self.data[: len(self.synced) + more // 2],
        }
        if cut is not Cut.CHANCE:
            return choices[cut]
        some = self.data[: len(self.synced) + random.randint(0, more)]
        return random.choice([self.synced, self.data, some, some + bytes(len(self.data) - len(some))])


@dataclass(eq=False, slots=True)
class _Folder:
    """`held` is what a process sees, `synced` what the disk holds for sure, `waiting` the changes between the two."""

    held: dict[str, _File | _Folder] = field(default_factory=dict)
    synced: dict[str, _File | _Folder] = field(default_factory=dict)
    waiting: list[tuple[str, _File | _Folder | None]] = field(default_factory=list)

    def change(self, name: str, to: _File | _Folder | None) -> None:
        self.waiting.append((name, to))
        _put(self.held, name, to)

    def sync(self) -> None:
        self.synced, self.waiting = dict(self.held), []

    def left(self, cut: Cut, random: Random) -> dict[str, _File | _Folder]:
        if cut is Cut.NOTHING:
            return self.synced
        if cut is not Cut.CHANCE:
            return self.held
        names = dict(self.synced)
        for name, to in self.waiting:
            if random.random() < 0.5:
                _put(names, name, to)
        return names


def _put(names: dict[str, _File | _Folder], name: str, to: _File | _Folder | None) -> None:
    if to is None:
        names.pop(name, None)
    else:
        names[name] = to


class World:
    """A folder as a disk and those who look at it have it, step by step. Open files are known by a number."""

    def __init__(self, start: dict[str, bytes | None]) -> None:
        self.root = _Folder()
        self._open: dict[int, _File] = {}
        self._made: dict[int, str] = {}
        for path in sorted(start):
            data = start[path]
            folder, name = self._place(path)
            folder.held[name] = _Folder() if data is None else _File(data, data)
            folder.sync()

    def do(self, verb: str, *words: Any) -> None:
        getattr(self, verb)(*words)

    def is_sync(self, kind: Sync | None, beneath: str, verb: str, *words: Any) -> bool:
        """Whether this step is a sync of that kind, of what was made beneath this path."""
        if verb not in ("sync", "sync_path"):
            return False
        is_names = verb == "sync_path" and isinstance(self._node(words[0]), _Folder)
        path = self._made[words[0]] if verb == "sync" else words[0]
        return kind is (Sync.NAMES if is_names else Sync.BYTES) and path.startswith(beneath)

    def create(self, path: str, number: int) -> None:
        folder, name = self._place(path)
        self._open[number], self._made[number] = _File(), path
        folder.change(name, self._open[number])

    def write(self, number: int, data: bytes) -> None:
        self._open[number].data += data

    def write_at(self, number: int, data: bytes, at: int) -> None:
        self.truncate(number, at)  # those who write so write on, or over what failed
        self.write(number, data)

    def truncate(self, number: int, size: int) -> None:
        file = self._open[number]
        assert len(file.synced) <= size <= len(file.data), "what was synced is never changed"
        file.data = file.data[:size]

    def sync(self, number: int) -> None:
        self._open[number].sync()

    def sync_path(self, path: str) -> None:
        self._node(path).sync()

    def make_folder(self, path: str) -> None:
        folder, name = self._place(path)
        folder.change(name, _Folder())

    def link(self, source: str, target: str) -> None:
        folder, name = self._place(target)
        folder.change(name, self._node(source))

    def rename(self, source: str, target: str) -> None:
        self.link(source, target)
        self.unlink(source)

    def unlink(self, path: str) -> None:
        folder, name = self._place(path)
        folder.change(name, None)

    def left(self, cut: Cut, random: Random) -> dict[str, bytes | None]:
        """Bytes by path, None for a folder."""
        return dict(_files(self.root, "", cut, random))

    def _node(self, path: str) -> _File | _Folder:
        if path == ".":
            return self.root
        folder, name = self._place(path)
        return folder.held[name]

    def _place(self, path: str) -> tuple[_Folder, str]:
        parent, name = os.path.split(path)
        folder = self._node(parent or ".")
        assert isinstance(folder, _Folder)
        return folder, name


def _files(folder: _Folder, path: str, cut: Cut, random: Random) -> Iterator[tuple[str, bytes | None]]:
    for name, node in folder.left(cut, random).items():
        if isinstance(node, _Folder):
            yield f"{path}{name}", None
            yield from _files(node, f"{path}{name}/", cut, random)
        else:
            yield f"{path}{name}", node.left(cut, random)
