"""What is beneath a folder, by what the file system says of it: no file is opened but to see whether it is a database.

    found = scan(root_fd, Choice())
    found.entries            # in the order of their paths, each with its times
    found.left_out           # {"*.tmp": (3, b"memory.jsonl.0f.tmp")}

All of it is in memory at once, some hundred bytes a file: paths in the order of their bytes are not in the order of a
walk. Links are not followed. Other file systems that are mounted beneath are walked too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from snapstore.errors import Unavailable
from snapstore.sources.files.choosing import STAGING, Choice
from snapstore.sources.files.entry import FILE, FOLDER, LINK, Entry, facts_of, log_facts_of
from snapstore.sources.files.within import DEEPEST

__all__ = ["Found", "is_database", "name_twins", "scan"]

_DATABASE = b"SQLite format 3\0"  # https://sqlite.org/fileformat2.html §1.3
_BESIDE = (b"-wal", b"-journal", b"-shm")
_SPECIAL = "neither file, folder nor link"
_REPOSITORY = "a snapstore repository"
_ALL_MODES = 0o777


@dataclass(slots=True)
class Found:
    """What a scan found. `left_out` counts paths by the pattern or reason, with an example; of a folder only itself.

    `unreadable` are paths that could not be looked at, each with the reason.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    unreadable: list[tuple[bytes, str]] = field(default_factory=list)

    def leave_out(self, reason: str, path: bytes) -> None:
        """Count a path that is no row."""
        count, example = self.left_out.get(reason, (0, path))
        self.left_out[reason] = (count + 1, example)


def scan(root: int, choice: Choice) -> Found:
    """Everything that is meant beneath the folder that is open as `root`."""
    found = Found()
    _walk(root, b"", choice, found, is_meant=choice.takes_all)
    found.entries.sort(key=attrgetter("path"))
    name_twins(found.entries)
    return found


def is_database(folder: int, name: bytes) -> bool:
    """Whether a file begins as SQLite databases do."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False  # whoever reads it will say why it cannot be read
    try:
        return os.pread(descriptor, len(_DATABASE), 0) == _DATABASE
    except OSError:
        return False
    finally:
        os.close(descriptor)


def name_twins(entries: Sequence[Entry]) -> None:
    """Which of these, in order of path, are further names of one file."""
    first: dict[tuple[int, int], bytes] = {}
    for entry in entries:
        if entry.kind == FILE and entry.names > 1:
            path = first.setdefault((entry.device, entry.facts[3]), entry.path)
            entry.same_as = path if path != entry.path else None


def _walk(folder: int, above: bytes, choice: Choice, found: Found, *, is_meant: bool) -> bool:
    """Add what is in a folder; whether anything in it is meant. `is_meant` says that all of it is."""
    listed = dict(_listed(folder, above, found))
    beside = _beside_databases(folder, listed)
    any_meant = False
    for name, status in listed.items():
        path, mode = above + name, status.st_mode
        if name in beside or name.startswith(STAGING.encode()):
            continue
        is_folder = stat.S_ISDIR(mode)
        pattern = choice.leaves_out(path, is_folder=is_folder)
        if pattern:
            found.leave_out(pattern, path)
            continue
        meant = is_meant or choice.takes(path, is_folder=is_folder)
        if is_folder:
            entry = Entry(path, FOLDER, mode & _ALL_MODES, facts_of(status))
            any_meant |= _walk_beneath(folder, name, entry, choice, found, is_meant=meant)
        elif stat.S_ISREG(mode) and meant:
            entry = Entry(path, FILE, mode & _ALL_MODES, facts_of(status), status.st_dev, status.st_nlink)
            logs = [listed[name + end] for end in _BESIDE[:2] if name + end in beside]
            if logs or name + _BESIDE[2] in beside:
                entry.logs = tuple(log_facts_of(log) for log in logs)
            found.entries.append(entry)
            any_meant = True
        elif stat.S_ISLNK(mode) and meant:
            found.entries.append(Entry(path, LINK, 0, facts_of(status)))
            any_meant = True
        elif meant:
            found.leave_out(_SPECIAL, path)
    return any_meant


def _walk_beneath(folder: int, name: bytes, entry: Entry, choice: Choice, found: Found, *, is_meant: bool) -> bool:
    if entry.path.count(b"/") + 2 > DEEPEST:
        found.unreadable.append((entry.path, f"it lies more than {DEEPEST - 1} folders deep"))
        return False
    try:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return False  # it went away between two looks
    except OSError as error:
        found.unreadable.append((entry.path, error.strerror or "it cannot be opened"))
        return False
    try:
        if _is_repository(inner):
            found.leave_out(_REPOSITORY, entry.path)
            return False
        place = len(found.entries)
        any_meant = _walk(inner, entry.path + b"/", choice, found, is_meant=is_meant)
        if is_meant or any_meant:
            found.entries.insert(place, entry)
        return is_meant or any_meant
    finally:
        os.close(inner)


def _listed(folder: int, above: bytes, found: Found) -> Iterator[tuple[bytes, os.stat_result]]:
    try:
        with os.scandir(folder) as listing:
            for one in listing:
                try:
                    yield os.fsencode(one.name), one.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it went away between two looks
    except OSError as error:
        if not above:
            raise Unavailable(f"the folder cannot be listed: {error.strerror}") from error
        found.unreadable.append((above.rstrip(b"/"), error.strerror or "it cannot be listed"))


def _beside_databases(folder: int, listed: Mapping[bytes, os.stat_result]) -> set[bytes]:
    """The logs, journals and shared memories of databases in a folder."""
    bases: dict[bytes, bool] = {}
    beside = set()
    for name in listed:
        for end in _BESIDE:
            base = name.removesuffix(end)
            if base != name and base in listed and stat.S_ISREG(listed[base].st_mode):
                if base not in bases:
                    bases[base] = is_database(folder, base)
                if bases[base]:
                    beside.add(name)
    return beside


def _is_repository(folder: int) -> bool:
    """Whether a folder is a repository of ours, which is not to be held in itself (format.md §1)."""
    try:
        descriptor = os.open(b"config", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        return os.pread(descriptor, 5, 0) == b"SNAPC"
    except OSError:
        return False
    finally:
        os.close(descriptor)
