"""A database of one's own, empty, of the engine that a snapshot's source is of, for as long as it is needed.

    with scratch_source(app, snapshot.sources[0]) as source:
        restore_test(repository, snapshot, "agents", source, selection)

PostgreSQL is a server that comes with the extra `embedded`; SQLite is a file in a folder that vanishes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from snap_cli.context import App
from snap_cli.embedded import EmbeddedServer
from snap_cli.sources import open_source
from snapstore.errors import Unsupported
from snapstore.repository import SnapshotSource
from snapstore.sources import Source

__all__ = ["scratch_source"]

_OLDER, _NEWER = 16, 18


@contextmanager
def scratch_source(app: App, held: SnapshotSource) -> Iterator[Source]:
    """An empty source of this one's kind, gone afterwards. Raises `Unsupported` where there is none, saying why."""
    if held.kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="snapstore-", ignore_cleanup_errors=True) as folder:
            yield open_source(app, f"sqlite:///{Path(folder).resolve() / 'scratch.db'}")
    elif held.kind == "postgresql":
        # A snapshot may hold what an older server does not know; a newer one takes what an older one had.
        version = _OLDER if 0 < _major(held) <= _OLDER else _NEWER
        with EmbeddedServer(version=version) as server:
            yield open_source(app, server.create_database("scratch"))
    else:
        raise Unsupported(
            f"{held.name}: there is no scratch database for {held.kind}",
            hint="Restore it somewhere by hand: snap restore SNAP --source NAME --to URL.",
        )


def _major(held: SnapshotSource) -> int:
    """The server's version as the snapshot has it: 16, 18; 0 where it does not say."""
    version = str(held.position.get("server_version", "")).partition(".")[0]
    return int(version) if version.isascii() and version.isdigit() else 0
