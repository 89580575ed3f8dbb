"""Runs a command of `[hooks]`: without a shell, with one JSON document on stdin, and not for ever.

    said = run_hook(["./notify", "--to", "me"], {"command": "take", "exit_code": 0}, folder, limit_seconds=600)
    said.problem                            # empty, or why it failed, in words

What it prints is kept apart from the program's own data. It does not know what a failure of it means.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["HOOK_VARIABLE", "Said", "run_hook"]

HOOK_VARIABLE = "SNAP_HOOK"
"""Set for what a hook runs: a `snap` in it runs no hooks of its own, which might never end."""

_MOST_PRINTED = 64 << 10


@dataclass(frozen=True, slots=True)
class Said:
    """What a hook printed (the end of it, where that is long), and why it failed; empty if it did not."""

    printed: str
    problem: str


def run_hook(
    words: Sequence[str],
    document: Mapping[str, Any],
    folder: Path,
    *,
    limit_seconds: float,
    environment: Mapping[str, str],
) -> Said:
    """Run it in this folder with this environment. Never raises for what the command does."""
    # A file, not a pipe: what a hook leaves running in the background may keep it open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=folder, env=dict(environment),
                start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            told = error.strerror if isinstance(error, OSError) else None
            return Said("", f"it could not be run: {told or type(error).__name__}")
        problem = _ended(process, json.dumps(document).encode(), limit_seconds)
        output.seek(max(0, output.seek(0, os.SEEK_END) - _MOST_PRINTED))
        return Said(output.read().decode("utf-8", "backslashreplace").rstrip(), problem)


def _ended(process: subprocess.Popen[bytes], sent: bytes, limit_seconds: float) -> str:
    """Wait for its end, within the limit; why it failed."""
    try:
        process.communicate(sent, timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        return f"it did not end within {limit_seconds:g} seconds, and was killed"
    finally:
        if process.returncode is None:
            _kill(process)
    code = process.returncode
    if code < 0:
        return f"signal {-code} ended it"
    return f"exit code {code}" if code else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The command and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
