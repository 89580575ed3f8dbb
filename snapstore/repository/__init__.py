"""An open store: configuration, blobs, snapshots, and what is pending.

    repository = Repository.open(DirectoryBackend(Path("/backups/memory")))
    snapshot = resolve(repository.snapshots(), "latest")

The order of writing is the law here (format.md §10): blobs, index, commit; read in reverse. A repository knows nothing
of live sources.
"""

from snapstore.repository.repository import Pending, Repository
from snapstore.repository.resolve import resolve, resolve_all
from snapstore.repository.snapshot import Origin, Snapshot, SnapshotSource, SnapshotTable

__all__ = ["Origin", "Pending", "Repository", "Snapshot", "SnapshotSource", "SnapshotTable", "resolve", "resolve_all"]
