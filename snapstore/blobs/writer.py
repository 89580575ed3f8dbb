"""Writes blobs: leaves out what is stored already, groups the rest into frames and packs, indexes them.

    with store.writer(snapshot_id) as writer:
        writer.put(Kind.VALUE, digests, vectors, stride=4)
    written = writer.close()

Frames are compressed, decoded again and re-hashed in threads while the caller goes on; packs are written in another.
Nothing that was put may be relied on before `close` returns. A writer that is given up leaves packs that no snapshot
names, for garbage collection to find. It does not know rows or trees: a snapshot's id is sixteen bytes to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from snapstore.backends import Backend
from snapstore.blobs.frame import MAX_PLAIN_BYTES, decode, encode
from snapstore.blobs.pack import digests_of, rows_of
from snapstore.blobs.packer import Group, Job, Packer, Written
from snapstore.blobs.segment import Segment
from snapstore.digest import Buffer, Digest, Kind, Naming
from snapstore.errors import Corrupt, Invalid, Unsupported
from snapstore.seal import Seal

__all__ = ["BlobWriter", "Written"]

_VALUE_FRAME_BYTES, _TREE_FRAME_BYTES = 512 * 1024, 128 * 1024
_BUFFERED_BYTES = 24 << 20  # blobs that wait for a frame of their group to fill
# Frames go to the threads some at a time: each hand-over makes whoever holds the interpreter wait for another thread to
# wake. Of a take of a million narrow rows they cost a tenth when each frame went alone (measured).
_LOAD_BYTES = 2 << 20
# The trees of a small increment are 3% smaller at level 3 (200 edits: 10 ms, and 6 at level 1); 5 slows full takes.
_CAREFUL_BYTES, _CAREFUL_LEVEL, _FAST_LEVEL = 4 << 20, 3, 1
# Half the processors: the others read and parse. On two, a second worker cost a tenth in time for the lock (measured).
_WORKERS = max(1, min(4, (os.cpu_count() or 1) // 2))


class BlobWriter:
    """Made by `BlobStore.writer`; for one thread. Use as a context manager: an error inside gives the writer up.

    Packs of values go to `values`, all else to `trees`: two ways to one store. `known` says which rows of digests
    (n, 32) are stored; `adopt` is told of a segment once it and its packs are durable.
    """

    def __init__(
        self,
        trees: Backend,
        values: Backend,
        seal: Seal,
        snapshot_id: bytes,
        *,
        known: Callable[[NDArray[np.uint8]], NDArray[np.bool_]],
        adopt: Callable[[str, Segment, int], None],
        verify: bool = True,
    ) -> None:
        if len(snapshot_id) != 16:
            raise Invalid(f"the id of a snapshot is 16 bytes, not {len(snapshot_id)}")
        self._known, self._adopt, self._verify = known, adopt, verify
        self._careful = _CAREFUL_BYTES if verify else 0  # who does not verify is in a hurry
        self.naming = seal.naming
        self._packer = Packer(trees, values, seal, snapshot_id)
        self._groups: dict[tuple[bool, int, int], Group] = {}
        self._buffered = 0
        self._load: list[_Plain] = []  # frames that wait for others to go with
        self._load_bytes = 0
        self._taken: set[Digest] = set()  # put here and not yet in an index segment
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="snapstore-encode")
        self._written: Written | None = None
        self._closed = False
        self._failure: BaseException | None = None

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def put(
        self, kind: Kind, digests: Sequence[Digest], data: Sequence[Buffer], *, stride: int = 1, group: int = 0
    ) -> None:
        """Store these blobs, where `digests[i]` is the digest of `data[i]`; what is stored already costs a look-up.

        Blobs of one `group` (a column, say) and `stride` share frames. The buffers may be changed once this returns.
        May wait for the threads, and raises what went wrong in them: `Unavailable`, or `Corrupt` if bytes do not match
        their digest. After any error the writer is given up.
        """
        self._refuse_closed()
        if len(digests) != len(data):
            raise Invalid(f"{len(digests)} digests for {len(data)} blobs")
        try:
            self._put(kind, digests, data, stride, group)
        except BaseException as error:
            # Some of these count as put and are not: going on would lose them in silence.
            self._failure = error
            self.abort()
            raise

    def _put(self, kind: Kind, digests: Sequence[Digest], data: Sequence[Buffer], stride: int, group: int) -> None:
        self._packer.check()
        self._settle()
        is_value = kind is Kind.VALUE
        target = _VALUE_FRAME_BYTES if is_value else _TREE_FRAME_BYTES
        key = (is_value, stride, group)
        waiting = self._groups.setdefault(key, Group())
        before = waiting.size
        fresh = self._fresh(digests)
        parts = [data[at] for at in fresh]
        lengths = [len(part) if type(part) is bytes else memoryview(part).nbytes for part in parts]
        if lengths and max(lengths) > MAX_PLAIN_BYTES:
            at = lengths.index(max(lengths))
            raise Unsupported(
                f"the blob {digests[fresh[at]].hex()} has {lengths[at]} bytes, of at most {MAX_PLAIN_BYTES}"
            )
        start, done = len(waiting.parts), 0
        while True:
            end = waiting.filled(lengths, done, target)
            names = [digests[at] for at in fresh[done:end]]
            waiting.extend([int(kind)] * len(names), names, parts[done:end], lengths[done:end])
            done = end
            if waiting.size < target and done == len(fresh):
                break
            self._submit(is_value, stride, waiting)
            self._buffered, before, start = self._buffered - before, 0, 0
            waiting = self._groups[key] = Group()
        # What stays must not keep the caller's memory: a view of a few bytes would hold a whole batch.
        waiting.parts[start:] = map(bytes, waiting.parts[start:])
        self._buffered += waiting.size - before
        if self._buffered > _BUFFERED_BYTES:
            self._flush()

    def carry(self, frame: bytes, kinds: Sequence[int], digests: Sequence[Digest], lengths: Sequence[int]) -> bool:
        """Store a frame of another store as it is; the caller has decoded it, and hashed these blobs, all there are.

        False, and nothing is stored, if some of them are stored already: then put the others. Raises as `put`.
        """
        self._refuse_closed()
        try:
            self._packer.check()
            self._settle()
            if len(self._fresh(digests, is_all=True)) < len(digests):
                return False
            done: Future[list[bytes]] = Future()
            done.set_result([frame])
            group = Group(list(kinds), list(digests), [], list(lengths), sum(lengths))
            self._packer.reserve(group.size)
            self._packer.jobs.put(Job(done, [group], group.size))
        except BaseException as error:
            self._failure = error
            self.abort()
            raise
        return True

    def close(self) -> Written:
        """Write all that waits, wait until everything is durable and indexed, and say what was written.

        May be called again. After an error nothing that was put may be relied on.
        """
        if self._written is not None:
            return self._written
        self._refuse_closed()
        try:
            self._flush()
            self._send()
            self._written = self._packer.finish()
            for segment in self._packer.settled():  # what was put here nobody will ask any more
                self._adopt(*segment)
        finally:
            self.abort()
        return self._written

    def checkpoint(self) -> None:
        """Index what is in packs with the next pack, so that whoever repeats this work finds it if it ends early."""
        self._packer.is_due = True

    def abort(self) -> None:
        """Give up: stop the threads, and leave what was written to garbage collection. Harmless after `close`."""
        if not self._closed:
            self._closed = True
            self._packer.stop()
            self._pool.shutdown(cancel_futures=True)
            self._groups.clear()
            self._load.clear()
            self._taken.clear()

    def _refuse_closed(self) -> None:
        if self._failure is not None:  # who took it for something else (a source's, say) and went on hears it again
            raise self._failure
        if self._closed:
            raise Invalid("the writer was closed, or given up")

    def _fresh(self, digests: Sequence[Digest], *, is_all: bool = False) -> list[int]:
        """Positions of blobs that are neither stored nor put before; they count as put from now on.

        With `is_all` they do so only if all of them are fresh.
        """
        taken = self._taken
        batch = dict(zip(digests, range(len(digests)), strict=True))
        if len(batch) < len(digests) or not taken.isdisjoint(batch):
            batch.clear()
            for at, name in enumerate(digests):
                if name not in taken:
                    batch.setdefault(name, at)
        if not batch:
            return []
        known = self._known(rows_of(list(batch))).tolist()
        if any(known):
            batch = {name: batch[name] for name, is_known in zip(batch, known, strict=True) if not is_known}
        if not is_all or len(batch) == len(digests):
            taken.update(batch)
        return list(batch.values())

    def _flush(self) -> None:
        """Frames of what waits in all groups, small ones together, in order of group."""
        merged: dict[tuple[bool, int], Group] = {}
        for (is_value, stride, _), group in sorted(self._groups.items(), key=lambda item: item[0]):
            target = _VALUE_FRAME_BYTES if is_value else _TREE_FRAME_BYTES
            into = merged.setdefault((is_value, stride), Group())
            into.extend(group.kinds, group.digests, group.parts, group.lengths)
            if into.size >= target:
                self._submit(is_value, stride, into)
                del merged[is_value, stride]
        for (is_value, stride), group in merged.items():
            if group.parts:
                self._submit(is_value, stride, group)
        self._groups.clear()
        self._buffered = 0

    def _submit(self, is_value: bool, stride: int, group: Group) -> None:
        plain = b"".join(group.parts)
        group.parts.clear()
        level = _FAST_LEVEL if is_value or self._careful <= 0 else _CAREFUL_LEVEL
        self._careful -= 0 if is_value else len(plain)
        self._load.append(_Plain(plain, group, stride, level))
        self._load_bytes += len(plain)
        if self._load_bytes >= _LOAD_BYTES:
            self._send()

    def _send(self) -> None:
        """Hand the frames that wait to the threads."""
        if self._load:
            self._packer.reserve(self._load_bytes)
            frames = self._pool.submit(_encoded, self._load, self.naming if self._verify else None)
            self._packer.jobs.put(Job(frames, [one.group for one in self._load], self._load_bytes))
            self._load, self._load_bytes = [], 0

    def _settle(self) -> None:
        """Hand segments that are durable to the index, which then answers for their blobs."""
        for name, segment, size_bytes in self._packer.settled():
            self._adopt(name, segment, size_bytes)
            self._taken.difference_update(digests_of(segment.entries["digest"]))


@dataclass(frozen=True, slots=True)
class _Plain:
    """The plain bytes of a frame, and how it is to be made."""

    data: bytes
    group: Group
    stride: int
    level: int


def _encoded(load: list[_Plain], verify: Naming | None) -> list[bytes]:
    frames = [encode([one.data], one.stride, level=one.level) for one in load]
    if verify is not None:
        for one, frame in zip(load, frames, strict=True):
            _check(frame, one.group, verify)
    return frames


def _check(frame: bytes, group: Group, naming: Naming) -> None:
    """Wrong memory, a wrong digest or a wrong codec ends here, while the source can still be asked again."""
    check, at = memoryview(decode(frame, "a new pack")), 0
    for name, length in zip(group.digests, group.lengths, strict=True):
        if naming.digest(check[at : at + length]) != name:
            raise Corrupt(
                f"the blob {name.hex()} does not match its digest before it is written",
                hint="Nothing was committed. Take again; if it happens again, check this machine's memory.",
            )
        at += length
    if at != len(check):
        raise Corrupt("a new frame does not hold what was put into it", hint="Nothing was committed. Take again.")
