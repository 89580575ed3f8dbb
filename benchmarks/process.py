"""Runs one program to its end, or several in a pipe, and says what it cost: wall time, processor time, peak memory.

    run(["pg_dump", "--format", "custom", …]).seconds
    run(["pg_dump", …], ["restic", "backup", "--stdin", …]).seconds

It knows nothing of what the programs do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

__all__ = ["Failed", "Run", "run"]

# Linux counts ru_maxrss in KiB, macOS in bytes (getrusage(2)).
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Failed(Exception):
    """A measured program ended with an error: a number would mean nothing."""


@dataclass(frozen=True, slots=True)
class Run:
    """From the start of the first process to the end of the last.

    `cpu_seconds` is that of all, `peak_bytes` the largest resident set of one, `output` what the last one printed.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


def run(*commands: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run programs, each reading what the one before prints; raises `Failed` with the last words of one that fails.

    A child inherits the peak of whoever starts it, as Linux counts, so this process must stay small.
    """
    with ExitStack() as files:
        errors = [files.enter_context(tempfile.TemporaryFile()) for _ in commands]
        output = files.enter_context(tempfile.TemporaryFile())
        children: list[subprocess.Popen[bytes]] = []
        began = time.perf_counter()
        try:
            for command, words in zip(commands, errors, strict=True):
                before = children[-1].stdout if children else subprocess.DEVNULL
                after = output if len(children) == len(commands) - 1 else subprocess.PIPE
                children.append(subprocess.Popen(command, stdin=before, stdout=after, stderr=words, env=environment))
                if len(children) > 1:
                    _close(children[-2].stdout)
            # Popen.wait() would throw away what the process used.
            ended = [os.wait4(child.pid, 0) for child in children]
        except BaseException:
            for child in children:
                child.kill()
                child.wait()
            raise
        seconds = time.perf_counter() - began
        for child, (_, status, _) in zip(children, ended, strict=True):
            child.returncode = os.waitstatus_to_exitcode(status)
        # The last first: one whose reader is gone fails for that alone.
        for child, command, words in reversed(list(zip(children, commands, errors, strict=True))):
            if child.returncode:
                words.seek(0)
                complaint = words.read().decode(errors="replace").strip()[-2000:]
                raise Failed(f"{' '.join(command)} ended with {child.returncode}: {complaint}")
        output.seek(0)
        said = output.read().decode()
    usages = [usage for _, _, usage in ended]
    return Run(
        seconds,
        sum(usage.ru_utime + usage.ru_stime for usage in usages),
        max(usage.ru_maxrss for usage in usages) * _MAXRSS_UNIT,
        said,
    )


def _close(pipe: IO[bytes] | None) -> None:
    """This process's end: while it is open, a writer would not learn that its reader is gone."""
    if pipe is not None:
        pipe.close()
