"""Snapshots of the memory of AI agents: take, diff, restore, gc.

    from pathlib import Path
    from snapstore import DirectoryBackend, PostgresSource, Repository, Request, take

    repository = Repository.open(DirectoryBackend(Path("/backups/memory")))
    taken = take(repository, [Request("agents", PostgresSource("postgresql://me@/agents"))])
    taken.snapshot.id

These are the public names; everything else may change. The library never prints and never reads the environment.
"""

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
