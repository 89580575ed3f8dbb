"""Reads frames out of packs: neighbours in one range read, decoded in parallel, the last ones kept.

    reader = FrameReader(backend, backend, seal, cache_bytes=64 << 20)
    for blobs in reader.read([FrameRef("ab12…", 40, 131_080, 524_288, False)], cut):
        ...                                 # what `cut(ref, plain)` gave for each frame

It takes plain bytes as they decode; whoever uses a blob in them checks it against its digest, best in `cut`: that is
called where the frame was decoded, so several threads share the work.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from snapstore.backends import Backend
from snapstore.blobs.frame import decode
from snapstore.blobs.pack import object_name, open_frame
from snapstore.errors import Corrupt
from snapstore.seal import Seal

__all__ = ["FrameReader", "FrameRef", "runs_of"]

Result = TypeVar("Result")

_GAP_BYTES = 64 * 1024  # reading this much in vain costs less than another request
_RUN_BYTES = 4 * 1024 * 1024
_THREADS = 4
_ALONE_BYTES = 256 * 1024  # less than this is decoded sooner than handed to a thread


class FrameRef(NamedTuple):
    """A frame: its pack's name, its bytes in the pack, its plain length; whether it is of values.

    Their order is the order on disk.
    """

    pack: str
    offset: int
    stored: int
    plain: int
    is_value: bool


class FrameReader:
    """Frames of one store, the last used ones kept within `cache_bytes` of plain bytes. Safe for several threads.

    Those of trees are read through one backend, those of values through another. What is read ahead of whoever asks
    is about as much as is kept, and no more than pays.
    """

    def __init__(self, trees: Backend, values: Backend, seal: Seal, cache_bytes: int) -> None:
        self._trees = trees
        self._values = values
        self._seal = seal
        self._cache_bytes = cache_bytes
        self._run_bytes = min(_RUN_BYTES, cache_bytes // (2 * _THREADS))
        self._held: OrderedDict[FrameRef, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def read(self, refs: Sequence[FrameRef], cut: Callable[[FrameRef, bytes], Result]) -> Iterator[Result]:
        """What `cut` makes of each frame and its plain bytes; `refs` ascending, without duplicates; in this order.

        `cut` is called in several threads. Raises what it raises, `Corrupt` naming the pack, and `NotFound` if the pack
        is gone.
        """
        with self._lock:
            cached = {ref: self._held[ref] for ref in refs if ref in self._held}
            for ref in cached:
                self._held.move_to_end(ref)
        runs = runs_of([ref for ref in refs if ref not in cached], self._run_bytes)
        fetched = self._fetch(runs, cut)
        for ref in refs:
            plain = cached.pop(ref, None)
            yield cut(ref, plain) if plain is not None else next(fetched)

    def forget(self) -> None:
        """Keep none of the frames read so far."""
        with self._lock:
            self._held.clear()
            self._size = 0

    def _fetch(self, runs: Sequence[Sequence[FrameRef]], cut: Callable[[FrameRef, bytes], Result]) -> Iterator[Result]:
        if sum(ref.plain for run in runs for ref in run) < _ALONE_BYTES and len(runs) < 2:
            for run in runs:
                yield from self._load(run, cut)
            return
        pool = self._threads()
        waiting: deque[Future[list[Result]]] = deque()
        todo = deque(runs)
        try:
            while todo or waiting:
                while todo and len(waiting) < _THREADS:
                    waiting.append(pool.submit(self._load, todo.popleft(), cut))
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _load(self, run: Sequence[FrameRef], cut: Callable[[FrameRef, bytes], Result]) -> list[Result]:
        first, last = run[0], run[-1]
        where = object_name(first.pack)
        backend = self._values if first.is_value else self._trees
        data = memoryview(backend.get_range(where, first.offset, last.offset + last.stored - first.offset))
        made = []
        for ref in run:
            at = ref.offset - first.offset
            plain = decode(open_frame(ref.pack, ref.offset, data[at : at + ref.stored], self._seal), where)
            if len(plain) != ref.plain:
                raise Corrupt(f"a frame in {where} holds {len(plain)} bytes; the index says {ref.plain}")
            made.append(cut(ref, plain))
            self._keep(ref, plain)
        return made

    def _keep(self, ref: FrameRef, plain: bytes) -> None:
        with self._lock:
            if ref not in self._held and len(plain) <= self._cache_bytes:
                self._held[ref] = plain
                self._size += len(plain)
                while self._size > self._cache_bytes:
                    self._size -= len(self._held.popitem(last=False)[1])

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="snapstore-read")
            return self._pool


def runs_of(refs: Sequence[FrameRef], run_bytes: int = _RUN_BYTES) -> list[list[FrameRef]]:
    """Frames of one pack with little between them, up to `run_bytes` stored (and four times as many plain) a run."""
    runs: list[list[FrameRef]] = []
    plain = 0
    for ref in refs:
        run = runs[-1] if runs else []
        if (
            run
            and ref.pack == run[0].pack
            and 0 <= ref.offset - (run[-1].offset + run[-1].stored) <= _GAP_BYTES
            and ref.offset + ref.stored - run[0].offset <= run_bytes
            and plain + ref.plain <= 4 * run_bytes
        ):
            run.append(ref)
            plain += ref.plain
        else:
            runs.append([ref])
            plain = ref.plain
    return runs
