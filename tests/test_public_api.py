"""What `import snapstore` offers is a promise: a name is added here on purpose, and never lost by accident."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.resources import files

import snapstore

PUBLIC = [
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


def exported() -> list[str]:
    return list(getattr(snapstore, "__all__", []))


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(exported()) == sorted(PUBLIC)


def test_public_names_are_there_and_explained() -> None:
    assert [name for name in PUBLIC if not getattr(snapstore, name).__doc__] == []


def test_the_package_is_typed() -> None:
    assert (files("snapstore") / "py.typed").is_file()


def test_names_come_from_where_the_type_checker_is_told() -> None:
    tree = ast.parse((files("snapstore") / "__init__.py").read_text(encoding="utf-8"))
    told = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("snapstore.")
        for alias in node.names
    }
    assert told == snapstore._HOME_OF
    assert sorted(told) == sorted(PUBLIC)


def test_a_part_of_the_library_does_not_load_the_driver() -> None:
    asked = "import sys, snapstore.operations.diff, snap_cli.list, snap_cli.diff; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
