"""Numbers about takes in a file that node_exporter's textfile collector reads.

    record(Path("/var/lib/node_exporter/snapstore.prom"), Run(["agents"], 0, now, 1.5, 40_000, {"agents": 2_400}))

The file is written beside and renamed, and read before: what it says of other sources, and when a source was last
taken well, stays. https://prometheus.io/docs/instrumenting/exposition_formats/ has the form.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from snapstore.errors import Conflict, Invalid, SnapstoreError, Unavailable
from snapstore.filesystem import patiently

__all__ = ["Run", "record"]

_HEAD = "# Written by snap take: [notices] prometheus in snap.toml.\n"
_METRICS = {
    "snapstore_take_last_success_timestamp_seconds": "When a take of the source last ended with exit code 0.",
    "snapstore_take_last_run_timestamp_seconds": "When a take of the source last ended, well or not.",
    "snapstore_take_exit_code": "The exit code of the last take of the source.",
    "snapstore_take_rows": "Rows of the source in its last snapshot.",
    "snapstore_take_duration_seconds": "How long the last take of these sources together took.",
    "snapstore_take_added_bytes": "What the last take of these sources together added to the repository.",
}
_SAMPLE = re.compile(r'(\w+)\{sources?="((?:[^"\\]|\\.)*)"\} (\S+)')
_OF_SEVERAL = ("snapstore_take_duration_seconds", "snapstore_take_added_bytes")
_WAIT_SECONDS, _STALE_SECONDS = 5.0, 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """One take: its sources by name, how and when (seconds since 1970) it ended, and what it did, None if nothing."""

    sources: Sequence[str]
    exit_code: int
    ended: float
    duration_seconds: float
    added_bytes: int | None = None
    rows: Mapping[str, int] = field(default_factory=dict)


def record(path: Path, run: Run, *, wait_seconds: float = _WAIT_SECONDS) -> None:
    """Write the run into the file, beside what it says of others.

    Raises `Invalid` for a file that is somebody else's, `Conflict` while another writes it, `Unavailable`.
    """
    beside = path.with_name(path.name + ".new")
    try:
        descriptor = _claimed(beside, wait_seconds)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(_text({**_read(path), **_samples(run)}))
            patiently(lambda: os.replace(beside, path))
        except (OSError, SnapstoreError):
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror or error}") from error


def _claimed(beside: Path, wait_seconds: float) -> int:
    """The new file, made by us alone: while it is there, another take writes it (or died, a minute ago or more)."""
    end = time.monotonic() + wait_seconds
    while True:
        try:
            return os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            with suppress(FileNotFoundError):
                if time.time() - beside.stat().st_mtime > _STALE_SECONDS:
                    beside.unlink()
                    continue
        if time.monotonic() >= end:
            raise Conflict(f"{beside} is there: another take writes it", hint="If none does, delete it.")
        time.sleep(0.05)


def _read(path: Path) -> dict[tuple[str, str], str]:
    """What the file says by metric and label as written; nothing where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        text = "?"
    if text and not text.startswith(_HEAD):
        raise Invalid(f"{path} was not written by snap, and is left alone", hint="Name a file of its own.")
    return {(one[1], one[2]): one[3] for one in _SAMPLE.finditer(text) if one[1] in _METRICS}


def _samples(run: Run) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for name in run.sources:
        label = _label(name)
        found["snapstore_take_last_run_timestamp_seconds", label] = f"{run.ended:.3f}"
        found["snapstore_take_exit_code", label] = str(run.exit_code)
        if not run.exit_code:
            found["snapstore_take_last_success_timestamp_seconds", label] = f"{run.ended:.3f}"
        if name in run.rows:
            found["snapstore_take_rows", label] = str(run.rows[name])
    together = _label(" ".join(run.sources))
    found["snapstore_take_duration_seconds", together] = f"{run.duration_seconds:.3f}"
    if run.added_bytes is not None:
        found["snapstore_take_added_bytes", together] = str(run.added_bytes)
    return found


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _text(samples: Mapping[tuple[str, str], str]) -> str:
    lines = [_HEAD]
    for metric, told in _METRICS.items():
        own = sorted((label, value) for (name, label), value in samples.items() if name == metric)
        if own:
            lines.append(f"# HELP {metric} {told}\n# TYPE {metric} gauge\n")
            word = "sources" if metric in _OF_SEVERAL else "source"
            lines += [f'{metric}{{{word}="{label}"}} {value}\n' for label, value in own]
    return "".join(lines)
