"""Snapshots to other repositories and machines, and rows that other programs wrote: the methods that carry things.

store.copy(snapstore.open("s3://bucket/memory"))
store.bundle("night.snap", "latest", since=["latest~1"])
store.import_("memories").snapshot.id
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from snapstore.backends.bundle import BundleFile
from snapstore.extras import Extra
from snapstore.methods.opened import Opened
from snapstore.operations.bundle import Bundled, bundle, unbundle
from snapstore.operations.capture import Progress, silent
from snapstore.operations.copy import Copied, copy
from snapstore.operations.take import Taken
from snapstore.repository.keyring import Passphrase

__all__ = ["Moving"]


class Moving(Opened):
    """What carries snapshots from here to there."""

    def copy(self, other: Opened, *names: str, progress: Progress = silent) -> tuple[Copied, ...]:
        """Copy snapshots (all, if none is named) into another repository; what is there already is not sent.

        With no names it is what `snap sync` does.
        """
        return copy(self.repository, other.repository, self._named(names) or None, progress=progress)

    def bundle(self, path: str | Path, *names: str, since: Sequence[str] = (), progress: Progress = silent) -> Bundled:
        """Put snapshots into one new file, without what those of `since` hold: the other machine has them.

        With no names all but those. Raises `Exists` where there is such a file.
        """
        there = self._named(since)
        chosen = self._named(names) if names else [one for one in self.snapshots() if one not in there]
        return bundle(self.repository, Path(path), chosen, since=there, progress=progress)

    def unbundle(
        self, path: str | Path, *, passphrase: Passphrase | None = None, progress: Progress = silent
    ) -> tuple[Copied, ...]:
        """Put the snapshots of a bundle into this repository; what is there already is passed over.

        Every byte of the file is checked first. `passphrase` is that of the repository it comes from, where its keys
        are others than this one's. Raises `Corrupt`, and `NotFound` naming a snapshot that it builds upon.
        """
        with BundleFile(Path(path)) as file:
            return unbundle(file, self.repository, passphrase=passphrase, progress=progress)

    def import_(
        self,
        folder: str | Path,
        *,
        source: str | None = None,
        tags: Sequence[str] = (),
        host: str = "",
        progress: Progress = silent,
    ) -> Taken:
        """Take a snapshot of what `export` wrote; `restore` of that puts the rows into a live source.

        Checksums are verified first. `source` picks one of several in the export. What an export left out (vectors, in
        a CSV) is named in `missing` of the snapshot's sources. Raises `Corrupt`, `NotFound`, `Invalid`, and
        `Unsupported` without the extra `export`.
        """
        with Extra("export", "an import needs"):
            from snapstore.operations.importing import import_export, read_export
        return import_export(
            self.repository, read_export(Path(folder)), source, tags=tags, host=host, progress=progress
        )
