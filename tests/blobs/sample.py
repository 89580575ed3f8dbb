"""Small stores with known blobs."""

from __future__ import annotations

import numpy as np

from snapstore.backends import Backend
from snapstore.backends.memory import MemoryBackend
from snapstore.blobs.store import BlobStore
from snapstore.blobs.writer import Written
from snapstore.digest import Digest, Kind, digest

TAKE = bytes(range(16))


def chunks(count: int, *, seed: int = 0) -> list[bytes]:
    """Different blobs that compress a little."""
    lengths = np.random.default_rng(seed).integers(0, 60, count)
    return [f"{seed} {number} ".encode() + bytes(int(length)) for number, length in enumerate(lengths)]


def vectors(count: int, *, seed: int = 0, elements: int = 32) -> list[bytes]:
    """Different embeddings, float32."""
    return [row.tobytes() for row in np.random.default_rng(seed).standard_normal((count, elements)).astype("<f4")]


def names(blobs: list[bytes]) -> list[Digest]:
    return [digest(blob) for blob in blobs]


def write(store: BlobStore, kind: Kind, blobs: list[bytes], *, stride: int = 1) -> Written:
    with store.writer(TAKE) as writer:
        writer.put(kind, names(blobs), blobs, stride=stride)
    return writer.close()


def condemn(backend: Backend, name: str) -> None:
    backend.put(f"condemned/{name}", [b"SNAPD\x00\x01\x00"])


def change(backend: Backend, name: str, data: bytes) -> None:
    """Put other bytes in an object's place, behind everybody's back."""
    backend.delete(name)
    backend.put(name, [data])


def copy(backend: Backend) -> MemoryBackend:
    other = MemoryBackend()
    for entry in backend.list():
        other.put(entry.name, [backend.get(entry.name).data])
    return other
