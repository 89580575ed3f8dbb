"""Whose failure it is: of the source that is read, or of the repository that is read and written meanwhile.

    own = ToldApart(repository.blobs, heart.sink(writer), heart.progress(progress))
    try:
        stable_capture(source, selection, own, ..., fetch=own, progress=own.progress)
    except Unavailable:
        if own.has_failed:
            raise                       # the source may be well

Both fail as `Unavailable`, which says what to do and not who it was; `snap take --allow-partial` goes on without a
source, and never without the repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from snapstore.digest import Buffer, Digest, Kind, Naming
from snapstore.errors import Unavailable
from snapstore.operations.capture import Progress
from snapstore.tree import Fetch, Sink

__all__ = ["ToldApart"]


class ToldApart:
    """The repository's side of a capture: `Fetch` and `Sink`. `has_failed` once it was unavailable."""

    def __init__(self, fetch: Fetch, sink: Sink, progress: Progress) -> None:
        self._fetch = fetch
        self._sink = sink
        self._progress = progress
        self.has_failed = False

    def get_many(self, digests: Sequence[Digest]) -> list[bytes]:
        """See `Fetch.get_many`."""
        with self._noted():
            return self._fetch.get_many(digests)

    @property
    def naming(self) -> Naming:
        """See `Sink.naming`."""
        return self._sink.naming

    def put(
        self, kind: Kind, digests: Sequence[Digest], data: Sequence[Buffer], *, stride: int = 1, group: int = 0
    ) -> None:
        """See `Sink.put`."""
        with self._noted():
            self._sink.put(kind, digests, data, stride=stride, group=group)

    def progress(self, what: str, done: int, total: int | None, /) -> None:
        """Pass it on: a heartbeat writes to the repository."""
        with self._noted():
            self._progress(what, done, total)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Unavailable:
            self.has_failed = True
            raise
