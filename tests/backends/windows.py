"""Runs tests on what Windows is like, as far as that can be had elsewhere: `python -m tests.backends.windows FILE`.

Before anything of ours is imported the modules and functions that Windows lacks are taken away, `sys.platform` says
`win32`, flock() stands in for the locks of its kernel32, and a file that is open can neither be renamed, replaced nor
deleted, nor a folder opened. It is an imitation, for every day; `tests/wine` runs the same tests on more than that.
"""

from __future__ import annotations

import asyncio  # noqa: F401  # what is imported here still knows the platform it is on
import ctypes
import fcntl
import multiprocessing  # noqa: F401
import os
import shutil
import subprocess
import sys
import tempfile  # noqa: F401
import types
import unittest  # noqa: F401
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw  # noqa: F401
import blake3  # noqa: F401
import click.testing  # noqa: F401
import hypothesis  # noqa: F401
import msgpack  # noqa: F401
import numpy as np  # noqa: F401
import pytest
import rich.console  # noqa: F401
import zstandard  # noqa: F401

MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
WORDS = (
    "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "chown", "fchmod", "fchown", "fork", "getegid", "geteuid",
    "getgid", "getuid", "getxattr", "killpg", "lockf", "mkfifo", "pread", "preadv", "pwrite", "pwritev", "readv",
    "setsid", "sync", "writev",
)  # fmt: skip
ERROR_LOCK_VIOLATION = 33


def pretend() -> None:
    """From now on this process is on Windows, if one does not look too closely."""
    handles: Any = types.ModuleType("msvcrt")
    handles.get_osfhandle = lambda descriptor: descriptor
    sys.modules["msvcrt"] = handles
    kernel: Any = ctypes
    kernel.WinDLL = lambda name, use_last_error: types.SimpleNamespace(LockFileEx=_lock, UnlockFileEx=_unlock)
    kernel.get_last_error, kernel.WinError = lambda: ERROR_LOCK_VIOLATION, OSError
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # so that importing it fails
    changed: Any = os
    changed.O_NOINHERIT, changed.O_BINARY = os.O_CLOEXEC, 0
    changed.open = _opening(os.open)
    changed.rename, changed.replace, changed.unlink = _renaming, _unless_open(os.replace), _unless_open(os.unlink)
    for name in WORDS:
        delattr(os, name)
    removing: Any = shutil
    removing._use_fd_functions = False
    sys.platform = "win32"


_flock, _link, _unlink = fcntl.flock, os.link, os.unlink


def _lock(descriptor: int, flags: int, *_: object) -> bool:
    """Whether it is ours now: of whoever opened the file, shared or not."""
    at_once, exclusive = flags & 1, flags & 2
    assert at_once
    try:
        _flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(descriptor: int, *_: object) -> bool:
    _flock(descriptor, fcntl.LOCK_UN)
    return True


def _opening(call: Callable[..., int]) -> Callable[..., int]:
    def opening(path: Any, *words: Any, **named: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return call(path, *words, **named)

    return opening


def _unless_open(call: Callable[..., None]) -> Callable[..., None]:
    def changing(*paths: Any, **named: Any) -> None:
        _check_closed(*paths)
        call(*paths, **named)

    return changing


def _renaming(source: Any, target: Any) -> None:
    """Never over another file."""
    _check_closed(source)
    if source != target:
        _link(source, target)
        _unlink(source)


def _check_closed(*paths: Any) -> None:
    wanted = {os.path.realpath(path) for path in paths}
    for name in os.listdir("/proc/self/fd"):
        try:
            held = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        if held in wanted:
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")


def run(file: Path) -> subprocess.CompletedProcess[str]:
    """The tests in this file on such a platform."""
    command = [sys.executable, "-m", "tests.backends.windows", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])


if __name__ == "__main__":
    pretend()
    sys.exit(pytest.main(["-q", "-s", "-p", "no:cacheprovider", "--noconftest", "-W", "ignore", *sys.argv[1:]]))
