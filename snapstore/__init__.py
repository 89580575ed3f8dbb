"""Snapshots of the memory of AI agents: take, diff, restore, gc.

    import snapstore

    store = snapstore.open("/backups/memory")
    store.take("postgresql://me@/agents").snapshot.id

`snapstore.open` gives all commands as methods (docs/api.md); beneath it are the operations, which take a `Repository`.
These are the public names; everything else may change. The library never prints and never reads the environment.

A name is imported when it is first asked for: importing a part of the library does not load all of it, and the driver
of a database nobody asked for least of all (measured: 0.2 of the 0.4 s that a command took to start).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snapstore.api import Snapstore, init, open
    from snapstore.asked import source
    from snapstore.backends import Backend
    from snapstore.backends.directory import DirectoryBackend
    from snapstore.backends.memory import MemoryBackend
    from snapstore.errors import (
        Conflict,
        Corrupt,
        Denied,
        Exists,
        Invalid,
        NotFound,
        SnapstoreError,
        Unavailable,
        Unsupported,
        WrongKey,
    )
    from snapstore.methods.restoring import Guarded
    from snapstore.operations.ask import Ask, OnError
    from snapstore.operations.bundle import Bundled
    from snapstore.operations.copy import Copied
    from snapstore.operations.cut import CutPlan
    from snapstore.operations.diff import TableDiff, diff, row_changes
    from snapstore.operations.export import Exported
    from snapstore.operations.find import Found
    from snapstore.operations.gc import Collected, GcPlan
    from snapstore.operations.heal import Healed
    from snapstore.operations.log import RowHistory
    from snapstore.operations.plan import Mode, Plan, TablePlan
    from snapstore.operations.restore import Restored, plan_restore, restore
    from snapstore.operations.retention import Policy
    from snapstore.operations.scope import Scope
    from snapstore.operations.sparing import Refused
    from snapstore.operations.state import State, StateTable, live, of_snapshot
    from snapstore.operations.stats import Stats
    from snapstore.operations.take import Request, Taken, take
    from snapstore.operations.undo import undo_ask
    from snapstore.operations.verify import Verified
    from snapstore.repository import Repository, Snapshot, SnapshotSource, SnapshotTable
    from snapstore.repository.resolve import resolve
    from snapstore.sources import Selection, Source
    from snapstore.sources.postgres.source import PostgresSource

__all__ = [
    "Ask",
    "Backend",
    "Bundled",
    "Collected",
    "Conflict",
    "Copied",
    "Corrupt",
    "CutPlan",
    "Denied",
    "DirectoryBackend",
    "Exists",
    "Exported",
    "Found",
    "GcPlan",
    "Guarded",
    "Healed",
    "Invalid",
    "MemoryBackend",
    "Mode",
    "NotFound",
    "OnError",
    "Plan",
    "Policy",
    "PostgresSource",
    "Refused",
    "Repository",
    "Request",
    "Restored",
    "RowHistory",
    "Scope",
    "Selection",
    "Snapshot",
    "SnapshotSource",
    "SnapshotTable",
    "Snapstore",
    "SnapstoreError",
    "Source",
    "State",
    "StateTable",
    "Stats",
    "TableDiff",
    "TablePlan",
    "Taken",
    "Unavailable",
    "Unsupported",
    "Verified",
    "WrongKey",
    "diff",
    "init",
    "live",
    "of_snapshot",
    "open",
    "plan_restore",
    "resolve",
    "restore",
    "row_changes",
    "source",
    "take",
    "undo_ask",
]

_HOMES = {
    "snapstore.api": ("Snapstore", "init", "open"),
    "snapstore.asked": ("source",),
    "snapstore.methods.restoring": ("Guarded",),
    "snapstore.operations.bundle": ("Bundled",),
    "snapstore.operations.ask": ("Ask", "OnError"),
    "snapstore.operations.copy": ("Copied",),
    "snapstore.operations.cut": ("CutPlan",),
    "snapstore.operations.export": ("Exported",),
    "snapstore.operations.find": ("Found",),
    "snapstore.operations.gc": ("Collected", "GcPlan"),
    "snapstore.operations.heal": ("Healed",),
    "snapstore.operations.log": ("RowHistory",),
    "snapstore.operations.retention": ("Policy",),
    "snapstore.operations.stats": ("Stats",),
    "snapstore.operations.verify": ("Verified",),
    "snapstore.backends": ("Backend",),
    "snapstore.backends.directory": ("DirectoryBackend",),
    "snapstore.backends.memory": ("MemoryBackend",),
    "snapstore.errors": (
        "Conflict",
        "Corrupt",
        "Denied",
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
    "snapstore.operations.restore": ("Restored", "plan_restore", "restore"),
    "snapstore.operations.scope": ("Scope",),
    "snapstore.operations.sparing": ("Refused",),
    "snapstore.operations.state": ("State", "StateTable", "live", "of_snapshot"),
    "snapstore.operations.take": ("Request", "Taken", "take"),
    "snapstore.operations.undo": ("undo_ask",),
    "snapstore.repository": ("Repository", "Snapshot", "SnapshotSource", "SnapshotTable"),
    "snapstore.repository.resolve": ("resolve",),
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
