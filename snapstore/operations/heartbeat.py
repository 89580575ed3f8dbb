"""Keeps a pending alive while its operation works: it is written anew every so often, by the work itself.

    heart = Heartbeat(repository, repository.begin())
    with repository.blobs.writer(...) as writer:
        capture(view, heart.sink(writer), ..., progress=heart.progress(progress))
    repository.commit(heart.pending, snapshot)

A gc gives up what has not been written for a day by the store's own clock, so it never gives up what still works, and
what stalled and wakes learns it at its next beat. There is no thread: whoever stalls must not look alive. What is in
packs by then is indexed at each beat, so that a run that ends early is cheap to repeat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from snapstore.blobs.writer import BlobWriter
from snapstore.digest import Buffer, Digest, Kind, Naming
from snapstore.operations.capture import Progress
from snapstore.repository import Pending, Repository
from snapstore.tree import Sink

__all__ = ["BEAT_SECONDS", "Heartbeat"]

BEAT_SECONDS = 600.0


class Heartbeat:
    """Call `beat` often: it does something once in `BEAT_SECONDS` only. `pending` is the newest version.

    For one thread. Raises `Conflict` if a gc has given the pending up.
    """

    def __init__(
        self, repository: Repository, pending: Pending, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._repository = repository
        self._clock = clock
        self._last = clock()
        self._writer: BlobWriter | None = None
        self.pending = pending

    def beat(self) -> None:
        """Write the pending anew, if it is time."""
        now = self._clock()
        if now - self._last < BEAT_SECONDS:
            return
        self.pending = self._repository.beat(self.pending)
        self._last = now
        if self._writer is not None:
            self._writer.checkpoint()

    def sink(self, writer: BlobWriter) -> Sink:
        """The writer, with a beat at every put."""
        self._writer = writer
        return _Beating(writer, self.beat)

    def progress(self, inner: Progress) -> Progress:
        """The progress, with a beat at every call."""

        def progress(what: str, done: int, total: int | None, /) -> None:
            self.beat()
            inner(what, done, total)

        return progress


class _Beating:
    def __init__(self, writer: BlobWriter, beat: Callable[[], None]) -> None:
        self._writer = writer
        self._beat = beat

    @property
    def naming(self) -> Naming:
        return self._writer.naming

    def put(
        self, kind: Kind, digests: Sequence[Digest], data: Sequence[Buffer], *, stride: int = 1, group: int = 0
    ) -> None:
        self._beat()
        self._writer.put(kind, digests, data, stride=stride, group=group)
