"""What the bytes of a repository are for, by its own directories.

    python -m benchmarks.inside REPOSITORY
    {"values": 216000000, "trees": 700000, "directories": 2100000, "index": 2200000, "snapshots": 1024}

`values` are the frames of large cells (vectors, long texts), `trees` all other frames; `directories` what packs say of
themselves.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from snapstore.backends.directory import DirectoryBackend
from snapstore.blobs.pack import PACKS, read_directory
from snapstore.blobs.segment import INDEX
from snapstore.digest import Kind
from snapstore.seal import PLAIN

__all__ = ["inside"]


def inside(folder: Path) -> dict[str, int]:
    """Bytes by what they are for; together those of every object but `config`."""
    backend = DirectoryBackend(folder)
    found = {"values": 0, "trees": 0, "directories": 0, "index": 0, "snapshots": 0}
    for entry in backend.list(PACKS):
        directory = read_directory(backend, entry.name.rpartition("/")[2], entry.size_bytes, PLAIN)
        stored = int(directory.stored.sum())
        found["values" if directory.kinds[0] == Kind.VALUE else "trees"] += stored
        found["directories"] += entry.size_bytes - stored
    for name, prefix in (("index", INDEX), ("snapshots", "snapshots/")):
        found[name] = sum(entry.size_bytes for entry in backend.list(prefix))
    return found


if __name__ == "__main__":
    print(json.dumps(inside(Path(sys.argv[1]))))
