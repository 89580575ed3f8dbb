"""A snapshot that somebody forged writes nothing outside the folder it is restored to, whatever it holds."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapstore.errors import Conflict, Corrupt, SnapstoreError
from snapstore.operations.plan import Mode
from snapstore.sources.files.entry import FILE, FOLDER, LINK
from snapstore.sources.files.table import Row
from snapstore.sources.files.within import Folders, parts_of
from tests.soak import IS_SOAK
from tests.sources.files.forged import forged
from tests.sources.files.memory import Memory, picture


def file(path: bytes, content: bytes = b"evil", **more: bytes) -> Row:
    return Row(path, FILE, 0o644, 0, content=content, same_as=more.get("same_as"))


def link(path: bytes, target: bytes) -> Row:
    return Row(path, LINK, target=target)


@pytest.fixture
def outside(memory: Memory, tmp_path: Path) -> Iterator[Path]:
    """A folder beside the one that is restored to; it and all around is as it was in the end."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    yield outside
    assert picture(outside) == {b"precious": picture(outside)[b"precious"]}
    assert (outside / "precious").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memory", "outside"]


@pytest.mark.parametrize(
    "path",
    [
        b"../x", b"..", b".", b"a/../../x", b"/etc/x", b"/", b"", b"a//b", b"a/", b"./a", b"a/./b", b"a\0b", b"\0",
        b"../outside/precious", b"a/..",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [FILE, FOLDER, LINK])
def test_a_path_that_leads_out_is_refused(memory: Memory, outside: Path, path: bytes, kind: bytes) -> None:
    row = {FILE: file(path), FOLDER: Row(path, FOLDER, 0o755), LINK: link(path, b"target")}[kind]
    before = forged(memory, file(b"fine"), row)
    with pytest.raises(Corrupt, match="out of the folder"):
        memory.restore(before)
    assert not picture(memory.place)


@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_is_written_beneath_a_link_of_the_snapshot(memory: Memory, outside: Path, mode: Mode) -> None:
    before = forged(memory, link(b"way", os.fsencode(outside)), file(b"way/precious"), file(b"way/more"))
    with pytest.raises(Conflict, match="no folder"):
        memory.restore(before, mode)
    assert not picture(memory.place)


@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_is_written_beneath_a_link_that_is_there(memory: Memory, outside: Path, mode: Mode) -> None:
    (memory.place / "way").symlink_to(outside)
    before = forged(memory, file(b"way/precious"), file(b"way/more"))
    if mode is Mode.EXACT:
        memory.restore(before, mode)  # the link goes, and a folder comes
        assert not (memory.place / "way").is_symlink()
        return
    with pytest.raises(Conflict, match="no folder"):
        memory.restore(before, mode)
    assert picture(memory.place) == {b"way": ("link", os.fsencode(outside))}


def test_a_link_is_replaced_and_not_written_through(memory: Memory, outside: Path) -> None:
    (memory.place / "a").symlink_to(outside / "precious")
    (memory.place / "b").symlink_to(outside)
    memory.restore(forged(memory, file(b"a"), Row(b"b", FOLDER, 0o777)))
    assert (memory.place / "a").read_text() == "evil"
    assert (memory.place / "b").is_dir()
    assert not (memory.place / "b").is_symlink()
    assert outside.stat().st_mode & 0o777 != 0o777


def test_a_link_that_is_left_out_is_not_written_through_either(memory: Memory, outside: Path) -> None:
    (memory.place / "x.tmp").symlink_to(outside / "precious")
    (memory.place / "y.tmp").symlink_to(outside)
    with pytest.raises(Conflict, match=r"x\.tmp is there already"):
        memory.restore(forged(memory, file(b"x.tmp")))
    with pytest.raises(Conflict, match=r"y\.tmp is no folder"):
        memory.restore(forged(memory, file(b"y.tmp/precious")))


def test_another_name_of_a_file_outside_is_not_made(memory: Memory, outside: Path) -> None:
    with pytest.raises(Corrupt, match="out of the folder"):
        memory.restore(forged(memory, file(b"a", same_as=b"../outside/precious")))
    (memory.place / "way").symlink_to(outside)
    (memory.place / "direct").symlink_to(outside / "precious")
    rows = [file(b"b", b"precious", same_as=b"way/precious"), file(b"c", b"precious", same_as=b"direct")]
    memory.restore(forged(memory, *rows), Mode.UPDATE)
    assert (memory.place / "b").stat().st_nlink == (memory.place / "c").stat().st_nlink == 1


def test_no_bits_but_those_of_permission_come_back(memory: Memory, outside: Path) -> None:
    with pytest.raises(Corrupt, match="neither a file"):
        memory.restore(forged(memory, Row(b"a", FILE, 0o4755, 0, content=b"x")))


@pytest.mark.parametrize(
    "row",
    [
        Row(b"a", b"device", 0o644, 0, content=b""), Row(b"a", FILE, 0o644, 0), Row(b"a", LINK),
        Row(b"a", FOLDER, 0o755, content=b"x"), Row(b"a", LINK, target=b""), Row(b"a", LINK, target=b"x\0y"),
        Row(b"a", FILE, 0o644, 0, content=b"", target=b"x"),
    ],
)  # fmt: skip
def test_a_row_that_no_folder_can_have_is_refused(memory: Memory, outside: Path, row: Row) -> None:
    with pytest.raises(Corrupt, match="a: the snapshot holds"):
        memory.restore(forged(memory, row))
    assert not picture(memory.place)


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(memory: Memory, outside: Path) -> None:
    stop = threading.Event()
    way, aside = memory.place / "way", memory.place / "aside"
    way.mkdir()

    def swap() -> None:
        while not stop.is_set():
            with suppress(OSError):
                way.rename(aside)
                way.symlink_to(outside)
                way.unlink()
                aside.rename(way)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(3):
            with suppress(SnapstoreError):
                memory.restore(forged(memory, file(b"way/%d" % number), file(b"way/precious")), Mode.UPDATE)
    finally:
        stop.set()
        thread.join()


_NAMES = st.sampled_from([b"..", b".", b"", b"a", b"b", b"way", b"precious", b"a\0", b"outside"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map(b"/".join)
_TARGETS = st.sampled_from([b"../outside", b"..", b"/", b"a", b"../outside/precious"])
_ROWS = st.one_of(
    st.builds(file, _PATHS),
    st.builds(link, _PATHS, _TARGETS),
    st.builds(lambda path: Row(path, FOLDER, 0o755), _PATHS),
    st.builds(lambda path, same: file(path, same_as=same), _PATHS, _PATHS),
)


@settings(max_examples=200 if IS_SOAK else 25, suppress_health_check=[HealthCheck.too_slow])
@given(
    first=st.lists(_ROWS, max_size=4), second=st.lists(_ROWS, min_size=1, max_size=4), mode=st.sampled_from(list(Mode))
)
def test_whatever_a_snapshot_holds_nothing_is_written_outside(
    tmp_path_factory: pytest.TempPathFactory, first: list[Row], second: list[Row], mode: Mode
) -> None:
    around = tmp_path_factory.mktemp("around")
    memory = Memory(around / "memory")
    (around / "outside").mkdir()
    (around / "outside" / "precious").write_text("precious")
    before = picture(around / "outside")
    for rows in (first, second):
        unique = list({row.path: row for row in rows}.values())
        with suppress(SnapstoreError):
            memory.restore(forged(memory, *unique), mode)
    assert picture(around / "outside") == before
    assert sorted(os.listdir(around)) == ["memory", "outside"]


@pytest.mark.parametrize("path", [b"a", b"a/b", b"...", b"..a", b"a..", b"\xff", b"a\\..\\b", b" ", b"~"])
def test_a_path_beneath_is_one(path: bytes) -> None:
    assert b"/".join(parts_of(path)) == path


def test_folders_are_opened_one_by_one_and_closed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "way").symlink_to("a")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    root = os.open(tmp_path, os.O_RDONLY)
    with Folders(root) as folders:
        folder, name = folders.parent(b"a/b/c")
        assert (os.fstat(folder).st_ino, name) == ((tmp_path / "a" / "b").stat().st_ino, b"c")
        assert folders.parent(b"x") == (root, b"x")
        with pytest.raises(Conflict, match="way is no folder"):
            folders.parent(b"way/b")
        with pytest.raises(FileNotFoundError):
            folders.parent(b"none/b")
    os.close(root)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
