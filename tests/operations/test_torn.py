"""The power fails after any change to a folder, and takes with it what was not synced: no object is torn, none is lost.

`test_crashes` makes every storage call a point of failure; here every call to the operating system within them is one.
And an object that is torn all the same, since a disk lied, is refused by name by whoever needs it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from snapstore.backends.directory import DirectoryBackend
from snapstore.backends.memory import MemoryBackend
from snapstore.errors import Corrupt, SnapstoreError, Unsupported
from snapstore.operations.keys import key_add, key_passwd, key_remove
from snapstore.operations.verify import verify
from snapstore.repository import Repository
from tests.operations.crowd import (
    Operation,
    by_parent,
    by_policy,
    collecting,
    copied,
    copying_in,
    copying_out,
    everything_is_well,
    nothing_is_left_behind,
    reading,
    removing,
    repository_with_garbage,
    taking,
)
from tests.operations.cut import Cut
from tests.operations.disk import Disk
from tests.operations.sample import CHEAP, PASSPHRASE, objects, reopen
from tests.soak import IS_SOAK

OTHER = b"another passphrase"


def passphrase_changed(repository: Repository) -> object:
    return key_passwd(repository, OTHER, cost=CHEAP)


def key_came_and_went(repository: Repository) -> None:
    key_remove(repository, key_add(repository, OTHER, cost=CHEAP).id)


KEYS: dict[str, Operation] = {"key passwd": passphrase_changed, "key add, key remove": key_came_and_went}
OPERATIONS: dict[str, Operation] = {
    "take": taking("new"),
    "by parent": by_parent("new"),
    "gc": collecting,
    "policy": by_policy,
    "rm": removing,
    "copy in": copying_in(encrypted=False),
}
COMMITS = ("take", "by parent", "copy in")


def done(operation: Operation, folder: Path, *, encrypted: bool = False, is_scratch: bool = False) -> Disk:
    """The operation has run on the repository in this folder."""
    start = repository_with_garbage(encrypted=encrypted)
    backend = DirectoryBackend(folder, create=True)
    for entry in start.list():
        backend.put(entry.name, [start.get(entry.name).data])
    disk = Disk(folder)
    repository = reopen(DirectoryBackend(folder, is_scratch=is_scratch))
    with disk.noted():
        operation(repository)
    return disk


def some(disk: Disk) -> int:
    """After how many changes the power fails once more."""
    return 1 if IS_SOAK else 1 + len(disk.steps) // 2


@pytest.mark.parametrize("name", OPERATIONS if IS_SOAK else ("take", "gc", "rm", "copy in"))
def test_a_power_cut_at_any_moment_tears_and_loses_nothing(name: str, tmp_path: Path) -> None:
    disk = done(OPERATIONS[name], tmp_path / "store")
    for number, cut in enumerate(Cut):
        found: list[str] = []
        for left in disk.after_each(cut, Random(number), every=some(disk), first=number):
            found = everything_is_well(left.backend)
            assert "old" in found, (cut, left.what)
            if IS_SOAK or left.step % 2:
                nothing_is_left_behind(left.backend)
        # Whatever was said to be done is on the disk.
        assert ("new" in found) == (name in COMMITS), cut


@pytest.mark.parametrize("name", KEYS)
def test_a_power_cut_at_any_moment_leaves_a_key_that_opens(name: str, tmp_path: Path) -> None:
    disk = done(KEYS[name], tmp_path / "store", encrypted=True)
    for number, cut in enumerate(Cut):
        opened: list[Repository] = []
        for left in disk.after_each(cut, Random(number), every=some(disk), first=number):
            opened = []
            for passphrase in (PASSPHRASE, OTHER):
                with suppress(SnapstoreError):
                    opened.append(Repository.open(left.backend, passphrase))
            assert opened, (cut, left.what)
            assert verify(opened[0], read_data=True).damaged == ()
        assert (opened[-1].key_id == opened[0].key_id) == (len(opened) == 1)


def test_without_syncing_objects_would_be_torn(tmp_path: Path) -> None:
    """That this search finds what it looks for."""
    disk = done(OPERATIONS["take"], tmp_path / "store", is_scratch=True)
    damaged = 0
    for left in disk.after_each(Cut.TORN, Random(0)):
        try:
            damaged += bool(verify(reopen(left.backend), read_data=True).damaged)
        except Corrupt:
            damaged += 1
    assert damaged > 3


def test_a_folder_that_another_made_and_did_not_sync_is_synced_by_who_uses_it(tmp_path: Path) -> None:
    backend = DirectoryBackend(tmp_path / "store", create=True)
    backend.put("packs/cd/cde", [b"x"])
    disk = Disk(tmp_path / "store")
    with disk.noted():
        os.mkdir(tmp_path / "store" / "packs" / "ab")  # and died
        DirectoryBackend(tmp_path / "store").put("packs/ab/abc", [b"y"])
    *_, left = disk.after_each(Cut.NOTHING, Random(0))
    assert left.backend.get("packs/ab/abc").data == b"y"


READERS: dict[str, Operation] = {
    "verify": lambda repository: verify(repository, read_data=True),
    "take": taking("new"),
    "by parent": by_parent("new"),
    "restore": reading,
    "gc": collecting,
    "rm": removing,
    "rm, gc": lambda repository: (removing(repository), collecting(repository)),
    "copy": copying_out(encrypted=False),
}


SOME = ("restore", "rm, gc", "copy")


def torn(data: bytes, random: Random) -> list[bytes]:
    """What a disk may make of an object: cut short at any length, or with zeros for what never reached it."""
    lengths = {0, len(data) - 1}
    if IS_SOAK:
        lengths |= {random.randrange(len(data)) for _ in range(20)}
    return [data[:length] for length in sorted(lengths)] + [data[: len(data) // 3].ljust(len(data), b"\0")]


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_object_that_is_torn_is_refused_by_name_and_spoils_no_other(encrypted: bool) -> None:
    start, random = repository_with_garbage(encrypted=encrypted), Random(7)
    largest = {
        entry.name.partition("/")[0]: entry.name for entry in sorted(start.list(), key=lambda one: one.size_bytes)
    }
    names = objects(start) if IS_SOAK else sorted({*largest.values(), min(objects(start, "packs/"))})
    refused = 0
    for name in names:
        whole = start.get(name).data
        for data in torn(whole, random):
            for reader in READERS if IS_SOAK else ("verify", "by parent") if encrypted else ("verify", *SOME):
                backend = copied(start)
                overwrite(backend, name, data)
                said = ""
                try:
                    result = READERS[reader](reopen(backend))
                    if reader == "verify":
                        said = " ".join(one.object for one in result.damaged)
                        assert name in said
                except (Corrupt, Unsupported) as error:
                    said = error.message
                    refused += 1
                assert not said or name.rpartition("/")[2] in said, (name, len(data), reader, said)
                if name in objects(backend):
                    overwrite(backend, name, whole)
                assert everything_is_well(backend)[-1:] in (["old"], ["new"]), (name, len(data), reader)
    assert refused >= len(names)


def overwrite(backend: MemoryBackend, name: str, data: bytes) -> None:
    backend.delete(name)
    backend.put(name, [data])
