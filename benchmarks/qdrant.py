"""What docs/qdrant.md and docs/decisions/0017 say in numbers: `python -m benchmarks.qdrant`.

How many vectors under Cosine change when they are written back as they were read: in the client's local mode, and in
Qdrant's own engine where that is installed (`pip install qdrant-edge-py`). And what a night of payload changes stores.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import numpy as np
from qdrant_client import models
from qdrant_client.local.qdrant_local import QdrantLocal

from snapstore.backends.memory import MemoryBackend
from snapstore.operations.take import Request, take
from snapstore.repository import Repository
from snapstore.sources.qdrant.points import value_cell
from snapstore.sources.qdrant.source import QdrantSource

POINTS = 1500
SIZES = (4, 64, 384, 1536)
RANDOM = np.random.default_rng(2)


def in_local_mode(size: int) -> tuple[int, int]:
    """Vectors of which a bit changes, and by how many units in the last place at most."""
    client = QdrantLocal(":memory:")
    params = models.VectorParams(size=size, distance=models.Distance.COSINE)

    def through(name: str, vectors: Any) -> Any:
        client.create_collection(name, vectors_config=params)
        points = [models.PointStruct(id=at, vector=one.tolist(), payload={}) for at, one in enumerate(vectors)]
        client.upsert(name, points)
        found, _ = client.scroll(name, limit=POINTS, with_vectors=True)
        return np.array([one.vector for one in found], np.float32)

    first = through("first", RANDOM.standard_normal((POINTS, size)).astype(np.float32))
    again = through("again", first)
    apart = np.abs(first.view(np.int32).astype(np.int64) - again.view(np.int32))
    return int((apart > 0).any(axis=1).sum()), int(apart.max())


def in_the_engine(size: int, datatype: str) -> int:
    """Vectors of which a bit changes in Qdrant's own storage."""
    import qdrant_edge as edge

    with tempfile.TemporaryDirectory() as folder:
        kind = getattr(edge.VectorStorageDatatype, datatype)
        params = edge.EdgeVectorParams(size=size, distance=edge.Distance.Cosine, datatype=kind)
        shard = edge.EdgeShard.create(folder, edge.EdgeConfig(vectors={"v": params}))

        def through(start: int, vectors: Any) -> Any:
            points = [edge.Point(start + at, {"v": one.tolist()}, {}) for at, one in enumerate(vectors)]
            shard.update(edge.UpdateOperation.upsert_points(points))
            found = shard.retrieve([start + at for at in range(POINTS)], with_payload=False, with_vector=True)
            return np.array([one.vector["v"] for one in sorted(found, key=lambda one: one.id)], np.float32)

        whole = RANDOM.integers(0, 255, (POINTS, size)).astype(np.float32)
        first = through(0, whole if datatype == "Uint8" else RANDOM.standard_normal((POINTS, size)).astype(np.float32))
        return int((first != through(POINTS, first)).any(axis=1).sum())


def a_night(points: int = 1000, size: int = 384) -> None:
    """Every heat cooled down, nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        client = QdrantLocal(folder)
        params = models.VectorParams(size=size, distance=models.Distance.COSINE)
        client.create_collection("memories", vectors_config=params)
        payloads = [
            {
                "heat": 1.0 + at / 7,
                "user": f"u{at % 9}",
                "data": f"what was said on day {at}, and why " * 6,
                "hash": f"{at:032x}",
            }
            for at in range(points)
        ]
        vectors = RANDOM.standard_normal((points, size)).tolist()
        client.upsert(
            "memories", [models.PointStruct(id=a, vector=vectors[a], payload=payloads[a]) for a in range(points)]
        )
        client.close()
        repository, request = Repository.init(MemoryBackend()), Request("q", QdrantSource(f"qdrant+path://{folder}"))
        first = take(repository, [request])
        client = QdrantLocal(folder)
        for at, payload in enumerate(payloads):
            client.set_payload("memories", {"heat": payload["heat"] * 0.97}, points=[at])
        client.close()
        second = take(repository, [request])
        whole = sum(len(value_cell(payload)) for payload in payloads)
        print(f"{points} × {size}, first take: {first.bytes_new:,} bytes of new blobs, stored as {first.bytes_added:,}")
        print(
            f"after a night: {second.bytes_new:,} new, stored as {second.bytes_added:,} (payloads are {whole:,} bytes)"
        )


def main() -> None:
    """All of it."""
    for size in SIZES:
        moved, most = in_local_mode(size)
        print(f"local mode, {size} elements: {moved} of {POINTS} change, by at most {most} units in the last place")
    try:
        for datatype in ("Float32", "Float16", "Uint8"):
            found = ", ".join(f"{in_the_engine(size, datatype)} of {size} elements" for size in SIZES)
            print(f"engine, {datatype}: of {POINTS} vectors change {found}")
    except ImportError:
        print("engine: not installed (pip install qdrant-edge-py)", file=sys.stderr)
    a_night()


if __name__ == "__main__":
    main()
