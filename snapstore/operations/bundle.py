"""Snapshots in one file, and out of it again: a bundle is a copy into a store that is that file (format.md §13).

    bundled = bundle(source, Path("night.snap"), [snapshot], since=[the_last_one])
    with BundleFile(Path("night.snap")) as file:
        copied = unbundle(file, target)

A bundle has the config and the keys of its repository, so whatever opens that opens the bundle, and roots stay the
same. With `since` it lacks what those snapshots hold, and goes only where they, or copies of them, are. Both ways this
is `copy`, which checks every blob and knows its own copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from snapstore.backends import Backend
from snapstore.backends.bundle import BundleFile, BundleWriter, Since
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.overlay import OverlayBackend
from snapstore.blobs.pack import rows_of
from snapstore.blobs.store import BlobStore
from snapstore.errors import Exists, Invalid, NotFound, Unsupported
from snapstore.operations.announced import announced
from snapstore.operations.capture import Progress, silent
from snapstore.operations.carried import digests_beneath
from snapstore.operations.copy import Copied, copy, held
from snapstore.operations.marks import DigestSet, needed_by
from snapstore.repository import Origin, Repository, Snapshot, config, keyring
from snapstore.repository.keyring import Passphrase
from snapstore.repository.vacant import check_vacant, sweep

__all__ = ["Bundled", "bundle", "init_from", "unbundle"]


@dataclass(frozen=True, slots=True)
class Bundled:
    """A bundle that was made: its size, and for each snapshot the copy in it."""

    path: Path
    bytes: int
    copied: tuple[Copied, ...]


def bundle(
    source: Repository,
    path: Path,
    snapshots: Sequence[Snapshot],
    *,
    since: Sequence[Snapshot] = (),
    progress: Progress = silent,
) -> Bundled:
    """Put these snapshots into a new file, without what those of `since` hold.

    The file has its name when it is whole, was read back, and is durable. Raises `Exists` if there is one, `Invalid`
    for no snapshot or one that is in both lists, and as `copy`.
    """
    if not snapshots:
        raise Invalid("no snapshot is named", hint="Name those that the bundle is to carry.")
    if both := {one.id for one in snapshots} & {one.id for one in since}:
        raise Invalid(f"the snapshot {min(both)[:8]} cannot be carried and be there already", hint="Name it once.")
    there = DigestSet()
    for one in since:
        for batch in digests_beneath(source.blobs, needed_by(one)):
            there.add(rows_of(batch))
            progress("looking at what is there", len(there), None)
    with BundleWriter(path) as writer:
        for name in (config.NAME, *(entry.name for entry in source.backend.list(keyring.KEYS))):
            writer.put(name, [source.backend.get(name).data])
        target = source.over(writer)
        if since:
            target.blobs = BlobStore(writer, source.seal, base=source.blobs, relied=there.contains)
        copied = copy(source, target, snapshots, progress=progress)
        origins = [source.origin_of(one) for one in since]
        size = writer.finish([(one.repository, one.snapshot) for one in origins])
    return Bundled(path, size, copied)


def unbundle(
    file: BundleFile, target: Repository, *, passphrase: Passphrase | None = None, progress: Progress = silent
) -> tuple[Copied, ...]:
    """Copy all that is in a bundle into a repository; what it has already is passed over, without writing anything.

    `passphrase` opens a bundle of an encrypted repository, unless `target` has the same keys. Every byte of the file is
    checked before anything is written. Raises `Corrupt` for one that is damaged, `WrongKey`, `NotFound` naming a
    snapshot that it builds upon and the target lacks, and `Unsupported` where the target names blobs otherwise than
    the repository that the bundle builds upon.
    """
    file.check(lambda done, total: progress("checking the bundle", done, total))
    source = _opened(file, target, passphrase)
    snapshots, there = source.snapshots(), target.snapshots()
    is_known = all(held(target, there, source.origin_of(one)) for one in snapshots)
    if is_known or not file.since:
        return copy(source, target, snapshots, progress=progress)
    with _standing_on(file, source, target) as protected:
        return copy(source, target, snapshots, progress=protected(progress))


def init_from(file: BundleFile, backend: Backend) -> None:
    """Make an empty store a repository with the config and the keys of the bundle's: a twin, which later bundles of
    that repository fit, incremental ones of an encrypted one too.

    Raises `Exists` where there is a repository, `Invalid` where there is something else, and `Corrupt`. What one of
    these left that died is no hindrance.
    """
    file.check()
    try:
        left = check_vacant(backend)
    except (Exists, Invalid) as error:
        error.hint = "Leave out --init to unbundle into a repository; name an empty or new place to make one."
        raise
    keys = {entry.name: file.get(entry.name).data for entry in file.list(keyring.KEYS)}
    for name, data in keys.items():
        if name in left:
            if backend.get(name).data == data:
                continue
            backend.delete(name)  # as it was when another bundle was made
        backend.put(name, [data])
    backend.put(config.NAME, [file.get(config.NAME).data])  # makes it a repository
    sweep(backend, [name for name in left if name not in keys])


def _opened(file: BundleFile, target: Repository, passphrase: Passphrase | None) -> Repository:
    """The repository in the file; what has to be written there while it is read stays in memory."""
    above = OverlayBackend(file, MemoryBackend())
    settings = config.decode(file.get(config.NAME).data, f"config of {file.location}")
    if settings == target.settings:  # one repository, or its twin: what opened that opens this
        return target.over(above)
    return Repository.open(above, passphrase)


@contextmanager
def _standing_on(file: BundleFile, source: Repository, target: Repository) -> Iterator[Callable[[Progress], Progress]]:
    """While this holds, `source` reads what it lacks in `target`, where no gc sweeps it."""
    if (source.blobs.naming, source.cut_key) != (target.blobs.naming, target.cut_key):
        raise Unsupported(
            f"{file.location} builds upon {_named(file.since)}, so it goes only into a repository with the same keys; "
            f"{target.location} has others",
            hint="Make a bundle without --since, or unbundle it into a new repository with --init.",
        )
    there = target.snapshots()
    known = {one: held(target, there, Origin(*one)) for one in file.since}
    _refuse_missing(file, target, [one for one, its_copy in known.items() if its_copy is None])
    found = {one: its_copy for one, its_copy in known.items() if its_copy is not None}
    with announced(target, [root for one in found.values() for root in one.digests()]) as reading:
        # What was removed before the pending stood there may be swept already.
        _refuse_missing(file, target, [one for one, its_copy in found.items() if not target.has(its_copy.id)])
        source.blobs = BlobStore(source.backend, target.seal, base=target.blobs)
        yield reading.progress


def _refuse_missing(file: BundleFile, target: Repository, missing: Sequence[Since]) -> None:
    if missing:
        raise NotFound(
            f"{file.location} builds upon {_named(missing)}, not to be found in {target.location}",
            hint="Unbundle the bundle that carries it first, or make one without --since.",
        )


def _named(since: Sequence[Since]) -> str:
    return ", ".join(snapshot[:8] for _, snapshot in since)
