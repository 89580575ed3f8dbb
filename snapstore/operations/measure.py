"""How large a table of a snapshot is: what it holds, and what its blobs take in packs.

    size = measure(repository.blobs, entry)
    size.plain_bytes, size.stored_bytes

What tables and snapshots share is counted in each of them, so sizes do not add up to a repository's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snapstore.blobs.pack import rows_of
from snapstore.blobs.store import BlobStore
from snapstore.digest import Digest, Kind
from snapstore.operations.marks import DigestSet
from snapstore.repository import SnapshotTable
from snapstore.tree.walk import Child, children

__all__ = ["Size", "measure"]

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Size:
    """`plain_bytes` of the blobs a table needs, each once; `stored_bytes` their share of the frames they are in."""

    plain_bytes: int
    stored_bytes: int


def measure(store: BlobStore, table: SnapshotTable) -> Size:
    """The size of a table, from its trees and the index: nodes are read, chunks only if they name larger values.

    Raises `NotFound` or `Corrupt` for a node that cannot be read.
    """
    seen = DigestSet()
    waiting = [Child(Kind.SCHEMA, table.schema, leaf=True)]
    if table.root is not None:
        waiting.append(Child(Kind.TABLE, table.root))
    plain = stored = 0
    while waiting:
        batch = waiting[-_BATCH:]
        del waiting[-_BATCH:]
        fresh = seen.add(rows_of([child.digest for child in batch]))
        batch = [child for child, is_fresh in zip(batch, fresh.tolist(), strict=True) if is_fresh]
        names = [child.digest for child in batch]
        own_plain, own_stored = _located(store, names)
        plain += own_plain
        stored += own_stored
        inner = [child for child in batch if not child.leaf]
        for child, data in zip(inner, store.get_many([child.digest for child in inner]), strict=True):
            waiting.extend(children(child, data))
    return Size(plain, stored)


def _located(store: BlobStore, names: list[Digest]) -> tuple[int, int]:
    places = store.locate(names)
    length, found = places.length, places.found
    share = length * (places.stored / np.maximum(places.plain, 1))
    return int(length[found].sum()), round(float(share[found].sum()))
