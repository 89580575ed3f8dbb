"""One operation of the library, in a process of its own: what `snap` does, without the command line around it.

    python -m benchmarks.operation take REPOSITORY postgresql://…
    {"seconds": 2.1, "snapshot": "…", "bytes_added": …}

`seconds` is the operation alone; who started the process knows what start and imports cost.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest
from snapstore.operations.diff import TableDiff, diff
from snapstore.operations.restore import Ask, restore
from snapstore.operations.state import live, of_snapshot
from snapstore.operations.take import Request, selection_of, take
from snapstore.repository import Repository, resolve
from snapstore.sources.postgres.source import PostgresSource

_NAME = "agents"


class CountedStore(BlobStore):
    """Blobs, and how many were asked for."""

    blobs = 0

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        """See `BlobStore.get_many`."""
        self.blobs += len(digests)
        return super().get_many(digests)


def _open(folder: str) -> Repository:
    return Repository.open(DirectoryBackend(Path(folder)))


def _nothing(_: argparse.Namespace) -> dict[str, Any]:
    return {}


def _init(arguments: argparse.Namespace) -> dict[str, Any]:
    Repository.init(DirectoryBackend(Path(arguments.repository), create=True))
    return {}


def _take(arguments: argparse.Namespace) -> dict[str, Any]:
    request = Request(_NAME, PostgresSource(arguments.url))
    taken = take(_open(arguments.repository), [request], verify=not arguments.no_verify)
    return {
        "snapshot": taken.snapshot.id,
        "rows": sum(table.rows for source in taken.snapshot.sources for table in source.tables),
        "bytes_read": taken.bytes_read,
        "bytes_added": taken.bytes_added,
    }


def _diff(arguments: argparse.Namespace) -> dict[str, Any]:
    repository = _open(arguments.repository)
    snapshots = repository.snapshots()
    before, after = (of_snapshot(repository, resolve(snapshots, name)) for name in (arguments.before, arguments.after))
    return _counts(list(diff(before, after)))


def _count_diff(arguments: argparse.Namespace) -> dict[str, Any]:
    """As `diff`, not to be timed: counts what it asks of blobs and of the backend."""
    backend = RecordingBackend(DirectoryBackend(Path(arguments.repository)))
    repository = Repository.open(backend)
    repository.blobs = store = CountedStore(backend)
    snapshots = repository.snapshots()
    before, after = (of_snapshot(repository, resolve(snapshots, name)) for name in (arguments.before, arguments.after))
    found = _counts(list(diff(before, after)))
    return {**found, "blobs": store.blobs, "reads": backend.count("get", "get_range"), "bytes": backend.bytes_read}


def _diff_live(arguments: argparse.Namespace) -> dict[str, Any]:
    repository = _open(arguments.repository)
    snapshot = resolve(repository.snapshots(), "latest")
    selection = selection_of(snapshot.sources[0].selection)
    with live(repository, _NAME, PostgresSource(arguments.url), selection) as after:
        return _counts(list(diff(of_snapshot(repository, snapshot), after)))


def _counts(tables: Sequence[TableDiff]) -> dict[str, Any]:
    return {
        "added": sum(table.added for table in tables),
        "removed": sum(table.removed for table in tables),
        "changed": sum(table.changed for table in tables),
    }


def _restore(arguments: argparse.Namespace) -> dict[str, Any]:
    repository = _open(arguments.repository)
    snapshot = resolve(repository.snapshots(), "latest")
    done = restore(repository, snapshot, PostgresSource(arguments.url), Ask(), verify=not arguments.no_verify)
    return {"rows": sum(table.insert for table in done.plan.tables)}


OPERATIONS: dict[str, tuple[Callable[[argparse.Namespace], dict[str, Any]], tuple[str, ...]]] = {
    "nothing": (_nothing, ()),
    "init": (_init, ("repository",)),
    "take": (_take, ("repository", "url")),
    "diff": (_diff, ("repository", "before", "after")),
    "count-diff": (_count_diff, ("repository", "before", "after")),
    "diff-live": (_diff_live, ("repository", "url")),
    "restore": (_restore, ("repository", "url")),
}


def main() -> None:
    """Do one operation and print what it says as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operation", description=__doc__)
    names = parser.add_subparsers(dest="operation", required=True)
    for name, (_, words) in OPERATIONS.items():
        own = names.add_parser(name)
        for word in words:
            own.add_argument(word)
        own.add_argument("--no-verify", action="store_true")
    arguments = parser.parse_args()
    began = time.perf_counter()
    facts = OPERATIONS[arguments.operation][0](arguments)
    print(json.dumps({**facts, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
