"""Snapshots of the memory of AI agents: take, diff, restore, gc.

    from pathlib import Path
    from snapstore import DirectoryBackend, PostgresSource, Repository, Request, take

    repository = Repository.open(DirectoryBackend(Path("/backups/memory")))
    taken = take(repository, [Request("agents", PostgresSource("postgresql://me@/agents"))])
    taken.snapshot.id

These are the public names; everything else may change. The library never prints and never reads the environment.

A name is imported when it is first asked for: importing a part of the library does not load all of it, and the driver
of a database nobody asked for least of all (measured: 0.2 of the 0.4 s that a command took to start).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snapstore.backends import Backend
    from snapstore.backends.directory import DirectoryBackend
    from snapstore.backends.memory import MemoryBackend
    from snapstore.errors import (
        Conflict,
        Corrupt,
        Exists,
        Invalid,
        NotFound,
        SnapstoreError,
        Unavailable,
        Unsupported,
        WrongKey,
    )
    from snapstore.operations.diff import TableDiff, diff, row_changes
    from snapstore.operations.plan import Mode, Plan, TablePlan
    from snapstore.operations.restore import Ask, Restored, plan_restore, restore
    from snapstore.operations.scope import Scope
    from snapstore.operations.state import State, StateTable, live, of_snapshot
    from snapstore.operations.take import Request, Taken, take
    from snapstore.operations.undo import undo_ask
    from snapstore.repository import Repository, Snapshot, SnapshotSource, SnapshotTable, resolve
    from snapstore.sources import Selection, Source
    from snapstore.sources.postgres.source import PostgresSource

__all__ = [
    "Ask",
    "Backend",
    "Conflict",
    "Corrupt",
    "DirectoryBackend",
    "Exists",
    "Invalid",
    "MemoryBackend",
    "Mode",
    "NotFound",
    "Plan",
    "PostgresSource",
    "Repository",
    "Request",
    "Restored",
    "Scope",
    "Selection",
    "Snapshot",
    "SnapshotSource",
    "SnapshotTable",
    "SnapstoreError",
    "Source",
    "State",
    "StateTable",
    "TableDiff",
    "TablePlan",
    "Taken",
    "Unavailable",
    "Unsupported",
    "WrongKey",
    "diff",
    "live",
    "of_snapshot",
    "plan_restore",
    "resolve",
    "restore",
    "row_changes",
    "take",
    "undo_ask",
]

_HOMES = {
    "snapstore.backends": ("Backend",),
    "snapstore.backends.directory": ("DirectoryBackend",),
    "snapstore.backends.memory": ("MemoryBackend",),
    "snapstore.errors": (
        "Conflict",
        "Corrupt",
        "Exists",
        "Invalid",
        "NotFound",
        "SnapstoreError",
        "Unavailable",
        "Unsupported",
        "WrongKey",
    ),
    "snapstore.operations.diff": ("TableDiff", "diff", "row_changes"),
    "snapstore.operations.plan": ("Mode", "Plan", "TablePlan"),
    "snapstore.operations.restore": ("Ask", "Restored", "plan_restore", "restore"),
    "snapstore.operations.scope": ("Scope",),
    "snapstore.operations.state": ("State", "StateTable", "live", "of_snapshot"),
    "snapstore.operations.take": ("Request", "Taken", "take"),
    "snapstore.operations.undo": ("undo_ask",),
    "snapstore.repository": ("Repository", "Snapshot", "SnapshotSource", "SnapshotTable", "resolve"),
    "snapstore.sources": ("Selection", "Source"),
    "snapstore.sources.postgres.source": ("PostgresSource",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return found


def __dir__() -> list[str]:
    return __all__
