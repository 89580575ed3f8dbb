"""What `import snapstore` offers is a promise: a name is added here on purpose, and never lost by accident."""

from __future__ import annotations

from importlib.resources import files

import snapstore

PUBLIC = [
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


def exported() -> list[str]:
    return list(getattr(snapstore, "__all__", []))


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(exported()) == sorted(PUBLIC)


def test_public_names_are_there_and_explained() -> None:
    assert [name for name in PUBLIC if not getattr(snapstore, name).__doc__] == []


def test_the_package_is_typed() -> None:
    assert (files("snapstore") / "py.typed").is_file()
