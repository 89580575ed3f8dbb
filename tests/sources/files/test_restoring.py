"""How files come back: whole, in their places, and nothing that was not asked for is touched."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapstore.errors import Conflict, Corrupt, Unavailable
from snapstore.operations.plan import Mode
from snapstore.operations.scope import Scope
from snapstore.sources.files import target
from snapstore.sources.files.clashes import clash
from snapstore.sources.files.placing import Placing
from snapstore.sources.files.staging import Staging
from tests.soak import IS_SOAK
from tests.sources.files.memory import Memory, picture, root


@pytest.fixture
def filled(memory: Memory) -> Memory:
    memory.write("notes/a.md", "a")
    memory.write("notes/b.md", "b")
    memory.write("deep/er/c.md", "c" * 1000)
    memory.write("x.log", "left out")
    (memory.place / "link").symlink_to("notes/a.md")
    (memory.place / "empty").mkdir()
    return memory


def wreck(memory: Memory) -> None:
    memory.write("notes/a.md", "another a")
    (memory.place / "notes/b.md").unlink()
    (memory.place / "deep/er/c.md").unlink()
    (memory.place / "deep/er").rmdir()
    memory.write("deep/er", "a file by now")
    (memory.place / "link").unlink()
    (memory.place / "link").symlink_to("elsewhere")
    (memory.place / "empty").rmdir()
    (memory.place / "empty").symlink_to("notes")
    memory.write("more/new.md", "new")
    (memory.place / "notes").chmod(0o700)


def test_exact_keeps_files_that_could_not_be_read_when_the_snapshot_was_taken(
    filled: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.write("secret/key", "private")
    opened = os.open

    def refuses(path: Any, *arguments: Any, **named: Any) -> int:
        if path == b"secret":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuses)
        partial = filled.take(partial=True).snapshot
    assert partial.sources[0].missing
    filled.write("secret/key", "changed")
    plan = filled.restore(partial).plan
    assert (plan.tables[0].delete, plan.tables[0].unsure) == (0, 2)
    assert (filled.place / "secret/key").read_text() == "changed"


def test_exact_is_exact_and_can_be_undone(filled: Memory) -> None:
    before, was = filled.take().snapshot, picture(filled.place)
    wreck(filled)
    wrecked = picture(filled.place)
    restored = filled.restore(before)
    assert picture(filled.place) == was
    filled.undo(restored)
    assert picture(filled.place) == wrecked


def test_what_was_not_asked_for_is_not_touched(filled: Memory) -> None:
    before = filled.take().snapshot
    wreck(filled)
    inodes = {path: path.lstat().st_ino for path in (filled.place / "more/new.md", filled.place / "x.log")}
    untouched = filled.place / "notes/a.md"
    held = untouched.read_text()
    filled.restore(before, Mode.EXACT, scope=Scope(keys={"tree.files": [b"link", b"notes/b.md"]}))
    assert os.readlink(filled.place / "link") == "notes/a.md"
    assert (filled.place / "notes/b.md").read_text() == "b"
    assert untouched.read_text() == held
    assert (filled.place / "deep/er").is_file()
    assert {path: path.lstat().st_ino for path in inodes} == inodes


def test_parents_are_made_where_only_a_file_is_asked_for(filled: Memory, tmp_path: Path) -> None:
    before = filled.take().snapshot
    scope = Scope(keys={"tree.files": [b"deep/er/c.md"]})
    filled.restore(before, Mode.SKIP, to=tmp_path / "other", scope=scope)
    assert list(picture(tmp_path / "other")) == [b"deep", b"deep/er", b"deep/er/c.md"]


def test_only_what_differs_is_set(filled: Memory) -> None:
    before = filled.take().snapshot
    path = filled.place / "notes/a.md"
    inode, mtime = path.stat().st_ino, path.stat().st_mtime_ns
    path.chmod(0o600)
    os.utime(path, ns=(5, 5))
    filled.restore(before, Mode.UPDATE)
    status = path.stat()
    assert (status.st_ino, status.st_mtime_ns, status.st_mode & 0o777) == (inode, mtime, 0o644)


def test_who_has_a_file_open_keeps_it_whole(filled: Memory) -> None:
    before = filled.take().snapshot
    filled.write("notes/a.md", "another text")
    with (filled.place / "notes/a.md").open() as reader:
        filled.restore(before)
        assert reader.read() == "another text"
    assert (filled.place / "notes/a.md").read_text() == "a"


def test_a_folder_stays_where_something_in_it_is_left_out(filled: Memory) -> None:
    before = filled.take().snapshot
    filled.write("more/new.md")
    filled.write("more/y.log")
    restored = filled.restore(before)
    assert restored.notes == ("the folder more stays, since more/y.log in it is left out or kept",)
    assert [path.name for path in (filled.place / "more").iterdir()] == ["y.log"]
    (filled.place / "empty").rmdir()
    wanted = filled.write("empty")
    after = filled.take().snapshot
    wanted.unlink()
    filled.write("empty/z.log")
    with pytest.raises(Conflict, match=r"empty is to become a file, and empty/z\.log stays in it"):
        filled.restore(after)


def test_a_folder_that_may_not_be_written_comes_back_with_what_is_in_it(filled: Memory, tmp_path: Path) -> None:
    (filled.place / "notes").chmod(0o555)
    before = filled.take().snapshot
    filled.restore(before, to=tmp_path / "other")
    assert picture(tmp_path / "other")[b"notes"] == ("folder", 0o555)
    assert (tmp_path / "other" / "notes" / "a.md").read_text() == "a"


def test_a_new_folder_that_fails_is_not_left_behind(
    filled: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled.take().snapshot
    with pytest.raises(Unavailable, match=r"cannot be made"):
        filled.restore(before, to=tmp_path / "no" / "parent")

    def damaged(*_: Any) -> Any:
        raise Corrupt("a blob is damaged")

    monkeypatch.setattr("snapstore.tree.values.resolve", damaged)
    with pytest.raises(Corrupt):
        filled.restore(before, to=tmp_path / "other")
    assert not (tmp_path / "other").exists()


# Others write too


def test_what_somebody_changed_meanwhile_ends_it_with_nothing_done(
    filled: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled.take().snapshot
    wreck(filled)
    finish: Callable[[Any], None] = target.FilesTarget.finish

    def changes(own: target.FilesTarget) -> None:
        finish(own)
        filled.write("notes/a.md", "precious, and written just now")

    monkeypatch.setattr(target.FilesTarget, "finish", changes)
    with pytest.raises(Conflict, match=r"notes/a.md was changed by somebody else .*; nothing was changed"):
        filled.restore(before)
    assert (filled.place / "notes/a.md").read_text() == "precious, and written just now"
    assert not (filled.place / "notes/b.md").exists()


def test_a_new_file_never_takes_the_place_of_another(filled: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    before = filled.take().snapshot
    (filled.place / "notes/b.md").unlink()
    look = Placing._look_again

    def appears(own: Placing, *arguments: Any) -> None:
        look(own, *arguments)
        filled.write("notes/b.md", "somebody else's")

    monkeypatch.setattr(Placing, "_look_again", appears)
    with pytest.raises(Unavailable, match=r"could not write notes/b\.md"):
        filled.restore(before)
    assert (filled.place / "notes/b.md").read_text() == "somebody else's"


# It fails in the middle


@pytest.mark.parametrize("fails_at", range(1, 10, 2))
def test_a_failure_half_way_says_where_things_stand_and_can_be_gone_on_with(
    filled: Memory, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    before, was = filled.take().snapshot, picture(filled.place)
    wreck(filled)
    wrecked = picture(filled.place)
    count = 0

    def counted(deed: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == fails_at:
                raise OSError(28, "No space left on device")
            return deed(*arguments, **named)

        return run

    with monkeypatch.context() as patch:
        for name in ("_unlink", "_rmdir", "_mkdir", "_link", "_file", "_settings"):
            patch.setattr(Placing, name, counted(getattr(Placing, name)))
        with pytest.raises(
            Unavailable, match=rf"No space left on device. {fails_at - 1} of \d+ steps were done"
        ) as told:
            filled.restore(before)
    assert "not done: " in told.value.message
    assert "snap undo" in told.value.hint
    assert not [name for name in os.listdir(filled.place) if name.startswith(".snapstore")]
    safety = filled.repository.snapshots()[-1]
    assert safety.safety == before.id
    if fails_at == 5:
        filled.restore(safety, Mode.EXACT)
        mended = picture(filled.place)
        assert {path: own for path, own in mended.items() if own[0] != "folder"} == {
            path: own for path, own in wrecked.items() if own[0] != "folder"
        }
    filled.restore(before)
    assert picture(filled.place) == was


def test_what_a_crash_left_behind_goes_with_the_next_restore(filled: Memory) -> None:
    before = filled.take()
    filled.write(".snapstore-restore-00/1", "half a file")
    assert root(filled.take()) == root(before)
    (filled.place / "notes/a.md").unlink()
    filled.restore(before.snapshot)
    assert not (filled.place / ".snapstore-restore-00").exists()


def test_a_disk_that_is_full_touches_nothing(filled: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    before = filled.take().snapshot
    wreck(filled)
    wrecked = picture(filled.place)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("snapstore.sources.files.staging.os.utime", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        filled.restore(before)
    assert picture(filled.place) == wrecked
    assert filled.repository.snapshots()[-1].id == before.id  # nothing was done, so nothing is kept


# Names


def test_names_that_are_one_elsewhere_are_found() -> None:
    assert clash([b"a/Notes.md", b"b/notes.md"]) is None
    assert clash([b"Notes.md", b"notes.md"]) == (b"Notes.md", b"notes.md")
    assert clash(["café".encode(), "cafe\u0301".encode()]) is not None
    assert clash([b"\xff", b"\xfe"]) is None


def test_names_that_would_be_one_here_are_refused(filled: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.write("NOTES/a.md")
    before = filled.take().snapshot
    (filled.place / "NOTES/a.md").unlink()
    monkeypatch.setattr(Staging, "folds_case", lambda _: True)
    with pytest.raises(Conflict, match=r"NOTES.* and notes.* are one name on this file system"):
        filled.restore(before)


def test_this_file_system_tells_capitals_or_not(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with Staging(descriptor) as staging:
        assert staging.folds_case() == (tmp_path / "X").exists()
    os.close(descriptor)


# Databases


def test_a_database_that_is_open_elsewhere_is_not_replaced(memory: Memory) -> None:
    path = memory.place / "agents.db"
    with closing(apsw.Connection(str(path))) as application:
        application.pragma("journal_mode", "wal")
        application.execute("CREATE TABLE notes (body)")
        before = memory.take().snapshot
        application.execute("INSERT INTO notes VALUES ('new')")
        with pytest.raises(Unavailable, match="open in another program"):
            memory.restore(before)
        assert application.execute("SELECT count(*) FROM notes").get == 1
    memory.restore(before)
    with closing(apsw.Connection(str(path))) as application:
        assert application.execute("SELECT count(*) FROM notes").get == 0


def test_a_log_that_a_crash_left_is_not_played_into_another_database(memory: Memory) -> None:
    path = memory.place / "agents.db"
    with closing(apsw.Connection(str(path))) as application:
        application.pragma("journal_mode", "wal")
        application.execute("CREATE TABLE notes (body); INSERT INTO notes VALUES ('one')")
        before = memory.take().snapshot
        application.execute("INSERT INTO notes VALUES ('two')")
        log = (memory.place / "agents.db-wal").read_bytes()
    (memory.place / "agents.db-wal").write_bytes(log)
    memory.restore(before)
    with closing(apsw.Connection(str(path))) as application:
        assert application.execute("SELECT group_concat(body) FROM notes").get == "one"
    path.unlink()
    for end in ("-wal", "-shm"):
        (memory.place / f"agents.db{end}").unlink(missing_ok=True)
    (memory.place / "agents.db-wal").write_bytes(log)
    with pytest.raises(Conflict, match=r"agents\.db-wal is there without its database"):
        memory.restore(before, Mode.SKIP)


def test_a_database_that_goes_leaves_no_log_behind(memory: Memory) -> None:
    before = memory.take().snapshot
    with closing(apsw.Connection(str(memory.place / "agents.db"))) as application:
        application.pragma("journal_mode", "wal")
        application.execute("CREATE TABLE notes (body)")
        log = (memory.place / "agents.db-wal").read_bytes()
        with pytest.raises(Unavailable, match="open in another program"):
            memory.restore(before)
    (memory.place / "agents.db-wal").write_bytes(log)
    memory.restore(before)
    assert not picture(memory.place)


def test_columns_that_a_snapshot_lacks_stay_as_they_are(filled: Memory) -> None:
    before = filled.take(exclude_columns=("tree.files.mtime", "tree.files.mode")).snapshot
    path = filled.place / "notes/a.md"
    path.write_text("another")
    path.chmod(0o600)
    os.utime(path, ns=(5, 5))
    (filled.place / "notes/b.md").unlink()
    filled.restore(before)
    assert (path.read_text(), path.stat().st_mode & 0o777, path.stat().st_mtime_ns) == ("a", 0o600, 5)
    assert (filled.place / "notes/b.md").read_text() == "b"


# Laws

_NAMES = st.sampled_from(["a", "b", "A", "c.md"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_STATES = st.dictionaries(
    _PATHS, st.one_of(st.text("xy", max_size=2), st.just("folder"), st.just("link"), st.just("twin")), max_size=6
)


def make(place: Path, state: dict[str, str]) -> None:
    first: Path | None = None
    for name, what in sorted(state.items()):
        path = place / name
        if any(above.is_symlink() or above.is_file() for above in path.parents if above != place) or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if what == "folder":
            path.mkdir()
        elif what == "link":
            path.symlink_to("somewhere")
        elif what == "twin" and first is not None:
            os.link(first, path)
        else:
            path.write_text(what)
            first = path


@settings(max_examples=200 if IS_SOAK else 8)
@given(before=_STATES, after=_STATES)
def test_any_tree_becomes_any_other_and_back(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], after: dict[str, str]
) -> None:
    memory = Memory(tmp_path_factory.mktemp("tree") / "memory")
    make(memory.place, before)
    taken, was = memory.take().snapshot, picture(memory.place)
    memory.place.rename(memory.place.with_name("aside"))
    memory.place.mkdir()
    make(memory.place, after)
    by_then = picture(memory.place)
    time.sleep(0.012)
    restored = memory.restore(taken)
    assert picture(memory.place) == was
    if restored.safety is not None:
        memory.undo(restored)
        assert picture(memory.place) == by_then
