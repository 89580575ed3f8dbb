from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from snapstore.backends import Backend
from snapstore.backends.directory import DirectoryBackend
from snapstore.errors import Corrupt, Exists, NotFound, Unavailable, Unsupported
from tests.backends.contract import BackendContract


class TestDirectory(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return DirectoryBackend(tmp_path / "store", create=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store"


@pytest.fixture
def backend(root: Path) -> DirectoryBackend:
    return DirectoryBackend(root, create=True)


def test_only_the_owner_may_look(root: Path, backend: DirectoryBackend) -> None:
    backend.put("packs/ab/abc", [b"x"])
    backend.replace("packs/ab/abc", b"y", tag=backend.get("packs/ab/abc").tag)
    for path in (root, *root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_without_a_store_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotFound, match="no store") as caught:
            DirectoryBackend(path)
        assert "mounted" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_opened_again(root: Path, backend: DirectoryBackend) -> None:
    backend.put("config", [b"x"])
    assert DirectoryBackend(root).get("config").data == b"x"
    assert DirectoryBackend(root, create=True).get("config").data == b"x"


def test_an_unmounted_store_is_not_taken_for_an_empty_one(root: Path, backend: DirectoryBackend) -> None:
    backend.put("snapshots/a", [b"x"])
    root.rename(root.with_name("elsewhere"))
    root.mkdir()
    for call in (
        lambda: list(backend.list("snapshots/")),
        lambda: backend.get("snapshots/a"),
        lambda: backend.put("snapshots/b", [b""]),
        lambda: backend.delete("snapshots/a"),
    ):
        with pytest.raises(Unavailable, match="no store"):
            call()
    assert list(root.iterdir()) == []


def test_links_and_odd_entries_are_not_objects(root: Path, tmp_path: Path, backend: DirectoryBackend) -> None:
    backend.put("snapshots/a", [b"x"])
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (root / "snapshots" / "link").symlink_to(outside)
    (root / "snapshots" / "Upper").write_bytes(b"")
    (root / "snapshots" / ".hidden").write_bytes(b"")
    (root / "snapshots" / "folder").mkdir()
    (root / "linked").symlink_to(tmp_path)
    os.mkfifo(root / "snapshots" / "pipe")
    assert [entry.name for entry in backend.list()] == ["snapshots/a"]
    for name in ("snapshots/link", "snapshots/pipe", "snapshots/folder"):
        with pytest.raises(NotFound):
            backend.get(name)
        with pytest.raises(NotFound):
            backend.delete(name)
        with pytest.raises(Exists):
            backend.put(name, [b""])
    assert outside.read_bytes() == b"secret"


def test_leftovers_of_a_crash_are_strays_and_not_objects(root: Path, backend: DirectoryBackend) -> None:
    backend.put("snapshots/a", [b"x"])
    assert list(backend.stray()) == []
    (root / ".tmp" / "leftover").write_bytes(b"12345")
    written = (root / ".tmp" / "being-written").open("wb")
    fcntl.flock(written, fcntl.LOCK_EX)
    with written:
        assert [(entry.name, entry.size_bytes) for entry in backend.stray()] == [(".tmp/leftover", 5)]
    assert [entry.name for entry in backend.list()] == ["snapshots/a"]
    for entry in list(backend.stray()):
        backend.delete_stray(entry)
        backend.delete_stray(entry)
    assert list(backend.stray()) == []
    assert backend.get("snapshots/a").data == b"x"


def test_a_write_that_fails_leaves_nothing(
    root: Path, backend: DirectoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = backend.put("snapshots/a", [b"x"])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    calls: list[Callable[[], object]] = [
        lambda: backend.put("snapshots/b", [b"y"]),
        lambda: backend.replace("snapshots/a", b"y", tag=tag),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="No space left") as caught:
            call()
        assert "full" in caught.value.hint
    monkeypatch.undo()
    assert [entry.name for entry in backend.list()] == ["snapshots/a"]
    assert backend.get("snapshots/a").data == b"x"
    assert list((root / ".tmp").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else_is_unavailable(root: Path, backend: DirectoryBackend) -> None:
    root.chmod(0o500)
    try:
        with pytest.raises(Unavailable) as caught:
            backend.put("snapshots/a", [b""])
        assert "owner" in caught.value.hint
    finally:
        root.chmod(0o700)


def test_a_disk_that_is_really_full_is_unavailable(tmp_path: Path) -> None:
    """In a process whose files may not grow, as near to a full disk as an ordinary user comes."""
    program = """
import resource, signal, sys
from pathlib import Path
from snapstore.backends.directory import DirectoryBackend
from snapstore.errors import Unavailable
backend = DirectoryBackend(Path(sys.argv[1]), create=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    backend.put("packs/ab/abc", [bytes(600), bytes(600)], unique=True)
except Unavailable as error:
    assert not list(backend.list()) and not list(backend.stray())
    print("unavailable", error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "s")],
        capture_output=True,
        text=True,
        check=True,
        env=_environment(),
    )
    assert done.stdout.startswith("unavailable packs/ab/abc")


def test_a_file_system_that_grants_every_lock_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, mode: None)
    with pytest.raises(Unsupported, match="no working locks"):
        DirectoryBackend(root, create=True)


def test_a_file_system_that_cannot_lock_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, mode: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(Unsupported, match="cannot lock"):
        DirectoryBackend(root, create=True)


def test_without_hard_links_a_taken_name_is_still_left_alone(
    backend: DirectoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    backend.put("snapshots/a", [b"one"])
    with pytest.raises(Exists):
        backend.put("snapshots/a", [b"two"])
    assert backend.get("snapshots/a").data == b"one"
    assert list(backend.stray()) == []


def test_a_truncated_object_is_damage(root: Path, backend: DirectoryBackend) -> None:
    backend.put("index/a", [b"0123456789"])
    os.truncate(root / "index" / "a", 5)
    with pytest.raises(Corrupt, match="index/a"):
        backend.get_range("index/a", 0, 10)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
