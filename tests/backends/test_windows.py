"""A folder holds a repository on Windows too, as far as can be said every day without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.windows import run


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what is open is looked up there")
def test_what_windows_lacks_is_not_needed() -> None:
    done = run(Path(__file__).with_name("on_windows.py"))
    assert done.returncode == 0, done.stdout + done.stderr
