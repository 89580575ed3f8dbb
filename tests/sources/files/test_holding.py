"""What is held of a folder: every path by its bytes, and what is left out is said."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapstore.errors import Corrupt, Invalid, NotFound, Unavailable, Unsupported
from snapstore.operations.take import Request, take
from snapstore.sources import Selection
from snapstore.sources.files import reading
from snapstore.sources.files.place import place_of, url_of
from snapstore.sources.files.source import FilesSource
from snapstore.sources.files.table import decode_attributes, encode_attributes
from snapstore.sources.sqlite.source import SqliteSource
from tests.soak import IS_SOAK
from tests.sources.files.memory import Memory, picture, root

linux = pytest.mark.skipif(sys.platform != "linux", reason="names there are text")


def test_everything_comes_back(memory: Memory, tmp_path: Path) -> None:
    os.chmod(memory.write("notes/a.md", "a"), 0o640)
    os.utime(memory.write("notes/old.md"), ns=(0, -1_000_000_001))
    memory.write("big.bin", os.urandom(300_000))
    memory.write("empty.md", "")
    (memory.place / "no" / "thing").mkdir(parents=True)
    (memory.place / "no").chmod(0o500)
    (memory.place / "here").symlink_to("notes/a.md")
    (memory.place / "gone").symlink_to("/no/such/file")
    (memory.place / "up").symlink_to("..")
    os.link(memory.place / "notes/a.md", memory.place / "notes/b.md")
    before = memory.take().snapshot
    memory.restore(before, to=tmp_path / "other")
    assert picture(tmp_path / "other") == picture(memory.place)
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o700


@linux
def test_names_are_bytes(memory: Memory, tmp_path: Path) -> None:
    names = [
        b"\xc3\xa9t",
        b"e\xcc\x81t",
        b"\xff\xfe",
        b"new\nline",
        b"\x1b[2Jred",
        b"a\\b",
        b"-rf",
        b" ",
        b"a.tmp ",
    ]
    for name in names:
        memory.write(name, name)
    assert list(memory.rows()) == sorted(names)
    memory.restore(memory.take().snapshot, to=tmp_path / "other")
    assert sorted(os.listdir(os.fsencode(tmp_path / "other"))) == sorted(names)


def test_names_of_one_file_are_held_once_and_linked_again(memory: Memory) -> None:
    first = memory.write("b", os.urandom(100_000))
    os.link(first, memory.place / "a")
    os.link(first, memory.place / "c")
    taken = memory.take()
    assert taken.bytes_new < 110_000
    assert [row.same_as for row in memory.rows().values()] == [None, b"a", b"a"]
    assert [row.same_as for row in memory.rows(where={"tree.files": "!a\n[bc]"}).values()] == [None, b"b"]
    first.unlink()
    (memory.place / "c").unlink()
    memory.restore(taken.snapshot)
    assert (memory.place / "a").stat().st_nlink == 3
    assert root(memory.take()) == root(taken)


def test_a_name_that_moved_with_its_folder_is_seen(memory: Memory) -> None:
    os.link(memory.write("folder/one"), memory.place / "two")
    for number in range(100):
        memory.write(f"filler {number}")
    time.sleep(0.05)
    memory.take()
    (memory.place / "folder").rename(memory.place / "zoo")
    assert root(memory.take()) == root(memory.take(full=True))
    assert memory.rows()[b"zoo/one"].same_as == b"two"


def test_what_comes_and_goes_by_itself_is_left_out_and_said(memory: Memory) -> None:
    for name in ("a.md", "memory.jsonl.0f.tmp", "x.log", ".lock", "deep/er/y.log"):
        memory.write(name)
    taken = memory.take()
    assert taken.is_complete
    assert list(memory.rows()) == [b"a.md", b"deep", b"deep/er"]
    said = taken.snapshot.sources[0].position["left_out"]
    assert {reason: found["paths"] for reason, found in said.items()} == {"*.log": 2, "*.tmp": 1, ".lock": 1}
    assert b"x.log" in memory.rows(ignore=("!*.log",))


def test_patterns_are_those_of_gitignore(memory: Memory) -> None:
    for name in ("keep/a.md", "keep/a.bak", "drop/b.md", "c.md", "keep/deep/a.bak"):
        memory.write(name)
    assert list(memory.rows(ignore=("drop/", "*.bak", "!keep/a.bak"))) == [
        b"c.md", b"keep", b"keep/a.bak", b"keep/a.md", b"keep/deep",
    ]  # fmt: skip
    assert list(memory.rows(only=("keep/**/*.bak",))) == [b"keep", b"keep/a.bak", b"keep/deep", b"keep/deep/a.bak"]
    assert list(memory.rows(only=("/keep/",), ignore=("deep/",))) == [b"keep", b"keep/a.bak", b"keep/a.md"]
    for pattern in ("", "!", "[", "# words"):
        with pytest.raises(Invalid, match="no pattern"):
            memory.rows(ignore=(pattern,))


def test_what_is_no_file_is_left_out_and_said(memory: Memory) -> None:
    os.mkfifo(memory.place / "pipe")
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(memory.place / "socket"))
        taken = memory.take()
    [(reason, said)] = taken.snapshot.sources[0].position["left_out"].items()
    assert (reason, said["paths"]) == ("neither file, folder nor link", 2)
    assert not memory.rows()


def test_a_repository_within_is_left_out(memory: Memory) -> None:
    memory.write("backups/config", b"SNAPC\0\1\0")
    memory.write("backups/packs/x")
    assert not memory.rows()


def test_what_may_not_be_read_is_refused_or_named(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.write("fine")
    memory.write("secret").chmod(0)
    if os.geteuid() == 0:  # who may read everything, so the refusal is the test's own
        opened = os.open

        def refuses(path: object, *arguments: object, **named: object) -> int:
            if path == b"secret":
                raise PermissionError(errno.EACCES, "Permission denied")
            return opened(path, *arguments, **named)  # type: ignore[arg-type]  # passed on

        monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(Unavailable, match="secret cannot be read: Permission denied"):
        memory.take()
    taken = memory.take(partial=True)
    assert taken.snapshot.sources[0].missing == ("table tree.files: secret cannot be read: Permission denied",)
    assert taken.snapshot.sources[0].tables[0].rows == 1


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"), FilesSource(f"file://{tmp_path}/none").view(Selection()):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="Not a directory"), FilesSource(f"file://{tmp_path}/file").view(Selection()):
        pass


@pytest.mark.parametrize("url", ["file://", "file://host/path", "file:///a?b=1", "/a", "file:///a%00b"])
def test_a_url_that_names_no_folder_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match=r"folder|parameters"):
        place_of(url)


@pytest.mark.parametrize("path", ["/a b", "/a?b#c%41", "/e\udcff"])
def test_a_path_is_its_url_both_ways(path: str) -> None:
    assert place_of(url_of(Path(path))) == Path(path)
    assert place_of("file://localhost/a/../b") == Path("/b")


def test_columns_may_be_left_out_and_attributes_asked_for(memory: Memory, tmp_path: Path) -> None:
    path = memory.write("a")
    try:
        os.setxattr(path, "user.origin", b"\0\xff")
    except (OSError, AttributeError):
        pytest.skip("this file system has no extended attributes")
    assert decode_attributes(memory.rows(attributes=True)[b"a"].attributes) == {b"user.origin": b"\0\xff"}
    before = memory.take(attributes=True).snapshot
    memory.restore(before, to=tmp_path / "other")
    assert os.getxattr(tmp_path / "other" / "a", "user.origin") == b"\0\xff"
    memory.take(exclude_columns=("tree.files.mtime",))
    with pytest.raises(Invalid, match="content"):
        memory.take(exclude_columns=("tree.files.content",))


@given(st.dictionaries(st.binary(max_size=9), st.binary(max_size=9)))
def test_attributes_are_one_cell_and_back(attributes: dict[bytes, bytes]) -> None:
    cell = encode_attributes(attributes.items())
    assert decode_attributes(cell) == attributes
    if cell:
        with pytest.raises(Corrupt):
            decode_attributes(cell[:-1] if len(cell) % 7 else cell + b"\0")


# Reading


def test_only_what_changed_is_read(memory: Memory) -> None:
    for number in range(200):
        memory.write(f"note {number}", f"{number} " * 50)
    time.sleep(0.05)
    memory.take()
    memory.write("note 77", "x" * 30)
    (memory.place / "note 5").chmod(0o600)
    (memory.place / "note 9").unlink()
    quick = memory.take()
    assert quick.snapshot.sources[0].tables[0].reading == "by stamps: 2 of 199 rows"
    assert quick.bytes_read < 1000
    assert root(quick) == root(memory.take(full=True))


def test_times_that_are_too_recent_are_not_trusted(memory: Memory) -> None:
    memory.settle_seconds = 60
    for number in range(200):
        memory.write(f"note {number}", f"{number} " * 50)
    memory.take()
    status = (memory.place / "note 1").stat()
    memory.write("note 1", "1-" * 50)
    os.utime(memory.place / "note 1", ns=(0, status.st_mtime_ns))
    assert memory.take().bytes_read > 10_000


@settings(max_examples=200 if IS_SOAK else 6)
@given(st.data())
def test_an_incremental_root_is_that_of_a_full_read_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    memory = Memory(tmp_path_factory.mktemp("tree") / "memory", settle_seconds=0.01)
    for number in range(60):
        memory.write(f"f{number % 4}/n{number}", str(number))
    memory.take()
    for _ in range(3):
        for _ in range(data.draw(st.integers(1, 4))):
            paths = sorted(path for path in memory.place.rglob("*") if path.is_file())
            if not paths:
                break
            path = data.draw(st.sampled_from(paths))
            match data.draw(
                st.sampled_from(["write", "delete", "rename", "folder", "chmod", "link", "swap", "become"])
            ):
                case "write":
                    path.write_text(data.draw(st.text("xy", max_size=3)))
                case "delete":
                    path.unlink()
                case "rename":
                    path.rename(path.with_name(path.name + "+"))
                case "folder" if path.parent != memory.place:
                    path.parent.rename(path.parent.with_name(path.parent.name + "~"))
                case "chmod":
                    path.chmod(0o600)
                case "link":
                    if not (memory.place / "twin").exists():
                        os.link(path, memory.place / "twin")
                case "swap":
                    other = data.draw(st.sampled_from(paths))
                    path.rename(memory.place / "aside")
                    if other != path:
                        other.rename(path)
                    (memory.place / "aside").rename(other)
                case "become":
                    path.unlink()
                    path.mkdir()
        time.sleep(0.015)
        assert root(memory.take()) == root(memory.take(full=True))


def test_a_file_that_changes_while_it_is_read_is_read_again(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = memory.write("a", "before")
    inner = reading.attributes_of
    seen: list[int] = []

    def writes(descriptor: int) -> bytes | None:
        if not seen:
            seen.append(path.write_text("after, and longer"))
        return inner(descriptor)

    monkeypatch.setattr(reading, "attributes_of", writes)
    assert memory.rows(attributes=True)[b"a"].content == b"after, and longer"


def test_a_file_that_never_holds_still_is_named(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    path = memory.write("a", "before")
    monkeypatch.setattr(reading, "attributes_of", lambda _: path.write_text("x" * (path.stat().st_size + 1)) and None)
    monkeypatch.setattr(reading, "_PAUSE_SECONDS", 0.0001)
    with pytest.raises(Unavailable, match="a changes all the time"):
        memory.rows(attributes=True)


def test_files_that_come_and_go_meanwhile_do_not_stop_a_first_take(memory: Memory) -> None:
    for number in range(300):
        memory.write(f"n{number}")
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            memory.write("z/comes").unlink()
            memory.write("z/other", "other" * 100).replace(memory.place / "n5")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        rows = memory.rows()
    finally:
        stop.set()
        thread.join()
    assert len(rows) >= 300
    assert rows[b"n5"].content in (b"text", b"other" * 100)


# Databases


def database(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE notes (body); INSERT INTO notes VALUES ('one'), ('two')")
    return connection


def test_a_database_is_one_file_with_what_stands_in_its_log(memory: Memory, tmp_path: Path) -> None:
    with closing(database(memory.place / "agents.db")) as open_elsewhere:
        assert sorted(os.listdir(memory.place)) == ["agents.db", "agents.db-shm", "agents.db-wal"]
        assert list(memory.rows()) == [b"agents.db"]
        before = memory.take().snapshot
        open_elsewhere.execute("INSERT INTO notes VALUES ('three')")
        time.sleep(0.05)
        assert memory.take().snapshot.sources[0].tables[0].changed == 1
        assert memory.take().bytes_read == 0
    memory.restore(before, to=tmp_path / "other")
    with closing(apsw.Connection(str(tmp_path / "other" / "agents.db"))) as restored:
        assert restored.execute("PRAGMA integrity_check").get == "ok"
        assert [body for (body,) in restored.execute("SELECT body FROM notes")] == ["one", "two"]


def test_a_database_without_a_log_is_the_bytes_of_its_file(memory: Memory) -> None:
    database(memory.place / "agents.db").close()
    assert memory.rows()[b"agents.db"].content == (memory.place / "agents.db").read_bytes()


def test_without_the_library_a_database_with_a_log_is_refused(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(database(memory.place / "agents.db")):
        monkeypatch.setitem(sys.modules, "snapstore.sources.sqlite.whole", None)
        with pytest.raises(Unsupported, match=r"agents.db is a SQLite database with a log"):
            memory.take()
        assert "agents.db" in memory.take(partial=True).snapshot.sources[0].missing[0]
    assert list(memory.rows()) == [b"agents.db"]  # closed, it has no log


def test_a_log_that_belongs_to_no_database_is_a_file(memory: Memory) -> None:
    memory.write("a-wal")
    memory.write("b")
    memory.write("b-journal")
    assert list(memory.rows()) == [b"a-wal", b"b", b"b-journal"]


def test_a_damaged_database_is_its_bytes(memory: Memory) -> None:
    path = memory.place / "agents.db"
    database(path).close()
    damaged = path.read_bytes()[:100] + os.urandom(4000)
    path.write_bytes(damaged)
    assert memory.rows()[b"agents.db"].content == damaged
    memory.write("agents.db-wal", "x" * 100)
    with pytest.raises(Corrupt, match=r"agents\.db is a SQLite database with a log that SQLite cannot read"):
        memory.rows()


def test_what_lies_too_deep_is_named(memory: Memory) -> None:
    folder = os.open(memory.place, os.O_RDONLY)
    for _ in range(260):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    with pytest.raises(Unavailable, match="254 folders deep"):
        memory.take()
    taken = memory.take(partial=True)
    assert not taken.is_complete
    assert taken.snapshot.sources[0].tables[0].rows == 254


def test_two_kinds_of_source_are_one_snapshot(memory: Memory) -> None:
    database(memory.place / "agents.db").close()
    requests = [Request("db", SqliteSource(f"sqlite://{memory.place}/agents.db")), Request("files", memory.source)]
    assert [len(source.tables) for source in take(memory.repository, requests).snapshot.sources] == [1, 1]
