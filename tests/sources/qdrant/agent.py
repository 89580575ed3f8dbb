"""An application with a Qdrant and what people do with it: its own client's calls, takes and restores.

agent = Agent("qdrant+path:///folder")
with agent.client() as client:
    client.upsert("memories", points)
agent.take()
"""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from qdrant_client.local.qdrant_local import QdrantLocal
from qdrant_client.qdrant_remote import QdrantRemote

from snapstore.backends.memory import MemoryBackend
from snapstore.operations.plan import Mode
from snapstore.operations.restore import Ask, Restored, restore
from snapstore.operations.take import Request, Taken, take
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Selection
from snapstore.sources.qdrant.source import QdrantSource


@contextmanager
def unsynced() -> Iterator[None]:
    """Local mode commits every point by itself; nobody pulls the plug here."""
    connect = sqlite3.connect

    def quick(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", quick)
        yield


@dataclass
class Agent:
    """An application with a server or a folder, and a repository beside it."""

    url: str
    repository: Repository = field(default_factory=lambda: Repository.init(MemoryBackend()))
    key: str = ""
    _client: QdrantRemote | None = None

    def __post_init__(self) -> None:
        self.source = QdrantSource(self.url, key=self.key, timeout_seconds=5, wait_seconds=2)

    @property
    def is_local(self) -> bool:
        return self.url.startswith("qdrant+path:")

    @contextmanager
    def client(self) -> Iterator[QdrantRemote | QdrantLocal]:
        """The application's own; of local mode closed again, since that is for one program at a time."""
        parts = urlsplit(self.url)
        if self._client is not None:
            yield self._client
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not self.is_local:
                self._client = QdrantRemote(
                    host=parts.hostname, port=parts.port, https=False, check_compatibility=False, verify=False
                )
                yield self._client
                return
            client = QdrantLocal(parts.path)
            yield client
            client.close()

    def taken(self, **selection: Any) -> Taken:
        return take(self.repository, [Request("agent", self.source, Selection(**selection))])

    def take(self, **selection: Any) -> Snapshot:
        return self.taken(**selection).snapshot

    def restore(self, snapshot: Snapshot, mode: Mode = Mode.EXACT, **ask: Any) -> Restored:
        return restore(self.repository, snapshot, self.source, Ask(mode=mode, **ask))

    def at(self, url: str) -> Agent:
        """The same repository with another Qdrant."""
        return Agent(url, self.repository)

    def dump(self, *names: str) -> dict[str, Any]:
        """Every collection as its own client sees it, to the bit."""
        with self.client() as client:
            found = {}
            for one in names or sorted(own.name for own in client.get_collections().collections):
                points, _ = client.scroll(one, limit=10_000, with_payload=True, with_vectors=True)
                shape = client.get_collection(one)
                found[one] = {
                    "config": shape.config.model_dump(mode="json"),
                    "indexes": {key: own.model_dump(mode="json") for key, own in shape.payload_schema.items()},
                    "aliases": sorted(own.alias_name for own in client.get_collection_aliases(one).aliases),
                    "points": {str(point.id): (_exact(point.payload), _vectors(point.vector)) for point in points},
                }
            return found


def _exact(value: Any) -> str:
    """JSON keeps 1 and 1.0 apart, and null from a key that is missing."""
    return json.dumps(value, sort_keys=True)


def _vectors(vector: Any) -> str:
    if isinstance(vector, dict):
        return json.dumps({name: _vectors(one) for name, one in sorted(vector.items())})
    return repr((vector.indices, vector.values)) if hasattr(vector, "indices") else repr(vector)


def roots(snapshot: Snapshot) -> dict[str, bytes | None]:
    return {table.name: table.root for table in snapshot.sources[0].tables}
