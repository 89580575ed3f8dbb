"""Runs one program to its end and says what it cost: wall time, processor time and peak memory of that process.

    run(["pg_dump", "--format", "custom", …]).seconds

It knows nothing of what the program does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Failed", "Run", "run"]

# Linux counts ru_maxrss in KiB, macOS in bytes (getrusage(2)).
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Failed(Exception):
    """A measured program ended with an error: a number would mean nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """From start to end of the process; `peak_bytes` is its largest resident set, `output` what it printed."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Run:
    """Run a program; raises `Failed` with its last words where it does not end well.

    A child inherits the peak of whoever starts it, as Linux counts, so this process must stay small.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment)
        try:
            # Popen.wait() would throw away what the process used.
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said, complaint = output.read().decode(), errors.read().decode()
    if child.returncode:
        raise Failed(f"{' '.join(command)} ended with {child.returncode}: {complaint.strip()[-2000:]}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_UNIT, said)
