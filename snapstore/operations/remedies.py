"""Where the bytes of lost blobs may be had again: another repository, or the live source itself.

    remedy = FromRepository(other)
    remedy.give(repository, harmed, sink)          # puts whatever of them it has

A blob is its bytes, so wherever the same rows are, the same blobs can be made of them. A remedy offers, and may offer
far too much; the sink takes what is missing, and nothing under a wrong name.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from snapstore.blobs.writer import BlobWriter
from snapstore.digest import Buffer, Digest, Kind, Naming
from snapstore.errors import Corrupt, NotFound
from snapstore.operations.announced import announced
from snapstore.operations.capture import Progress
from snapstore.operations.check_trees import Blobs
from snapstore.operations.renamed import rename_blob, rename_table
from snapstore.operations.selected import selection_of
from snapstore.operations.state import stable_capture
from snapstore.repository import Repository, Snapshot
from snapstore.sources import Source

__all__ = ["FromRepository", "FromSource", "LostBlobs", "Remedy"]


_BATCH = 256


class LostBlobs:
    """Takes the blobs that are lost, and passes over all others: `Sink`."""

    def __init__(self, writer: BlobWriter, lost: Sequence[Digest]) -> None:
        self._writer = writer
        self.lost = set(lost)
        self.found: list[Digest] = []

    @property
    def naming(self) -> Naming:
        """See `Sink.naming`."""
        return self._writer.naming

    def put(
        self, kind: Kind, digests: Sequence[Digest], data: Sequence[Buffer], *, stride: int = 1, group: int = 0
    ) -> None:
        """See `Sink.put`. Bytes that are not what they are called are not taken."""
        for name, bytes_ in zip(digests, data, strict=True):
            if name in self.lost and self.naming.digest(bytes_) == name:
                self._writer.put(kind, [name], [bytes_], stride=stride, group=group)
                self.lost.discard(name)
                self.found.append(name)


class Remedy(Protocol):
    """A place that may have what is lost."""

    def give(self, repository: Repository, harmed: Sequence[Snapshot], sink: LostBlobs, progress: Progress) -> None:
        """Put what it has of the lost blobs of these snapshots. What it has not, or not whole, is no error."""


@dataclass(frozen=True)
class FromRepository:
    """Another repository: one that names blobs alike has them by name, and any one that holds the same snapshots."""

    other: Repository

    def give(self, repository: Repository, harmed: Sequence[Snapshot], sink: LostBlobs, progress: Progress) -> None:
        """See `Remedy.give`."""
        if self.other.blobs.naming == repository.blobs.naming:
            self._by_name(sink, progress)
        if not sink.lost:
            return
        there = {self.other.origin_of(one): one for one in self.other.snapshots()}
        for snapshot in harmed:
            held = there.get(repository.origin_of(snapshot))
            if held is not None and sink.lost:
                with announced(self.other, held.digests()) as reading:
                    self._rebuilt(repository, held, sink, reading.progress(progress))

    def _by_name(self, sink: LostBlobs, progress: Progress) -> None:
        lost = sorted(sink.lost)
        places, blobs = self.other.blobs.locate(lost), Blobs(self.other.blobs)
        there = [(lost[at], Kind(int(places.kind[at]))) for at in np.flatnonzero(places.found).tolist()]
        for at in range(0, len(there), _BATCH):
            some = there[at : at + _BATCH]
            for (name, kind), data in zip(some, blobs.read([name for name, _ in some]), strict=True):
                if data is not None:
                    sink.put(kind, [name], [data])
            progress("looking for blobs", min(at + _BATCH, len(there)), len(there))

    def _rebuilt(self, repository: Repository, held: Snapshot, sink: LostBlobs, progress: Progress) -> None:
        fetch = self.other.blobs
        for source in held.sources:
            if source.objects is not None:
                with suppress(Corrupt, NotFound):
                    rename_blob(source.objects, Kind.SCHEMA, fetch, sink)
        for table in held.every_table():
            with suppress(Corrupt, NotFound):
                rename_table(table, fetch, sink, repository.cut_key, None, progress)


@dataclass(frozen=True)
class FromSource:
    """A live source under the name it has in snapshots: rows that are as they were make the blobs they made."""

    name: str
    source: Source

    def give(self, repository: Repository, harmed: Sequence[Snapshot], sink: LostBlobs, progress: Progress) -> None:
        """See `Remedy.give`. Raises what a take of the source does where it cannot be read at all."""
        asked = {}
        for snapshot in harmed:
            own = snapshot.source(self.name)
            if own is not None and own.kind == self.source.kind:
                selection = selection_of(own.selection)
                asked[repr(selection)] = selection
        for selection in asked.values():
            if sink.lost:
                stable_capture(self.source, selection, sink, repository.cut_key, progress=progress)
