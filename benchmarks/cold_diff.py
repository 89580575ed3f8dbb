"""A diff of two snapshots without the command line around it, in a process that has read nothing yet.

    python -m benchmarks.cold_diff time REPOSITORY latest~1 latest
    {"changed": 100, "seconds": 0.1}
    python -m benchmarks.cold_diff count REPOSITORY latest~1 latest
    {"changed": 100, "blobs": 826, "reads": 40, "bytes": 16700000}

Counting costs time, so it is a run of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest
from snapstore.operations.diff import diff
from snapstore.operations.state import of_snapshot
from snapstore.repository import Repository, resolve


class CountedStore(BlobStore):
    """Blobs, and how many were asked for."""

    blobs = 0

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        """See `BlobStore.get_many`."""
        self.blobs += len(digests)
        return super().get_many(digests)


def main(what: str, folder: str, before: str, after: str) -> None:
    """Print how many rows changed, and what that took."""
    began = time.perf_counter()
    directory = DirectoryBackend(Path(folder))
    if what == "time":
        found = {"changed": changed(Repository.open(directory), before, after)}
        print(json.dumps({**found, "seconds": time.perf_counter() - began}))
        return
    backend = RecordingBackend(directory)
    repository = Repository.open(backend)
    repository.blobs = store = CountedStore(backend)
    found = {"changed": changed(repository, before, after), "blobs": store.blobs}
    print(json.dumps({**found, "reads": backend.count("get", "get_range"), "bytes": backend.bytes_read}))


def changed(repository: Repository, *names: str) -> int:
    """How many rows differ between the two snapshots of these names."""
    snapshots = repository.snapshots()
    before, after = (of_snapshot(repository, resolve(snapshots, name)) for name in names)
    return sum(table.changed for table in diff(before, after))


if __name__ == "__main__":
    main(*sys.argv[1:])
