"""The power fails while snapshots are carried out: into another repository, a bundle or an export.

What is there then is whole, or is not there; the repository that they came from is as it was; and the command, run
again, finishes. As `test_torn`, with both ends on the disk that loses its power.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from snapstore.backends.bundle import BundleFile
from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.backends.places import check_new
from snapstore.errors import Exists, NotFound, SnapstoreError
from snapstore.operations.bundle import bundle, init_from, unbundle
from snapstore.operations.copy import copy
from snapstore.operations.export import export_from
from snapstore.operations.formats import Format
from snapstore.operations.guess import guess_roles
from snapstore.operations.importing import import_export, read_export
from snapstore.operations.state import of_snapshot
from snapstore.repository import Repository
from tests.operations.crowd import STATES, everything_is_well, nothing_is_left_behind, taking
from tests.operations.cut import Cut, Left, Sync
from tests.operations.disk import Disk
from tests.operations.sample import PASSPHRASE, init, read, reopen
from tests.soak import IS_SOAK

SOURCE, TARGET = "source", "target"
ALL = ["half", "old"]


def source_of(base: Path) -> Repository:
    return reopen(DirectoryBackend(base / SOURCE))


@dataclass(frozen=True, slots=True)
class Carried:
    """A command that carries snapshots from `base / SOURCE` to `base / TARGET`.

    `is_whole` tells whether all is there, and fails if something is that is not whole. A `file` is the bundle or export
    that is made, beneath `base`, for what is no repository.
    """

    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    is_whole: Callable[[Path], bool]
    is_encrypted: bool = False
    file: str = ""


def copying(*, is_encrypted: bool = False, has_first: bool = False) -> Carried:
    def prepare(base: Path) -> None:
        target = init(DirectoryBackend(base / TARGET, create=True), encrypted=is_encrypted)
        if has_first:
            source = source_of(base)
            copy(source, target, source.snapshots()[:1])

    def run(base: Path) -> None:
        copy(source_of(base), reopen(DirectoryBackend(base / TARGET)))

    return Carried(prepare, run, has_all)


def has_all(base: Path) -> bool:
    """Whether the repository there has all snapshots; those that it has are whole."""
    try:
        found = everything_is_well(DirectoryBackend(base / TARGET))
    except NotFound:
        return False  # not even the repository was made
    assert found == ALL[: len(found)]
    return found == ALL


def bundling() -> Carried:
    target = f"{TARGET}/night.snap"

    def prepare(base: Path) -> None:
        (base / TARGET).mkdir()

    def run(base: Path) -> None:
        source = source_of(base)
        with suppress(Exists):
            bundle(source, base / target, source.snapshots())

    def is_bundle(base: Path) -> bool:
        elsewhere = init(MemoryBackend(), encrypted=False)
        with BundleFile(base / target) as file:
            unbundle(file, elsewhere)
        return everything_is_well(elsewhere.backend) == ALL

    return Carried(prepare, run, is_bundle, file=target)


def unbundling(*, is_new: bool) -> Carried:
    def prepare(base: Path) -> None:
        source = source_of(base)
        bundle(source, base / "carried.snap", source.snapshots())
        if not is_new:
            init(DirectoryBackend(base / TARGET, create=True), encrypted=False)

    def run(base: Path) -> None:
        with BundleFile(base / "carried.snap") as file:
            if is_new:
                with suppress(Exists):
                    check_new(str(base / TARGET))
                    init_from(file, DirectoryBackend(base / TARGET, create=True))
            unbundle(file, reopen(DirectoryBackend(base / TARGET)), passphrase=lambda: PASSPHRASE)

    return Carried(prepare, run, has_all, is_encrypted=is_new)


def exporting(form: Format) -> Carried:
    target = f"{TARGET}/deep/out"

    def run(base: Path) -> None:
        source = source_of(base)
        snapshot = source.snapshots()[-1]
        state = of_snapshot(source, snapshot)
        roles = guess_roles([own.table for own in state.tables])
        with suppress(Exists):
            export_from(source, snapshot, state, base / target, form, roles=roles)

    def is_export(base: Path) -> bool:
        if form is Format.MARKDOWN:
            return (base / target / "index.md").exists()
        elsewhere = init(MemoryBackend(), encrypted=False)
        taken = import_export(elsewhere, read_export(base / target)).snapshot
        assert read(elsewhere, taken)["public.memories"] == STATES[ALL[-1]]
        return True

    return Carried(lambda base: None, run, is_export, file=target)


CARRIED: dict[str, Carried] = {
    "copy": copying(),
    "copy, renamed": copying(is_encrypted=True),
    "sync": copying(has_first=True),
    "sync, renamed": copying(is_encrypted=True, has_first=True),
    "bundle": bundling(),
    "unbundle": unbundling(is_new=False),
    "unbundle --init": unbundling(is_new=True),
    "export": exporting(Format.JSONL),
    "export to read": exporting(Format.MARKDOWN),
    "export (Parquet)": exporting(Format.PARQUET),
}

SOME = ("copy", "sync, renamed", "bundle", "unbundle --init", "export to read")


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was run, and what a cut of the power may leave of it."""

    carried: Carried
    disk: Disk
    start: Mapping[str, bytes | None]
    finished: Mapping[str, bytes | None]

    def check(self, left: Left, base: Path) -> bool:
        """What is left is well, whether the command was done or not, which is told; and run again, it finishes."""
        left.lay(base)
        was_done = self.is_well(left, base)
        self.carried.run(base)
        assert self.carried.is_whole(base), "run again, it finishes"
        assert everything_is_well(DirectoryBackend(base / SOURCE)) == ALL
        if not self.carried.file:
            if left.step % 2 and not IS_SOAK:
                return was_done
            for temporary in (base / TARGET / ".tmp").iterdir():
                os.utime(temporary, (0, 0))  # gc leaves young ones to writers on other machines
            nothing_is_left_behind(DirectoryBackend(base / TARGET))
            assert list(DirectoryBackend(base / TARGET).stray()) == [], "gc finds what died"
        return was_done

    def is_well(self, left: Left, base: Path) -> bool:
        """Whether all was done; that what is there is whole, and the source as it was."""
        for path, data in left.files.items():
            # A reader says in the source what it relies on; what is hidden is not taken for anything.
            if not self._is_target(path) and data is not None and not path.startswith(f"{SOURCE}/snapshots/"):
                assert self.start.get(path) == data or "/." in f"/{path}", path
        assert left.files.keys() >= {path for path in self.start if not self._is_target(path)}
        if not self.carried.file:
            return self.carried.is_whole(base)
        own = {path: data for path, data in left.files.items() if self._is_target(path)}
        # What has the name is what was made, to the bit.
        assert own in ({}, {path: data for path, data in self.finished.items() if self._is_target(path)})
        return bool(own)

    def _is_target(self, path: str) -> bool:
        target = self.carried.file or TARGET
        return path == target or path.startswith(target + "/")


def done(carried: Carried, base: Path) -> Done:
    """The command has run between repositories in this folder."""
    source = init(DirectoryBackend(base / SOURCE, create=True), encrypted=carried.is_encrypted)
    taking("half", 1)(source)
    taking("old", 2)(source)
    carried.prepare(base)
    disk = Disk(base)
    with disk.noted():
        carried.run(base)
    start, *_, finished = disk.after_each(Cut.KILLED, Random(0))
    return Done(carried, disk, start.files, finished.files)


def points(disk: Disk) -> Iterator[tuple[Cut, Left]]:
    """Every cut after every change; if there is no time each cut once, and at the end the one that takes most."""
    count = len(disk.steps)
    for number, cut in enumerate(Cut):
        some = (1, 0) if IS_SOAK else (count + 1, (number + 1) * count // 6)
        for left in disk.after_each(cut, Random(number), every=some[0], first=some[1]):
            if IS_SOAK or left.step < count or cut is Cut.NOTHING:
                yield cut, left


@pytest.mark.parametrize("name", CARRIED if IS_SOAK else SOME)
def test_what_a_power_cut_leaves_elsewhere_is_whole_or_not_there(name: str, tmp_path: Path) -> None:
    one = done(CARRIED[name], tmp_path / "done")
    for number, (cut, left) in enumerate(points(one.disk)):
        base = tmp_path / str(number)
        was_done = one.check(left, base)
        # Whatever was said to be done is on the disk.
        assert was_done or left.step < len(one.disk.steps), (cut, left.what)
        shutil.rmtree(base)


@pytest.mark.parametrize("name", CARRIED if IS_SOAK else SOME)
def test_without_syncing_something_elsewhere_would_be_torn_or_lost(name: str, tmp_path: Path) -> None:
    """That this search finds what it looks for, whichever way a program forgets."""
    one = done(CARRIED[name], tmp_path / "done")
    for without in Sync:
        *_, left = one.disk.after_each(Cut.NOTHING, Random(0), without=without, beneath=TARGET)
        is_found = True
        with suppress(AssertionError, SnapstoreError):
            is_found = not one.is_well(left, left.lay(tmp_path / without.name))
        assert is_found, without
