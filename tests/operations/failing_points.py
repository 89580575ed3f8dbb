"""How many points of failure there are in each operation: `python -m tests.operations.failing_points`.

`make soak` tries every one of them, `make test` some: a storage call fails before it is made (`test_crashes`,
`test_crashed_restore`, `test_repair`, `test_keyring`); one that writes also after, with its reply lost, without effect,
or as the disk is full from then on; and the power fails after any change to a folder, with what was not synced left in
one of the ways of `cut.Cut` (`test_torn`; `test_torn_elsewhere` for commands that carry snapshots out, of which nothing
else is counted here).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from snapstore.backends import Backend
from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from tests.operations import test_crashes, test_repair, test_torn, test_torn_elsewhere
from tests.operations.crowd import Operation, copied, repository_with_garbage
from tests.operations.cut import Cut
from tests.operations.disk import Disk
from tests.operations.points import calls_to_fail
from tests.operations.sample import reopen

__all__ = ["Counted", "counted"]


@dataclass(frozen=True, slots=True)
class Counted:
    """Of one operation: its storage calls, those that write, and the changes to a folder that these are made of."""

    name: str
    calls: int
    writes: int
    changes: int

    @property
    def points(self) -> int:
        """Before each call, four ways in which a write fails, and what a disk may hold after each change."""
        return self.calls + 4 * self.writes + len(Cut) * (self.changes + 1)


def counted() -> Iterator[Counted]:
    """Every operation on a repository, and every command that carries snapshots out of one."""
    for name, operation in test_crashes.OPERATIONS.items():
        yield _count(name, repository_with_garbage(), partial(_run, operation))
    for name, operation in test_torn.KEYS.items():
        yield _count(name, repository_with_garbage(encrypted=True), partial(_run, operation))
    start, other = test_repair.broken()
    for mending in (test_repair.mend, test_repair.cut_off):
        yield _count(f"repair ({mending.__name__})", start, partial(_mend, mending, other))
    for name, carried in test_torn_elsewhere.CARRIED.items():
        with tempfile.TemporaryDirectory() as folder:
            steps = test_torn_elsewhere.done(carried, Path(folder) / "base").disk.steps
        yield Counted(f"{name}, elsewhere", 0, 0, len(steps))


def _run(operation: Operation, backend: Backend) -> None:
    operation(reopen(backend))


def _mend(mending: Callable[[Backend, Backend], None], other: MemoryBackend, backend: Backend) -> None:
    mending(backend, copied(other))


def _count(name: str, start: MemoryBackend, operation: Callable[[Backend], None]) -> Counted:
    calls, writes = (calls_to_fail(way, operation, copied(start)) for way in ("before", "after"))
    with tempfile.TemporaryDirectory() as folder:
        backend = DirectoryBackend(Path(folder) / "store", create=True)
        for entry in start.list():
            backend.put(entry.name, [start.get(entry.name).data])
        disk = Disk(Path(folder) / "store")
        with disk.noted():
            operation(DirectoryBackend(Path(folder) / "store"))
    return Counted(name, calls, writes, len(disk.steps))


def main() -> None:
    """Print a table, and the sum."""
    print(f"{'':28}{'calls':>8}{'writes':>8}{'changes':>9}{'points':>8}")
    points = 0
    for one in counted():
        print(f"{one.name:28}{one.calls:8,}{one.writes:8,}{one.changes:9,}{one.points:8,}")
        points += one.points
    print(f"{'together':28}{points:33,}")


if __name__ == "__main__":
    main()
