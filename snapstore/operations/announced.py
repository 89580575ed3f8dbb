"""A reader says what it relies on, so that gc waits for it; where nothing may be written it reads on, and looks after.

    with announced(repository, snapshot.digests()) as reading:
        ...                             # reading.progress(progress) keeps it alive
        reading.check()
    reading.is_protected

A repository may be readable and no more: a medium that is read-only, a folder of somebody else's, credentials that only
read. What is saved there must come out all the same. No gc waits for such a reader, and it can tell: only a gc takes
packs away, and all that were there when it began must be there when it ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from snapstore.digest import Digest
from snapstore.errors import Conflict, Corrupt, Denied, NotFound, Unavailable
from snapstore.operations.capture import Progress
from snapstore.operations.heartbeat import Heartbeat
from snapstore.repository import Repository

__all__ = ["Reading", "announced"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Somebody reads: with a `heart` gc waits; without one nothing could be written, and these `packs` were there."""

    repository: Repository
    heart: Heartbeat | None
    packs: frozenset[str] = frozenset()

    @property
    def is_protected(self) -> bool:
        """Whether a gc waits for this."""
        return self.heart is not None

    def progress(self, inner: Progress) -> Progress:
        """The progress, with a beat at every call where there is something to keep alive."""
        return inner if self.heart is None else self.heart.progress(inner)

    def check(self) -> None:
        """Raises `Conflict` if nothing protected this and a pack went meanwhile, on which it may have relied."""
        if self.heart is None and self.packs - _packs(self.repository):
            raise _taken_away(self.repository)


@contextmanager
def announced(repository: Repository, roots: Sequence[Digest]) -> Iterator[Reading]:
    """While this holds, a gc waits before it sweeps what lies beneath these roots, if the repository may be written.

    If it may not, what is found to be missing or damaged while packs went away is a `Conflict`.
    """
    try:
        heart = Heartbeat(repository, repository.begin(roots=roots))
    except Denied:
        reading = Reading(repository, None, _packs(repository))
        repository.blobs.refresh()
    else:
        reading = Reading(repository, heart)
    try:
        yield reading
    except (NotFound, Corrupt) as error:
        try:
            reading.check()
        except Conflict as conflict:
            raise conflict from error
        raise
    finally:
        if reading.heart is not None:
            with suppress(Unavailable):  # whatever was to be done is done or failed; gc gives up what stays
                repository.abandon(reading.heart.pending)


def _packs(repository: Repository) -> frozenset[str]:
    return frozenset(pack.name for pack in repository.blobs.packs())


def _taken_away(repository: Repository) -> Conflict:
    return Conflict(
        f"a gc took packs away from {repository.location} while they were read: as nothing may be written there, it "
        "could not be told to wait",
        hint="Run the command again, while no gc runs there.",
    )
