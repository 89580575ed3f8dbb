"""A bundle carries snapshots, to the bit, into any repository, and nothing that is damaged or that was left out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from snapstore.backends.bundle import BundleFile, BundleWriter
from snapstore.backends.memory import MemoryBackend
from snapstore.blobs.pack import rows_of
from snapstore.errors import Corrupt, Exists, Invalid, NotFound, Unavailable, Unsupported, WrongKey
from snapstore.operations.bundle import bundle, init_from, unbundle
from snapstore.operations.carried import digests_beneath
from snapstore.operations.copy import Copied, copy
from snapstore.operations.forget import rm
from snapstore.operations.gc import gc
from snapstore.operations.marks import DigestSet, needed_by
from snapstore.operations.verify import verify
from snapstore.repository import Repository, Snapshot, tombstones
from tests.operations.crowd import (
    copied,
    everything_is_well,
    nothing_is_left_behind,
    removing_all,
    repository_with_garbage,
    taking,
)
from tests.operations.points import Points, crash
from tests.operations.sample import PASSPHRASE, init, objects, read, reopen, rows, take
from tests.soak import IS_SOAK

HELD = rows(range(300))
LATER = {id_: row for id_, row in HELD.items() if id_ != 17} | rows([3, 4, 900, 901], seed=2)


def put(path: Path, target: Repository) -> tuple[Copied, ...]:
    with BundleFile(path) as file:
        return unbundle(file, target, passphrase=lambda: PASSPHRASE)


def twin(path: Path) -> Repository:
    """A repository made of a bundle."""
    backend = MemoryBackend()
    with BundleFile(path) as file:
        init_from(file, backend)
    return reopen(backend)


def made(folder: Path, *, encrypted: bool) -> tuple[Repository, list[Snapshot], Path]:
    """A repository, its two snapshots, and a bundle of the first."""
    source = init(MemoryBackend(), encrypted=encrypted)
    taken = [take(source, HELD, tags=("a",)), take(source, LATER, at=1)]
    path = folder / "first.snap"
    bundle(source, path, taken[:1])
    return source, taken, path


def is_well(repository: Repository) -> bool:
    fresh = reopen(repository.backend)
    return not verify(fresh, read_data=True).damaged and not fresh.pendings()


@pytest.mark.parametrize("into_encrypted", [False, True])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_bundle_carries_snapshots_between_repositories_of_any_kind(
    tmp_path: Path, encrypted: bool, into_encrypted: bool
) -> None:
    source = init(MemoryBackend(), encrypted=encrypted)
    first, second = take(source, HELD, tags=("a",)), take(source, LATER, at=1)
    before = objects(source.backend)
    told = bundle(source, tmp_path / "both.snap", [first, second])
    assert objects(source.backend) == before
    assert told.bytes == (tmp_path / "both.snap").stat().st_size
    assert [entry.name for entry in tmp_path.iterdir()] == ["both.snap"]
    target = init(MemoryBackend(), encrypted=into_encrypted)
    assert [one.is_new for one in put(told.path, target)] == [True, True]
    one, two = target.snapshots()
    assert read(target, one)["public.memories"] == HELD
    assert read(target, two)["public.memories"] == LATER
    assert [one.origin, two.origin] == [source.origin_of(first), source.origin_of(second)]
    assert one.tags == ("a",)
    if not encrypted and not into_encrypted:
        assert (one.sources, two.sources) == (first.sources, second.sources)
    assert is_well(target)


@pytest.mark.parametrize("encrypted", [False, True])
def test_unbundling_twice_changes_nothing(tmp_path: Path, encrypted: bool) -> None:
    source, (first, second), path = made(tmp_path, encrypted=encrypted)
    target = twin(path)
    put(path, target)
    more = bundle(source, tmp_path / "more.snap", [second], since=[first]).path
    put(more, target)
    before = objects(target.backend)
    for again in (path, more):
        assert [one.is_new for one in put(again, reopen(target.backend))] == [False]
        assert [one.is_new for one in put(again, source)] == [False]
    assert objects(target.backend) == before


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_incremental_bundle_lacks_what_its_base_holds_and_goes_where_that_is(
    tmp_path: Path, encrypted: bool
) -> None:
    source, (first, second), path = made(tmp_path, encrypted=encrypted)
    more = bundle(source, tmp_path / "more.snap", [second], since=[first])
    there = DigestSet()
    for batch in digests_beneath(source.blobs, needed_by(first)):
        there.add(rows_of(batch))
    with BundleFile(more.path) as file:
        blobs = source.over(file).blobs
        inside = np.concatenate([blobs.directory(pack).digests for pack in blobs.packs()])
    assert len(inside)
    assert not there.contains(inside).any()
    target = twin(path)
    before = objects(target.backend)
    with pytest.raises(NotFound, match=f"builds upon {first.id[:8]}, not to be found in memory"):
        put(more.path, target)
    assert objects(target.backend) == before
    put(path, target)
    assert put(more.path, target)[0].is_new
    assert read(target, target.snapshots()[1])["public.memories"] == LATER
    assert is_well(target)
    # The copy stands by itself once it is there.
    rm(target, [target.snapshots()[0].id])
    gc(target)
    assert read(reopen(target.backend), target.snapshots()[0])["public.memories"] == LATER


def test_what_the_target_took_since_then_does_not_matter_to_an_incremental_bundle(tmp_path: Path) -> None:
    source, (first, second), path = made(tmp_path, encrypted=False)
    more = bundle(source, tmp_path / "more.snap", [second], since=[first])
    target = Repository.init(MemoryBackend())
    put(path, target)
    take(target, rows(range(40), seed=5), at=1)  # newer than what the bundle builds upon, and nothing of it
    packs, earlier = [entry.name for entry in target.backend.list("packs/")], target.snapshots()[0]
    for pack in packs:  # its packs serve readers alone until gc has written anew what is needed
        tombstones.put(target.backend, pack.rpartition("/")[2], target.seal)
    put(more.path, target)
    assert (
        read(target, next(one for one in target.snapshots() if one.origin == source.origin_of(second)))[
            "public.memories"
        ]
        == LATER
    )
    assert read(target, earlier)["public.memories"] == HELD
    assert is_well(target)


@pytest.mark.parametrize("what", ["gc", "rm and gc", "killed"])
def test_whatever_happens_while_it_is_unbundled_nothing_is_committed_that_is_not_whole(
    tmp_path: Path, what: str
) -> None:
    """At any storage call in the target: also what the bundle builds upon is removed, and swept."""
    source, start = Repository.init(MemoryBackend()), repository_with_garbage()
    taking("old", 2)(source)
    base = source.snapshots()[0]
    copy(source, reopen(start))
    taking("new", 5)(source)
    path = bundle(source, tmp_path / "new.snap", source.snapshots()[1:], since=[base]).path

    def others(backend: MemoryBackend) -> None:
        if what == "killed":
            crash()
        if what == "rm and gc":
            removing_all(reopen(backend))
        gc(reopen(backend))

    counting = Points(copied(start))
    put(path, reopen(counting))
    ended = set()
    for at in range(0, counting.calls, 1 if IS_SOAK else 11):
        backend = copied(start)
        try:
            put(path, reopen(Points(backend, at, before=partial(others, backend))))
            ended.add("done")
            assert "new" in [one.description for one in reopen(backend).snapshots()] or what == "rm and gc"
        except NotFound as error:
            assert what == "rm and gc"
            ended.add("refused" if f"builds upon {base.id[:8]}" in error.message else error.message)
        except Unavailable:
            assert what == "killed"
        everything_is_well(backend)
        nothing_is_left_behind(backend)
    # Who dies as he takes his pending away has done all there was to do.
    assert ended - {"done"} == ({"refused"} if what == "rm and gc" else set())


def test_an_incremental_bundle_fits_copies_but_not_other_keys(tmp_path: Path) -> None:
    source, (first, second), _ = made(tmp_path, encrypted=False)
    copies, other = Repository.init(MemoryBackend()), init(MemoryBackend(), encrypted=True)
    for target in (copies, other):
        copy(source, target, [first])
    more = bundle(source, tmp_path / "more.snap", [second], since=[first])
    put(more.path, copies)
    assert read(copies, copies.snapshots()[1])["public.memories"] == LATER
    with pytest.raises(Unsupported, match="with the same keys"):
        put(more.path, other)


@pytest.mark.parametrize("encrypted", [False, True])
def test_what_was_cut_short_or_changed_is_refused_by_name_before_anything_is_written(
    tmp_path: Path, encrypted: bool
) -> None:
    _, _, path = made(tmp_path, encrypted=encrypted)
    whole = path.read_bytes()
    target = init(MemoryBackend(), encrypted=encrypted)
    before = objects(target.backend)
    for cut in {*range(0, len(whole), 4999), len(whole) - 1, 0, 7, 8, 40}:
        path.write_bytes(whole[:cut])
        with pytest.raises(Corrupt, match=r"first\.snap is (no bundle|cut short)"):
            put(path, target)
    for at in {*range(8, len(whole), 2003), len(whole) - 9, len(whole) - 60}:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(Corrupt, match=r"first\.snap is damaged: .* is not what was written"):
            put(path, target)
    path.write_bytes(whole + b"more")
    with pytest.raises(Corrupt, match="cut short"):
        put(path, target)
    assert objects(target.backend) == before


def test_a_blob_that_is_not_what_its_name_says_is_not_let_in(tmp_path: Path) -> None:
    """A file whose checksums were all made anew, around one changed byte of a pack."""
    _, _, path = made(tmp_path, encrypted=False)
    with BundleFile(path) as file:
        inside = {entry.name: file.get(entry.name).data for entry in file.list()}
    pack = next(name for name in inside if name.startswith("packs/"))
    inside[pack] = inside[pack][:60] + bytes([inside[pack][60] ^ 1]) + inside[pack][61:]
    path.unlink()
    with BundleWriter(path) as writer:
        for name, data in inside.items():
            writer.put(name, [data], unique=True)
        writer.finish([])
    target = Repository.init(MemoryBackend())
    with pytest.raises(Corrupt):
        put(path, target)
    assert target.snapshots() == []
    assert is_well(target)


def test_the_bundle_of_an_encrypted_repository_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    source, _, path = made(tmp_path, encrypted=True)
    assert b"public.memories" not in path.read_bytes()
    target = Repository.init(MemoryBackend())
    for wrong in (None, b"something else"):
        with BundleFile(path) as file, pytest.raises(WrongKey):
            unbundle(file, target, passphrase=wrong)
    with BundleFile(path) as file:  # who has opened the repository itself, or its twin, needs none
        assert not unbundle(file, source)[0].is_new
    assert twin(path).settings == source.settings


def test_a_twin_is_made_where_one_that_was_being_made_died(tmp_path: Path) -> None:
    source, _, path = made(tmp_path, encrypted=True)
    (own,) = objects(source.backend, "keys/")
    other = f"keys/{'0' * 32}"
    for of_before in (source.backend.get(own).data, b"as it was when another bundle was made"):
        backend = MemoryBackend()
        backend.put(own, [of_before])
        backend.put(other, [b"of some other repository"])
        with BundleFile(path) as file:
            init_from(file, backend)
            unbundle(file, reopen(backend))
        assert is_well(reopen(backend))
        assert list(objects(backend, "keys/")) == [own]


def test_what_cannot_be_bundled_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    source, (first, second), path = made(tmp_path, encrypted=False)
    before = path.read_bytes()
    with pytest.raises(Exists, match=r"first\.snap exists"):
        bundle(source, path, [second])
    with pytest.raises(Invalid, match="no snapshot"):
        bundle(source, tmp_path / "x.snap", [])
    with pytest.raises(Invalid, match=first.id[:8]):
        bundle(source, tmp_path / "x.snap", [first, second], since=[first])
    rm(source, [second.id])
    with pytest.raises(NotFound, match="removed"):
        bundle(source, tmp_path / "x.snap", [second])
    with pytest.raises(NotFound, match="there is no"):
        BundleFile(tmp_path / "x.snap")
    with pytest.raises(NotFound):
        bundle(source, tmp_path / "nowhere" / "x.snap", [first])
    with BundleFile(path) as file, pytest.raises(Exists):
        init_from(file, source.backend)
    assert [one.name for one in tmp_path.iterdir()] == ["first.snap"]
    assert path.read_bytes() == before
