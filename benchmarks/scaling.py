"""What one repository holds and what it costs, from the sizes the code uses; and the memory a blob takes, measured.

    python -m benchmarks.scaling                      # the tables of docs/scaling.md, by formula
    python -m benchmarks.scaling measure --blobs 10000000
    python -m benchmarks.scaling gc --blobs 1000000 --snapshots 1000 --store /tmp/many    # writes that store first

The formulae are about one table of memories: a key, `COLUMNS` columns, one of them an embedding that is a value. What
is measured runs the real index and the real marks of gc over made-up digests, each in a process of its own, by the
growth of its resident memory. No database is needed, and no store of that size is written.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.recording import RecordingBackend
from snapstore.blobs.index import Index
from snapstore.blobs.large import _SCANNED_BLOCKS
from snapstore.blobs.packer import _SEGMENT_BLOBS, _TREE_PACK_BYTES, _VALUE_PACK_BYTES
from snapstore.blobs.segment import BLOCK_ENTRIES, ENTRY, FRAME, INDEX, Segment, encode
from snapstore.blobs.store import _LEAN_BYTES, BlobStore
from snapstore.blobs.writer import _TREE_FRAME_BYTES, _VALUE_FRAME_BYTES
from snapstore.digest import Digest, Kind
from snapstore.operations.gc import gc
from snapstore.operations.marks import Marks
from snapstore.repository import Repository, Snapshot, SnapshotSource, SnapshotTable
from snapstore.rows import Batch, Cells, Column, KeyPart, Table
from snapstore.seal import PLAIN
from snapstore.tree.builder import TreeBuilder
from snapstore.tree.cuts import BITS
from snapstore.tree.incremental import rebuild
from snapstore.tree.node import encode_schema
from snapstore.tree.reader import TableTree
from snapstore.tree.walk import Child

ROWS = (10**6, 10**8, 10**10)
COLUMNS = 6
VALUE_BYTES, VALUE_RATIO = 1536, 0.85  # 384 dimensions; byte planes on real embeddings (docs/decisions/0011)
CELL_BYTES, CELL_RATIO = 40, 0.5  # a cell of the others, on average
PAGE = 1000  # names in one answer to a listing of a bucket


@dataclass(frozen=True)
class Scale:
    """One snapshot of a table of so many rows in a store of its own."""

    rows: int

    @property
    def chunks(self) -> int:
        """Of all trees; a chunk ends after one row in 32."""
        return (COLUMNS + 1) * self.rows >> BITS

    @property
    def nodes(self) -> int:
        """Above the chunks, one for 31 on average and those above."""
        return self.chunks // ((1 << BITS) - 1)

    @property
    def blobs(self) -> int:
        """Values, chunks and nodes."""
        return self.rows + self.chunks + self.nodes

    @property
    def walked(self) -> int:
        """What gc reads and remembers: nodes, and chunks with values in them."""
        return self.nodes + (self.rows >> BITS)

    @property
    def value_bytes(self) -> int:
        """Stored."""
        return round(self.rows * VALUE_BYTES * VALUE_RATIO)

    @property
    def tree_bytes(self) -> int:
        """Stored: cells, references and separators."""
        plain = self.rows * COLUMNS * CELL_BYTES + self.rows * 33 + self.nodes * (41 << BITS)
        return round(plain * CELL_RATIO)

    @property
    def packs(self) -> int:
        """Of values and of trees."""
        return -(-self.value_bytes // _VALUE_PACK_BYTES) + -(-self.tree_bytes // _TREE_PACK_BYTES)

    @property
    def frames(self) -> int:
        """In all packs."""
        values = self.rows * VALUE_BYTES // _VALUE_FRAME_BYTES
        return values + round(self.tree_bytes / CELL_RATIO) // _TREE_FRAME_BYTES

    @property
    def segments(self) -> int:
        """Of the index, as a full take leaves them; what later ones add is joined into few."""
        return -(-self.blobs // _SEGMENT_BLOBS)

    @property
    def index_bytes(self) -> int:
        """Stored."""
        return self.blobs * ENTRY.itemsize + self.frames * FRAME.itemsize

    @property
    def index_memory(self) -> int:
        """Of whoever takes, restores or verifies: segments held whole, two and a half times while they are joined
        (measured below), and of the others the frames.
        """
        whole = 64 << 20
        others = self.frames * FRAME.itemsize if self.index_bytes > whole else 0
        return 5 * min(self.index_bytes, whole) // 2 + others

    @property
    def open_requests(self) -> int:
        """To open the index: three listings, a read for each segment held whole, two for each other."""
        held = min(self.segments, (64 << 20) // (_SEGMENT_BLOBS * ENTRY.itemsize))
        return 2 + -(-self.packs // PAGE) + held + 2 * (self.segments - held)

    @property
    def full_requests(self) -> int:
        """Packs, index segments, and what every take asks."""
        return 12 + self.packs + -(-self.blobs // _SEGMENT_BLOBS)

    @property
    def gc_memory(self) -> int:
        """Marks: 8 bytes a blob and an eighth of them waiting, 32 a walked one, twice while they are merged; the frames
        of the index, and a block of each segment; 250 bytes for each of the blobs looked up together; caches and what
        is being read (all measured below).
        """
        marks = 10 * self.blobs + 64 * self.walked
        index = self.frames * FRAME.itemsize + max(_SCANNED_BLOCKS, self.segments) * BLOCK_ENTRIES * ENTRY.itemsize
        return marks + index + 250 * self._lot + (45 << 20)

    @property
    def gc_requests(self) -> int:
        """Directories of packs, two reads each; the packs of trees by frames that lie together; the index once for each
        lot and once for all packs.
        """
        blocks = _SEGMENT_BLOBS // BLOCK_ENTRIES
        scan = self.segments * -(-blocks // max(1, _SCANNED_BLOCKS // self.segments))
        lots = -(-self.walked // self._lot)
        together = _LEAN_BYTES // (BLOCK_ENTRIES * ENTRY.itemsize) // 2
        trees = self.tree_bytes // (_LEAN_BYTES // 8)
        return self.open_requests + 2 * self.packs + trees + scan + lots * self.segments * -(-blocks // together)

    @property
    def _lot(self) -> int:
        """How many blobs gc looks up together."""
        return max(1 << 13, self.blobs // 128)


def tables() -> Iterator[str]:
    """The tables of docs/scaling.md."""
    scales = [Scale(rows) for rows in ROWS]
    yield "| rows | " + " | ".join(f"{one.rows:,}" for one in scales) + " |"
    yield "|---|" + "---:|" * len(scales)
    lines: list[tuple[str, Callable[[Scale], str]]] = [
        ("blobs", lambda one: f"{one.blobs:,}"),
        ("stored", lambda one: size(one.value_bytes + one.tree_bytes + one.index_bytes)),
        ("of that the index", lambda one: size(one.index_bytes)),
        ("packs", lambda one: f"{one.packs:,}"),
        ("index segments", lambda one: f"{one.segments:,}"),
        ("requests of a full take", lambda one: f"{one.full_requests:,}"),
        ("requests to open the index", lambda one: f"{one.open_requests:,}"),
        ("memory for the index", lambda one: size(one.index_memory)),
        ("requests of gc", lambda one: f"{one.gc_requests:,}"),
        ("memory of gc", lambda one: size(one.gc_memory)),
    ]
    for name, told in lines:
        yield f"| {name} | " + " | ".join(map(told, scales)) + " |"


def size(count: int) -> str:
    """`1.5 GB`."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def made_up(count: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """So many digests, shape (n, 32)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32), np.uint8)


def _apart(write: Callable[[], None]) -> None:
    """In a process that ends: what writing takes is no part of what reading does."""
    if not (child := os.fork()):
        try:
            write()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("what is to be measured could not be written")


def measure_index(blobs: int, folder: Path) -> dict[str, float]:
    """Open an index of so many blobs, and look up ten thousand of each segment and as many that are in none."""
    backend = DirectoryBackend(folder, create=True)
    _apart(lambda: _write_segments(backend, blobs))
    before = resident()
    began = time.monotonic()
    index = Index(backend)
    index.refresh()
    opened = time.monotonic()
    found = 0
    for number in range(-(-blobs // _SEGMENT_BLOBS)):
        wanted = made_up(_SEGMENT_BLOBS, number)[:10_000]
        found += int(index.find(np.concatenate([wanted, made_up(10_000, 1 << 30 | number)])).found.sum())
    ended = time.monotonic()
    return {"bytes": resident() - before, "open": opened - began, "find": ended - opened, "found": found}


def _write_segments(backend: DirectoryBackend, blobs: int) -> None:
    for number, start in enumerate(range(0, blobs, _SEGMENT_BLOBS)):
        count = min(_SEGMENT_BLOBS, blobs - start)
        entries = np.zeros(count, ENTRY)
        digests = made_up(count, number)
        entries["digest"] = digests[np.lexsort(digests[:, 7::-1].T)]
        entries["frame"] = np.arange(count) // 100
        entries["size"] = (Kind.VALUE << 28) | 1
        frames = np.zeros(count // 100 + 1, FRAME)
        frames["offset"], frames["plain"], frames["stored"] = 40, 1 << 20, 1 << 19
        name = f"{number:032x}"
        backend.put(INDEX + name, encode(Segment((name,), frames, entries), name, PLAIN))
        backend.put(f"packs/{name[:2]}/{name}", [b"x"])


def measure_marks(blobs: int, folder: Path) -> dict[str, float]:
    """Mark so many blobs as gc does, one in twenty of them walked through, and ask for a tenth of them again."""
    marks = Marks(BlobStore(DirectoryBackend(folder, create=True)))
    before = resident()
    began = time.monotonic()
    step = 8192
    for start in range(0, blobs, step):
        joined = made_up(step, start).tobytes()
        children = [
            Child(Kind.VALUE, Digest(joined[at : at + 32]), leaf=at % 640 != 0) for at in range(0, len(joined), 32)
        ]
        marks._fresh(children, marks._walked)
    marked = time.monotonic()
    live = sum(int(marks.is_live(made_up(step, start)).sum()) for start in range(0, blobs // 10, step))
    return {"bytes": resident() - before, "mark": marked - began, "ask": time.monotonic() - marked, "found": live}


def measure_gc(blobs: int, folder: Path, snapshots: int) -> dict[str, float]:
    """A gc with nothing to do, on so many snapshots of a table of so many values, 100 rows changed in each.

    Collects what is in the folder, if there is a store already.
    """
    if not folder.exists():
        _apart(lambda: _write_snapshots(DirectoryBackend(folder, create=True), blobs, snapshots))
    recording = RecordingBackend(DirectoryBackend(folder))
    before = resident()
    began = time.monotonic()
    gc(Repository.open(recording))
    seconds, processor = time.monotonic() - began, time.process_time()
    calls = Counter(call.verb for call in recording.calls)
    print(f"gc of {snapshots:,} snapshots asked its store: {dict(calls)}")
    grown = resident() - before
    store = BlobStore(DirectoryBackend(folder))
    store.refresh()
    return {"bytes": grown, "gc": seconds, "of a processor": processor, "blobs": store.entry_count}


def _write_snapshots(backend: DirectoryBackend, blobs: int, snapshots: int) -> None:
    repository = Repository.init(backend)
    keys = Cells.fixed((np.arange(blobs) + (1 << 31)).astype(">u4").view(np.uint8).reshape(-1, 4))
    heat = np.zeros((blobs, 4), np.uint8)
    random = np.random.default_rng(0)
    root: Digest | None = None
    for _ in range(snapshots):
        moved = np.zeros(blobs, np.bool_)
        moved[random.choice(blobs, min(100, blobs), replace=False)] = True
        heat[moved] = random.integers(0, 256, (int(moved.sum()), 4), np.uint8)
        pending = repository.begin()
        with repository.blobs.writer(bytes.fromhex(pending.id)) as writer:
            if root is None:
                builder = TreeBuilder(TABLE, repository.cut_key, writer)
                for start in range(0, blobs, 4096):
                    stop = min(blobs, start + 4096)
                    builder.add(_rows(keys, heat, np.arange(start, stop)))
                root = builder.finish()
            else:
                tree = TableTree.open(root, repository.blobs)
                stamps = _generated([(keys, moved)])
                here = np.flatnonzero(moved)
                read = _generated([_rows(keys, heat, here)])
                rebuilt = rebuild(tree, repository.cut_key, writer, stamps, lambda *, is_much, read=read: read)
                assert rebuilt is not None, "too much moved"
                root = rebuilt.root
        schema = repository.blobs.naming.digest(encode_schema(TABLE))
        held = (SnapshotTable(TABLE.name, blobs, root, schema),)
        source = SnapshotSource("agents", "postgresql", "postgresql://x/y", held)
        repository.commit(pending, Snapshot(pending.id, datetime.now(UTC), sources=(source,)))
    gc(repository)  # it joins the index segments of so many takes


def _rows(keys: Cells, heat: NDArray[np.uint8], at: NDArray[np.int64]) -> Batch:
    """These rows; a value is made of its row's number, so it is the same each time."""
    values = [at_.to_bytes(8, "little") * 65 for at_ in at.tolist()]
    return Batch(keys.take(at), (Cells.fixed(heat[at]), Cells.of(values)))


def _generated(items: Iterable[Item]) -> Generator[Item, None, None]:
    yield from items


TABLE = Table(
    "public.memories", (KeyPart("id", "integer", "int4"),), (Column("heat", "real", 4), Column("data", "bytea"))
)
Item = TypeVar("Item")
MEASURED = {"index": measure_index, "marks": measure_marks}


def resident() -> int:
    """The most memory this process has had, in bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main() -> None:
    """Print the tables, or what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description="What one repository holds.")
    parser.add_argument("what", nargs="?", choices=["tables", "measure", "gc", *MEASURED], default="tables")
    parser.add_argument("--blobs", type=int, default=10_000_000)
    parser.add_argument("--snapshots", type=int, default=100, help="of gc")
    parser.add_argument("--store", type=Path, help="of gc: a store to write, or if it is there to collect; it stays")
    arguments = parser.parse_args()
    if arguments.what == "tables":
        print("\n".join(tables()))
    elif arguments.what == "measure":
        for what in MEASURED:
            command = [sys.executable, "-m", "benchmarks.scaling", what, "--blobs", str(arguments.blobs)]
            subprocess.run(command, check=True)
    else:
        with tempfile.TemporaryDirectory(prefix="snap-scaling-") as folder:
            if arguments.what == "gc":
                store = arguments.store or Path(folder) / "store"
                found = measure_gc(arguments.blobs, store, arguments.snapshots)
            else:
                found = MEASURED[arguments.what](arguments.blobs, Path(folder) / "store")
        blobs = int(found.pop("blobs", arguments.blobs))
        times = ", ".join(f"{name} {value:.1f} s" for name, value in found.items() if name not in ("bytes", "found"))
        each = found["bytes"] / blobs
        print(f"{arguments.what}: {blobs:,} blobs, {size(int(found['bytes']))}, {each:.1f} bytes each; {times}")


if __name__ == "__main__":
    main()
