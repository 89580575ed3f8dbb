"""Gathers frames into packs in the order in which they come, writes the packs, and then the index segments of them.

    packer = Packer(backend, backend, seal, snapshot_id)
    packer.reserve(len(plain))
    packer.jobs.put(Job(future_of_frames, [group], len(plain)))
    written = packer.finish()

One thread gathers, another writes a pack beside it. It does not know which blobs are stored already
(`snapstore.blobs.writer`).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from snapstore.backends import Backend
from snapstore.blobs.frame import MAX_PLAIN_BYTES
from snapstore.blobs.pack import MAX_PACK_BLOBS, Directory, PackBuilder, fresh_name, object_name
from snapstore.blobs.segment import INDEX, Segment, build
from snapstore.blobs.segment import encode as encode_segment
from snapstore.digest import Buffer, Digest, Kind
from snapstore.seal import Seal

__all__ = ["Group", "Job", "Packer", "Written"]

_VALUE_PACK_BYTES, _TREE_PACK_BYTES = 32 << 20, 16 << 20
_QUEUED_BYTES = 16 << 20  # plain bytes of frames between the caller and a pack
_SEGMENT_BLOBS = 200_000


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer added: blobs, their plain and stored bytes, names of new packs and segments, index bytes."""

    blobs: int
    plain_bytes: int
    stored_bytes: int
    packs: tuple[str, ...]
    segments: tuple[str, ...]
    index_bytes: int


@dataclass(slots=True)
class Group:
    """Blobs that will share a frame, all of them values or none."""

    kinds: list[int] = field(default_factory=list)
    digests: list[Digest] = field(default_factory=list)
    parts: list[Buffer] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    size: int = 0

    def extend(
        self, kinds: Sequence[int], digests: Sequence[Digest], parts: Sequence[Buffer], lengths: Sequence[int]
    ) -> None:
        """More blobs behind the others."""
        self.kinds += kinds
        self.digests += digests
        self.parts += parts
        self.lengths += lengths
        self.size += sum(lengths)

    @property
    def is_value(self) -> bool:
        """Whether these are values."""
        return self.kinds[0] == Kind.VALUE

    def filled(self, lengths: Sequence[int], start: int, target: int) -> int:
        """The end of the blobs from `start` on that fill the frame: with the last it has `target` bytes or more."""
        size = self.size
        for at in range(start, len(lengths)):
            if size >= target or (size and size + lengths[at] > MAX_PLAIN_BYTES):
                return at
            size += lengths[at]
        return len(lengths)


@dataclass(frozen=True, slots=True)
class Job:
    """Frames that are being made of groups of blobs, one of each."""

    frames: Future[list[bytes]]
    groups: list[Group]
    plain_bytes: int


class Packer:
    """Takes frames in order, gathers them into packs, writes packs one at a time beside that, and indexes them."""

    def __init__(self, trees: Backend, values: Backend, seal: Seal, snapshot_id: bytes) -> None:
        self._trees, self._values, self._seal, self._snapshot_id = trees, values, seal, snapshot_id
        self.jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._builders: dict[bool, PackBuilder] = {}
        self._room = threading.Condition()
        self._queued = 0
        self._error: BaseException | None = None
        self._stopped = False
        self.is_due = False
        self._directories: list[Directory] = []
        self._settled: deque[tuple[str, Segment, int]] = deque()
        self._blobs = self._plain = self._stored = self._index = 0
        self._packs: list[str] = []
        self._segments: list[str] = []
        self._put = ThreadPoolExecutor(1, thread_name_prefix="snapstore-put")
        self._putting: Future[None] | None = None
        self._thread = threading.Thread(target=self._run, name="snapstore-pack", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what went wrong in a thread."""
        if self._error is not None:
            raise self._error

    def reserve(self, plain_bytes: int) -> None:
        """Wait until there is room for a frame; a very large one waits until it is alone."""
        with self._room:
            self._room.wait_for(lambda: self._error or not self._queued or self._queued + plain_bytes <= _QUEUED_BYTES)
            self._queued += plain_bytes
        self.check()

    def settled(self) -> Iterator[tuple[str, Segment, int]]:
        """Segments that became durable since the last call."""
        while self._settled:
            yield self._settled.popleft()

    def finish(self) -> Written:
        """Write what is left; everything is durable after this."""
        self.jobs.put(None)
        self._thread.join()
        self.check()
        return Written(self._blobs, self._plain, self._stored, tuple(self._packs), tuple(self._segments), self._index)

    def stop(self) -> None:
        """End the threads, without writing anything more than is being written."""
        self._stopped = True
        self.jobs.put(None)
        self._thread.join()
        self._put.shutdown(cancel_futures=True)

    def index_rest(self) -> None:
        """After `stop`: index the packs that are durable and that no segment names. Raises `Unavailable`."""
        self._write_segment()

    def _run(self) -> None:
        try:
            while (job := self.jobs.get()) is not None and not self._stopped:
                for frame, group in zip(job.frames.result(), job.groups, strict=True):
                    self._add(frame, group, is_value=group.is_value)
                with self._room:
                    self._queued -= job.plain_bytes
                    self._room.notify_all()
            if not self._stopped:
                for is_value in sorted(self._builders):
                    self._write(is_value)
                self._wait()
                self._write_segment()
        except BaseException as error:  # noqa: BLE001  # whatever it is, the caller's thread raises it
            with self._room:
                self._error = error
                self._room.notify_all()

    def _add(self, frame: bytes, group: Group, *, is_value: bool) -> None:
        builder = self._builders.get(is_value)
        if builder is None:
            builder = self._builders[is_value] = PackBuilder(fresh_name(), self._snapshot_id, self._seal)
        builder.add(frame, group.kinds, group.lengths, group.digests)
        self._plain += group.size
        limit = _VALUE_PACK_BYTES if is_value else _TREE_PACK_BYTES
        if builder.size_bytes >= limit or builder.blobs >= MAX_PACK_BLOBS:
            self._write(is_value)

    def _write(self, is_value: bool) -> None:
        self._wait()
        parts, directory = self._builders.pop(is_value).finish()
        self._putting = self._put.submit(self._write_pack, parts, directory, is_value)

    def _wait(self) -> None:
        if self._putting is not None:
            self._putting.result()
            self._putting = None

    def _write_pack(self, parts: Sequence[Buffer], directory: Directory, is_value: bool) -> None:
        (self._values if is_value else self._trees).put(object_name(directory.name), parts, unique=True)
        self._packs.append(directory.name)
        self._blobs += len(directory.lengths)
        self._stored += sum(memoryview(part).nbytes for part in parts)
        self._directories.append(directory)
        if self.is_due or sum(len(one.lengths) for one in self._directories) >= _SEGMENT_BLOBS:
            self.is_due = False
            self._write_segment()

    def _write_segment(self) -> None:
        if not self._directories:
            return
        segment, name = build(self._directories), fresh_name()
        parts = encode_segment(segment, name, self._seal)
        size = sum(memoryview(part).nbytes for part in parts)
        self._trees.put(INDEX + name, parts)
        self._directories.clear()
        self._segments.append(name)
        self._index += size
        self._settled.append((name, segment, size))
